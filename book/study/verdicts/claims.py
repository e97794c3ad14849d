"""What each chapter must check and which claims it judges: the ``claims`` module of its study folder."""

from importlib import import_module

CHAPTERS = (  # in the order of the book
    *("architecture", "attention_map", "linearised_softmax", "mean_field", "entropy", "merging_mean_field"),
    *("merging_cost", "effective_rank", "corrected_theory", "heatmaps", "fusion", "runtime"),
    *("reconstruction", "rivals", "practice", "printed_evidence"),
)

MODULES = {name: import_module(f"book.study.{name}.claims") for name in CHAPTERS}
PARTS = tuple((name, module.CHECKS, module.CLAIMS) for name, module in MODULES.items())

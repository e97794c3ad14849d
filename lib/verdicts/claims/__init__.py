"""What each chapter must check and which claims it judges: one module per chapter."""

from lib.verdicts.claims import (
    attention_map,
    corrected_theory,
    effective_rank,
    entropy,
    linearised_softmax,
    mean_field,
    merging_cost,
    merging_mean_field,
    printed_evidence,
    vggt,
)

PARTS = tuple(
    (module.__name__.rpartition(".")[2], module.CHECKS, module.CLAIMS)
    for module in (
        vggt,
        attention_map,
        linearised_softmax,
        mean_field,
        entropy,
        merging_mean_field,
        merging_cost,
        effective_rank,
        corrected_theory,
        printed_evidence,
    )
)

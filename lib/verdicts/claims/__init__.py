"""What each chapter must check and which claims it judges: one module per chapter."""

from lib.verdicts.claims import (
    attention_heatmaps,
    attention_map,
    corrected_theory,
    effective_rank,
    entropy,
    fusion_sweep,
    linearised_softmax,
    mean_field,
    merging_cost,
    merging_mean_field,
    practice,
    printed_evidence,
    reconstruction,
    rivals,
    runtime,
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
        attention_heatmaps,
        fusion_sweep,
        runtime,
        reconstruction,
        rivals,
        practice,
        printed_evidence,
    )
)

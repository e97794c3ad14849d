"""All quantities that ``declared.yml`` names, measured on one model and several scenes.

`measure` runs the model and returns plain arrays with a scene axis; every quantity is a function of these
arrays, so that it can be computed again for resampled scenes. What a declared sentence leaves open is decided
in the docstring of the quantity's function, before the first run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from book.study.predictions.blocks import (
    Blocks,
    copies_change,
    sign_right,
    slope_keys,
    slope_keys_at_full_size,
    slope_queries,
)
from book.study.predictions.merging import (
    Rule,
    delay_exponent,
    delay_exponent_at_least,
    dynamic_share_biased,
    held_out_errors,
    rank_turns,
    saturated_difference,
    saturated_runs,
    spread_turns,
    static_over_fitted,
    static_share_plain,
    sweep,
)
from book.study.predictions.profiles import (
    STEP,
    Arrays,
    Undefined,
    copies,
    every_fourth,
    initial_odds,
    late_slope,
    moved_rank_correlation,
    new_frames_at_entry,
    new_frames_effect,
    profile,
    profile_shift,
    random_odds_factor,
    repeats_over_new,
    token_against_frame,
)
from lib.merging import RegisteredRule
from lib.run import Params, Setup, load_model, merging_rule, prepare
from lib.vggt import VGGT, parse_scale

Quantity = Callable[[Arrays], float]
Measured = dict[str, tuple[float | str | list[float] | None, str]]

QUANTITIES: Mapping[str, Quantity] = {
    "profile_shift": profile_shift,
    "copies_change": copies_change,
    "slope_keys": slope_keys,
    "slope_queries": slope_queries,
    "sign_right": sign_right,
    "delay_exponent": delay_exponent,
    "saturated_difference": saturated_difference,
    "rank_turns": rank_turns,
    "spread_turns": spread_turns,
    "dynamic_share_biased": dynamic_share_biased,
    "static_share_plain": static_share_plain,
    "token_against_frame": token_against_frame,
    "repeats_over_new": repeats_over_new,
    "new_frames_effect": new_frames_effect,
    "moved_rank_correlation": moved_rank_correlation,
    "random_odds_factor": random_odds_factor,
    "late_slope": late_slope,
    "static_over_fitted": static_over_fitted,
}
# shown beside the predictions, judged by nobody
BESIDE: Mapping[str, Quantity] = {
    "new_frames_at_entry": new_frames_at_entry,
    "delay_exponent_at_least": delay_exponent_at_least,
    "slope_keys_at_full_size": slope_keys_at_full_size,
    "held_out_error_static": lambda arrays: held_out_errors(arrays)[0],
    "held_out_error_fitted": lambda arrays: held_out_errors(arrays)[1],
}
EVERY = {**QUANTITIES, **BESIDE}
DRAWS = 400  # resamples of the scenes


def rules(params: Params) -> Rule:
    """The run's rule at any strength, seed and size bias."""

    def rule(m: float, seed: int, size_bias: bool) -> RegisteredRule:
        made = merging_rule(replace(params, m=m, seed=seed, size_bias=size_bias))
        assert made is not None  # m > 0
        return made

    return rule


def measure(params: Params) -> Arrays:
    """Run everything; arrays with the scene as first axis: `measure_scene`, and initial.odds (scenes, 25).

    Raises:
        ValueError: m = 0, which merges nothing; fewer than five frames; as `lib.run.prepare`.
        CheckpointError, MemoryError: as `lib.run.prepare`.
    """
    if params.m == 0:
        raise ValueError("m must be above 0: it is the strength of P3 and P7 (0.3 by default)")
    if params.frames <= STEP:
        raise ValueError(
            f"frames must be at least {STEP + 1}, so that every fourth are two; got {params.frames}"
        )
    model, _ = load_model(params)
    setups = [prepare(each, model) for each in params.each_scene()]
    found = [measure_scene(model, setup) for setup in setups]
    arrays = {name: np.stack([scene[name] for scene in found]) for name in found[0]}
    images = [every_fourth(setup.sequence).images for setup in setups]
    return arrays | {"initial.odds": initial_odds(model.config, images, params.seed, params.device)}


def measure_scene(model: VGGT, setup: Setup) -> Arrays:
    """One scene: "all.*", "few.*", "copies.*" profiles (all frames, every fourth, those four times each),
    "blocks.*" (see `Blocks`), "rank.*", "kept", "sweep.common" (see `sweep`), "saturated"."""
    params, rule = setup.params, rules(setup.params)
    few = every_fourth(setup.sequence)
    layout = replace(setup.layout, frames=len(few))
    blocks = Blocks(model, lambda m, seed: rule(m, seed, False), params.m, params.seed)
    scale = parse_scale(params.logit_scale)
    watching, finish = sweep(model, few.images, layout, rule, params.m, params.seed, params.size_bias, scale)
    found: dict[str, Arrays] = {
        "few": profile(model, few.images, params.seed, blocks, *watching, logit_scale=scale),
        "all": profile(model, setup.sequence.images, params.seed, logit_scale=scale),
        "copies": profile(model, copies(few, STEP).images, params.seed, logit_scale=scale),
        "blocks": blocks.arrays(),
    }
    arrays = {f"{which}.{name}": values for which, part in found.items() for name, values in part.items()}
    saturated = saturated_runs(model, few.images, layout, params.seed, scale)
    return arrays | finish() | {"saturated": np.array(saturated)}


def value_of(quantity: Quantity, arrays: Arrays) -> tuple[float | None, str]:
    """The value, or None and the reason."""
    try:
        return quantity(arrays), ""
    except Undefined as why:
        return None, str(why)


def resampled(
    arrays: Arrays, seed: int, draws: int, quantities: Mapping[str, Quantity]
) -> dict[str, list[float]]:
    """Each quantity for scenes drawn with replacement, where it is defined; nothing for a single scene."""
    scenes = len(next(iter(arrays.values())))
    found: dict[str, list[float]] = {name: [] for name in quantities}
    if scenes == 1:
        return found
    for rows in np.random.default_rng(seed).integers(scenes, size=(draws, scenes)):
        drawn = {name: values[rows] for name, values in arrays.items()}
        for name, quantity in quantities.items():
            value = value_of(quantity, drawn)[0]
            if value is not None:
                found[name].append(value)
    return found


def measurements(
    arrays: Arrays, seed: int, draws: int = DRAWS, quantities: Mapping[str, Quantity] = EVERY
) -> Measured:
    """Every quantity by name, for a record.

    NAME: the value, or None; NAME.reason: why it is None, else ""; NAME.interval: 2.5 and 97.5 % of the
    resamples in which it is defined, or None with one scene or where most of them are undefined.
    """
    again = resampled(arrays, seed, draws, quantities)
    found: Measured = {}
    for name, quantity in quantities.items():
        value, reason = value_of(quantity, arrays)
        enough = len(again[name]) > draws / 2
        found[name] = (value, "1")
        found[f"{name}.reason"] = (reason, "text")
        found[f"{name}.interval"] = (
            np.quantile(again[name], (0.025, 0.975)).tolist() if enough else None,
            "1",
        )
    return found

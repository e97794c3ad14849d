"""Seconds, peak memory and operations of one network without merging and with it, side by side.

All variants take turns in one process on the same images, so that whatever slows the machine slows them
alike.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from lib.costs.operations import Operations, forward_operations
from lib.costs.stopwatch import CLOCKS, PARTS, Stopwatch, TimedRule, exclusive, watched
from lib.merging import RULES, RegisteredRule, Setting, TokenLayout
from lib.vggt import VGGT, LogitScale, VGGTConfig
from lib.vggt.aggregator import ForwardReport

REGIONS = "regions"
VARIANTS = ("fastvggt", "uniform", REGIONS, "grid", "split")
PLAIN = "plain"
REGION = 8  # frames within which the variant "regions" looks for partners
OPERATIONS = tuple(Operations.__dataclass_fields__)
Measurements = dict[str, tuple[Any, str]]  # name -> (value, unit)


def rules(rule: str, m: float, seed: int, size_bias: bool = False) -> dict[str, RegisteredRule]:
    """The merging rules that one run times, by name; none for m = 0.

    All but those that saturate protect nothing, so that they reach every m on every network: what is asked
    here is what they cost, not how good they are. "regions" is "uniform" with partners sought within groups
    of `REGION` frames.

    Args:
        rule: a name in `lib.merging.RULES`, "regions", or "all" for `VARIANTS`.

    Raises:
        ValueError: an unknown rule, or m outside [0, 1).
    """
    if rule not in ("all", REGIONS, *RULES):
        raise ValueError(f"rule must be 'all', {REGIONS!r} or one of {tuple(RULES)}, got {rule!r}")
    found: dict[str, RegisteredRule] = {}
    for name in VARIANTS if rule == "all" else (rule,):
        kind = "uniform" if name == REGIONS else name
        made = Setting(kind, m, size_bias, protected=RULES[kind].saturates).merging(seed)
        if made is not None:
            found[name] = replace(made, region=REGION) if name == REGIONS else made  # type: ignore[type-var]
    return found


# Measuring ------------------------------------------------------------------------------------------------


@dataclass
class Variant:
    """What was measured of one way of running the network.

    kept: N'/N, mean over global layers; pairs_share: query–key pairs over those without merging; peak_mib:
    largest growth of memory during a pass; kernel: of attention, as torch calls it; passes: seconds by part.
    """

    rule: RegisteredRule | None
    logit_scale: LogitScale | None = None
    kept: float = 1.0
    pairs_share: float = 1.0
    peak_mib: float = 0.0
    kernel: str = ""
    passes: list[dict[str, NDArray[np.float64]]] = field(default_factory=list)


def _precision(device: torch.device) -> Any:
    return torch.autocast("cuda", dtype=torch.bfloat16) if device.type == "cuda" else nullcontext()


def timed_pass(model: VGGT, images: Tensor, variant: Variant) -> None:
    """One forward pass with all clocks; adds to `variant`. On a GPU it also reads the allocator's peak."""
    stopwatch, cuda = Stopwatch(images.device), images.device.type == "cuda"
    rule = None if variant.rule is None else TimedRule(variant.rule, stopwatch)
    before = 0
    if cuda:
        torch.cuda.reset_peak_memory_stats(images.device)
        before = torch.cuda.memory_allocated(images.device)
    with torch.inference_mode(), _precision(images.device), watched(model, stopwatch):
        stopwatch.start("whole")
        report: ForwardReport = model(images, merging=rule, logit_scale=variant.logit_scale).report
        stopwatch.stop("whole")
    if cuda:
        variant.peak_mib = (torch.cuda.max_memory_allocated(images.device) - before) / 2**20
    variant.kept = float(np.mean(report.kept))
    variant.pairs_share = report.pairs / report.pairs_plain
    variant.passes.append(exclusive(stopwatch.spent))


def warm_up(model: VGGT, images: Tensor, variant: Variant) -> None:
    """A pass under torch's profiler: names the attention kernel and, on a CPU, finds the peak of memory.

    The peak is the largest sum of tensors alive at once beyond those alive before, counted allocation by
    allocation; what the C library holds back does not enter.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler reports itself on stderr otherwise
    with (
        torch.inference_mode(),
        _precision(images.device),
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded,
    ):
        model(images, merging=variant.rule, logit_scale=variant.logit_scale)
    held = peak = 0
    kernels: set[str] = set()
    for event in recorded.profiler.kineto_results.events():
        if event.name() == "[memory]" and event.device_type() == torch.autograd.DeviceType.CPU:
            held += event.nbytes()
            peak = max(peak, held)
        elif event.name().startswith("aten::_scaled_dot_product"):
            kernels.add(event.name().removeprefix("aten::_scaled_dot_product_"))
    variant.kernel = ", ".join(sorted(kernels))
    if images.device.type != "cuda":
        variant.peak_mib = peak / 2**20


def measure(
    model: VGGT,
    images: Tensor,
    chosen: Mapping[str, RegisteredRule],
    repeats: int,
    warm_frames: int | None = None,
    logit_scale: LogitScale | None = None,
) -> dict[str, Variant]:
    """Time the plain network and every rule, taking turns; each repeat begins with another one.

    Args:
        images: (S, 3, H, W) on the device of the model.
        repeats: timed passes of each variant, after one warm-up.
        warm_frames: frames of the warm-up; None for all, which a peak on a CPU needs.
        logit_scale: of every variant.

    Raises:
        ValueError: repeats below 1, or a rule that cannot reach its m.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    variants = {PLAIN: Variant(None, logit_scale)}
    variants |= {name: Variant(rule, logit_scale) for name, rule in chosen.items()}
    order = list(variants.values())
    for variant in order:
        warm_up(model, images[:warm_frames], variant)
    for turn in range(repeats):
        first = turn % len(order)
        for variant in order[first:] + order[:first]:
            timed_pass(model, images, variant)
    return variants


def as_measurements(variants: Mapping[str, Variant], config: VGGTConfig, layout: TokenLayout) -> Measurements:
    """Everything that was measured, as a record stores it.

    Per variant: "kept", "pairs", "operations" (in order of `OPERATIONS`), "peak", "kernel", and for each part
    and clock a list over passes, e.g. "fastvggt: matching, CPU" in seconds.
    """
    found: Measurements = {
        "variants": (list(variants), "name"),
        "tokens": (layout.tokens, "tokens"),
        "frames": (layout.frames, "frames"),
    }
    for name, v in variants.items():
        matching = 0.0 if v.rule is None else v.rule.matching_operations(layout, config.width)
        operations = asdict(forward_operations(config, layout, v.pairs_share, matching))
        found |= {
            f"{name}: kept": (v.kept, "1"),
            f"{name}: pairs": (v.pairs_share, "1"),
            f"{name}: operations": ([float(operations[o]) for o in OPERATIONS], "operations"),
            f"{name}: peak": (v.peak_mib, "MiB"),
            f"{name}: kernel": (v.kernel, "name"),
        }
        for part in (*PARTS, "aggregator", "whole"):
            for column, clock in enumerate(CLOCKS):
                seconds = [float(one[part][column]) for one in v.passes]
                found[f"{name}: {part}, {clock}"] = (seconds, "s")
    return found

"""What card this is, and whether it computes what the CPU computes: rules, probe and spectra."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.pieces import Measurements, Piece, Stage, seconds
from lib.costs.measure import rules
from lib.gpu import with_key_bias
from lib.merging import AdaptiveRule, MergingRule
from lib.probe import Probe, as_arrays
from lib.run import random_config
from lib.spectra import AttentionOperator, Budget, exact_scalars, spectrum_bracket
from lib.vggt import VGGT, AttentionEvent, FixedScale, LogitScale

FRAMES, SIZE = 8, (56, 70)
OUTPUTS = ("pose_enc", "depth", "world_points")
M = 0.5


def pieces(stage: Stage) -> Iterator[Piece]:
    """Facts first, then every rule, the probe and the spectra."""
    base = {"seed": stage.seed, "device": stage.device}
    yield Piece({**base, "what": "facts"}, lambda: facts(stage))
    for name in variants(stage.seed):
        yield Piece({**base, "what": "forward", "variant": name}, lambda n=name: forward(stage, n))
    for merged in (False, True):
        yield Piece({**base, "what": "probe", "merged": merged}, lambda m=merged: probed(stage, m))
    for dtype in ("float32", "bfloat16"):
        yield Piece({**base, "what": "spectra", "dtype": dtype}, lambda d=dtype: spectra(stage, d))


def variants(seed: int) -> dict[str, tuple[MergingRule | None, LogitScale | None]]:
    """Every way in which a pass can be run, by name."""
    found: dict[str, tuple[MergingRule | None, LogitScale | None]] = {"plain": (None, None)}
    found["plain, logits x 1.3"] = (None, FixedScale(1.3))
    for name, rule in rules("all", M, seed).items():
        found[name] = (rule, None)
        found[f"{name}, size bias"] = (replace(rule, size_bias=True), None)  # type: ignore[type-var]
    return found | {"adaptive": (AdaptiveRule(0.2), None)}


@lru_cache(maxsize=2)
def network(seed: int, device: str) -> VGGT:
    """The small network with weights from the seed."""
    return VGGT.from_seed(random_config(), seed).to(device).eval()


def images(seed: int) -> Tensor:
    """Random pictures on the CPU."""
    return torch.rand(FRAMES, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


class _Chosen:
    """Keeps the pairs that the first block merges."""

    pairs: set[tuple[int, int]] | None = None

    def observe(self, event: AttentionEvent) -> None:
        plan = event.plan
        if (
            self.pairs is None
            and plan is not None
            and plan.sources is not None
            and plan.destinations is not None
        ):
            self.pairs = set(zip(plan.sources[0].tolist(), plan.destinations[0].tolist(), strict=True))


def outputs(stage: Stage, device: str, variant: str, half: bool) -> tuple[dict[str, Tensor], _Chosen]:
    """Predictions of a variant on a device, brought to the CPU, and what its first block merged."""
    (rule, scale), chosen = variants(stage.seed)[variant], _Chosen()
    here = stage if device != "cpu" else replace(stage, device="cpu")
    with torch.inference_mode(), here.precision(half):
        found = network(stage.seed, device)(
            images(stage.seed).to(device), merging=rule, logit_scale=scale, probe=chosen
        )
    return {name: getattr(found, name).float().cpu() for name in OUTPUTS}, chosen


def forward(stage: Stage, variant: str) -> Measurements:
    """Relative distance (root mean square) to the CPU in single precision, and the share of equal pairs."""
    truth, theirs = outputs(stage, "cpu", variant, half=False)
    found: Measurements = {}
    for name, half in (("fp32", False), ("bf16", True)):
        mine, chosen = outputs(stage, stage.device, variant, half)
        for key, value in truth.items():
            found[f"{name}: {key}"] = (float((mine[key] - value).norm() / value.norm()), "1")
        if theirs.pairs and chosen.pairs:
            share = len(chosen.pairs & theirs.pairs) / len(theirs.pairs)
            found[f"{name}: equal pairs"] = (share, "1")
    return found


def probed(stage: Stage, merged: bool) -> Measurements:
    """Largest distance between readings of a probe on both devices, over the largest value, by name."""
    tables = []
    for device in ("cpu", stage.device):
        rule, probe = variants(stage.seed)["uniform" if merged else "plain"][0], Probe(merged=merged)
        with torch.inference_mode():
            model, seen = network(stage.seed, device), images(stage.seed).to(device)
            model(seen, merging=rule, probe=probe, heads=("camera",))
        tables.append(as_arrays(probe.readings))
    found: Measurements = {}
    for name, truth in tables[0].items():
        if name.endswith(("seconds", "passes", "sink_index", "_error")) or not np.isfinite(truth).any():
            continue
        scale = float(np.nanmax(np.abs(truth))) or 1.0
        found[name] = (float(np.nanmax(np.abs(tables[1][name] - truth))) / scale, "1")
    return found


def spectra(stage: Stage, dtype: str) -> Measurements:
    """Scalars and bracket of one head: on the card in a dtype, and on the CPU in double precision."""
    generator = torch.Generator().manual_seed(stage.seed)
    tokens = 600 if stage.rehearse else 3000
    query, key = (torch.randn(tokens, 64, generator=generator) for _ in range(2))
    budget, found = Budget(block=16 if stage.rehearse else 64), {}
    for place, device, kind in (("cpu", "cpu", torch.float64), ("here", stage.device, getattr(torch, dtype))):
        operator = AttentionOperator(query.to(device, kind), key.to(device, kind), 0.125)
        scalars = asdict(exact_scalars(operator, stage.seed))
        bracket = spectrum_bracket(operator, stage.seed, budget, steps=6, dense_below=0)
        names = ("stable_rank", "row_entropy", "column_entropy", "frobenius", "trace")
        found |= {f"{place}: {name}": (float(scalars[name]), "1") for name in names}
        for name in ("entropy", "lower", "upper"):
            found[f"{place}: {name}"] = (float(getattr(bracket, name)), "nat")
    return found


def facts(stage: Stage) -> Measurements:
    """The card and its speed at matrix products, copies and attention; names of attention's kernels."""
    found: Measurements = {"host": (f"{platform.machine()}, Python {platform.python_version()}", "text")}
    if torch.version.cuda and stage.device.startswith("cuda"):
        card = torch.cuda.get_device_properties(0)
        found |= {
            "card": (card.name, "text"),
            "memory": (card.total_memory / 2**30, "GiB"),
            "processors": (card.multi_processor_count, "1"),
            "capability": (f"{card.major}.{card.minor}", "text"),
            "free": (torch.cuda.mem_get_info()[0] / 2**30, "GiB"),
        }
    size = 128 if stage.rehearse else 8192
    for dtype in (torch.bfloat16, torch.float32):
        a = torch.randn(size, size).to(stage.device, dtype)
        spent = seconds(stage, lambda a=a: a @ a)
        found[f"product, {str(dtype)[6:]}"] = (2 * size**3 / spent / 1e12, "TFLOP/s")
    spent = seconds(stage, lambda: a.clone())
    found["copy"] = (2 * a.numel() * a.element_size() / spent / 1e9, "GB/s")
    return found | attention_facts(stage)


def attention_facts(stage: Stage) -> Measurements:
    """Seconds of 16 heads of attention: alone, with a mask, with the mask as a key column; in both types."""
    tokens = 256 if stage.rehearse else 12_000
    found: Measurements = {}
    for dtype in (torch.bfloat16, torch.float32):
        q, k, v = (torch.randn(1, 16, tokens, 64).to(stage.device, dtype) for _ in range(3))
        bias = torch.rand(1, 16, tokens).to(stage.device)
        wide_q, wide_k = with_key_bias(q, k, 0.125, bias)
        wide_v = F.pad(v, (0, wide_q.shape[-1] - 64))
        calls: dict[str, Callable[[], Tensor]] = {
            "alone": lambda q=q, k=k, v=v: F.scaled_dot_product_attention(q, k, v),
            "mask": lambda q=q, k=k, v=v, b=bias: F.scaled_dot_product_attention(
                q, k, v, b[:, :, None].to(q.dtype)
            ),
            "column": lambda q=wide_q, k=wide_k, v=wide_v: F.scaled_dot_product_attention(
                q, k, v, scale=0.125
            ),
        }
        for name, call in calls.items():
            where = f"attention {name}, {str(dtype)[6:]}"
            with torch.inference_mode():
                found[where] = (seconds(stage, call), "s")
                found[f"{where}: kernels"] = (kernels(stage, call), "names")
    return found


def kernels(stage: Stage, call: Callable[[], Any]) -> str:
    """Names of what a call starts on the device, longest first; without one, of its operations."""
    cuda = stage.device.startswith("cuda") and torch.version.cuda
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * bool(cuda)
    with profile(activities=kinds) as seen:
        call()
        stage.wait()
    rows = sorted(seen.key_averages(), key=lambda row: -(row.device_time_total or row.cpu_time_total))
    names = [row.key for row in rows if not cuda or row.device_type == torch.autograd.DeviceType.CUDA]
    return "; ".join(names[:3])

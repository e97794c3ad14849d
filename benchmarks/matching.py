"""What choosing a merging plan costs beside the attention it shortens.

    python benchmarks/matching.py [--frames 8 --width 64 --heads 2 --m 0.5 0.9] [--json out.json]

Target, on a CPU too: matching must not eat what merging saves, that is matching + merging + attention +
unmerging < plain attention. All rules run side by side in one process, taking turns; the best time counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.profiler import ProfilerActivity, profile

from lib.gpu import clock
from lib.merging import FastVGGTRule, KeyValueGridRule, MergingRule, Plan, TokenLayout, UniformRule
from lib.merging.matching import best_match, unit_rows
from lib.pipes import reader_may_leave


@dataclass(frozen=True)
class Row:
    """One rule at one m; seconds are the best of the repeats, `match_over_plain` = matching / plain."""

    rule: str
    m: float
    kept: float
    matching_s: float
    attention_s: float
    whole_call_s: float
    plain_s: float
    match_over_plain: float
    whole_over_plain: float
    saves: bool
    peak_matching_mib: float


def variants(m: float, layout: TokenLayout) -> dict[str, MergingRule]:
    """Every rule and matching variant; frame 0 is protected only where m stays in reach with it."""
    first = UniformRule(m).largest_m(layout) >= m
    uniform = {"protect_first_frame": first}
    return {
        "FastVGGT bf16": FastVGGTRule(m),
        "FastVGGT fp32": FastVGGTRule(m, similarity="fp32"),
        "FastVGGT bf16 + size bias": FastVGGTRule(m, size_bias=True),
        "Uniform features": UniformRule(m, matching="features", **uniform),
        "Uniform features + size bias": UniformRule(m, matching="features", size_bias=True, **uniform),
        "Uniform projected to 16": UniformRule(m, metric_width=16, **uniform),
        "Uniform features, regions of 2 frames": UniformRule(m, matching="features", region=2, **uniform),
        "Uniform features, regions of 1 frame": UniformRule(m, matching="features", region=1, **uniform),
        "Uniform position": UniformRule(m, matching="position", **uniform),
        "Uniform features, keys only": UniformRule(m, matching="features", merge_queries=False, **uniform),
        "Grid of keys": KeyValueGridRule(m, keep_first_frame=first),
        "Grid of keys + size bias": KeyValueGridRule(m, keep_first_frame=first, size_bias=True),
    }


def attend(q: Tensor, k: Tensor, v: Tensor, plan: Plan | None) -> Tensor:
    """One attention call under a plan: (B, heads, N, D) -> (B, heads, N, D)."""
    if plan is None:
        return scaled_dot_product_attention(q, k, v)
    bias = None if plan.log_sizes is None else plan.log_sizes[:, None, None].to(q.dtype)
    q, k, v = plan.merge_queries(q), plan.merge_keys(k), plan.merge_keys(v)
    return plan.unmerge(scaled_dot_product_attention(q, k, v, attn_mask=bias))


def seconds(call: Callable[[], object], x: Tensor) -> float:
    """Wall time of one call on the device of `x`."""
    start = clock(x)
    call()
    return clock(x) - start


def peak_mib(call: Callable[[], object], x: Tensor) -> float:
    """Largest memory held at once beyond what was held before the call, in MiB."""
    if x.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        call()
    held = peak = 0
    for event in recorded.profiler.kineto_results.events():  # type: ignore[union-attr]
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak / 2**20


def measure(
    m: float, layout: TokenLayout, x: Tensor, qkv: tuple[Tensor, Tensor, Tensor], repeats: int
) -> list[Row]:
    """Time every variant at one m, in turns, so that a busy machine disturbs all alike."""
    rules = variants(m, layout)
    plans = {name: rule.plan(x, layout) for name, rule in rules.items()}
    best = {name: [float("inf")] * 3 for name in rules}
    plain = float("inf")
    for _ in range(repeats):
        plain = min(plain, seconds(lambda: attend(*qkv, None), x))
        for name, rule in rules.items():
            calls = (
                lambda rule=rule: rule.plan(x, layout),
                lambda name=name: attend(*qkv, plans[name]),
                lambda rule=rule: attend(*qkv, rule.plan(x, layout)),
            )
            best[name] = [min(old, seconds(call, x)) for old, call in zip(best[name], calls, strict=True)]
    rows = []
    for name, rule in rules.items():
        matching, attention, whole = best[name]
        plan, peak = plans[name], peak_mib(lambda rule=rule: rule.plan(x, layout), x)
        kept = 1.0 if plan is None else plan.kept
        shares = (matching / plain, whole / plain)
        rows.append(Row(name, m, kept, matching, attention, whole, plain, *shares, whole < plain, peak))
    return rows


def whole_scores(layout: TokenLayout, x: Tensor) -> tuple[float, float, float, float]:
    """Seconds and MiB of one match with the scores held whole, then the same streamed."""
    rule = FastVGGTRule(0.5, similarity="fp32")
    chosen = torch.zeros(layout.tokens, dtype=torch.bool)
    chosen[rule.destinations(layout)] = True
    unit = unit_rows(x[0], "fp32")
    sources, destinations = unit[~chosen], unit[chosen]
    calls = (
        lambda: (sources @ destinations.T).max(dim=1),
        lambda: best_match(sources, destinations, "fp32"),
    )
    found = [(min(seconds(call, x) for _ in range(3)), peak_mib(call, x)) for call in calls]
    return (*found[0], *found[1])


def show(rows: list[Row], whole: tuple[float, float, float, float]) -> None:
    """Print the table."""
    print(f"plain attention {rows[0].plain_s * 1e3:.1f} ms")
    head = ("rule", "m", "kept", "matching ms", "matching/plain", "whole/plain", "saves", "peak MiB")
    print("{:<40}{:>5}{:>7}{:>13}{:>16}{:>13}{:>7}{:>10}".format(*head))
    for row in rows:
        times = f"{row.matching_s * 1e3:>13.1f}{row.match_over_plain:>16.3f}{row.whole_over_plain:>13.3f}"
        verdict = "yes" if row.saves else "NO"
        print(f"{row.rule:<40}{row.m:>5}{row.kept:>7.3f}{times}{verdict:>7}{row.peak_matching_mib:>10.1f}")
    print(f"best match of every source, scores held whole: {whole[0] * 1e3:.1f} ms, {whole[1]:.1f} MiB")
    print(f"best match of every source, scores streamed:   {whole[2] * 1e3:.1f} ms, {whole[3]:.1f} MiB")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in (
        ("frames", 8),
        ("high", 28),
        ("wide", 37),
        ("width", 64),
        ("heads", 2),
        ("repeats", 3),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--m", type=float, nargs="+", default=[0.5, 0.9])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the rows here")
    return parser.parse_args()


@torch.no_grad()
def main() -> None:
    """Measure, print, and write JSON if asked."""
    options = arguments()
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the memory profiler reports itself on stderr otherwise
    torch.set_num_threads(options.threads)
    layout = TokenLayout(options.frames, options.high, options.wide)
    generator = torch.Generator().manual_seed(options.seed)
    x = torch.randn(1, layout.tokens, options.width, generator=generator).to(options.device)
    shape = (1, layout.tokens, options.heads, options.width // options.heads)
    qkv = tuple(torch.randn(shape, generator=generator).to(options.device).transpose(1, 2) for _ in range(3))
    begun = perf_counter()
    rows = [row for m in options.m for row in measure(m, layout, x, qkv, options.repeats)]
    whole = whole_scores(layout, x)
    show(rows, whole)
    if options.json:
        settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()}
        record = {
            "settings": settings,
            "tokens": layout.tokens,
            "machine": platform.processor() or platform.machine(),
            "torch": torch.__version__,
            "seconds": perf_counter() - begun,
            "rows": [asdict(row) for row in rows],
            "match": dict(zip(("whole_s", "whole_mib", "streamed_s", "streamed_mib"), whole, strict=True)),
        }
        options.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    with reader_may_leave():
        main()

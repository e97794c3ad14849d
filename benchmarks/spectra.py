"""Error, bracket, seconds and memory of matrix-free spectra beside dense float64 SVD.

    python benchmarks/spectra.py accuracy --sizes 512 1024 2048 4096 8192 --cases 10 10 15 2 1
    python benchmarks/spectra.py large --tokens 100000 --frames 100
    python benchmarks/spectra.py bracket --tokens 104100 --kinds peaked --passes 40 --device cuda
    python benchmarks/spectra.py table

On a GPU add `--device cuda` (and `--dtype bfloat16`). Every part writes a record into data/measurements and
is skipped where a record of the present code exists (--again repeats it). For the attention of a model:
spectra_of_model.py.
"""

from __future__ import annotations

import argparse
import math
import resource
import time
from dataclasses import asdict

import torch

from book.study.spectra.heads import FAMILIES, make_head
from lib import records
from lib.pipes import reader_may_leave
from lib.spectra import (
    AttentionOperator,
    Bracket,
    Budget,
    exact_scalars,
    frame_pooled,
    pooled_measures,
    spectrum_bracket,
)

EXPERIMENT = "benchmarks.spectra"
STEPS = 18  # 38 passes with those that set up the operator: within 40


class Clock:
    """Wall and CPU seconds of one block of code on a device."""

    def __init__(self, device: str) -> None:
        self.device = device

    def __enter__(self) -> Clock:
        self._wait()
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self._wait()
        self.wall, self.cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu

    def _wait(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()


def operator(kind: str, tokens: int, seed: int, params: dict) -> AttentionOperator:
    """The head's operator in the dtype and on the device of `params`."""
    head = make_head(kind, tokens, seed, frame_tokens=params.get("frame_tokens", 128))
    place = {"dtype": getattr(torch, params["dtype"]), "device": params["device"]}
    return AttentionOperator(head.query.to(**place), head.key.to(**place), head.scale)


def one_case(kind: str, seed: int, params: dict) -> dict:
    """One head: dense float64 SVD, then the bracket, side by side."""
    n, device = params["tokens"], params["device"]
    reference = operator(kind, n, seed, params)
    with Clock(device) as dense:
        truth = spectrum_bracket(reference, seed, dense_below=n + 1)
    steps = min(
        STEPS, n // 100
    )  # at most two thirds of all directions, so that small sizes test the bracket too
    with Clock(device) as free:
        op = operator(kind, n, seed, params)
        setup = op.passes
        got = spectrum_bracket(op, 1000 + seed, Budget(), steps=steps, dense_below=0)
    return {
        "kind": kind,
        "seed": seed,
        "entropy": truth.entropy,
        "error": got.entropy - truth.entropy,
        "lower": got.lower - truth.entropy,
        "upper": got.upper - truth.entropy,
        "ritz": got.ritz - truth.entropy,
        "contains": got.lower <= truth.entropy <= got.upper,
        "stable_rank": truth.stable_rank,
        "stable_rank_error": got.stable_rank / truth.stable_rank - 1,
        "passes": setup + got.passes,
        "dense_s": dense.wall,
        "dense_cpu_s": dense.cpu,
        "free_s": free.wall,
        "free_cpu_s": free.cpu,
        "dense_bytes": truth.bytes,
        "free_bytes": got.bytes,
    }


UNITS = {
    "dense_s": "s",
    "dense_cpu_s": "s",
    "free_s": "s",
    "free_cpu_s": "s",
    "kind": "name",
    "passes": "calls",
}
NATS = {"entropy", "error", "lower", "upper", "ritz"}


def accuracy(params: dict, run: records.Run) -> records.Record:
    """All families and seeds at one size."""
    cases = []
    for kind in FAMILIES:
        for seed in range(params["cases"]):
            cases.append(one_case(kind, seed, params))
            print(show_case(params["tokens"], cases[-1]), flush=True)
    columns = {name: [case[name] for case in cases] for name in cases[0]}
    units = {
        name: "nat" if name in NATS else UNITS.get(name, "B" if "bytes" in name else "1") for name in columns
    }
    return run.finish({name: (column, units[name]) for name, column in columns.items()})


def show_case(tokens: int, c: dict) -> str:
    """One line of the accuracy table."""
    free = f"{c['free_s']:.2f} s ({c['free_cpu_s']:.2f} CPU)"
    seconds = f"{free}, dense {c['dense_s']:.2f} s ({c['dense_cpu_s']:.2f} CPU)"
    return (
        f"{tokens:6d} {c['kind']:9s} {c['seed']:2d}  H {c['entropy']:.4f}  error {c['error']:+.4f}  bracket "
        f"[{c['lower']:+.4f}, {c['upper']:+.4f}] {'ok' if c['contains'] else 'MISSES'}  {c['passes']} calls  "
        f"{seconds}  "
        f"{c['free_bytes'] / 2**20:.0f} MiB, dense {c['dense_bytes'] / 2**20:.0f} MiB"
    )


def large(params: dict, run: records.Run) -> records.Record:
    """Exact scalars and the frame-pooled spectrum of one head that could not be stored."""
    with Clock(params["device"]) as clock:
        op = operator(params["kind"], params["tokens"], params["seed"], params)
        scalars = exact_scalars(op, params["seed"])
        pooled = pooled_measures(frame_pooled(op, params["frames"]))
    values = {f"scalars.{k}": v for k, v in asdict(scalars).items() if k != "seconds"}
    values |= {f"pooled.{k}": v for k, v in asdict(pooled).items()}
    measured = {name: (value, "1") for name, value in values.items()}
    measured |= {
        "passes": (op.passes, "calls"),
        "wall": (clock.wall, "s"),
        "cpu": (clock.cpu, "s"),
        "peak": (peak_gib(params["device"]), "GiB"),
        "matrix": (params["tokens"] ** 2 * 4 / 2**30, "GiB"),
    }
    print("\n".join(f"{name:32s} {value} {unit}" for name, (value, unit) in measured.items()), flush=True)
    return run.finish(measured)


def bracket(params: dict, run: records.Run) -> records.Record:
    """Token-level entropy bracket of one head at any size."""
    budget = Budget(passes=params["passes"], bytes=params["bytes"])
    with Clock(params["device"]) as clock:
        op = operator(params["kind"], params["tokens"], params["seed"], params)
        got: Bracket = spectrum_bracket(op, params["seed"], budget, steps=budget.most_steps(op))
    others = {
        "method": (got.method, "name"),
        "peak": (peak_gib(params["device"]), "GiB"),
        "wall": (clock.wall, "s"),
    }
    numbers = {k: (v, "1") for k, v in asdict(got).items() if k not in ("method", "seconds")}
    print(got, flush=True)
    return run.finish(numbers | others)


def peak_gib(device: str) -> float:
    """Largest memory of this process (CPU: resident; CUDA: allocated) so far, GiB."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(part: str, params: dict, again: bool) -> None:
    """Run one part and save its record, unless one of the present code exists."""
    full = {"part": part, **params}
    folder = records.MEASUREMENTS / params["device"].replace(":", "-")
    if not again and records.path_of(records.provenance(EXPERIMENT, full), folder).is_file():
        print(f"{part} {params}: already measured")
        return
    run = records.begin(EXPERIMENT, full, params["device"])
    record = {"accuracy": accuracy, "large": large, "bracket": bracket}[part](params, run)
    print("wrote", records.save(record, folder))


def table() -> None:
    """Root-mean-square error, coverage and speed by size and family, from the newest records."""
    newest: dict = {}
    paths = records.MEASUREMENTS.rglob(f"{EXPERIMENT}-*.json")
    for path in sorted(paths, key=lambda p: p.stat().st_mtime):
        record = records.store.read(path)
        if record.params["part"] == "accuracy":
            newest[record.params["device"], record.params["dtype"], record.params["tokens"]] = record
    print("device dtype N family, cases, rms error, worst, covered, width, dense/free s, MiB / dense MiB")
    for (device, dtype, tokens), r in sorted(newest.items()):
        for kind in FAMILIES:
            rows = [i for i, k in enumerate(r["kind"]) if k == kind]
            pick = {name: [r[name][i] for i in rows] for name in r.measurements}
            count, errors = len(rows), pick["error"]
            clock = "s" if device.startswith("cuda") else "cpu_s"  # CPU seconds do not mind a busy machine
            print(
                f"{device:6s} {dtype} {tokens:5d} {kind:9s} {count:5d}  "
                f"{math.sqrt(sum(e * e for e in errors) / count):9.4f}  {max(map(abs, errors)):.4f}  "
                f"{sum(pick['contains'])}/{count}  "
                f"{sum(u - lo for u, lo in zip(pick['upper'], pick['lower'], strict=True)) / count:9.4f}  "
                f"{sum(pick[f'dense_{clock}']) / sum(pick[f'free_{clock}']):6.1f}  "
                f"{pick['free_bytes'][0] / 2**20:.0f} / {pick['dense_bytes'][0] / 2**20:.0f}"
            )


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["accuracy", "large", "bracket", "table"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 2048, 4096, 8192])
    parser.add_argument(
        "--cases", type=int, nargs="+", default=[10, 10, 15, 2, 1], help="seeds for each size"
    )
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--kinds", nargs="+", default=["collapsed"], choices=FAMILIES)
    parser.add_argument("--passes", type=int, default=40)
    parser.add_argument("--gib", type=float, default=8.0, help="memory for the two Krylov bases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float64"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--again", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Run the part that was asked for."""
    a = arguments()
    torch.set_num_threads(a.threads)
    place = {"device": a.device, "dtype": a.dtype, "threads": a.threads}
    if a.part == "table":
        table()
    elif a.part == "accuracy":
        for tokens, cases in zip(a.sizes, a.cases, strict=True):
            measure(a.part, {"tokens": tokens, "cases": cases, **place}, a.again)
    for kind in a.kinds if a.part in ("large", "bracket") else []:
        head = {"kind": kind, "tokens": a.tokens, "seed": a.seed, "frame_tokens": a.tokens // a.frames}
        extra = (
            {"frames": a.frames} if a.part == "large" else {"passes": a.passes, "bytes": int(a.gib * 2**30)}
        )
        measure(a.part, {**head, **extra, **place}, a.again)


if __name__ == "__main__":
    with reader_may_leave(), torch.inference_mode():
        main()

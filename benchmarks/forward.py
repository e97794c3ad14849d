"""Where the time of a forward pass goes: seconds, share, speed and memory of each part, plain and merged.

    python benchmarks/forward.py --config small --frames 8 --size 112x154 --rule uniform --m 0.5
    python benchmarks/forward.py --config small --frames 16 --allocator      freed memory kept, as by lib.run
    python benchmarks/forward.py --config vggt-1b --frames 8 --size 518x518 --device cuda --dtype bfloat16

Plain and merged forwards take turns in one process and the best time of the repeats counts. Operations are
those that torch counts (two for each product that is added up); speed is theirs over the seconds, beside that
of a bare matrix product of the same dtype and of the size of the model's MLP. Memory has a pass of its own:
on CUDA by the allocator's peak, on a CPU by the growth of the resident set, for which freed memory goes back
to the system at once (slow, hence the separate pass). Weights are random.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from lib import records
from lib.allocator import M_MMAP_MAX, keep_freed_memory
from lib.merging import RULES, MergingRule
from lib.pipes import reader_may_leave
from lib.vggt import VGGT, CameraHeadConfig, DenseHeadConfig, PatchEmbedConfig, TrackHeadConfig, VGGTConfig
from lib.vggt.memory import estimate_memory, require_memory

EXPERIMENT = "benchmarks.forward"
KEPT = ("config", "frames", "size", "device", "dtype", "rule", "m", "points", "repeats", "seed")
MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of glibc's mallopt


@dataclass
class Part:
    """What one part of the model cost in one forward.

    calls, seconds; peak_bytes: largest growth of memory; operations: as torch counts those of products.
    """

    calls: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0
    operations: int = 0


@dataclass
class Run:
    """One way of running the model: its parts, the whole, and what merging kept."""

    name: str
    parts: dict[str, Part] = field(default_factory=dict)
    seconds: float = float("inf")
    peak_bytes: int = 0
    operations: int = 0
    kept: float = 1.0
    matching_seconds: float = 0.0

    @property
    def rest(self) -> float:
        """Seconds of norms, residuals, choosing tokens and whatever else is in no part."""
        return self.seconds - self.matching_seconds - sum(part.seconds for part in self.parts.values())


class Meter:
    """Clock and memory of one device; on a CPU the peak is the high-water mark of resident memory (Linux)."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def seconds(self) -> float:
        """Time once the device has finished its queue."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return perf_counter()

    def start_peak(self) -> int:
        """Forget earlier peaks; returns the bytes in use now."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            return torch.cuda.memory_allocated(self.device)
        ctypes.CDLL(None).malloc_trim(0)  # what is freed but kept by the C library must not count as in use
        Path("/proc/self/clear_refs").write_text("5")
        return self._status("VmRSS")

    def peak(self) -> int:
        """Largest number of bytes in use since `start_peak`."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return self._status("VmHWM")

    @staticmethod
    def _status(name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def parts_of(model: VGGT) -> Iterator[tuple[str, nn.Module]]:
    """Every module that is measured, under the name of its part."""
    yield "patch embed", model.aggregator.patch_embed
    kinds = {"frame": model.aggregator.frame_blocks, "global": model.aggregator.global_blocks}
    for kind, blocks in kinds.items():
        yield from ((f"{kind} attention", block.attn) for block in blocks)
    yield from (("MLP", block.mlp) for blocks in kinds.values() for block in blocks)
    heads = {"camera": model.camera_head, "depth": model.depth_head}
    heads |= {"points": model.point_head, "tracks": model.track_head}
    yield from ((name, head) for name, head in heads.items() if head is not None)


@contextmanager
def watched(model: VGGT, begin: Callable[[], float], end: Callable[[Part, float], None]) -> Iterator[dict]:
    """A table of parts, filled while the model runs: `end` gets what `begin` said when the part began."""
    parts: dict[str, Part] = {}
    handles = []
    for name, module in parts_of(model):
        part = parts.setdefault(name, Part())
        started = [0.0]

        def before(*_, started=started) -> None:
            started[0] = begin()

        def after(*_, started=started, part=part) -> None:
            part.calls += 1
            end(part, started[0])

        handles += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    try:
        yield parts
    finally:
        for handle in handles:
            handle.remove()


def measure_time(run: Run, model: VGGT, call: Callable[[], Tensor], meter: Meter) -> None:
    """One timed forward; keeps the parts of the fastest one so far."""

    def end(part: Part, started: float) -> None:
        part.seconds += meter.seconds() - started

    with watched(model, meter.seconds, end) as parts:
        start = meter.seconds()
        report = call().report
        seconds = meter.seconds() - start
    if seconds < run.seconds:
        run.seconds, run.parts = seconds, parts
        run.kept = sum(report.kept) / len(report.kept)
        run.matching_seconds = report.matching_seconds


def measure_memory(run: Run, model: VGGT, call: Callable[[], Tensor], meter: Meter) -> None:
    """One forward for the peaks of the parts and one, without resets in between, for that of the whole."""

    def end(part: Part, started: float) -> None:
        part.peak_bytes = max(part.peak_bytes, int(meter.peak() - started))

    with watched(model, meter.start_peak, end) as parts:
        call()
    for name, part in parts.items():
        run.parts[name].peak_bytes = part.peak_bytes
    start = meter.start_peak()
    call()
    run.peak_bytes = meter.peak() - start


def _attention(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    count: int = sdpa_flop_count(query, key, value)
    return count


# torch knows the kernels of CUDA only
UNCOUNTED = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}


def count_operations(run: Run, model: VGGT, call: Callable[[], Tensor]) -> None:
    """One forward under torch's own count."""
    with FlopCounterMode(display=False, custom_mapping=UNCOUNTED) as counter:

        def end(part: Part, started: float) -> None:
            part.operations += counter.get_total_flops() - int(started)

        with watched(model, counter.get_total_flops, end) as parts:
            call()
    for name, part in parts.items():
        run.parts[name].operations = part.operations
    run.operations = counter.get_total_flops()


def product_speed(rows: int, width: int, device: torch.device, dtype: torch.dtype, repeats: int) -> float:
    """Operations a second of this machine in the MLP's product alone, (rows, width) by (width, 4 width)."""
    meter, best = Meter(device), float("inf")
    left, right = (
        torch.ones(shape, device=device, dtype=dtype) for shape in ((rows, width), (width, 4 * width))
    )
    product = left.new_empty(rows, 4 * width)  # once: new pages would cost more than the product
    for _ in range(repeats + 1):  # the first warms up
        start = meter.seconds()
        torch.mm(left, right, out=product)
        best = min(best, meter.seconds() - start)
    return 8 * rows * width * width / best


def small_config() -> VGGTConfig:
    """All parts of VGGT at a size that a laptop runs in seconds."""
    dense = dict(features=32, out_channels=(32, 32, 48, 48), layers=(1, 3, 4, 5))
    return VGGTConfig(
        width=128,
        depth=6,
        heads=4,
        patch_embed=PatchEmbedConfig(depth=4, heads=4),
        camera_head=CameraHeadConfig(trunk_depth=2, heads=4),
        depth_head=DenseHeadConfig(2, "exp", **dense),
        point_head=DenseHeadConfig(4, "inv_log", **dense),
        track_head=TrackHeadConfig(**dense, corr_levels=4, hidden=64, blocks=2),
    )


def read_config(name: str) -> VGGTConfig:
    """Configuration called `name`: "small", "vggt-1b" or a JSON file as `VGGTConfig.to_dict` writes it."""
    if name in ("small", "vggt-1b"):
        return small_config() if name == "small" else VGGTConfig.vggt_1b()
    if not Path(name).is_file():
        raise SystemExit(f"--config {name}: choose small, vggt-1b or the path of a JSON file")
    return VGGTConfig.from_dict(json.loads(Path(name).read_text()))


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Command line of this script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="small", help="small, vggt-1b, or a JSON file")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", default="112x154", help="height x width in pixels")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--rule", default="uniform", choices=[*RULES, "none"])
    parser.add_argument("--m", type=float, default=0.5, help="fusion strength of the merging rule")
    parser.add_argument("--points", type=int, default=16, help="query points to track, 0 for none")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--allocator", action="store_true", help="time with freed memory kept (lib.allocator)"
    )
    parser.add_argument("--frames-chunk", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write everything here")
    parser.add_argument("--keep", action="store_true", help="and a record into data/measurements")
    return parser.parse_args(argv)


def benchmark(options: argparse.Namespace) -> dict:
    """Run what the options ask for; returns settings, estimates and runs as plain values."""
    device, dtype = torch.device(options.device), getattr(torch, options.dtype)
    height, width = (int(side) for side in options.size.lower().split("x"))
    config = read_config(options.config)
    points = options.points if config.enable_track else 0

    def estimate(kept: float | None):
        return estimate_memory(
            config,
            options.frames,
            height,
            width,
            query_points=points,
            frames_chunk=options.frames_chunk,
            kept=kept,
            dtype=dtype,
        )

    require_memory(estimate(None), device, weights_loaded=False)
    model = VGGT.from_seed(config, options.seed).to(device, dtype).eval()
    model.requires_grad_(False)  # torch's count of operations follows gradients where there are any
    generator = torch.Generator().manual_seed(options.seed)
    images = torch.rand(options.frames, 3, height, width, generator=generator).to(device, dtype)
    spots = torch.rand(points, 2, generator=generator).to(device) * torch.tensor([width, height]).to(device)
    rules: dict[str, MergingRule | None] = {"plain": None}
    if options.rule != "none":
        rules[f"{options.rule} m={options.m}"] = RULES[options.rule](options.m)

    def call(rule: MergingRule | None) -> Callable[[], Tensor]:
        return lambda: model(
            images, spots if points else None, merging=rule, frames_chunk=options.frames_chunk
        )

    tokens = config.layout(options.frames, height, width).tokens
    # before `measured`, after which every large tensor of this process takes new pages
    speed = product_speed(tokens, config.width, device, dtype, 2 * options.repeats)
    runs = measured(model, {name: call(rule) for name, rule in rules.items()}, device, options.repeats)
    estimates = [estimate(None), *(estimate(run.kept) for run in runs[1:])]
    return {
        "settings": {key: str(value) for key, value in vars(options).items()},
        "machine": {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "product_speed": speed,
        },
        "runs": [asdict(run) | {"rest": run.rest} for run in runs],
        "estimates": [asdict(one) | {"activations": one.activations, "peak": one.peak} for one in estimates],
    }


@torch.inference_mode()
def measured(
    model: VGGT, calls: dict[str, Callable[[], Tensor]], device: torch.device, repeats: int
) -> list[Run]:
    """All ways of running the model, taking turns; one warm-up each, then times, then memory."""
    meter = Meter(device)
    runs = [Run(name) for name in calls]
    for call in calls.values():
        call()
    for _ in range(repeats):
        for run in runs:
            measure_time(run, model, calls[run.name], meter)
    if device.type == "cpu":
        ctypes.CDLL(None).mallopt(M_MMAP_MAX, 1 << 16)  # as it was, whatever `--allocator` said
        ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, 1 << 16)
    for run in runs:
        measure_memory(run, model, calls[run.name], meter)
        count_operations(run, model, calls[run.name])
    return runs


def table(result: dict) -> str:
    """The runs as text: one line a part, and the merged run as a ratio of the plain one."""
    plain, *others = result["runs"]
    speed = result["machine"]["product_speed"]
    lines = [f"a bare matrix product of the MLP's size: {speed / 1e9:.1f} billion operations a second"]
    for run in result["runs"]:
        lines.append(f"{run['name']}: kept {run['kept']:.3f}")
        lines.append(f"  {'':16} {'seconds':>9} {'share':>7} {'of product':>11} {'peak':>11}")
        extra = {"matching": {"seconds": run["matching_seconds"]}, "rest": {"seconds": run["rest"]}}
        for name, part in [*run["parts"].items(), *extra.items(), ("whole", run)]:
            if part.get("calls", 1) == 0:
                continue
            row = f"  {name:16} {part['seconds']:9.4f} {part['seconds'] / run['seconds']:7.1%}"
            if "operations" in part:
                row += f" {part['operations'] / max(part['seconds'], 1e-9) / speed:11.1%}"
                row += f" {part['peak_bytes'] / 1e6:8.1f} MB"
            if run in others and "operations" in part:
                base = plain if name == "whole" else plain["parts"][name]
                row += f"   x{part['seconds'] / base['seconds']:.2f} time"
                row += f"  x{part['peak_bytes'] / max(base['peak_bytes'], 4096):.2f} memory"
            lines.append(row)
    for run, estimate in zip(result["runs"], result["estimates"], strict=True):
        ratio = run["peak_bytes"] / (estimate["activations"] - estimate["images"])
        without_input = (estimate["activations"] - estimate["images"]) / 1e6
        lines.append(f"{run['name']}: estimate {without_input:.1f} MB of activations, measured x{ratio:.2f}")
    return "\n".join(lines)


def measurements(result: dict) -> dict[str, tuple[float, str]]:
    """By way of running and part: "plain: MLP: seconds", "plain: whole: operations", and the bare product."""
    found: dict[str, tuple[float, str]] = {"product": (result["machine"]["product_speed"], "1/s")}
    for run in result["runs"]:
        whole = {name: run[name] for name in ("seconds", "operations", "peak_bytes")}
        own = {"matching": {"seconds": run["matching_seconds"]}, "rest": {"seconds": run["rest"]}}
        for part, numbers in {**run["parts"], **own, "whole": whole}.items():
            for name, unit in (("seconds", "s"), ("operations", "1"), ("peak_bytes", "B")):
                if name in numbers:
                    found[f"{run['name']}: {part}: {name}"] = numbers[name], unit
    return found


def main(argv: list[str] | None = None) -> dict:
    """Run, print the table, write the JSON file and the record if asked."""
    options = arguments(argv)
    chosen = {name: getattr(options, name) for name in KEPT} | {"threads": torch.get_num_threads()}
    if options.allocator:
        keep_freed_memory()
    begun = records.begin(EXPERIMENT, chosen, options.device) if options.keep else None
    result = benchmark(options)
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if begun is not None:
        folder = records.MEASUREMENTS / options.device.replace(":", "-")
        print("wrote", records.save(begun.finish(measurements(result)), folder))
    return result


if __name__ == "__main__":
    with reader_may_leave():
        main()

"""How many bytes a forward pass will need, known before it runs, and refusal of what cannot fit.

The count follows the code of this library in inference mode, tensor by tensor, at the moments where most of
them are alive: inside an MLP of the alternating blocks, or inside a DPT head at full image size. Attention
itself is linear in the tokens, because scaled_dot_product_attention never stores the N x N matrix.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from lib.vggt.config import DenseHeadConfig, TrackHeadConfig, VGGTConfig
from lib.vggt.model import HEADS, VGGT

# Freed memory stays with the allocator: where the blocks dominate, a process on the CPU was measured to grow
# 1.3 times the estimate (24 frames of 280 x 280, width 256).
ALLOCATOR_MARGIN = 1.5
CUDA_MARGIN = 1.15  # assumed: PyTorch's allocator reuses blocks of equal size, and all layers are alike


class InsufficientMemoryError(MemoryError):
    """A forward pass that would not fit; the message names what it needs and what there is."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of one forward pass by what they are for.

    weights: parameters; images: the input; token_list: aggregator outputs kept for the heads; blocks: largest
    moment inside the patch embedding or the alternating blocks, with merging's plan; dense: largest moment
    inside a dense head, for one chunk of frames; tracks: largest moment of the tracker; outputs: dense
    predictions of all frames, with the copy made where chunks are joined; copies: the aggregator's weights as
    autocast keeps them.
    """

    description: str
    weights: int
    images: int
    token_list: int
    blocks: int
    dense: int
    tracks: int
    outputs: int
    copies: int

    @property
    def activations(self) -> int:
        """Largest sum of what is alive at the same time, without the weights."""
        largest = max(self.blocks, self.outputs + max(self.dense, self.tracks))
        return self.images + self.copies + self.token_list + largest

    @property
    def peak(self) -> int:
        """Weights and activations."""
        return self.weights + self.activations

    def __str__(self) -> str:
        listed = ", ".join(f"{one.name} {_gigabytes(getattr(self, one.name))}" for one in fields(self)[1:])
        return f"{self.description}: {_gigabytes(self.peak)} at the peak ({listed})"


def estimate_memory(
    config: VGGTConfig,
    frames: int,
    height: int,
    width: int,
    *,
    batch: int = 1,
    heads: Collection[str] | None = None,
    query_points: int = 0,
    frames_chunk: int | None = 8,
    kept: float | None = None,
    layers_kept: int | None = None,
    dtype: torch.dtype = torch.float32,
    autocast: torch.dtype | None = None,
) -> MemoryEstimate:
    """Estimate a forward pass over images (batch, frames, 3, height, width), height and width in pixels.

    heads: names as in `VGGT.forward`, None for all; query_points: how many points are tracked, 0 for none.
    kept: fraction of tokens a merging rule leaves, None without one. Merging shortens the attention only, the
    residual stream and the MLPs keep all tokens, so it adds memory (the plan) and saves time.
    layers_kept: entries of the token list; None for those the heads read (upstream's code keeps all).
    dtype: of weights and activations; autocast: of products and of the token list on a GPU, None without.
    ValueError: sizes that no forward accepts.
    """
    _check_sizes(config, batch, frames, height, width, kept)
    names = {*(HEADS if heads is None else heads)} - (set() if query_points else {"tracks"})
    images = batch * frames
    tokens = config.layout(images, height, width).tokens
    kept_layers = len(config.layers_read(names)) if layers_kept is None else layers_kept
    half = autocast or dtype
    numbers = _head_floats(config, names, height, width, images, frames_chunk, query_points)
    numbers |= {"weights": _parameters(config), "images": 3 * images * height * width}
    description = f"{batch} x {frames} frames of {height} x {width} in {str(half).removeprefix('torch.')}"
    return MemoryEstimate(
        description,
        **{name: dtype.itemsize * n for name, n in numbers.items()},
        token_list=half.itemsize * kept_layers * tokens * 2 * config.width,
        blocks=_block_bytes(config, tokens, kept, dtype.itemsize, half.itemsize),
        copies=0 if autocast is None else half.itemsize * _parameters(config, "aggregator."),
    )


def check_device(device: str) -> str:
    """The device, if models run on it here: "cpu", "cuda", or "cuda:1" for the second GPU.

    Raises:
        ValueError: another one, saying what is accepted.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    accepted = ["cpu", *(["cuda"] if gpus else []), *(f"cuda:{number}" for number in range(gpus))]
    if device not in accepted:
        why = "" if gpus or not str(device).startswith("cuda") else ", since torch sees no GPU"
        raise ValueError(f"device is {device!r}; on this machine it can be {' or '.join(accepted)}{why}")
    return device


def require_memory(
    estimate: MemoryEstimate,
    device: str | torch.device = "cpu",
    *,
    available: int | None = None,
    weights_loaded: bool = True,
) -> None:
    """Refuse an estimate that does not fit into what ``device`` has left.

    Activations count `ALLOCATOR_MARGIN` times (`CUDA_MARGIN` on a GPU), for what the allocator keeps.

    available: bytes to assume instead of asking the device; weights_loaded: the model lies on the device
    already, so that only the activations are still to come.
    InsufficientMemoryError: naming what is needed and what there is.
    """
    margin = CUDA_MARGIN if torch.device(device).type == "cuda" else ALLOCATOR_MARGIN
    needed = round(margin * estimate.activations) + (0 if weights_loaded else estimate.weights)
    free = available_memory(device) if available is None else available
    if needed > free:
        what = "activations" if weights_loaded else "weights and activations"
        raise InsufficientMemoryError(
            f"{estimate}; its {what} need {_gigabytes(needed)} with the allocator's margin, but {device} has "
            f"{_gigabytes(free)} available. "
            "Use fewer frames, smaller images, fewer heads, a smaller frames_chunk or bfloat16"
        )


def available_memory(device: str | torch.device = "cpu") -> int:
    """Bytes a new allocation on ``device`` can get.

    CUDA: free memory and what PyTorch's own cache can reuse. CPU: MemAvailable of /proc/meminfo, or what is
    left of the control group's limit if that is less; where neither is told (macOS), all memory there is.
    """
    device = torch.device(device)
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    limits = [value for value in (_meminfo_available(), _control_group_left()) if value is not None]
    return min(limits, default=_installed())


def _installed() -> int:
    """Bytes of memory in this machine; no bound, with a warning, where the system does not say (Windows)."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        warnings.warn(
            "cannot tell how much memory there is; nothing keeps a run from filling it", stacklevel=3
        )
        return sys.maxsize


def _meminfo_available(path: Path = Path("/proc/meminfo")) -> int | None:
    if not path.is_file():
        return None
    fields = dict(line.split(":", 1) for line in path.read_text(encoding="utf-8").splitlines() if ":" in line)
    return int(fields["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in fields else None


def _control_group_left(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    limit, current = folder / "memory.max", folder / "memory.current"
    if not (limit.is_file() and current.is_file()) or limit.read_text(encoding="utf-8").strip() == "max":
        return None
    return max(int(limit.read_bytes()) - int(current.read_bytes()), 0)


def _check_sizes(
    config: VGGTConfig, batch: int, frames: int, height: int, width: int, kept: float | None
) -> None:
    if min(frames, batch) < 1 or any(side < 1 or side % config.patch_size for side in (height, width)):
        raise ValueError(
            f"need at least one frame and scene and sides that are multiples of {config.patch_size}, got "
            f"{batch} x {frames} frames of {height} x {width}"
        )
    if kept is not None and not 0 < kept <= 2:
        raise ValueError(f"kept is the fraction of tokens left by merging, in (0, 2], got {kept}")


def _parameters(config: VGGTConfig, prefix: str = "") -> int:
    with torch.device("meta"):
        named = VGGT(config).named_parameters()
    return sum(parameter.numel() for name, parameter in named if name.startswith(prefix))


def _block_bytes(config: VGGTConfig, tokens: int, kept: float | None, wide: int, half: int) -> int:
    """Bytes alive inside one block, for all tokens of all frames.

    MLP: the caller's x, the block's x, norm1(x), the update and norm2(x) are one width each, the hidden
    layer before and after its GELU is mlp_ratio each. Attention: x, norm1(x), qkv (3), q and k before and
    after RoPE (4) and a rotation's halves (1). A merging rule adds unit rows for matching (2) and merged
    q, k, v. The frame block's output waits for its global partner where the layer is kept. A number takes
    `wide` bytes; under autocast qkv and the hidden layers, with a copy of their input, take `half`.
    """
    copy = half if half < wide else 0
    mlp = 5 * wide + copy + 2 * config.mlp_ratio * half
    attention = 7.0 * wide + copy + 3 * half + (0 if kept is None else (2 + 3 * kept) * wide)
    return int(tokens * config.width * (wide + max(mlp, attention)))


def _head_floats(
    config: VGGTConfig,
    names: Collection[str],
    height: int,
    width: int,
    images: int,
    frames_chunk: int | None,
    points: int,
) -> dict[str, int]:
    """Numbers alive in the heads `names`, as in `MemoryEstimate`."""
    chunk = images if frames_chunk is None else min(frames_chunk, images)
    dense = {"depth": config.depth_head, "points": config.point_head}
    used = [head for name, head in dense.items() if head is not None and name in names]
    tracker = config.track_head if "tracks" in names else None
    tracks = tracker and _track_floats(tracker, config, height, width, images, chunk, points)
    # predictions of every head stay; the last head also holds its chunks and their concatenation
    outputs = sum(head.output_channels or 0 for head in used) * 2 * images * height * width
    decoding = (_dense_floats(head, config, height, width, chunk) for head in used)
    return {"dense": max(decoding, default=0), "tracks": tracks or 0, "outputs": outputs}


def _dense_floats(head: DenseHeadConfig, config: VGGTConfig, height: int, width: int, frames: int) -> int:
    """Numbers alive while a DPT head decodes one chunk.

    Skip maps of the four levels (the largest at 4 x 4 per patch) stay alive. Beside them the largest of: the
    finest fusion (8 x 8 per patch) or the output size, where resizing holds its result up to three times on a
    CPU, which is more than the position embedding's copies; and the last convolutions, whose hidden channels
    are there before and after the ReLU and once as the convolution's workspace (measured on a CPU).
    """
    patches = height // config.patch_size * (width // config.patch_size)
    skips = head.features * patches * (16 + 4 + 1 + 0.25)
    merged = head.features if head.output_channels is None else head.features // 2
    pixels = height * width / head.down_ratio**2
    fusion = 3 * 64 * patches * head.features
    end = merged * (3 * pixels + 64 * patches)
    hidden = 0 if head.output_channels is None else pixels * (merged + 3 * head.hidden)
    return int(frames * (skips + max(fusion, end, hidden)))


def _track_floats(
    head: TrackHeadConfig, config: VGGTConfig, height: int, width: int, images: int, chunk: int, points: int
) -> int:
    """Numbers alive in the tracker: maps of all frames (4.4 copies, pyramid included), one pass of tokens."""
    extracting = _dense_floats(head.extractor, config, height, width, chunk)
    maps = images * head.features * height * width / head.down_ratio**2
    taps = chunk * points * (2 * head.corr_radius + 1) ** 2 * head.features
    tokens = images * (points + head.virtual_tracks) * head.hidden * 13
    return int(max(2 * maps + extracting, 4.4 * maps + max(taps, tokens)))


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.2f} GB"

"""Training batches: shards of rendered rooms, and a sampler that is a pure function of (config, step)."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from jaxtyping import Float16, Float32, Float64, UInt8
from safetensors.torch import load_file, save_file
from torch import Tensor

from lib.scenes.rooms import LARGE_ROOMS, Rendering, RoomStyle, render_walks, room_seed
from lib.training.config import TrainConfig


@dataclass(frozen=True)
class Batch:
    """B sequences of S frames: images in [0, 1], depth in metres, camera-from-world and intrinsics."""

    images: Float32[Tensor, "batch frames 3 height width"]
    depth: Float32[Tensor, "batch frames height width"]
    extrinsics: Float32[Tensor, "batch frames 3 4"]
    intrinsics: Float32[Tensor, "batch frames 3 3"]


@dataclass(frozen=True)
class Shard:
    """Rooms as they are kept, in few bytes."""

    images: UInt8[Tensor, "rooms frames 3 height width"]
    depth: Float16[Tensor, "rooms frames height width"]
    extrinsics: Float32[Tensor, "rooms frames 3 4"]
    intrinsics: Float32[Tensor, "rooms frames 3 3"]

    @classmethod
    def of(cls, walks: Rendering) -> Shard:
        """Rendered walks, in fewer bytes."""
        images = (walks.images * 255).round().to(torch.uint8)
        return cls(images, walks.depth.half(), walks.extrinsics, walks.intrinsics)


class RoomPool:
    """The rooms a run draws from at a given step: a window of shards that moves on as training proceeds."""

    def __init__(self, config: TrainConfig, device: torch.device, folder: Path | None = None):
        """`folder` keeps rendered shards on disk, so that a resumed run need not render again."""
        self._config, self._device = config, device
        self._folder = None if folder is None else folder / _shard_key(config)
        self._shards: dict[int, Shard] = {}

    def at(self, step: int) -> list[Shard]:
        """The shards in use at `step`, oldest first; renders what is missing."""
        config = self._config
        end = config.first_shards + step // config.shard_every
        wanted = range(max(0, end - config.most_shards), end)
        for gone in [number for number in self._shards if number not in wanted]:
            del self._shards[gone]
            if self._folder is not None:
                self._path(gone).unlink(missing_ok=True)
        for number in wanted:
            if number not in self._shards:
                self._shards[number] = self._get(number)
        return [self._shards[number] for number in wanted]

    def _path(self, number: int) -> Path:
        assert self._folder is not None
        return self._folder / f"{number:05d}.safetensors"

    def _get(self, number: int) -> Shard:
        if self._folder is None:
            return self._render(number)
        path = self._path(number)
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.partial")
            save_file(vars(self._render(number)), partial)
            os.replace(partial, path)
        return Shard(**load_file(path, device=str(self._device)))

    def _render(self, number: int) -> Shard:
        return render_shard(self._config, number, self._device)


def _shard_key(config: TrainConfig) -> str:
    names = ("seed", "shard_rooms", "shard_frames", "stride", "large_rooms")
    kept = {name: getattr(config, name) for name in names}
    kept |= {"size": config.model.image_size, "styles": [asdict(RoomStyle()), asdict(LARGE_ROOMS)]}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]


def render_shard(config: TrainConfig, number: int, device: torch.device) -> Shard:
    """Shard `number` of the training split; on the CPU and on CUDA the same rooms."""
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + number)
    (seeds, times), size = shard_walks(config, number, generator), config.model.image_size
    large = torch.rand(1, generator=generator).item() < config.large_rooms
    return Shard.of(render_walks(seeds, times, size, size, LARGE_ROOMS if large else RoomStyle(), device))


def shard_walks(
    config: TrainConfig, number: int, generator: torch.Generator
) -> tuple[list[int], Float64[Tensor, "rooms frames"]]:
    """Rooms of shard `number` and which video frames of each are kept: multiples of a stride drawn for it."""
    low, high = (math.log(bound) for bound in config.stride)
    rooms, first = config.shard_rooms, (config.seed * 10_000 + number) * config.shard_rooms
    stride = torch.exp(low + (high - low) * torch.rand(rooms, 1, generator=generator, dtype=torch.float64))
    return [room_seed("train", first + i) for i in range(rooms)], stride * torch.arange(config.shard_frames)


def sample_batch(config: TrainConfig, shards: list[Shard], step: int) -> Batch:
    """The batch of `step`: nothing but (config, step, shards) decides it, so a resumed run sees the same."""
    generator = torch.Generator().manual_seed((config.seed * 1_000_003 + step) * 2 + 1)
    longest, widest = _reach(config, step)
    frames = int(torch.randint(config.least_frames, longest + 1, (1,), generator=generator))
    batch = config.frames_per_step // frames
    chosen = torch.randint(len(shards) * config.shard_rooms, (batch,), generator=generator).tolist()
    index = _frame_choice(batch, frames, max(frames, widest), config.shard_frames, generator)
    parts: dict[str, list[Tensor]] = {field.name: [] for field in fields(Shard)}
    for room, order in zip(chosen, index, strict=True):
        shard = shards[room // config.shard_rooms]
        for name, values in parts.items():
            source = getattr(shard, name)
            values.append(source[room % config.shard_rooms][order.to(source.device)])
    stacked = {name: torch.stack(values) for name, values in parts.items()}
    images = _recolour(stacked.pop("images").float() / 255, generator)
    return Batch(images=images, depth=stacked.pop("depth").float(), **stacked)


def frame_subset(frames: int, wanted: int, seed: int, step: int) -> list[int]:
    """`wanted` of `frames` frame numbers, increasing; decided by seed and step alone."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + step) * 2)
    return sorted(torch.randperm(frames, generator=generator)[:wanted].tolist())


def _reach(config: TrainConfig, step: int) -> tuple[int, int]:
    """Longest sequence and widest window (in kept frames) at `step`: both grow linearly."""
    grown = min(1.0, step / max(1, config.growth_steps))
    start = max(config.least_frames, min(4, config.most_frames))
    longest = start + round(grown * (config.most_frames - start))
    return longest, start + round(grown * (config.shard_frames - start))


def _frame_choice(batch: int, frames: int, widest: int, available: int, generator: torch.Generator) -> Tensor:
    """Distinct frame numbers in random order, each row from a window of random width."""
    rows = []
    for _ in range(batch):
        width = int(torch.randint(frames, widest + 1, (1,), generator=generator))
        start = int(torch.randint(available - width + 1, (1,), generator=generator))
        rows.append(start + torch.randperm(width, generator=generator)[:frames])
    return torch.stack(rows)


def _recolour(images: Tensor, generator: torch.Generator) -> Tensor:
    """Permute the colour channels and change gain and gamma, the same for all frames of a sequence."""
    batch = images.shape[0]
    order = torch.stack([torch.randperm(3, generator=generator) for _ in range(batch)]).to(images.device)
    images = images[torch.arange(batch, device=images.device)[:, None], :, order].transpose(1, 2)
    gain = 0.8 + 0.4 * torch.rand(batch, 1, 3, 1, 1, generator=generator)
    gamma = torch.exp(0.5 * (torch.rand(batch, 1, 1, 1, 1, generator=generator) - 0.5))
    return (images.clamp(min=1e-4) ** gamma.to(images.device) * gain.to(images.device)).clamp(0, 1)

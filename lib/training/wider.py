"""Training in the wider world: the options, the rooms and the walks of a run with `lib.scenes.wider`."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from lib.scenes.rooms import room_seed
from lib.scenes.wider import check_ingredients, render_wider_walks
from lib.training.config import TrainConfig
from lib.training.data import RoomPool, Shard, render_shard


@dataclass(frozen=True)
class WiderConfig(TrainConfig):
    """One training run, some or all of its rooms from the wider world.

    Attributes:
        wider: ingredients (`lib.scenes.wider.INGREDIENTS`).
        wider_share: share of the shards that have them.
    """

    wider: tuple[str, ...] = ()
    wider_share: float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ingredients(self.wider)
        if not 0 <= self.wider_share <= 1:
            raise ValueError(f"wider_share must lie in [0, 1], got {self.wider_share}")


def read_config(values: Mapping[str, Any]) -> TrainConfig:
    """The configuration that `to_dict` gave, of either world.

    Raises:
        ValueError: a key that no field has.
    """
    return (WiderConfig if "wider" in values else TrainConfig).from_dict(dict(values))


def pool_for(config: TrainConfig, device: torch.device, folder: Path | None = None) -> RoomPool:
    """The rooms of a run, of either world."""
    return (WiderPool if isinstance(config, WiderConfig) else RoomPool)(config, device, folder)


class WiderPool(RoomPool):
    """As `RoomPool`; a share of its shards comes from the wider world."""

    def __init__(self, config: TrainConfig, device: torch.device, folder: Path | None = None):
        super().__init__(config, device, folder)
        assert isinstance(config, WiderConfig)
        self._wider = config
        if self._folder is not None:
            kind = "-".join([*sorted(config.wider), f"{config.wider_share:g}"])
            self._folder = self._folder.with_name(f"{self._folder.name}-{kind}")

    def _get(self, number: int) -> Shard:
        if self._folder is None:
            return render_wider_shard(self._wider, number, self._device)
        if not (path := self._path(number)).exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.partial")
            save_file(vars(render_wider_shard(self._wider, number, self._device)), partial)
            os.replace(partial, path)
        return super()._get(number)


def render_wider_shard(config: WiderConfig, number: int, device: torch.device) -> Shard:
    """Shard `number` of the training split: wider rooms, or those of `render_shard`, by `wider_share`."""
    generator = torch.Generator().manual_seed((config.seed * 1_000_003 + number) * 2 + 1)
    if not config.wider or torch.rand(1, generator=generator).item() >= config.wider_share:
        return render_shard(config, number, device)
    rooms = config.shard_rooms
    low, high = (math.log(bound) for bound in config.stride)
    stride = torch.exp(low + (high - low) * torch.rand(rooms, 1, generator=generator, dtype=torch.float64))
    first = (config.seed * 10_000 + number) * rooms
    seeds = [room_seed("train", first + i) for i in range(rooms)]
    times, size = stride * torch.arange(config.shard_frames), config.model.image_size
    walk = render_wider_walks(seeds, times, size, size, config.wider, device)
    images = (walk.images * 255).round().to(torch.uint8)
    return Shard(images, walk.depth.half(), walk.extrinsics, walk.intrinsics)

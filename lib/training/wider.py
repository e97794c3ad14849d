"""Training in the wider world: the options, the rooms and the walks of a run with `lib.scenes.wider`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lib.scenes.wider import check_ingredients, render_wider_walks
from lib.training.config import TrainConfig
from lib.training.data import RoomPool, Shard, render_shard, shard_walks


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

    def _render(self, number: int) -> Shard:
        return render_wider_shard(self._wider, number, self._device)


def render_wider_shard(config: WiderConfig, number: int, device: torch.device) -> Shard:
    """Shard `number` of the training split: wider rooms, or those of `render_shard`, by `wider_share`."""
    generator = torch.Generator().manual_seed((config.seed * 1_000_003 + number) * 2 + 1)
    if not config.wider or torch.rand(1, generator=generator).item() >= config.wider_share:
        return render_shard(config, number, device)
    (seeds, times), size = shard_walks(config, number, generator), config.model.image_size
    return Shard.of(render_wider_walks(seeds, times, size, size, config.wider, device))

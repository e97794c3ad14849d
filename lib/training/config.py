"""Everything that decides a training run, as one frozen dataclass."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from lib.vggt.config import CameraHeadConfig, DenseHeadConfig, PatchEmbedConfig, VGGTConfig


def mini_model(
    depth: int = 6,
    width: int = 96,
    patch_size: int = 8,
    image_size: int = 48,
    reference: bool = True,
    causal: bool = False,
) -> VGGTConfig:
    """A VGGT small enough to be trained on a CPU: same classes, heads of 32, light dense heads.

    LayerScale and the special tokens start larger than in VGGT-1B, which is trained for days, not minutes.
    """
    layers = (depth // 6, depth // 3, 2 * depth // 3, depth - 1)
    channels = {"features": 16, "out_channels": (16, 16, 24, 32), "layers": layers, "hidden": 16}
    return VGGTConfig(
        image_size=image_size,
        patch_size=patch_size,
        width=width,
        depth=depth,
        heads=width // 32,
        layer_scale=0.5,
        token_std=0.02,
        reference=reference,
        causal=causal,
        patch_embed=PatchEmbedConfig(kind="conv"),
        camera_head=CameraHeadConfig(trunk_depth=2, heads=width // 16, iterations=3, layer_scale=0.5),
        depth_head=DenseHeadConfig(output_channels=2, activation="exp", **channels),  # type: ignore[arg-type]
        point_head=DenseHeadConfig(output_channels=4, activation="inv_log", **channels),  # type: ignore[arg-type]
        track_head=None,
    )


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    Attributes:
        model: sizes of the network.
        seed: decides weights, rooms and the sampling of every batch.
        frames_per_step: images in a batch, which holds frames_per_step // S sequences of S frames.
        least_frames, most_frames: range of S; a value is drawn for each batch.
        growth_steps: steps over which the longest sequence and the widest window grow to their final values.
        dense_frames: frames of each sequence that the dense heads are trained on in a step.
        shard_rooms, shard_frames: rooms rendered together, and frames kept of each.
        first_shards, most_shards, shard_every: the pool starts with so many shards, gets a new one every so
            many steps, and drops the oldest beyond the maximum.
        stride: range of video frames between kept frames; drawn for each room, log-uniform.
        large_rooms: share of shards rendered in large rooms.
        rate, matrix_rate: learning rates of AdamW and (if `muon`) of Muon for the matrices.
        warmup_steps, decay_share: linear warm-up; the last share of the run in which the rate falls to zero.
        steps: length of the run; None with a budget in minutes.
        camera_weight, depth_weight, point_weight, match_weight, track_weight: of the losses.
        match_layer, track_layer: whose patch tokens the matching and the tracking loss read.
    """

    model: VGGTConfig = field(default_factory=mini_model)
    seed: int = 0
    frames_per_step: int = 64
    least_frames: int = 2
    most_frames: int = 12
    growth_steps: int = 2000
    dense_frames: int = 2
    shard_rooms: int = 128
    shard_frames: int = 12
    first_shards: int = 8
    most_shards: int = 64
    shard_every: int = 150
    stride: tuple[float, float] = (1.5, 4.0)
    large_rooms: float = 0.0
    muon: bool = True
    rate: float = 2e-3
    matrix_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup_steps: int = 200
    decay_share: float = 0.25
    ema: float = 0.999
    clip: float = 1.0
    steps: int | None = None
    camera_weight: float = 5.0
    depth_weight: float = 1.0
    point_weight: float = 1.0
    match_weight: float = 0.2
    match_layer: int = 2
    track_weight: float = 2.0
    track_layer: int = 3
    match_width: int = 64
    validate_every: int = 500
    validation_rooms: int = 48
    validation_frames: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.least_frames <= self.most_frames <= self.shard_frames:
            raise ValueError(
                "need 1 <= least_frames <= most_frames <= shard_frames, got "
                f"{self.least_frames}, {self.most_frames}, {self.shard_frames}"
            )
        if self.frames_per_step < self.most_frames:
            raise ValueError(
                f"frames_per_step must be >= most_frames = {self.most_frames}, got {self.frames_per_step}"
            )
        if not 0 <= self.decay_share <= 1 or not 0 <= self.ema < 1 or not 0 <= self.large_rooms <= 1:
            raise ValueError(
                "decay_share and large_rooms must lie in [0, 1] and ema in [0, 1), got "
                f"{self.decay_share}, {self.large_rooms}, {self.ema}"
            )
        layers = (self.match_layer, self.track_layer)
        if not 0 <= min(layers) <= max(layers) < self.model.depth:
            raise ValueError(
                f"match_layer and track_layer must lie in [0, {self.model.depth}), "
                f"got {self.match_layer} and {self.track_layer}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dict that `json.dumps` accepts."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """Inverse of `to_dict`, also after JSON.

        Raises:
            ValueError: a key that no field has.
        """
        known = {entry.name for entry in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"unknown training options {unknown}; known: {sorted(known)}")
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        if isinstance(plain.get("model"), dict):
            plain["model"] = VGGTConfig.from_dict(plain["model"])
        return cls(**plain)


def differences(before: TrainConfig, now: TrainConfig) -> str:
    """The options in which two runs differ, as "seed was 0, now 1"."""
    old, new = _flat(before.to_dict()), _flat(now.to_dict())
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return ", ".join(f"{name} was {old.get(name)}, now {new.get(name)}" for name in names)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"model": {"width": 96}} -> {"model.width": 96}."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat

"""Sizes of a VGGT: every number that shapes the weights or the forward pass, as frozen dataclasses."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from lib.merging import TokenLayout


@dataclass(frozen=True)
class PatchEmbedConfig:
    """How images become patch tokens.

    kind "dinov2": ViT with registers and an interpolated positional table; "conv": the patch convolution
    alone, for which every other field is ignored.
    """

    kind: str = "dinov2"
    depth: int = 24
    heads: int = 16
    registers: int = 4
    mlp_ratio: float = 4.0
    layer_scale: float = 1.0
    norm_eps: float = 1e-6


@dataclass(frozen=True)
class CameraHeadConfig:
    """Iterative pose regression over the camera tokens; its width is twice the token width."""

    trunk_depth: int = 4
    heads: int = 16
    iterations: int = 4
    mlp_ratio: float = 4.0
    layer_scale: float = 0.01


@dataclass(frozen=True)
class DenseHeadConfig:
    """A DPT head.

    output_channels: prediction and confidence together; None for a head that only extracts features.
    layers: the four 0-based aggregator layers it reads, shallow to deep.
    down_ratio: output is image size / down_ratio. hidden: channels before the last 1x1 convolution.
    """

    output_channels: int | None
    activation: str = "inv_log"
    confidence_activation: str = "expp1"
    features: int = 256
    out_channels: tuple[int, ...] = (256, 512, 1024, 1024)
    layers: tuple[int, ...] = (4, 11, 17, 23)
    pos_embed: bool = True
    down_ratio: int = 1
    hidden: int = 32


@dataclass(frozen=True)
class TrackHeadConfig:
    """Point tracker: feature extractor sizes, correlation pyramid and update transformer."""

    features: int = 128
    out_channels: tuple[int, ...] = (256, 512, 1024, 1024)
    layers: tuple[int, ...] = (4, 11, 17, 23)
    down_ratio: int = 2
    stride: int = 2
    iterations: int = 4
    corr_levels: int = 7
    corr_radius: int = 4
    hidden: int = 384
    heads: int = 8
    blocks: int = 6
    virtual_tracks: int = 64
    max_scale: int = 518

    @property
    def extractor(self) -> DenseHeadConfig:
        """The DPT head that makes its feature maps."""
        shared = {k: getattr(self, k) for k in ("features", "out_channels", "layers", "down_ratio")}
        return DenseHeadConfig(None, pos_embed=False, **shared)


@dataclass(frozen=True)
class VGGTConfig:
    """Everything that defines a VGGT. A head whose config is None does not exist.

    image_size: side in pixels of the square the positional table was made for (not a limit on the input).
    depth: number of (frame, global) block pairs. width: token width C. registers: register tokens per frame.
    layer_scale: initial LayerScale of the alternating blocks. token_std: initial standard deviation of the
    camera and register tokens (1e-6 upstream; a small model trained from scratch wants about 0.02).
    rope_base: None switches rotary positions off.
    reference: the first frame has special tokens of its own, and cameras and points are in its coordinates.
    False: all frames are alike (the idea of pi3, Wang et al. 2025), so pose encodings have no set frame.
    causal: in global attention and the camera head, a frame sees itself and earlier ones only (the idea of
    StreamVGGT, Zhuo et al. 2025); what observes such attention must leave out later frames itself.
    """

    image_size: int = 518
    patch_size: int = 14
    width: int = 1024
    depth: int = 24
    heads: int = 16
    mlp_ratio: float = 4.0
    registers: int = 4
    qk_norm: bool = True
    rope_base: float | None = 100.0
    layer_scale: float = 0.01
    norm_eps: float = 1e-5
    token_std: float = 1e-6
    reference: bool = True
    causal: bool = False
    patch_embed: PatchEmbedConfig = field(default_factory=PatchEmbedConfig)
    camera_head: CameraHeadConfig | None = field(default_factory=CameraHeadConfig)
    depth_head: DenseHeadConfig | None = field(default_factory=lambda: DenseHeadConfig(2, "exp"))
    point_head: DenseHeadConfig | None = field(default_factory=lambda: DenseHeadConfig(4, "inv_log"))
    track_head: TrackHeadConfig | None = field(default_factory=TrackHeadConfig)

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.rope_base is not None and (self.width // self.heads) % 4:
            raise ValueError(
                f"rotary positions need a head dimension divisible by 4, got {self.width // self.heads} "
                f"(width {self.width}, heads {self.heads}); change heads or set rope_base=None"
            )
        if self.patch_embed.kind not in ("dinov2", "conv"):
            raise ValueError(f"patch_embed.kind must be 'dinov2' or 'conv', got {self.patch_embed.kind!r}")
        for name in ("depth_head", "point_head", "track_head"):
            layers = (0,) * 4 if getattr(self, name) is None else getattr(self, name).layers
            if len(layers) != 4 or any(not 0 <= layer < self.depth for layer in layers):
                raise ValueError(
                    f"{name}.layers must be four layers in 0..{self.depth - 1}, got {list(layers)}"
                )

    @property
    def special_tokens(self) -> int:
        """Camera token and registers in front of each frame's patches (5 in VGGT-1B)."""
        return 1 + self.registers

    def layout(self, frames: int, height: int, width: int) -> TokenLayout:
        """How the tokens of frames of (height, width) pixels lie in the sequence."""
        return TokenLayout(frames, height // self.patch_size, width // self.patch_size, self.special_tokens)

    def layers_read(self, heads: Collection[str]) -> set[int]:
        """Aggregator layers that heads read; names as in `VGGT.forward`."""
        dense = {"depth": self.depth_head, "points": self.point_head, "tracks": self.track_head}
        layers = {layer for name, head in dense.items() if head and name in heads for layer in head.layers}
        return layers | ({self.depth - 1} if "camera" in heads and self.camera_head else set())

    @property
    def enable_track(self) -> bool:
        """Whether the model has a track head."""
        return self.track_head is not None

    @classmethod
    def vggt_1b(cls, *, enable_track: bool = True) -> VGGTConfig:
        """The published VGGT-1B (1,797 tensors); `enable_track=False` leaves the track head out."""
        return cls() if enable_track else cls(track_head=None)

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dict that `json.dumps` accepts."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> VGGTConfig:
        """Inverse of `to_dict`, also after a round trip through JSON.

        ValueError: a key that no field has.
        """
        parts = {
            key: _build(NESTED[key], v) for key, v in values.items() if key in NESTED and isinstance(v, dict)
        }
        config: VGGTConfig = _build(cls, {**values, **parts})
        return config


NESTED = {
    "patch_embed": PatchEmbedConfig,
    "camera_head": CameraHeadConfig,
    "depth_head": DenseHeadConfig,
    "point_head": DenseHeadConfig,
    "track_head": TrackHeadConfig,
}


def _build(kind: type, values: dict[str, Any]) -> Any:
    known = {entry.name for entry in fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"{kind.__name__} has no field {unknown}; fields: {sorted(known)}")
    return kind(**{key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})

"""The track head: follows query points of frame 0 through all frames. Source: VGGT.

A DPT head without output layers gives feature maps; the tracker then refines coordinates in a few iterations
from local correlations, with a transformer that alternates attention over time and over points.
The sine features of the displacement reach about a thousand radians per pixel, so tracks are ill-conditioned:
two correct kernels differ by some thousandths of a pixel after three iterations.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Float32, Num
from torch import Tensor, nn
from torch.nn import functional

from lib.vggt.config import TrackHeadConfig
from lib.vggt.dense_head import DenseHead, Features
from lib.vggt.layers import Mlp, normal_parameter
from lib.vggt.track_transformer import UpdateTransformer

FramePoints = Float[Tensor, "batch frames points 2"]  # (x, y)
PointFeatures = Float[Tensor, "batch frames points channels"]
QueryPoints = Num[Tensor, "points 2"] | Num[Tensor, "batch points 2"]  # (x, y) in pixels of the input


class Tracks(NamedTuple):
    """What the track head returns, for N query points.

    points: one per iteration, (x, y) in pixels of the network input; the last is the answer.
    visibility, confidence: in (0, 1).
    """

    points: list[FramePoints]
    visibility: Float[Tensor, "batch frames points"]
    confidence: Float[Tensor, "batch frames points"]


def batched_points(query_points: QueryPoints, batch: int) -> Num[Tensor, "{batch} points 2"]:
    """The same query points for every scene, or those of each.

    Raises:
        ValueError: another shape, no points, or values that are not finite.
    """
    if query_points.dim() == 2:
        query_points = query_points[None].expand(batch, -1, -1)
    if query_points.dim() != 3 or query_points.shape[::2] != (batch, 2) or query_points.shape[1] == 0:
        raise ValueError(
            f"query_points must be (N, 2) or ({batch}, N, 2) pixels, N >= 1; got {tuple(query_points.shape)}"
        )
    if not query_points.is_meta and not bool(torch.isfinite(query_points).all()):
        raise ValueError("query_points contain NaN or infinite values")
    return query_points


def sample(
    maps: Float[Tensor, "maps channels height width"],
    points: Float[Tensor, "maps points taps 2"],
    padding: str = "border",
) -> Float[Tensor, "maps channels points taps"]:
    """Bilinear values of maps at points (x, y), pixel centres at integers.

    padding: "border" repeats the edge, "zeros" fades to zero.
    """
    height, width = maps.shape[-2:]
    scale = points.new_tensor([2 / max(width - 1, 1), 2 / max(height - 1, 1)])
    grid = (points * scale - 1).to(maps.dtype)
    return functional.grid_sample(maps, grid, mode="bilinear", padding_mode=padding, align_corners=True)


def displacement_embedding(
    displacement: Float[Tensor, "*batch 2"], channels: int
) -> Float[Tensor, "*batch 2*{channels}"]:
    """Interleaved sin and cos of each axis, x first.

    Frequencies 1000/channels * (0, 2, 4, ...) radians per feature pixel.
    """
    steps = torch.arange(0, channels, 2, device=displacement.device, dtype=displacement.dtype)
    angles = displacement[..., None] * (steps * (1000.0 / channels))  # (..., 2, channels/2)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-3)


def position_embedding(
    points: Float[Tensor, "*batch 2"], size: tuple[int, int], channels: int
) -> Float32[Tensor, "*batch {channels}"]:
    """A 2-D sine-cosine table of base 10000, sampled bilinearly at points (x, y); edges repeat.

    The first half of the channels depends on x alone and the second on y alone, so two linear
    interpolations replace the table of size (height, width).
    """
    halves = []
    for axis, last in ((0, size[1] - 1), (1, size[0] - 1)):
        place = points[..., axis].double().clamp(0, last)
        low = place.floor()
        weight = (place - low)[..., None]
        ends = _sincos(low, channels // 2), _sincos(low + 1, channels // 2)
        halves.append(ends[0] * (1 - weight) + ends[1] * weight)
    return torch.cat(halves, dim=-1).float()


def _sincos(position: Float[Tensor, "*batch"], channels: int) -> Float[Tensor, "*batch {channels}"]:
    count = channels // 2
    omega = 10000.0 ** (-torch.arange(count, device=position.device, dtype=position.dtype) / count)
    angles = position[..., None] * omega
    return torch.cat((angles.sin(), angles.cos()), dim=-1)


class Tracker(nn.Module):
    """Iterative refinement of coordinates and track features on given feature maps."""

    def __init__(self, config: TrackHeadConfig) -> None:
        super().__init__()
        channels = config.features
        if channels % 4:
            raise ValueError(f"track features must be a multiple of 4, got {channels}")
        self.config = config
        taps = config.corr_levels * (2 * config.corr_radius + 1) ** 2
        width = 3 * channels + 4  # displacement sines, displacement twice, correlation, track feature
        self.corr_mlp = Mlp(taps, config.hidden, channels)
        self.updateformer = UpdateTransformer(width, channels + 2, config)
        self.query_ref_token = normal_parameter(1, 2, width)  # slot 0: frame 0; slot 1: the others
        self.fmap_norm = nn.LayerNorm(channels)
        self.ffeat_norm = nn.GroupNorm(1, channels)
        self.ffeat_updater = nn.Sequential(nn.Linear(channels, channels), nn.GELU())
        self.vis_predictor = nn.Sequential(nn.Linear(channels, 1))
        self.conf_predictor = nn.Sequential(nn.Linear(channels, 1))

    def forward(
        self,
        maps: Float[Tensor, "batch frames channels height width"],
        query_points: Num[Tensor, "batch points 2"],
        iterations: int,
        frames_chunk: int | None,
    ) -> Tracks:
        """Tracks of query points, given in pixels of the network input."""
        maps = self.fmap_norm(maps.movedim(2, -1)).movedim(-1, 2)
        batch, frames, size = maps.shape[0], maps.shape[1], (maps.shape[-2], maps.shape[-1])
        query = query_points.to(torch.float32) / self.config.stride
        feature = sample(maps[:, 0], query[:, None])[:, :, 0].transpose(1, 2)  # (B, N, C) in frame 0
        feature = feature[:, None].expand(-1, frames, -1, -1)  # (B, S, N, C)
        points = query[:, None].expand(-1, frames, -1, -1)  # (B, S, N, 2)
        first, others = self.query_ref_token.split(1, dim=1)
        slots = torch.cat((first, others.expand(-1, frames - 1, -1)), dim=1)
        place = position_embedding(query, size, slots.shape[-1])
        offset = place[:, :, None] + slots[:, None]  # (B, N, S, width)
        pyramid = self._pyramid(maps.flatten(0, 1))
        result = []
        for _ in range(iterations):
            points = points.detach()
            correlation = self._correlate(pyramid, feature.flatten(0, 1), points.flatten(0, 1), frames_chunk)
            correlation = self.corr_mlp(correlation).unflatten(0, (batch, frames))
            update = self.updateformer(self._tokens(points, correlation, feature) + offset).transpose(1, 2)
            change = self.ffeat_norm(update[..., 2:].flatten(0, 2)).unflatten(0, update.shape[:3])
            feature = feature + self.ffeat_updater(change)
            moved = points[:, 1:] + update[:, 1:, :, :2].float()
            points = torch.cat((query[:, None], moved), dim=1)  # frame 0 stays at the query
            result.append(points * self.config.stride)
        visibility = torch.sigmoid(self.vis_predictor(feature)[..., 0])
        return Tracks(result, visibility, torch.sigmoid(self.conf_predictor(feature)[..., 0]))

    def _tokens(
        self, points: FramePoints, correlation: PointFeatures, feature: PointFeatures
    ) -> Float[Tensor, "batch points frames width"]:
        """Input of the update transformer."""
        displacement = points - points[:, :1]
        sines = displacement_embedding(displacement, self.config.features // 2)
        scaled = displacement / self.config.max_scale
        return torch.cat((sines, scaled, scaled, correlation, feature), dim=-1).transpose(1, 2)

    def _pyramid(self, maps: Float[Tensor, "frames channels height width"]) -> list[Tensor]:
        """Maps at full, half, quarter, ... size."""
        levels, smallest = self.config.corr_levels, min(maps.shape[-2:])
        if smallest < 2 ** (levels - 1):
            raise ValueError(
                f"the tracker's {levels} pyramid levels need feature maps of at least {2 ** (levels - 1)} "
                f"pixels a side, got {tuple(maps.shape[-2:])}; use larger images or no query points"
            )
        pyramid = [maps]
        for _ in range(levels - 1):
            pyramid.append(functional.avg_pool2d(pyramid[-1], 2))
        return pyramid

    def _correlate(
        self,
        pyramid: list[Tensor],
        feature: Float[Tensor, "frames points channels"],
        points: Float[Tensor, "frames points 2"],
        chunk: int | None,
    ) -> Float[Tensor, "frames points taps"]:
        """Correlation of each track feature with the maps around its point, per frame.

        Features are sampled first and multiplied afterwards, which equals sampling the correlation map
        (both are linear) and needs taps instead of all pixels.
        """
        radius = self.config.corr_radius
        side = torch.arange(-radius, radius + 1, device=points.device, dtype=points.dtype)
        taps = torch.cartesian_prod(side, side)  # x varies slowest
        step = len(points) if chunk is None else chunk
        rows = []
        for start in range(0, len(points), step):
            part = slice(start, start + step)
            levels = []
            for level, maps in enumerate(pyramid):
                around = points[part, :, None] / 2**level + taps
                near = sample(maps[part], around, padding="zeros")  # (F, C, N, taps)
                levels.append(torch.einsum("fnc,fcnt->fnt", feature[part].to(near.dtype), near))
            rows.append(torch.cat(levels, dim=-1))
        scale: float = self.config.features**0.5
        return torch.cat(rows) / scale


class TrackHead(nn.Module):
    """Feature extractor and tracker; `width` is twice the token width. Weight names are the checkpoint's."""

    def __init__(
        self,
        width: int,
        patch_size: int,
        special_tokens: int,
        config: TrackHeadConfig,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.config = config
        self.feature_extractor = DenseHead(width, patch_size, special_tokens, config.extractor, norm_eps)
        self.tracker = Tracker(config)

    def forward(
        self,
        features: Features,
        image_size: tuple[int, int],
        query_points: QueryPoints,
        *,
        iterations: int | None = None,
        frames_chunk: int | None = 8,
    ) -> Tracks:
        """Track query points of frame 0.

        features: tokens by aggregator layer; image_size: (height, width) in pixels; iterations: None for the
        config's; frames_chunk: frames whose features and correlations are computed at once, None for all.
        ValueError: query points of another shape, or images too small for the pyramid.
        """
        query_points = batched_points(query_points, next(iter(features.values())).shape[0])
        maps = self.feature_extractor.extract(features, image_size, frames_chunk)  # (B, S, C, H/2, W/2)
        steps = self.config.iterations if iterations is None else iterations
        tracks: Tracks = self.tracker(maps, query_points, steps, frames_chunk)
        return tracks

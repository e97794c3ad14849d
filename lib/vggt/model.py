"""VGGT: images to cameras, depth, points and tracks; merging and probing are arguments of forward."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lib.geometry import relative_to_first
from lib.merging import MergingRule
from lib.vggt.aggregator import Aggregator, ForwardReport, ImageBatch
from lib.vggt.cameras import decode_pose
from lib.vggt.config import VGGTConfig
from lib.vggt.dense_head import DenseHead, Features, FrameMaps
from lib.vggt.heads import CameraHead
from lib.vggt.layers import Observer
from lib.vggt.logit_scale import LogitScale
from lib.vggt.tracks import FramePoints, QueryPoints, TrackHead, batched_points

Images = Float[Tensor, "frames 3 height width"] | ImageBatch
Poses = Float[Tensor, "batch frames 9"]
Size = tuple[int, int]  # (height, width) in pixels
HEADS = ("camera", "depth", "points", "tracks")


@dataclass
class Prediction:
    """What VGGT says about B scenes of S frames of H x W pixels; a head that did not run leaves None.

    pose_enc and pose_enc_list, one per iteration; extrinsics camera-from-world and intrinsics in pixels,
    decoded from pose_enc (extrinsics relative to the first frame where the encodings are relative to none);
    z-depth and depth_conf > 1; world_points in the first frame's camera and world_points_conf; tracks in
    pixels (x, y), tracks_list one per iteration, visibility and track_conf;
    report: what merging did.
    """

    report: ForwardReport
    pose_enc: Poses | None = None
    pose_enc_list: list[Poses] | None = None
    extrinsics: Float[Tensor, "batch frames 3 4"] | None = None
    intrinsics: Float[Tensor, "batch frames 3 3"] | None = None
    depth: Float[Tensor, "batch frames height width 1"] | None = None
    depth_conf: FrameMaps | None = None
    world_points: Float[Tensor, "batch frames height width 3"] | None = None
    world_points_conf: FrameMaps | None = None
    tracks: FramePoints | None = None
    tracks_list: list[FramePoints] | None = None
    visibility: Float[Tensor, "batch frames points"] | None = None
    track_conf: Float[Tensor, "batch frames points"] | None = None


class VGGT(nn.Module):
    """Weights are named as in the public VGGT-1B checkpoint; a head whose config is None is absent."""

    def __init__(self, config: VGGTConfig) -> None:
        super().__init__()
        self.config = config
        self.aggregator = Aggregator(config)
        width, eps = 2 * config.width, config.norm_eps
        sizes = (width, config.patch_size, config.special_tokens)
        camera, track = config.camera_head, config.track_head
        point, depth = config.point_head, config.depth_head
        self.camera_head = CameraHead(width, camera, eps, config.causal) if camera else None
        self.point_head = DenseHead(*sizes, point, eps) if point else None
        self.depth_head = DenseHead(*sizes, depth, eps) if depth else None
        self.track_head = TrackHead(*sizes, track, eps) if track else None

    @classmethod
    def from_seed(cls, config: VGGTConfig, seed: int) -> VGGT:
        """A new model on the CPU that depends on `seed` only; global random state is untouched."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(config)

    @property
    def available_heads(self) -> tuple[str, ...]:
        """Names accepted by the `heads` argument of this model."""
        modules = (self.camera_head, self.depth_head, self.point_head, self.track_head)
        return tuple(name for name, module in zip(HEADS, modules, strict=True) if module is not None)

    def forward(
        self,
        images: Images,
        query_points: QueryPoints | None = None,
        *,
        merging: MergingRule | None = None,
        merging_start: int = 0,
        logit_scale: LogitScale | None = None,
        probe: Observer | None = None,
        frames_chunk: int | None = 8,
        heads: Collection[str] | None = None,
    ) -> Prediction:
        """Run the model.

        images: RGB in [0, 1], height and width multiples of the patch size.
        query_points: pixels (x, y) in the first frame, to be tracked; None = no tracks.
        merging: rule for global blocks with index >= merging_start; None is plain VGGT, bit for bit.
        logit_scale: factor on the logits of global blocks; None is plain VGGT, bit for bit.
        probe: sees every alternating block through `observe`; never changes the result.
        frames_chunk: frames a dense head decodes at once, to save memory; None = all.
        heads: which of "camera", "depth", "points", "tracks" to compute; None = all there are.
        ValueError: images, heads or chunks that do not fit.
        """
        images = self._check_images(images)
        wanted = self._check_heads(heads, query_points)
        self._check_numbers(merging_start, frames_chunk)
        if query_points is not None:
            query_points = batched_points(query_points, images.shape[0]).to(images.device)
        x, keep = images.to(self.aggregator.camera_token.dtype), self.config.layers_read(wanted)
        features, report = self.aggregator(
            x, keep=keep, merging=merging, merging_start=merging_start, logit_scale=logit_scale, probe=probe
        )
        size = (images.shape[-2], images.shape[-1])
        prediction = Prediction(report)
        with _outside_autocast(images.device):
            self._predict_geometry(prediction, features, size, wanted, frames_chunk)
        if query_points is not None and "tracks" in wanted:
            self._predict_tracks(prediction, features, size, query_points, frames_chunk)
        return prediction

    def _predict_geometry(
        self,
        prediction: Prediction,
        features: Features,
        size: Size,
        wanted: Collection[str],
        chunk: int | None,
    ) -> None:
        """Fill in what the camera, depth and point heads say; they run in the precision of their weights."""
        if self.camera_head is not None and "camera" in wanted:
            prediction.pose_enc_list = self.camera_head(features[self.config.depth - 1][:, :, 0])
            prediction.pose_enc = prediction.pose_enc_list[-1]
            prediction.extrinsics, prediction.intrinsics = decode_pose(prediction.pose_enc, size)
            if not self.config.reference:
                prediction.extrinsics = relative_to_first(prediction.extrinsics)
        if self.depth_head is not None and "depth" in wanted:
            prediction.depth, prediction.depth_conf = self.depth_head(features, size, chunk)
        if self.point_head is not None and "points" in wanted:
            points, confidence = self.point_head(features, size, chunk)
            if not self.config.reference and prediction.extrinsics is not None:
                moved = points - prediction.extrinsics[..., None, None, :, 3]
                points = torch.einsum("bsji,bshwj->bshwi", prediction.extrinsics[..., :3], moved)
            prediction.world_points, prediction.world_points_conf = points, confidence

    def _predict_tracks(
        self, prediction: Prediction, features: Features, size: Size, points: QueryPoints, chunk: int | None
    ) -> None:
        """Fill in the tracks; the tracker stays under the caller's autocast, as in the released code."""
        if self.track_head is not None:
            tracks = self.track_head(features, size, points, frames_chunk=chunk)
            prediction.tracks_list, prediction.tracks = tracks.points, tracks.points[-1]
            prediction.visibility, prediction.track_conf = tracks.visibility, tracks.confidence

    def _check_heads(
        self, heads: Collection[str] | None, query_points: QueryPoints | None
    ) -> tuple[str, ...]:
        available = self.available_heads
        if query_points is not None and "tracks" not in available:
            raise ValueError("query_points given, but this model has no track head; use a config with one")
        if heads is None:
            return tuple(name for name in available if name != "tracks" or query_points is not None)
        if isinstance(heads, str):
            raise ValueError(
                f"heads must be a collection of names such as ({heads!r},), got the string {heads!r}"
            )
        unknown = [name for name in heads if name not in available]
        if unknown:
            raise ValueError(f"heads {unknown} are not in this model; it has {list(available)}")
        if "tracks" in heads and query_points is None:
            raise ValueError("heads asks for 'tracks': pass query_points of shape (Q, 2) or (B, Q, 2)")
        return tuple(heads)

    def _check_numbers(self, merging_start: int, frames_chunk: int | None) -> None:
        if not 0 <= merging_start <= self.config.depth:
            raise ValueError(f"merging_start must be in 0..{self.config.depth}, got {merging_start}")
        if frames_chunk is not None and frames_chunk < 1:
            raise ValueError(f"frames_chunk must be at least 1, or None for all frames, got {frames_chunk}")

    def _check_images(self, images: Images) -> ImageBatch:
        """Images of a batch, or one clear ValueError."""
        if images.dim() == 4:
            images = images[None]
        if images.dim() != 5 or images.shape[2] != 3 or 0 in images.shape[:2]:
            raise ValueError(
                f"images must be (S, 3, H, W) or (B, S, 3, H, W) with S >= 1, got {tuple(images.shape)}"
            )
        if not images.is_floating_point():
            raise ValueError(f"images must be floating point in [0, 1], got {images.dtype}: divide by 255")
        patch = self.config.patch_size
        for name, length in zip(("height", "width"), images.shape[-2:], strict=True):
            if length % patch or length == 0:
                below, above = length // patch * patch, (length // patch + 1) * patch
                nearest = f"{below} or {above}" if below else f"{above}"
                raise ValueError(
                    f"image {name} {length} is not a multiple of the patch size {patch}; use {nearest}"
                )
        if not images.is_meta:
            _check_range(images)
        return images


def _outside_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """A context without autocast; the meta device knows none."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def _check_range(images: Tensor) -> None:
    low, high = torch.stack(torch.aminmax(images)).tolist()
    if not (abs(low) < float("inf") and abs(high) < float("inf")):  # aminmax passes NaN on
        raise ValueError("images contain NaN or infinite values")
    if low < -1e-3 or high > 1 + 1e-3:
        raise ValueError(f"images must lie in [0, 1], found values in [{low:g}, {high:g}]; divide by 255?")

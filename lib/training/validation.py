"""Quick errors on held-out rooms while training; the full evaluation is in `lib.training.evaluation`."""

from __future__ import annotations

import torch
from torch import Tensor

from lib.geometry import rotation_angle_deg
from lib.scenes.rooms import RoomStyle, render_walks, room_seed
from lib.scenes.walks import STEP
from lib.training.config import TrainConfig
from lib.training.data import Batch
from lib.training.losses import make_target
from lib.vggt.model import VGGT

STRIDE = STEP  # video frames between the frames of a validation walk
AT_ONCE = 8  # walks in one forward pass


def validation_walks(config: TrainConfig, device: torch.device) -> Batch:
    """The walks that a run is validated on: the first rooms of the validation split."""
    size, frames = config.model.image_size, config.validation_frames
    times = STRIDE * torch.arange(frames, dtype=torch.float64).expand(config.validation_rooms, -1)
    seeds = [room_seed("val", index) for index in range(config.validation_rooms)]
    walks = render_walks(seeds, times, size, size, RoomStyle(), device)
    return Batch(walks.images, walks.depth, walks.extrinsics, walks.intrinsics)


@torch.inference_mode()
def validate(model: VGGT, walks: Batch) -> dict[str, float]:
    """Median rotation error (degrees), that of the identity, translation error, AbsRel and point error.

    All relative to frame 0, which itself is left out of the camera errors; lengths in units of the mean
    distance of the scene from frame 0 (of `make_target`, for a model without a reference frame).
    """
    parts = []
    for start in range(0, len(walks.images), AT_ONCE):
        some = Batch(*(value[start : start + AT_ONCE] for value in vars(walks).values()))
        parts.append(_errors(model, some))
    return {name: torch.cat([part[name] for part in parts]).median().item() for name in parts[0]}


def _errors(model: VGGT, batch: Batch) -> dict[str, Tensor]:
    target = make_target(batch, model.config.reference)
    prediction = model(batch.images)
    estimate, truth = prediction.extrinsics, target.relative
    unit = torch.eye(3, device=truth.device).expand_as(truth[..., :3])
    depth = prediction.depth[..., 0]
    return {
        "rot_deg": rotation_angle_deg(estimate[..., :3], truth[..., :3])[:, 1:].flatten(),
        "rot_identity_deg": rotation_angle_deg(unit, truth[..., :3])[:, 1:].flatten(),
        "trans": (estimate[..., 3] - truth[..., 3]).norm(dim=-1)[:, 1:].flatten(),
        "trans_identity": truth[..., 3].norm(dim=-1)[:, 1:].flatten(),
        "abs_rel": ((depth - target.depth).abs() / target.depth).mean((-1, -2)).flatten(),
        "points": (prediction.world_points - target.points).norm(dim=-1).mean((-1, -2)).flatten(),
    }

"""What a run found, in the sizes and names of the pictures that it was given."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from lib.formats.reconstruction import ExportError, Reconstruction
from lib.geometry import invert, unproject
from lib.run import Outcome
from lib.scenes.framing import Framing, fit
from lib.scenes.layouts import Frame, read_layout
from lib.scenes.names import ROOMS, folder_and_piece, located
from lib.scenes.pictures import image_size
from lib.scenes.recordings import select_frames
from lib.vggt import Prediction


def pictures(scene: str, frames: int) -> tuple[list[Frame], tuple[int, int]] | None:
    """Frames that `open_scene` takes and the (width, height) of their pictures; None for a test room."""
    if ROOMS.fullmatch(scene):
        return None
    folder, number, pieces = folder_and_piece(scene)
    recording = read_layout(located(folder))
    chosen = select_frames(len(recording.frames), frames * pieces)[number * frames : (number + 1) * frames]
    files = [recording.frames[index] for index in chosen]
    return files, image_size(files[0].colour, upright=recording.layout == "images")


def reconstruction(outcome: Outcome) -> Reconstruction:
    """Cameras, depth and points of a run; points are the depth maps, unprojected.

    Raises:
        ExportError: the model has no camera head or no depth head, or gives a field of view of zero.
    """
    setup, said = outcome.setup, outcome.prediction
    check(setup.params.model, said)
    assert said.extrinsics is not None and said.intrinsics is not None
    assert said.depth is not None and said.depth_conf is not None
    extrinsics, seen = said.extrinsics[0].double(), said.intrinsics[0].double()
    count, _, height, width = setup.sequence.images.shape
    depth = said.depth[0, ..., 0].double()
    given = pictures(setup.params.scene, setup.params.frames)
    files, size = given if given is not None else ([], (width, height))
    config = setup.model.config
    framing = (
        fit(size, target=config.image_size, patch_size=config.patch_size)
        if files
        else Framing(size, (1.0, 1.0), (0.0, 0.0), height, width)
    )
    names = [file.colour.name for file in files] or [f"frame-{k:06d}.png" for k in range(count)]
    return Reconstruction(
        title=setup.sequence.name,
        names=tuple(names),
        times=_times([file.name for file in files], count),
        sizes=(size,) * count,
        cameras=rigid(invert(extrinsics).numpy()),
        intrinsics=np.stack([recorded(framing, k) for k in seen.numpy()]),
        images=setup.sequence.images.cpu().numpy(),
        points=unproject(depth, extrinsics, seen).numpy(),
        depth=depth.float().numpy(),
        confidence=said.depth_conf[0].float().numpy(),
    )


def check(model: str, said: Prediction) -> None:
    """A prediction has cameras with a field of view, and depth.

    Raises:
        ExportError: naming the model.
    """
    if said.extrinsics is None or said.intrinsics is None or said.depth is None or said.depth_conf is None:
        raise ExportError(
            f"model {model!r} lacks the head for cameras or for depth, so there is nothing to write; give "
            "one that has both"
        )
    if len(flat := torch.nonzero(~said.intrinsics[0].isfinite().flatten(1).all(1))):
        raise ExportError(
            f"model {model!r} gives frame {int(flat[0])} a field of view of zero, so its pixels have no "
            "place; give a model that was trained"
        )


def rigid(cameras: np.ndarray) -> np.ndarray:
    """Cameras (N, 4, 4), float64, their rotations orthonormal to its precision, as quaternions need."""
    found = cameras.copy()
    found[:, :3, :3] = Rotation.from_matrix(cameras[:, :3, :3]).as_matrix()
    return found


def recorded(framing: Framing, camera: np.ndarray) -> np.ndarray:
    """Intrinsics (3, 3) in pixels of the recorded picture, from those in pixels that the model saw."""
    scale, offset = np.array(framing.scale), np.array(framing.offset)
    found: np.ndarray = camera.astype(float)
    found[:2, :2] /= scale[:, None]
    found[:2, 2] = (camera[:2, 2] + offset + 0.5) / scale - 0.5
    return found


def _times(names: list[str], count: int) -> np.ndarray:
    """Time stamps in seconds that the frames are named by (TUM), else their numbers."""
    try:
        if any("." not in name for name in names) or not names:
            raise ValueError
        return np.array([float(name) for name in names])
    except ValueError:
        return np.arange(count, dtype=float)

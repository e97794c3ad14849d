"""Where each kind of recording keeps its colour images, depth maps, poses and intrinsics.

One reader for each layout lists the files of a folder as a `Recording`; no pixel is read here. Poses are kept
as recorded: camera-to-world, OpenCV axes (x right, y down, z forward), metres.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib.scenes.consistency import check_centre, vga_shrink, why_no_pose, why_no_time
from lib.scenes.recording_files import (
    Matrix,
    Pose,
    RecordingError,
    associate,
    is_image,
    list_images,
    pinhole,
    read_matrix,
    read_pose,
    read_timed,
    read_trajectory,
)

_SEVEN_SCENES_COLOUR_FOCAL, _SEVEN_SCENES_DEPTH_FOCAL = 525.0, 585.0
# fx, fy, cx, cy of the TUM calibration page; elsewhere the ROS default that the page recommends
_TUM_DEFAULT = (525.0, 525.0, 319.5, 239.5)
_TUM_CALIBRATED = {
    "freiburg1": (517.3, 516.5, 318.6, 255.3),
    "freiburg2": (520.9, 521.0, 325.1, 249.7),
    "freiburg3": (535.4, 539.2, 320.1, 247.6),
}


@dataclass(frozen=True)
class Frame:
    """The files of one frame; `pose` is camera-to-world, finite, or None."""

    name: str
    colour: Path
    depth: Path | None = None
    pose: Pose | None = None


@dataclass(frozen=True)
class Recording:
    """The usable frames of a recording, in order, and its cameras.

    Attributes:
        name: folder name, with the scene before it where that is a level higher.
        layout: one of `LAYOUTS`.
        frames: those with a colour image and, in a layout with poses, a finite pose.
        dropped: names of the frames left out because their pose is missing or not finite.
        files: every file that the frames and cameras come from: what a result depends on.
        colour_camera, depth_camera: map an image size (width, height) to its intrinsics; None: the
            intrinsics are unknown, or the depth is registered to the colour image.
        depth_unit: depth image values for one metre.
    """

    name: str
    layout: str
    frames: tuple[Frame, ...]
    dropped: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    colour_camera: Callable[[int, int], Matrix] | None = None
    depth_camera: Callable[[int, int], Matrix] | None = None
    depth_unit: float = 1000.0


def read_layout(path: str | Path, layout: str | None = None) -> Recording:
    """List the frames of the recording in `path`, which may also be the only recording one level below.

    Layouts: "scannet" (color/*.jpg, depth/*.png in mm, pose/*.txt, intrinsic/intrinsic_color.txt and
    intrinsic_depth.txt), "7scenes" (frame-XXXXXX.color.png or .jpg, .depth.png in mm, .pose.txt), "tum"
    (rgb.txt, depth.txt, groundtruth.txt; see `read_tum`), "images" (any images, no poses). None looks at the
    files.

    Raises:
        RecordingError: missing folder, nothing recognised, several recordings, unreadable or missing files.
    """
    folder = Path(path)
    if layout is not None and layout not in LAYOUTS:
        raise RecordingError(f"layout is {layout!r}; choose one of {sorted(LAYOUTS)}")
    try:
        if not folder.is_dir():
            raise RecordingError(f"{folder} is {'a file' if folder.exists() else 'not there'}; give a folder")
        kind = layout or _detect(folder)
        if kind is None or not LAYOUTS[kind][0](folder):
            folder = _only_recording_below(folder, layout)
        elif layout is None and kind == "images" and (below := _recordings_below(folder)):
            raise RecordingError(
                f"{folder} holds images, and so does {below[0]}; give {below[0]}, or move the images that "
                "are meant to a folder without others (layout='images' reads those beside it)"
            )
        kind = layout or _detect(folder)
        assert kind is not None  # _only_recording_below raises when it finds none
        return LAYOUTS[kind][1](folder)
    except OSError as error:
        raise RecordingError(f"{folder} cannot be read: {error}") from error


def read_scannet(folder: Path) -> Recording:
    """ScanNet as exported by its SensReader; depth is looked up through both intrinsics at zero baseline."""
    images = list_images(folder / "color")
    intrinsic = folder / "intrinsic"

    def camera(name: str) -> Callable[[int, int], Matrix]:
        matrix = read_matrix(intrinsic / name)[:3, :3]

        def sized(width: int, height: int) -> Matrix:
            check_centre(intrinsic / name, matrix, width, height)
            return matrix

        return sized

    texts = [intrinsic / name for name in ("intrinsic_color.txt", "intrinsic_depth.txt")]
    colour_camera = camera(texts[0].name)
    depth_camera = camera(texts[1].name) if texts[1].exists() else None
    poses = [folder / "pose" / f"{image.stem}.txt" for image in images]
    frames = [
        Frame(image.stem, image, _existing(folder / "depth" / f"{image.stem}.png"), read_pose(pose))
        for image, pose in zip(images, poses, strict=True)
    ]
    return _posed(folder, "scannet", frames, texts + poses, why_no_pose(poses), colour_camera, depth_camera)


def read_seven_scenes(folder: Path) -> Recording:
    """7-Scenes, in its own size (640x480) or made smaller.

    Focal lengths at width 640 are 525 px (colour) and 585 px (depth), principal points in the middle. The
    depth camera is **not registered** to the colour camera; depth is looked up through the two intrinsics as
    if both stood in the same place with the same orientation, since their offset is not published.
    """

    def camera(focal: float) -> Callable[[int, int], Matrix]:
        def intrinsics(width: int, height: int) -> Matrix:
            scaled = focal * vga_shrink(folder, width, height)
            return pinhole(scaled, scaled, width / 2, height / 2)

        return intrinsics

    frames, poses = [], []
    for image in list_images(folder, "frame-*.color.*"):
        name = image.name.split(".color.")[0]
        poses.append(folder / f"{name}.pose.txt")
        frames.append(Frame(name, image, _existing(folder / f"{name}.depth.png"), read_pose(poses[-1])))
    cameras = camera(_SEVEN_SCENES_COLOUR_FOCAL), camera(_SEVEN_SCENES_DEPTH_FOCAL)
    return _posed(folder, "7scenes", frames, poses, why_no_pose(poses), *cameras)


def read_tum(folder: Path, max_difference: float = 0.02) -> Recording:
    """TUM RGB-D: each colour image with the depth map and the pose nearest in time, at most 0.02 s away.

    Poses are quaternions xyzw, depth has 5000 units a metre and is registered to the colour image. Intrinsics
    are the calibrated ones where the folder name has freiburg1, 2 or 3, otherwise the ROS default; the lens
    distortion of freiburg1 and 2 is not undone.
    """
    colour = read_timed(folder / "rgb.txt", 1)
    pose_times, poses = read_trajectory(folder / "groundtruth.txt")
    depths = read_timed(folder / "depth.txt", 1) if (folder / "depth.txt").exists() else []
    times = np.array([time for time, _ in colour])
    pose_of = associate(times, pose_times, max_difference)
    depth_of = associate(times, np.array([time for time, _ in depths]), max_difference)
    frames = []
    for index, (time, (file,)) in enumerate(colour):
        depth = folder / depths[depth_of[index]][1][0] if index in depth_of else None
        pose = poses[pose_of[index]] if index in pose_of else None
        frames.append(Frame(f"{time:.6f}", folder / file, depth, pose))
    parameters = next((v for k, v in _TUM_CALIBRATED.items() if k in folder.name.lower()), _TUM_DEFAULT)

    def camera(width: int, height: int) -> Matrix:
        shrink = vga_shrink(folder, width, height)  # pixel centres lie on integers
        fx, fy, cx, cy = parameters
        return pinhole(fx * shrink, fy * shrink, (cx + 0.5) * shrink - 0.5, (cy + 0.5) * shrink - 0.5)

    texts = [folder / name for name in ("rgb.txt", "groundtruth.txt", "depth.txt")]
    why = why_no_time(times, pose_times, max_difference)
    return _posed(folder, "tum", frames, texts, why, camera, depth_unit=5000.0)


def read_images(folder: Path) -> Recording:
    """Any folder of images, in natural order of their names (img2 before img10), without poses."""
    images = list_images(folder)
    return Recording(_name(folder), "images", tuple(Frame(i.name, i) for i in images), files=tuple(images))


# layout -> (does this folder look like it, reader); the order is that of detection
LAYOUTS: dict[str, tuple[Callable[[Path], bool], Callable[[Path], Recording]]] = {
    "scannet": (lambda f: (f / "color").is_dir() and (f / "pose").is_dir(), read_scannet),
    "tum": (lambda f: (f / "rgb.txt").is_file(), read_tum),
    "7scenes": (lambda f: any(f.glob("frame-*.color.*")), read_seven_scenes),
    "images": (lambda f: any(is_image(p) for p in f.iterdir()), read_images),
}


def _detect(folder: Path) -> str | None:
    return next((name for name, (matches, _) in LAYOUTS.items() if matches(folder)), None)


def _recordings_below(folder: Path, layout: str | None = None) -> list[Path]:
    matches = LAYOUTS[layout][0] if layout else _detect
    visible = (sub for sub in sorted(folder.iterdir()) if not sub.name.startswith((".", "__", "@")))
    return [sub for sub in visible if sub.is_dir() and matches(sub)]


def _only_recording_below(folder: Path, layout: str | None) -> Path:
    found = _recordings_below(folder, layout)
    if len(found) == 1:
        return found[0]
    what = f"a {layout} recording" if layout else f"images or a recording ({', '.join(LAYOUTS)})"
    if not found:
        others = sorted({p.suffix.lower() for p in folder.iterdir() if p.suffix and p.is_file()})
        instead = f", only {', '.join(others)} files" if others else ""
        raise RecordingError(f"{folder} does not hold {what}{instead}; give the folder of the images")
    raise RecordingError(
        f"{folder} holds {len(found)} recordings; give one of them: {', '.join(map(str, found))}"
    )


def _posed(
    folder: Path,
    layout: str,
    frames: list[Frame],
    texts: list[Path],
    why: str,
    colour_camera: Callable[[int, int], Matrix] | None = None,
    depth_camera: Callable[[int, int], Matrix] | None = None,
    depth_unit: float = 1000.0,
) -> Recording:
    """`texts`: what was read beside pixels; `why`: what to say where no frame has a pose."""
    usable = tuple(frame for frame in frames if frame.pose is not None)
    dropped = tuple(frame.name for frame in frames if frame.pose is None)
    if not usable:
        images = frames[0].colour.parent if frames else folder
        alone = (
            f"{images} is the folder to give" if images != folder else "copy them to a folder of their own"
        )
        raise RecordingError(
            f"{folder} ({layout}): none of its {len(dropped)} images has a pose: {why}. For the images "
            f"without poses, {alone}"
        )
    pixels = [file for frame in usable for file in (frame.colour, frame.depth) if file is not None]
    files = (*(text for text in texts if text.exists()), *pixels)
    return Recording(_name(folder), layout, usable, dropped, files, colour_camera, depth_camera, depth_unit)


def _name(folder: Path) -> str:
    folder = folder.resolve()
    return f"{folder.parent.name}/{folder.name}" if re.fullmatch(r"seq-\d+", folder.name) else folder.name


def _existing(file: Path) -> Path | None:
    return file if file.is_file() else None

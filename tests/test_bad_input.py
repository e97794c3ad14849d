"""Bad input over the public surface, as a table: one error of ours each, with the value and the way out.

python tests/test_bad_input.py prints what each of them says.
"""

import json
import os
import pickle
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_models import tiny_config, tiny_vggt
from test_recordings import write_image, write_scannet, write_seven_scenes, write_tum

from lib import metrics, records, sweep
from lib.dynamics import Layer, equiangular_cloud, groups_of, simulate
from lib.formats import Trajectory, pair, read_trajectory_file
from lib.formats.reconstruction import Reconstruction, write
from lib.merging import FastVGGTRule, Setting, TokenLayout
from lib.merging.adaptive import AdaptiveRule
from lib.merging.grid import KeyValueGridRule
from lib.merging.uniform import UniformRule
from lib.pipes import reader_may_leave
from lib.run import Params
from lib.scenes.preprocessing import crop, load_images, pad, square
from lib.scenes.recordings import open_recording, select_frames
from lib.scenes.rooms import RoomStyle, render_sequence
from lib.scenes.sequence import Sequence
from lib.scenes.walks import open_scene, single_scenes, walk
from lib.spectra import AttentionOperator, Budget, Measures
from lib.sweep.asked import asked_for, given
from lib.train import parse_config
from lib.training.checkpoints import load_checkpoint
from lib.training.export import export_weights
from lib.vggt import checkpoint, parse_scale
from lib.vggt.config import VGGTConfig
from lib.vggt.memory import estimate_memory, require_memory

Call = Callable[[Path], object]
ONE_RUN = "book/runs/one_run.ipynb"


@cache
def tiny() -> Any:
    return tiny_vggt(seed=0)


def photos(folder: Path, count: int = 3) -> Path:
    for number in range(count):
        write_image(folder / f"{number}.png", number)
    return folder


def spoilt(name: str, content: bytes | None) -> Call:
    """A folder of photographs, one of which holds something else."""

    def call(folder: Path) -> object:
        photos(folder)
        (folder / name).write_bytes(content or b"")
        return open_recording(folder, target=28)

    return call


def recording(make: Callable[..., object], change: Callable[[Path], object], **asked: Any) -> Call:
    """A recording, changed, then read."""

    def call(folder: Path) -> object:
        make(folder, 2)
        change(folder)
        return open_recording(folder, target=28, **asked)

    return call


def put(name: str, text: str | bytes) -> Callable[[Path], object]:
    def change(folder: Path) -> object:
        return (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    return change


def image(name: str, size: tuple[int, int], mode: str = "RGB") -> Callable[[Path], object]:
    return lambda folder: Image.new(mode, size).save(folder / name)


def gone(name: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()

    return change


def both(*changes: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: [change(folder) for change in changes]


def weights(name: str, content: bytes) -> Call:
    """A checkpoint of these bytes, loaded."""

    def call(folder: Path) -> object:
        (folder / name).write_bytes(content)
        return checkpoint.load(folder / name, tiny_config())

    return call


def state(**changes: Any) -> Call:
    """A state dict with some tensors changed (None: left out), loaded."""

    def call(folder: Path) -> object:
        content = tiny().state_dict() | changes
        torch.save({name: value for name, value in content.items() if value is not None}, folder / "w.pt")
        return checkpoint.load(folder / "w.pt", tiny_config())

    return call


def saved(content: object) -> Call:
    def call(folder: Path) -> object:
        torch.save(content, folder / "w.pt")
        return checkpoint.load(folder / "w.pt", tiny_config())

    return call


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


def nan_model(folder: Path) -> object:
    model = tiny_vggt(seed=0)
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    return checkpoint.save(model, folder / "w.safetensors")


def poses(count: int = 4, **change: float) -> np.ndarray:
    """World-to-camera poses on a curve; `x`, `r` or `line` spoil one place, one rotation, or the curve."""
    found = np.tile(np.eye(4), (count, 1, 1))
    steps = np.arange(count, dtype=float)
    found[:, :3, 3] = np.stack([steps, change.get("line", 1.0) * steps**2, np.sin(steps)], 1)
    if "line" in change:
        found[:, :3, 3] = steps[:, None]
    if "still" in change:
        found[:, :3, 3] = 1.0
    found[1, 0, 3] = change.get("x", found[1, 0, 3])
    found[1, 0, 0] = change.get("r", 1.0)
    return found


def scored(estimate: np.ndarray, truth: np.ndarray | None = None, **asked: Any) -> Call:
    return lambda _: metrics.camera_errors(estimate, poses() if truth is None else truth, **asked)


def text(name: str, content: str, **asked: Any) -> Call:
    """A file of poses, read."""

    def call(folder: Path) -> object:
        (folder / name).write_text(content, encoding="utf-8")
        return read_trajectory_file(folder / name, **asked)

    return call


def trajectory(times: list[float] | None = None, names: tuple[str, ...] | None = None) -> Trajectory:
    count = len(times or names or range(3))
    return Trajectory(np.tile(np.eye(4), (count, 1, 1)), None if times is None else np.array(times), names)


def results(folder: Path, share: float = 1.0, where: str = "out") -> object:
    maps = np.ones((2, 4, 4))
    found = Reconstruction(
        "t", ("a", "b"), np.arange(2.0), ((4, 4),) * 2, poses(2), np.tile(np.eye(3), (2, 1, 1)),
        np.zeros((2, 3, 4, 4)), np.zeros((2, 4, 4, 3)), maps, maps,
    )  # fmt: skip
    return write(found, folder / where, share)


def beside(name: str, call: Call) -> Call:
    """Something lies there already."""

    def do(folder: Path) -> object:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"mine")
        return call(folder)

    return do


def images(*shape: int, value: float = 0.5, **asked: Any) -> Call:
    return lambda _: tiny()(torch.full(shape, value), **asked)


def attend(query: Any, key: Any, scale: float = 0.5, sizes: Any = None) -> Call:
    return lambda _: AttentionOperator(query, key, scale, sizes)


def frames(**change: Any) -> Call:
    """A sequence of two frames with one part replaced."""
    eye = torch.eye(3, dtype=torch.float64)
    parts = {
        "images": torch.zeros(2, 3, 4, 4),
        "extrinsics": torch.cat([eye, torch.zeros(3, 1)], 1).expand(2, 3, 4),
        "intrinsics": eye.expand(2, 3, 3),
        "depth": torch.ones(2, 4, 4),
    }
    return lambda _: Sequence("s", **(parts | change))


def params(**change: Any) -> Call:
    return lambda _: replace(Params(), **change)


def asked(**given: Any) -> Call:
    return lambda _: records.key(ONE_RUN, given)


ROW = "0 0 0 0 0 0 0 1\n"
LAYOUT = TokenLayout(frames=2, patches_high=2, patches_wide=2, special=2)
ZERO = torch.zeros(1)

CASES: dict[str, tuple[Call, str]] = {
    # what a run is asked for
    "no frames": (params(frames=0), "frames must be at least 1, got 0"),
    "negative strength": (params(m=-0.1), r"m must lie in \[0, 1\), got -0.1"),
    "strength of one": (params(m=1.0), r"m must lie in \[0, 1\), got 1"),
    "strength not a number": (params(m=float("nan")), r"m must lie in \[0, 1\), got nan"),
    "unknown rule": (params(rule="tome"), "rule must be one of .*'fastvggt'.* got 'tome'"),
    "scale in words": (params(logit_scale="strong"), "logit scale 'strong': write 'none'"),
    "scale of zero": (lambda _: parse_scale("0"), "logit scale '0'|must be positive and finite, got 0"),
    "device of Apple": (params(device="mps"), "device is 'mps'; on this machine it can be cpu"),
    "device by nickname": (params(device="gpu"), "device is 'gpu'; on this machine it can be cpu"),
    "absent GPU": (params(device="cuda:99"), "device is 'cuda:99'; on this machine it can be cpu"),
    "unknown setting": (lambda _: Setting.parse("tome 0.5"), "tome"),
    # names of scenes
    "empty scene": (lambda _: open_scene("", 2, 28, 14), "''.* it is empty"),
    "blank scene": (lambda _: open_scene("  ", 2, 28, 14), "'  '.* it is empty"),
    "zero byte in a scene": (
        lambda _: open_scene("a\0b", 2, 28, 14),
        r"'a\\x00b' cannot be .* it has a zero byte",
    ),
    "room without number": (lambda _: open_scene("rooms:", 2, 28, 14), "as in rooms:7"),
    "room with a word": (lambda _: open_scene("rooms:x", 2, 28, 14), "'rooms:x': write .* as in rooms:7"),
    "negative room": (lambda _: open_scene("rooms:-1", 2, 28, 14), "'rooms:-1': write .* as in rooms:7"),
    "range of rooms": (lambda _: open_scene("rooms:0-3", 2, 28, 14), "several rooms; this run takes one"),
    "backward range": (lambda _: single_scenes("rooms:5-2"), "range 5-2 ends before it begins"),
    "unknown walk": (lambda _: walk("slow", 0, 2, 28), r"one of \('rooms', .* got 'slow'"),
    "folder not there": (lambda t: open_scene(f"{t}/no", 2, 28, 14), "no is not there; give a folder"),
    "file for a folder": (
        beside("a.txt", lambda t: open_scene(f"{t}/a.txt", 2, 28, 14)),
        r"a\.txt is a file; give a folder",
    ),
    "piece beyond": (lambda t: open_scene(f"{t}/n#5/4", 2, 28, 14), "pieces are numbered from 0"),
    "all pieces": (lambda t: open_scene(f"{photos(t)}#3", 1, 28, 14), r"takes one, as in .*#0/3"),
    "more frames than photographs": (
        lambda t: open_scene(str(photos(t)), 9, 28, 14),
        "9 frames asked for, but there are 3",
    ),
    "room of no size": (lambda _: render_sequence(0, 2, 0, 4), "at least 1 x 1 pixels, got 0 x 4"),
    "room of no frames": (lambda _: render_sequence(0, 0, 4, 4), "frames must be >= 1"),
    "unknown split": (lambda _: render_sequence(0, 1, 4, 4, split="dev"), "split must be one of .*'dev'"),
    "room too narrow": (lambda _: RoomStyle(half_side=(0.1, 0.2)), "wider than four clearances"),
    # photographs
    "empty folder": (lambda t: open_recording(t), "does not hold images .*; give the folder of the images"),
    "no images": (beside("a.docx", lambda t: open_recording(t)), r"only \.docx files"),
    "text for an image": (spoilt("1.png", b"hello"), r"1\.png is not a readable image"),
    "image of no bytes": (spoilt("1.png", b""), r"1\.png is not a readable image"),
    "image cut short": (spoilt("1.png", b"\x89PNG\r\n\x1a\n" + bytes(20)), r"1\.png is not a readable image"),
    "sizes that differ": (
        lambda t: open_recording(both(image("a.png", (8, 6)), image("b.png", (6, 8)))(t) and t),
        r"images differ in size: .*8x6, but .*6x8; make them equal",
    ),
    "32-bit image": (
        lambda t: open_recording(image("a.tif", (8, 6), "F")(t) or t),
        r"a\.tif has mode F.*save it with 8 or 16 bits",
    ),
    "link to nothing": (
        lambda t: (t / "a.png").symlink_to(t / "b") or open_recording(t),
        r"a\.png is a link to .*b, which is not there; mend or remove it",
    ),
    "two folders of images": (
        lambda t: (photos(t / "a"), photos(t / "b"), open_recording(t)),
        "holds 2 recordings; give one of them",
    ),
    "unknown layout": (lambda t: open_recording(photos(t), layout="kitti"), "layout is 'kitti'; choose one"),
    "target off the patches": (
        lambda t: open_recording(photos(t), target=30),
        "target 30 must be a positive multiple of patch_size 14",
    ),
    "height alone": (lambda t: open_recording(photos(t), height=30), "both height and width"),
    "height of zero": (lambda t: open_recording(photos(t), height=0, width=4), "at least 1, got 0 and 4"),
    "intrinsics of two rows": (
        lambda t: open_recording(photos(t), intrinsics=[[1, 0, 0], [0, 1, 0]]),
        r"finite \(3, 3\) matrix, got shape \(2, 3\)",
    ),
    "intrinsics not finite": (
        lambda t: open_recording(photos(t), intrinsics=np.full((3, 3), np.nan)),
        r"intrinsics must be a finite \(3, 3\)",
    ),
    "poses of photographs": (
        lambda t: open_recording(photos(t), need_poses=True),
        "images but no poses, and poses are needed",
    ),
    "unknown selection": (lambda _: select_frames(5, 2, "random"), "selection is 'random'; choose one of"),
    "stride of zero": (lambda _: select_frames(5, 2, stride=0), "stride 0 .* must be at least 1"),
    "one image for a list": (lambda _: crop("a.png"), r"images is a single str; give a list"),  # type: ignore[arg-type]
    "list of no images": (lambda _: pad([]), "no images: give at least one"),
    "number for an image": (lambda _: square([3]), "image 0 is a int; give a path"),  # type: ignore[list-item]
    "unknown loader": (lambda t: load_images([t / "a"], "stretch"), "choose 'crop', 'pad' or 'square'"),
    "image that is not there": (lambda t: load_images([t / "a.png"], target=28), r"no file at .*a\.png"),
    # recordings
    "pose of four numbers": (
        recording(write_scannet, put("pose/0.txt", "1 2 3 4")),
        r"0\.txt must hold a 3x3 or 4x4 matrix, got 4 numbers",
    ),
    "pose in words": (
        recording(write_scannet, put("pose/0.txt", "a b")),
        r"0\.txt is not a table of numbers",
    ),
    "pose that scales": (
        recording(write_scannet, put("pose/0.txt", "2 0 0 0 0 2 0 0 0 0 2 0 0 0 0 1")),
        r"0\.txt is not a rigid pose: .*at most 0\.01",
    ),
    "no intrinsics": (
        recording(write_scannet, gone("intrinsic/intrinsic_color.txt")),
        r"intrinsic_color\.txt is missing",
    ),
    "intrinsics of another size": (
        recording(write_scannet, put("intrinsic/intrinsic_color.txt", "99 0 90 0 99 70 0 0 1")),
        "far from the middle of .*scale it",
    ),
    "depth in colour": (
        recording(write_scannet, image("depth/0.png", (32, 24))),
        r"0\.png is not a one-channel depth image \(its mode is RGB\)",
    ),
    "depth of another shape": (
        recording(
            write_scannet, both(gone("intrinsic/intrinsic_depth.txt"), image("depth/0.png", (9, 9), "I;16"))
        ),
        r"0\.png is 9x9, another shape than its colour image",
    ),
    "all poses lost": (
        recording(write_scannet, both(*(put(f"pose/{k}.txt", "-inf " * 16) for k in range(2)))),
        "none of its 2 images has a pose: the pose files hold no finite pose.*is the folder to give",
    ),
    "no pose files": (
        recording(write_scannet, both(gone("pose"), lambda t: (t / "pose").mkdir())),
        "is not there",
    ),
    "cropped 7-Scenes": (
        recording(
            write_seven_scenes, both(*(image(f"frame-00000{k}.color.png", (40, 40)) for k in range(2)))
        ),
        "40x40, but its cameras are known for 640x480.*give the images as they were recorded",
    ),
    "no trajectory": (recording(write_tum, gone("groundtruth.txt")), r"groundtruth\.txt is missing"),
    "clocks apart": (
        recording(write_tum, put("groundtruth.txt", "5 " + ROW[2:])),
        r"995 s apart or more, allowed are 0\.02 s: are both in seconds, of one clock",
    ),
    "list with a word too many": (
        recording(write_tum, put("rgb.txt", "1000.0 rgb/1000.000000.png x")),
        r"rgb\.txt, line 1: 1 words expected after the time stamp, got 2",
    ),
    "time in words": (recording(write_tum, put("rgb.txt", "noon rgb/a.png")), r"rgb\.txt, line 1: could not"),
    "listed image missing": (
        recording(write_tum, put("rgb.txt", "1000.0 rgb/none.png")),
        r"no file at .*none\.png",
    ),
    "list in Latin-1": (recording(write_tum, put("rgb.txt", b"# caf\xe9")), r"rgb\.txt is not text in UTF-8"),
    # sequences and the network
    "image values of 255": (frames(images=torch.full((2, 3, 4, 4), 255.0)), r"images must lie in \[0, 1\]"),
    "images of integers": (
        frames(images=torch.zeros(2, 3, 4, 4).int()),
        "must be floating point, got torch.int32",
    ),
    "cameras that scale": (frames(extrinsics=torch.ones(2, 3, 4)), "extrinsics must hold rotations"),
    "one camera too few": (frames(extrinsics=torch.zeros(1, 3, 4)), r"shape \(2, 3, 4\), got \(1, 3, 4\)"),
    "focal length of zero": (frames(intrinsics=torch.zeros(2, 3, 3)), "focal lengths must be positive"),
    "negative depth": (
        frames(depth=-torch.ones(2, 4, 4)),
        r"depth must lie in \[0, inf\], got values from -1",
    ),
    "frame outside": (lambda t: frames()(t).take([2]), r"in \[-2, 2\), got \[2\]"),  # type: ignore[attr-defined]
    "images without frames": (images(3, 24, 24), r"must be \(S, 3, H, W\) or .* got \(3, 24, 24\)"),
    "height off the patches": (images(1, 3, 25, 24), "image height 25 is not a multiple of the patch size"),
    "images in bytes": (images(1, 3, 24, 24, value=255.0), "divide by 255"),
    "images of NaN": (images(1, 3, 24, 24, value=float("nan")), "images contain NaN"),
    "unknown head": (
        images(1, 3, 24, 24, heads=("flow",)),
        r"heads \['flow'\] are not in this model; it has",
    ),
    "head as text": (images(1, 3, 24, 24, heads="depth"), r"such as \('depth',\), got the string"),
    "merging from nowhere": (images(1, 3, 24, 24, merging_start=99), r"merging_start must be in 0\.\."),
    "chunk of nothing": (images(1, 3, 24, 24, frames_chunk=0), "frames_chunk must be at least 1"),
    "width off the heads": (
        lambda _: VGGTConfig(width=100, heads=3),
        "width 100 is not a multiple of heads 3",
    ),
    "unknown field": (lambda _: VGGTConfig.from_dict({"widht": 3}), r"no field \['widht'\]; fields:"),
    "estimate of no frames": (lambda _: estimate_memory(tiny_config(), 0, 28, 28), "at least one frame"),
    "too little memory": (
        lambda _: require_memory(estimate_memory(tiny_config(), 99, 280, 280), available=1),
        "Use fewer frames, smaller images",
    ),
    # checkpoints
    "checkpoint not there": (
        lambda t: checkpoint.load(t / "w.pt"),
        r"no checkpoint at .*w\.pt.*give a \.safetensors",
    ),
    "checkpoint of a picture": (weights("w.jpg", b"x"), r"w\.jpg has an unknown suffix; known:"),
    "empty checkpoint": (weights("w.pt", b""), r"w\.pt is (truncated|no readable)"),
    "text for a checkpoint": (weights("w.pt", b"hello world"), r"w\.pt is"),
    "web page for a checkpoint": (
        weights("w.pt", b"<!DOCTYPE html>"),
        "a web page in the place of the weights",
    ),
    "pointer for a checkpoint": (
        weights("w.safetensors", b"version https://git-lfs.github.com/spec/v1\n"),
        "Git LFS pointer .*git lfs pull",
    ),
    "checkpoint cut short": (
        weights("w.safetensors", b"\x40" + bytes(9)),
        "truncated or no safetensors file",
    ),
    "checkpoint with code": (
        weights("w.bin", pickle.dumps(Harmful())),
        "was not loaded, because that can run code",
    ),
    "list for a checkpoint": (saved([1, 2]), "holds a list, not a mapping of names to tensors"),
    "numbers for tensors": (saved({"a": 1}), "entries that are not named tensors: a"),
    "integers for weights": (saved({"a": torch.ones(2, dtype=torch.int64)}), "holds integers in a"),
    "a tensor missing": (state(**{"aggregator.camera_token": None}), "lacks aggregator.camera_token"),
    "a tensor too many": (state(extra=ZERO), "has extra that the model has no place for"),
    "a tensor of another shape": (
        state(**{"aggregator.camera_token": ZERO}),
        r"aggregator.camera_token \(1,\) instead",
    ),
    "weights of NaN": (
        state(**{"aggregator.camera_token": torch.full_like(tiny().aggregator.camera_token, float("nan"))}),
        "aggregator.camera_token",
    ),
    "list of shards in words": (
        weights("m.safetensors.index.json", b"{}"),
        "not the list of a sharded checkpoint",
    ),
    "a shard missing": (
        weights("m.safetensors.index.json", json.dumps({"weight_map": {"a": "m-1.safetensors"}}).encode()),
        r"lists m-1\.safetensors, not there beside it; download the rest",
    ),
    "weights to a pickle": (
        lambda t: checkpoint.save(tiny(), t / "w.pt"),
        r"saved as \.safetensors, got 'w\.pt'",
    ),
    "NaN to a checkpoint": (nan_model, "the model"),
    "metadata of a pickle": (
        lambda t: (torch.save({}, t / "w.pt"), checkpoint.read_metadata(t / "w.pt")),
        "only those carry metadata",
    ),
    # merging
    "rule of strength one": (lambda _: FastVGGTRule(1.0), "got 1.0"),
    "stride of nothing": (lambda _: FastVGGTRule(0.5, stride=0), "stride must be at least 1, got 0"),
    "protection beyond one": (
        lambda _: FastVGGTRule(0.5, protect=1.5),
        r"protect must lie in \[0, 1\), got 1.5",
    ),
    "similarity in eight bits": (lambda _: FastVGGTRule(0.5, similarity="fp8"), "one of .* got 'fp8'"),  # type: ignore[arg-type]
    "grid of two minds": (lambda _: KeyValueGridRule(m=0.5, stride=2), "give either m or stride"),
    "negative tolerance": (lambda _: AdaptiveRule(-1.0), r"tolerance must lie in \[0, 4\], got -1.0"),
    "strength out of reach": (
        lambda _: UniformRule(0.99).plan(torch.randn(1, LAYOUT.tokens, 4), LAYOUT),
        r"m = 0\.99 is out of reach.*the largest m for this layout is",
    ),
    "features of other tokens": (
        lambda _: UniformRule(0.5).plan(torch.randn(1, 3, 4), LAYOUT),
        r"expected features of shape \(B, 12, C\).*got \(1, 3, 4\)",
    ),
    "layout of no frames": (lambda _: TokenLayout(0, 2, 2, 1), "frames must be at least 1, got 0"),
    # spectra and particles
    "keys of another width": (
        attend(torch.ones(3, 4), torch.ones(3, 5)),
        r"\(3, 4\) and key \(3, 5\) must be",
    ),
    "logits scaled by zero": (attend(torch.ones(3, 4), torch.ones(3, 4), 0.0), "scale = 0.0 must be > 0"),
    "two precisions": (attend(torch.ones(3, 4), torch.ones(3, 4).double()), "must agree"),
    "a size too few": (
        attend(torch.ones(3, 4), torch.ones(3, 4), 0.5, torch.ones(2)),
        r"must be \(3,\), one per key",
    ),
    "spectrum of nothing": (lambda _: Measures.of(torch.zeros(3)), "all singular values are 0"),
    "spectrum of NaN": (lambda _: Measures.of(torch.full((3,), float("nan"))), "must be finite"),
    "budget of no passes": (lambda _: Budget(passes=0), "passes ≥ 3"),
    "negative temperature": (lambda _: Layer(beta=-1.0, step=0.1), "beta -1.0 must be finite and at least 0"),
    "unknown norm": (lambda _: Layer(1.0, 0.1, norm="layer"), "norm 'layer' must be 'post', 'pre'"),  # type: ignore[arg-type]
    "cosine out of reach": (lambda _: equiangular_cloud(3, -0.9), "cosine -0.9 must lie in -0.5"),
    "labels with gaps": (lambda _: groups_of(torch.tensor([0, 2]), True), "without gaps; 1 of them"),
    "a mass too few": (
        lambda _: simulate(torch.eye(3), Layer(1.0, 0.1), 1, mass=torch.ones(2)),
        r"mass has shape \(2,\); give one weight per token, \(3,\)",
    ),
    # errors of cameras, depth and points
    "unknown convention": (scored(poses(), convention="kitti"), "convention is 'kitti'; choose one of"),
    "a pose too few": (scored(poses(3)), "3 estimated poses but 4 true ones; give one for each frame"),
    "poses of NaN": (scored(poses(x=np.nan)), r"NaN or infinite values in frames \[1\]; leave them out"),
    "a pose that scales": (scored(poses(r=2.0)), "estimate of frame 1 is not a rotation"),
    "two poses": (scored(poses(2), poses(2)), "at least 3 points, got 2"),
    "a camera that stands": (scored(poses(still=1.0)), "estimated points coincide"),
    "a camera on a line": (scored(poses(line=1.0)), "lie on one line.*use more varied frames"),
    "delta of zero": (scored(poses(), delta=0), r"delta is 0; with 4 poses it must lie in \[1, 3\]"),
    "poses as vectors": (scored(np.zeros((4, 7))), r"must be \(S, 3, 4\) or \(S, 4, 4\).* got \(4, 7\)"),
    "unknown scale of depth": (
        lambda _: metrics.depth_errors(np.ones((2, 2)), np.ones((2, 2)), scale="mean"),
        "scale is 'mean'; choose 'none' or 'median'",
    ),
    "no depth": (lambda _: metrics.depth_errors(np.ones((2, 2)), np.zeros((2, 2))), "no valid pixel"),
    "depth of NaN": (
        lambda _: metrics.depth_errors(np.full((2, 2), np.nan), np.ones((2, 2))),
        "the estimate holds 4 NaN or infinite values",
    ),
    "mask of another shape": (
        lambda _: metrics.depth_errors(np.ones((2, 2)), np.ones((2, 2)), mask=np.ones(3, bool)),
        r"mask is \(3,\); it must be \(2, 2\)",
    ),
    "cloud of no points": (
        lambda _: metrics.chamfer(np.zeros((0, 3)), np.zeros((1, 3))),
        r"a cloud \(n >= 1, 3\)",
    ),
    "points of two numbers": (
        lambda _: metrics.point_errors(np.ones((4, 2)), np.ones((4, 2))),
        r"points must be \(\.\.\., 3\), got \(4, 2\)",
    ),
    # trajectories of others
    "trajectory not there": (
        lambda t: read_trajectory_file(t / "a.txt"),
        r"a\.txt is not there; give a file",
    ),
    "trajectory of nothing": (text("a.txt", "# nothing\n"), r"a\.txt holds no pose: it is empty"),
    "trajectory in words": (text("a.txt", "x y z\n"), r"begins with 'x y z', 3 words: none of tum, kitti"),
    "unknown format": (text("a.txt", ROW, kind="bag"), "format is 'bag'; choose one of tum, kitti"),
    "TUM with a word missing": (text("a.txt", ROW + "1 0 0\n"), r"a\.txt, line 2: 7 words expected"),
    "quaternion of zeros": (text("a.txt", "0 " * 8 + "\n"), "all 1 are missing, not finite or zero"),
    "KITTI of eleven": (text("a.txt", "1 " * 11, kind="kitti"), r"a\.txt, line 1: 12 numbers expected"),
    "KITTI of NaN": (text("a.txt", "nan " * 12), r"a\.txt: pose 0 \(from 0\) is not finite"),
    "matrix of three lines": (text("a.txt", "1 0 0 0\n" * 3), "3 lines of four numbers; a pose has four"),
    "COLMAP without lines of points": (
        text("images.txt", "1 1 0 0 0 0 0 0 1 a.jpg\n2 1\n3 1 0\n"),
        r"images\.txt, line 3: IMAGE_ID QW QX",
    ),
    "trajectories without clock": (
        lambda _: pair(trajectory(), trajectory(), "time"),
        "the truth has no time stamps",
    ),
    "trajectories without names": (
        lambda _: pair(trajectory(), trajectory(), "name"),
        "has no names of images",
    ),
    "trajectories of two clocks": (
        lambda _: pair(trajectory([0.0, 1.0]), trajectory([9.0])),
        r"the nearest are 8 s apart.*give an offset",
    ),
    "other names": (
        lambda _: pair(trajectory(names=("a.jpg",)), trajectory(names=("b.jpg",))),
        "the truth has 'a.jpg', the estimate 'b.jpg'",
    ),
    "other lengths": (lambda _: pair(trajectory(), trajectory([0.0])), "3 true and 1 estimated poses"),
    "unknown pairing": (
        lambda _: pair(trajectory(), trajectory(), "magic"),
        "pairing is 'magic'; choose one",
    ),
    "negative difference": (
        lambda _: pair(trajectory([0.0]), trajectory([0.0]), max_difference=-1.0),
        "max_difference -1.0 must be at least 0",
    ),
    # results
    "results over something": (beside("out/mine", results), "holds something already; give another folder"),
    "results over a file": (beside("out", results), "holds something already; give another folder"),
    "results in a file": (
        beside("a", lambda t: results(t, where="a/out")),
        "cannot be written: Not a directory",
    ),
    "no points": (lambda t: results(t, share=0.0), r"share of points is 0.0; it must lie in \(0, 1\]"),
    "twice the points": (lambda t: results(t, share=2.0), r"share of points is 2.0; it must lie in \(0, 1\]"),
    # records and sweeps
    "parameter with a typing error": (asked(frame=4), "takes no parameter 'frame', .*did you mean 'frames'"),
    "words for a number": (asked(frames="many"), "parameter frames = 'many' is a str, needed is a int"),
    "number as YAML text": (asked(m="1e-3"), "a number like 1e-3 is text in YAML, write 1.0e-3"),
    "number for a scene": (asked(scene=7), "scene = 7 is a int, needed is a str; with papermill, -r"),
    "scene that is not there": (asked(scene="no/such/folder"), "no/such/folder is not there; give a folder"),
    "experiment that is not there": (lambda _: records.key("book/runs/no.ipynb", {}), r"no\.ipynb"),
    "result that never ran": (
        lambda _: records.load(ONE_RUN, frames=3),
        "it never ran. Run `python -m lib.sweep",
    ),
    "measurement without unit": (lambda _: finished(size=(1.0, "")), "'size' has no unit; give '1'"),
    "measurement of NaN": (lambda _: finished(size=(float("nan"), "m")), "is not finite; record None"),
    "sweep of no notebook": (lambda _: sweep.plan("lib.run", {}), "lib.run is no notebook; give a path"),
    "axis without values": (
        lambda _: sweep.grid({"seed": []}),
        "axis seed has no value, needed is at least one",
    ),
    "axes beside a file": (lambda _: asked_for("a.yml", [["m", "0"]]), r"a\.yml says what to run; .* -p m"),
    "file of a sweep not there": (lambda _: asked_for("a.yml", []), r"no sweep a\.yml; give a path from"),
    "axis given twice": (lambda _: given([["m", "0"], ["m", "1"]]), "-p m is given twice"),
    "value that is no YAML": (lambda _: given([["m", "[1,"]]), r"-p m: cannot read \[1,"),
    "no run at a time": (lambda _: sweep.run([], workers=0), "0 runs at a time, needed is at least 1"),
    "declaration of another form": (
        beside("a.yml", lambda t: ((t / "a.yml").write_text("- 1"), sweep.declared(t))),
        r"a\.yml: an entry needs `notebook`",
    ),
    # training
    "option without value": (lambda _: parse_config(["steps"]), "options are name=value, got 'steps'"),
    "unknown option": (lambda _: parse_config(["step=3"]), r"unknown training options \['step'\]; known"),
    "frames the wrong way round": (
        lambda _: parse_config(["least_frames=9", "most_frames=2"]),
        "need 1 <= least_frames <= most_frames",
    ),
    "damaged checkpoint of a training": (
        beside("step-000000001-00.pt", lambda t: load_checkpoint(t / "step-000000001-00.pt")),
        "is damaged: its 4 bytes do not match its name; delete it",
    ),
    "export of nothing": (
        lambda t: export_weights(t, t / "w.safetensors"),
        "train first: python -m lib.train",
    ),
}


def finished(**measurements: Any) -> object:
    """A run that ends with these measurements."""
    return records.begin(ONE_RUN, {}).finish(measurements)


PARTIAL = (".tmp", ".partial")
WRITERS = {  # what may lie in the folder after a call that was to write something
    **dict.fromkeys(("NaN to a checkpoint", "weights to a pickle", "export of nothing"), frozenset[str]()),
    **dict.fromkeys(("no points", "twice the points"), frozenset[str]()),
    **{"results over something": {"mine"}, "results over a file": {"out"}, "results in a file": {"a"}},
}


def told(name: str, folder: Path) -> tuple[BaseException | None, set[str]]:
    """The error that bad input led to, and the names of the files that lie there afterwards."""
    error: BaseException | None = None
    try:
        CASES[name][0](folder)
    except BaseException as caught:
        error = caught
    return error, {path.name for path in folder.rglob("*") if path.is_file()}


def test_the_table_is_long() -> None:
    assert len(CASES) >= 100


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_error_with_a_way_out(name: str, tmp_path: Path) -> None:
    error, left = told(name, tmp_path)
    kind, said = type(error), str(error)
    assert kind.__module__.split(".")[0] == "lib" or kind in (ValueError, FileNotFoundError), repr(error)
    assert re.search(CASES[name][1], said), said
    assert "\n" not in said
    assert not any(file.startswith(".") or file.endswith(PARTIAL) for file in left)
    assert name not in WRITERS or left == WRITERS[name]


if __name__ == "__main__":
    with reader_may_leave():
        for case in CASES:
            with tempfile.TemporaryDirectory() as empty:
                print(f"{case}: {str(told(case, Path(empty))[0]).replace(empty, '')}")

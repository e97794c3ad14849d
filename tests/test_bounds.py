"""What lies on a bound is good input, and the next value beyond it is not: a table over the public surface.

How bad input is told is the matter of test_bad_input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_models import tiny_config, tiny_vggt

from lib.dynamics import Layer
from lib.merging import FastVGGTRule, Setting, TokenLayout
from lib.merging.adaptive import AdaptiveRule
from lib.merging.grid import KeyValueGridRule
from lib.merging.placement import apportion
from lib.merging.plan import check_strength
from lib.merging.split import SplitRule
from lib.merging.uniform import UniformRule
from lib.metrics.cameras import trajectory_errors
from lib.scenes import preprocessing
from lib.scenes.consistency import vga_shrink
from lib.scenes.names import single_scenes
from lib.scenes.recordings import select_frames
from lib.scenes.rooms import RoomStyle, render_sequence, room_seed
from lib.scenes.sequence import Sequence
from lib.spectra import AttentionOperator, DenseOperator, KrylovBasis, Measures, rademacher
from lib.spectra.exact import frame_pooled
from lib.vggt import FixedScale, LengthScale, SinkScale
from lib.vggt.memory import InsufficientMemoryError, estimate_memory, require_memory
from lib.vggt.tracks import batched_points

BELOW_ONE = float(np.nextafter(1, 0))
LITTLE = float(np.nextafter(0, 1))
LAYOUT = TokenLayout(frames=4, patches_high=2, patches_wide=3, special=2)
EYE = torch.eye(4, dtype=torch.float64)


def merged(rule: Any, layout: TokenLayout = LAYOUT) -> object:
    generator = torch.Generator().manual_seed(0)
    return rule.plan(torch.randn(1, layout.tokens, 4, generator=generator), layout)


def pictures(**changes: torch.Tensor) -> Sequence:
    return Sequence("made", **({"images": torch.zeros(1, 3, 1, 1)} | changes))


def focal(length: float) -> torch.Tensor:
    """Intrinsics of one camera with this focal length, pixels."""
    found = torch.eye(3, dtype=torch.float64)[None].clone()
    found[0, 0, 0] = length
    return found


def turned(length: float) -> torch.Tensor:
    """A camera whose first axis has this squared length, so that R Rᵀ differs from 1 by that less 1."""
    camera = torch.eye(3, 4, dtype=torch.float64)[None].clone()
    camera[0, 0, 0] = length**0.5
    return camera


def shown(value: float) -> object:
    images = torch.full((1, 3, 16, 16), 0.5)
    images[0, 0, 0, 0] = value
    return tiny_vggt(seed=0)(images, heads=())


def fits(device: str, margin: float, short: int = 0) -> None:
    estimate = estimate_memory(tiny_config(), 1, 16, 16)
    require_memory(estimate, device, available=round(margin * estimate.activations) - short)


def walked(frames: int, **options: Any) -> object:
    rng = np.random.default_rng(0)
    poses = np.tile(np.eye(4), (frames, 1, 1))[:, :3]
    poses[:, :, 3] = rng.normal(size=(frames, 3))
    return trajectory_errors(poses, poses, **options)


def uniform_most() -> float:
    return UniformRule(0.1).largest_m(LAYOUT)


def picture(width: int, height: int) -> list[Image.Image]:
    return [Image.new("RGB", (width, height))]


# name -> on the bound, beyond it
TABLE: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "no strength": (lambda: check_strength(0.0), lambda: check_strength(-LITTLE)),
    "all but all strength": (lambda: check_strength(BELOW_ONE), lambda: check_strength(1.0)),
    "stride of the uniform rule": (lambda: UniformRule(0.1, stride=1), lambda: UniformRule(0.1, stride=0)),
    "region of one frame": (lambda: UniformRule(0.1, region=1), lambda: UniformRule(0.1, region=0)),
    "one dimension": (lambda: UniformRule(0.1, metric_width=1), lambda: UniformRule(0.1, metric_width=0)),
    "64 dimensions": (lambda: UniformRule(0.1, metric_width=64), lambda: UniformRule(0.1, metric_width=65)),
    "largest m of the uniform rule": (
        lambda: merged(UniformRule(uniform_most())),
        lambda: merged(UniformRule(uniform_most() + 1 / LAYOUT.tokens)),
    ),
    "largest m of the grid": (
        lambda: merged(KeyValueGridRule(18 / 32)),
        lambda: merged(KeyValueGridRule(19 / 32)),
    ),
    "all keys but one": (
        lambda: merged(KeyValueGridRule(31 / 32).unprotected()),
        lambda: merged(KeyValueGridRule(0.999).unprotected()),
    ),
    "stride of the grid": (lambda: KeyValueGridRule(stride=1), lambda: KeyValueGridRule(stride=0)),
    "stride of FastVGGT": (lambda: FastVGGTRule(0.5, stride=1), lambda: FastVGGTRule(0.5, stride=0)),
    "nothing protected": (lambda: FastVGGTRule(0.5, protect=0.0), lambda: FastVGGTRule(0.5, protect=-LITTLE)),
    "nearly all protected": (
        lambda: FastVGGTRule(0.5, protect=BELOW_ONE),
        lambda: FastVGGTRule(0.5, protect=1.0),
    ),
    "no tolerance": (lambda: AdaptiveRule(0.0), lambda: AdaptiveRule(-LITTLE)),
    "opposite tokens": (lambda: AdaptiveRule(4.0), lambda: AdaptiveRule(float(np.nextafter(4, 5)))),
    "no queries merged": (lambda: SplitRule(0.5, query_m=0.0), lambda: SplitRule(0.5, query_m=-LITTLE)),
    "queries as keys": (lambda: SplitRule(0.5, query_m=0.5), lambda: SplitRule(0.5, query_m=0.51)),
    "queries of one frame": (lambda: SplitRule(0.5, region=1), lambda: SplitRule(0.5, region=0)),
    "setting of nothing": (lambda: Setting(m=0.0), lambda: Setting(m=-LITTLE)),
    "setting of nearly all": (lambda: Setting(m=BELOW_ONE), lambda: Setting(m=1.0)),
    "a little written": (lambda: Setting.parse(f"uniform {LITTLE}"), lambda: Setting.parse("uniform 0")),
    "nearly all written": (lambda: Setting.parse(f"uniform {BELOW_ONE}"), lambda: Setting.parse("uniform 1")),
    "one frame of one patch": (lambda: TokenLayout(1, 1, 1, 0), lambda: TokenLayout(0, 1, 1, 0)),
    "rows of patches": (lambda: TokenLayout(1, 1, 1, 0), lambda: TokenLayout(1, 0, 1, 0)),
    "columns of patches": (lambda: TokenLayout(1, 1, 1, 0), lambda: TokenLayout(1, 1, 0, 0)),
    "special tokens": (lambda: TokenLayout(1, 1, 1, 0), lambda: TokenLayout(1, 1, 1, -1)),
    "nothing to share": (lambda: apportion(0, torch.tensor([1])), lambda: apportion(-1, torch.tensor([1]))),
    "as much as bins hold": (
        lambda: apportion(3, torch.tensor([1, 2])),
        lambda: apportion(4, torch.tensor([1, 2])),
    ),
    "infinite temperature": (lambda: Layer(0.0, 0.1), lambda: Layer(-LITTLE, 0.1)),
    "factor": (lambda: FixedScale(LITTLE), lambda: FixedScale(0.0)),
    "finite factor": (lambda: FixedScale(1e300), lambda: FixedScale(inf)),
    "training frames": (lambda: LengthScale(LITTLE), lambda: LengthScale(0.0)),
    "more than one training frame": (
        lambda: SinkScale(float(np.nextafter(1, 2)), (1.0,)),
        lambda: SinkScale(1.0, (1.0,)),
    ),
    "no clearance": (lambda: RoomStyle(clearance=LITTLE), lambda: RoomStyle(clearance=0.0)),
    "no step": (lambda: RoomStyle(step=LITTLE), lambda: RoomStyle(step=0.0)),
    "one box": (lambda: RoomStyle(boxes=1), lambda: RoomStyle(boxes=0)),
    "four clearances": (lambda: RoomStyle(clearance=0.6), lambda: RoomStyle(clearance=0.61)),
    "first room": (lambda: room_seed("test", 0), lambda: room_seed("test", -1)),
    "one pixel": (
        lambda: render_sequence(0, 1, 1, 1, stride=LITTLE),
        lambda: render_sequence(0, 1, 1, 0, stride=LITTLE),
    ),
    "a room stands still": (
        lambda: render_sequence(0, 1, 1, 1),
        lambda: render_sequence(0, 1, 1, 1, stride=0),
    ),
    "range of one room": (lambda: single_scenes("rooms:2-2"), lambda: single_scenes("rooms:2-1")),
    "as many frames as there are": (lambda: select_frames(5, 5), lambda: select_frames(5, 6)),
    "one frame": (lambda: select_frames(1, 1), lambda: select_frames(1, 0)),
    "one available": (lambda: select_frames(1), lambda: select_frames(0)),
    "one patch": (
        lambda: preprocessing.crop(picture(4, 4), target=14),
        lambda: preprocessing.crop(picture(4, 4), target=7),
    ),
    "patch of a pixel": (
        lambda: preprocessing.crop(picture(4, 4), target=1, patch_size=1),
        lambda: preprocessing.crop(picture(4, 4), target=1, patch_size=0),
    ),
    "canvas of the same height": (
        lambda: preprocessing.pad_centred(torch.zeros(3, 2, 2), 2, 3, 1.0),
        lambda: preprocessing.pad_centred(torch.zeros(3, 2, 2), 1, 3, 1.0),
    ),
    "canvas of the same width": (
        lambda: preprocessing.pad_centred(torch.zeros(3, 2, 2), 3, 2, 1.0),
        lambda: preprocessing.pad_centred(torch.zeros(3, 2, 2), 3, 1, 1.0),
    ),
    "black": (pictures, lambda: pictures(images=torch.full((1, 3, 1, 1), -1e-6))),
    "white": (
        lambda: pictures(images=torch.ones(1, 3, 1, 1)),
        lambda: pictures(images=torch.full((1, 3, 1, 1), 1.0001)),
    ),
    "no depth": (
        lambda: pictures(depth=torch.zeros(1, 1, 1)),
        lambda: pictures(depth=torch.full((1, 1, 1), -1e-6)),
    ),
    "a focal length": (
        lambda: pictures(intrinsics=focal(LITTLE)),
        lambda: pictures(intrinsics=focal(0.0)),
    ),
    "nearly as wide as VGA": (
        lambda: vga_shrink(Path("seq"), 640, 471),
        lambda: vga_shrink(Path("seq"), 640, 470),
    ),
    "a rotation in few digits": (
        lambda: pictures(extrinsics=turned(1.0099)),
        lambda: pictures(extrinsics=turned(1.0101)),
    ),
    "a picture a little too dark": (lambda: shown(-0.0009), lambda: shown(-0.0011)),
    "a picture a little too light": (lambda: shown(1.0009), lambda: shown(1.0011)),
    "first block": (
        lambda: tiny_vggt(seed=0)(torch.zeros(1, 3, 16, 16), heads=(), merging_start=0),
        lambda: tiny_vggt(seed=0)(torch.zeros(1, 3, 16, 16), heads=(), merging_start=-1),
    ),
    "after the last block": (
        lambda: tiny_vggt(seed=0)(torch.zeros(1, 3, 16, 16), heads=(), merging_start=tiny_config().depth),
        lambda: tiny_vggt(seed=0)(torch.zeros(1, 3, 16, 16), heads=(), merging_start=tiny_config().depth + 1),
    ),
    "chunk of one frame": (
        lambda: tiny_vggt(seed=0)(torch.zeros(1, 3, 16, 16), heads=("depth",), frames_chunk=1),
        lambda: tiny_vggt(seed=0)(torch.zeros(1, 3, 16, 16), heads=("depth",), frames_chunk=0),
    ),
    "last layer": (
        lambda: _reading(tiny_config().depth - 1),
        lambda: _reading(tiny_config().depth),
    ),
    "first layer": (lambda: _reading(0), lambda: _reading(-1)),
    "memory that just suffices": (lambda: fits("cpu", 1.5), lambda: fits("cpu", 1.5, 1)),
    "memory of a GPU that just suffices": (lambda: fits("cuda", 1.15), lambda: fits("cuda", 1.15, 1)),
    "twice the tokens": (
        lambda: estimate_memory(tiny_config(), 1, 16, 16, kept=2.0),
        lambda: estimate_memory(tiny_config(), 1, 16, 16, kept=2.001),
    ),
    "some tokens": (
        lambda: estimate_memory(tiny_config(), 1, 16, 16, kept=0.001),
        lambda: estimate_memory(tiny_config(), 1, 16, 16, kept=0.0),
    ),
    "one query point": (
        lambda: batched_points(torch.zeros(1, 2), 1),
        lambda: batched_points(torch.zeros(0, 2), 1),
    ),
    "values that vanish": (
        lambda: Measures.of(torch.tensor([1.0, 0.0])),
        lambda: Measures.of(torch.tensor([1.0, -1e-9])),
    ),
    "as many probes as columns": (
        lambda: KrylovBasis(DenseOperator(EYE), rademacher(4, 4, 0).double()),
        lambda: KrylovBasis(DenseOperator(EYE), rademacher(4, 5, 0).double()),
    ),
    "one frame pooled": (
        lambda: frame_pooled(DenseOperator(EYE), 1),
        lambda: frame_pooled(DenseOperator(EYE), 0),
    ),
    "as many frames as tokens": (
        lambda: frame_pooled(DenseOperator(EYE), 4),
        lambda: frame_pooled(DenseOperator(EYE), 5),
    ),
    "a matrix of the limit": (
        lambda: AttentionOperator(EYE.float(), EYE.float(), 1.0).dense(limit=4),
        lambda: AttentionOperator(EYE.float(), EYE.float(), 1.0).dense(limit=3),
    ),
    "a scale": (
        lambda: AttentionOperator(EYE.float(), EYE.float(), LITTLE),
        lambda: AttentionOperator(EYE.float(), EYE.float(), 0.0),
    ),
    "three poses": (lambda: walked(3), lambda: walked(2)),
    "longest motion": (lambda: walked(4, delta=3), lambda: walked(4, delta=4)),
    "shortest motion": (lambda: walked(4, delta=1), lambda: walked(4, delta=0)),
}


def _reading(layer: int) -> object:
    head = tiny_config().depth_head
    assert head is not None
    return tiny_config(depth_head=replace(head, layers=(0, 0, 0, layer)))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", TABLE)
def test_a_bound_is_good_and_what_is_beyond_is_refused(name: str) -> None:
    on, beyond = TABLE[name]
    on()
    with pytest.raises((ValueError, InsufficientMemoryError), match=r"\w"):
        beyond()

"""The recipes for users of the original VGGT, as the page prints them, against this book's forward pass."""

import math
import re
from pathlib import Path

import pytest
import torch
from small_models import golden_vggt, tiny_vggt
from torch.nn import functional

from book.study.anchored import Anchored
from lib.vggt import LengthScale

PAGE = Path(__file__).resolve().parents[2] / "book" / "long_sequences.md"
OUTPUTS = ("pose_enc", "depth", "world_points")


@pytest.fixture(scope="module")
def recipes():
    """`anchor` and `scale_` from the cells that readers copy."""
    cells = re.findall(r"```\{code-cell\} ipython3\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names = {"math": math, "torch": torch, "functional": functional}
    for cell in cells:
        if cell.startswith(("def anchor(", "def scale_(")):
            exec(cell, names)
    return names["anchor"], names["scale_"]


def agree(recipes, model, side, trained=2, frames=6):
    anchor, scale_ = recipes
    images = torch.rand(frames, 3, side, side, generator=torch.Generator().manual_seed(0))
    tokens = model.config.layout(frames, side, side).tokens_per_frame
    plain, ours = model(images), model(images, merging=Anchored(trained))
    undo = anchor(frames, tokens, trained)
    try:
        theirs = model(images)
    finally:
        undo()
    scaled = model(images, logit_scale=LengthScale(trained))
    scale_(model, math.log(frames * tokens) / math.log(trained * tokens))
    rescaled = model(images)
    for name in OUTPUTS:
        for one, other in ((ours, theirs), (scaled, rescaled)):
            torch.testing.assert_close(getattr(one, name), getattr(other, name), atol=1e-6, rtol=1e-6)
            assert not torch.equal(getattr(one, name), getattr(plain, name))


def test_recipes_equal_our_forward(recipes):
    agree(recipes, tiny_vggt().requires_grad_(False), 16)


def test_recipes_equal_our_forward_on_golden_weights(recipes, golden, golden_config):
    model = golden_vggt(golden, golden_config, track=False).requires_grad_(False)
    agree(recipes, model, 2 * golden_config["small_vggt"]["patch_size"])

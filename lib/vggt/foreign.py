"""Checkpoints as other people's trainers leave them: in folders, wrapped, prefixed, without some heads."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from lib.vggt.config import VGGTConfig

INDEX = ".index.json"  # ends the name of the list of a sharded checkpoint
HEADS = ("camera_head", "depth_head", "point_head", "track_head")
WRAPPERS = ("model", "state_dict", "model_state_dict", "module", "net", "network", "weights")


def inside(folder: Path) -> Path:
    """The checkpoint in a folder, by the names that hubs give it; the folder itself if there is none."""
    names = ("model.safetensors", "pytorch_model.bin", "model.pt")
    files = [folder / f"{name}{end}" for name in names for end in ("", INDEX)]
    return next((file for file in files if file.is_file()), folder)


def in_place_of_weights(path: Path) -> str | None:
    """What a download left instead of weights, and what to do; None if it looks like weights."""
    with path.open("rb") as stream:
        head = stream.read(64)
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer in the place of the weights: git lfs pull"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "a web page in the place of the weights; download them again"
    return None


def unwrapped(content: Any) -> Any:
    """The weights of a training checkpoint, which keeps them one level down, or two."""
    while isinstance(content, dict):
        inner = next((content[name] for name in WRAPPERS if isinstance(content.get(name), dict)), None)
        if inner is None:
            break
        content = inner
    return content


def bare_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names without what wrappers put before them and into them (``module.``, ``model.``, ``_orig_mod.``)."""
    own = re.compile(rf"^.*?\b(?=(?:aggregator|{'|'.join(HEADS)})\.)")
    bare = {own.sub("", name.replace("_orig_mod.", "")): value for name, value in weights.items()}
    return bare if len(bare) == len(weights) else weights


def found_config(weights: Mapping[str, Tensor], path: Path) -> VGGTConfig:
    """VGGT-1B's, without the heads of which the file holds nothing; a warning names them."""
    absent = [head for head in HEADS if not any(name.startswith(f"{head}.") for name in weights)]
    if len(absent) == len(HEADS) or not absent:
        return VGGTConfig.vggt_1b()
    warnings.warn(f"{path} holds nothing of {', '.join(absent)}: the model is built without", stacklevel=3)
    heads: dict[str, Any] = dict.fromkeys(absent)
    return replace(VGGTConfig.vggt_1b(), **heads)

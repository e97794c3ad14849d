"""Checkpoints that survive a kill: written aside and renamed, named by their content, the last two kept."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from pathlib import Path
from typing import Any

import torch

KEPT = 2  # the newest and, should that be damaged, the one before it


class CorruptCheckpointError(ValueError):
    """The bytes of a checkpoint are not the ones its name promises."""


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write `state` (tensors, plain values) as the checkpoint of `step`; all but the last two are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    path = folder / f"step-{step:09d}-{_digest(content)}.pt"
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with open(partial, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
    for old in _checkpoints(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state in `path`, on the CPU; whoever takes it over moves it.

    Raises:
        CorruptCheckpointError: the content does not match the digest in the file's name.
    """
    content = path.read_bytes()
    if _digest(content) != path.stem.rsplit("-", 1)[-1]:
        raise CorruptCheckpointError(
            f"{path} is damaged: its {len(content)} bytes do not match its name; delete it"
        )
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return state


def load_latest(folder: Path) -> dict[str, Any] | None:
    """The newest sound checkpoint in `folder`, or None if there is none at all.

    A damaged one is passed over with a warning.

    Raises:
        CorruptCheckpointError: there are checkpoints and all are damaged.
    """
    paths = _checkpoints(folder)
    for path in paths:
        try:
            return load_checkpoint(path)
        except CorruptCheckpointError as error:
            warnings.warn(f"{error}; going back to the one before", stacklevel=2)
    if paths:
        raise CorruptCheckpointError(
            f"every checkpoint in {folder} is damaged: {[path.name for path in paths]}"
        )
    return None


def _checkpoints(folder: Path) -> list[Path]:
    """Newest first; the step in the name has a fixed width."""
    return sorted(folder.glob("step-*.pt"), reverse=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]

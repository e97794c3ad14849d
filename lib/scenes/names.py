"""What the name of a scene stands for: a test room, a folder, or pieces of a folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

from lib.scenes.recording_files import RecordingError
from lib.used import ROOT

KINDS = ("rooms", "longer", "denser", "large")
ROOMS = re.compile(rf"({'|'.join(KINDS)}):(\d+)(?:-(\d+))?")
_PIECES = re.compile(r"(.+)#(\d+)(?:/(\d+))?", re.DOTALL)


def located(path: str, root: Path = ROOT) -> Path:
    """Absolute; what a relative path names lies in the working folder or, if not there, in the project.

    Raises:
        RecordingError: no file can have such a name.
    """
    try:
        if not path.strip():
            raise ValueError("it is empty")
        if "\0" in path:
            raise ValueError("it has a zero byte")
        os.fsencode(path).decode()
        here = Path.cwd() / path
        return root / path if not here.exists() and (root / path).exists() else here
    except (OSError, ValueError) as error:
        raise RecordingError(f"{path!r} cannot be the path of a file or folder: {error}") from error


def anchored(path: str, root: Path = ROOT) -> str:
    """The same path in words that mean the same in every working folder; text that names nothing stays."""
    if ROOMS.fullmatch(path):
        return path
    cut = len(path) if located(path, root).exists() else len(folder_and_piece(path, root)[0])
    here = located(path[:cut], root)
    same = not here.exists() or ((root / path[:cut]).exists() and here.samefile(root / path[:cut]))
    return path if same else f"{here}{path[cut:]}"


def folder_and_piece(scene: str, root: Path = ROOT) -> tuple[str, int, int]:
    """Folder, number of the piece, and pieces: ("a", 1, 4) of "a#1/4", ("a", -1, 4) of "a#4", all four.

    A folder with "#" in its own name comes first, as ("a#4", 0, 1).

    Raises:
        RecordingError: no such piece; and as `located`.
    """
    cut = None if located(scene, root).exists() else _PIECES.fullmatch(scene)
    if cut is None:
        return scene, 0, 1
    number, pieces = (-1, int(cut[2])) if cut[3] is None else (int(cut[2]), int(cut[3]))
    if not number < pieces or pieces < 1:
        raise RecordingError(f"scene {scene!r}: pieces are numbered from 0 and there is at least one")
    return cut[1], number, pieces


def single_scenes(scene: str) -> list[str]:
    """Names of the single scenes that a name with a range stands for.

    >>> single_scenes("denser:0-2")
    ['denser:0', 'denser:1', 'denser:2']
    >>> single_scenes("kitchen#2")
    ['kitchen#0/2', 'kitchen#1/2']

    Raises:
        ValueError: a range that ends before it begins, or no pieces.
    """
    if rooms := ROOMS.fullmatch(scene):
        kind, first, last = rooms[1], int(rooms[2]), int(rooms[3] or rooms[2])
        if last < first:
            raise ValueError(f"scene {scene!r}: the range {first}-{last} ends before it begins")
        return [f"{kind}:{number}" for number in range(first, last + 1)]
    folder, number, pieces = folder_and_piece(scene)
    return [f"{folder}#{k}/{pieces}" for k in range(pieces)] if number < 0 else [scene]

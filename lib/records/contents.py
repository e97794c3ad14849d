"""What files hold, as one hash: computed once, noted, and computed again where a file has changed."""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from lib.scenes.recording_files import RecordingError

SETTLED = 2_000_000_000  # ns; a file changed within less might change again without a later time


def below(path: Path) -> Iterator[Path]:
    """The file, or every file below a folder, through links too."""
    known: set[str] = set()
    if path.is_file():
        yield path
    for folder, inner, files in os.walk(path, followlinks=True):
        if (real := os.path.realpath(folder)) in known:
            inner.clear()  # a link to a folder above
        known.add(real)
        yield from (Path(folder, file) for file in files)


def hash_path(path: Path) -> str:
    """Hash of a file's content, or of the names and contents of all files below a folder (16 hex digits)."""
    return hash_files(path, list(below(path)))


def hash_files(base: Path, files: Sequence[Path], notes: Path | None = None) -> str:
    """Hash of the names from ``base`` and the contents of files (16 hex digits).

    Args:
        notes: a folder in which the hash is noted under the sizes and times of its files, so that it is
            computed again only where one of these has changed.

    Raises:
        RecordingError: a file cannot be read.
    """
    try:
        names = sorted((os.fsencode(os.path.relpath(file, base)), file) for file in files)
        states = [(name.hex(), *_state(file)) for name, file in names]
        note = notes and notes / short(json.dumps(states).encode())
        if note and note.is_file():
            return note.read_text(encoding="ascii")
        digest = hashlib.sha256()
        for name, file in names:
            digest.update(b"" if file == base else name + b"\0")
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    except OSError as error:
        raise RecordingError(f"{base} cannot be read, so no result from it could be kept: {error}") from error
    found = digest.hexdigest()[:16]
    if note and time.time_ns() - max(_state(file)[-1] for file in files) > SETTLED:
        with contextlib.suppress(OSError):  # a read-only project has no notes
            note.parent.mkdir(parents=True, exist_ok=True)
            replace(note, found.encode())
    return found


def replace(path: Path, content: bytes) -> None:
    """Write a file; whoever reads it sees all of it, or what was there before."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:  # on a full disk a part of it is there
        temporary.unlink(missing_ok=True)


def _state(file: Path) -> tuple[int, ...]:
    """Changes with every write: nothing sets the last, the time of the last change of state, by hand."""
    state = file.stat()
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def short(content: bytes) -> str:
    """16 hexadecimal digits of its hash."""
    return hashlib.sha256(content).hexdigest()[:16]

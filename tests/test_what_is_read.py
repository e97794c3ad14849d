"""What a run reads of a scene is what its key covers: no more, no less, through links and under any name."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_book import notebook
from test_recordings import write_image, write_scannet, write_seven_scenes, write_tum

from lib import records
from lib.records import contents, fingerprints
from lib.scenes.recording_files import RecordingError
from lib.scenes.recordings import open_recording
from lib.sweep import jobs

_opened: set[str] | None = None


def _note(event: str, args: tuple[object, ...]) -> None:
    if _opened is not None and event == "open" and isinstance(args[0], str | os.PathLike):
        _opened.add(os.path.realpath(args[0]))


sys.addaudithook(_note)


@contextmanager
def opened() -> Iterator[set[str]]:
    """Real paths of the files that are opened inside."""
    global _opened
    _opened = found = set()
    try:
        yield found
    finally:
        _opened = None


def write_photographs(folder: Path, frames: int) -> None:
    for i in range(frames):
        write_image(folder / f"{i}.bmp", i)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of one notebook that takes a scene."""
    root = tmp_path_factory.mktemp("project")
    (root / "book" / "runs").mkdir(parents=True)
    (root / "lib").mkdir()
    (root / "lib" / "__init__.py").touch()
    cells = ("scene = 'rooms:0'\nmodel = 'mini'\nm = 0.5", "m")
    (root / "book" / "runs" / "one.ipynb").write_text(notebook(*cells), encoding="utf-8")
    return root


def key(project: Path, scene: Path | str, **params: object) -> str:
    return records.key("book/runs/one.ipynb", {"scene": str(scene), **params}, project)


def change(file: Path) -> None:
    """Another last byte, at the same size and with the old time of modification."""
    content, state = file.read_bytes(), file.stat()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


# Any character but those of paths themselves; a leading dot hides, which has a case of its own.
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
STRAYS = NAMES.flatmap(
    lambda name: st.sampled_from([f"{name}.md", f".{name}.png", f"{name}.heic.txt", f"{name}~"])
)


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(
    write=st.sampled_from([write_photographs, write_scannet, write_seven_scenes, write_tum]),
    name=NAMES.filter(lambda name: not name.startswith(".")),
    strays=st.lists(STRAYS.filter(lambda s: s not in (".", "..")), max_size=3, unique=True),
    linked=st.sets(st.integers(0, 40), max_size=4),
    whole=st.booleans(),
)
def test_a_byte_makes_stale_where_it_is_read_and_nowhere_else(
    tmp_path_factory: pytest.TempPathFactory,
    project: Path,
    write: Callable[[Path, int], object],
    name: str,
    strays: list[str],
    linked: set[int],
    whole: bool,
) -> None:
    base = tmp_path_factory.mktemp("base")
    store, scene = base / "store", base / name
    if scene == store:
        return
    scene.mkdir()
    store.mkdir()
    write(scene, 2)
    for stray in strays:
        (scene / stray).write_bytes(b"stray")
    inside = sorted(path for path in scene.rglob("*"))
    for number in linked:  # files and folders become links to another place
        path = inside[number % len(inside)]
        if path.exists() and not path.is_symlink():
            path.rename(store / str(number))
            path.symlink_to(store / str(number))
    if whole:
        scene.rename(base / "whole.")
        scene.symlink_to(base / "whole.")
    files = [Path(folder, file) for folder, _, found in os.walk(base) for file in found]
    with opened() as read:
        open_recording(scene)
    for file in {file.resolve() for file in files}:
        before = key(project, scene)
        change(file)
        assert (key(project, scene) != before) == (str(file) in read), (
            f"{file}: {'read' if str(file) in read else 'not read'}"
        )
        change(file)
        assert key(project, scene) == before


@pytest.mark.filterwarnings("ignore:.*left out")
def test_names_and_numbers_of_files_count_too(tmp_path: Path, project: Path) -> None:
    write_photographs(tmp_path, 3)
    first = key(project, tmp_path)
    (tmp_path / "2.bmp").rename(tmp_path / "3.bmp")
    renamed = key(project, tmp_path)
    (tmp_path / "3.bmp").unlink()
    assert len({first, renamed, key(project, tmp_path)}) == 3


def test_a_scene_is_the_same_from_every_working_folder(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photographs(tmp_path / "mine", 2)
    monkeypatch.chdir(tmp_path)
    here = records.provenance("book/runs/one.ipynb", {"scene": "mine"}, project)
    assert here.params["scene"] == str(tmp_path / "mine") and str(tmp_path / "mine") in here.inputs
    assert (
        records.provenance("book/runs/one.ipynb", {"scene": "mine#2"}, project)
        .params["scene"]
        .endswith("mine#2")
    )
    monkeypatch.chdir(tmp_path / "mine")
    assert key(project, "../mine") == key(project, f"{tmp_path}/mine/../mine")
    with pytest.raises(RecordingError, match="is not there; give a folder"):
        key(project, "mine")
    write_photographs(project / "data" / "photos", 1)
    assert (
        records.provenance("book/runs/one.ipynb", {"scene": "data/photos"}, project).params["scene"]
        == "data/photos"
    )


def test_weights_beside_the_working_folder_are_hashed(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.pt").write_bytes(b"weights")
    Path("sharded").mkdir()
    for name in ("model.safetensors.index.json", "model-1.safetensors"):
        Path("sharded", name).write_bytes(b"{}")
    for model, file in (
        ("mine.pt", "mine.pt"),
        ("sharded", "sharded/model-1.safetensors"),
        ("sharded/model.safetensors.index.json", "sharded/model-1.safetensors"),
    ):
        before = key(project, "rooms:0", model=model)
        change(Path(file))
        assert key(project, "rooms:0", model=model) != before, model


@pytest.mark.parametrize("name", ["shoot#1", "rooms: 7", "mini"])
def test_a_literal_name_is_what_is_hashed(tmp_path: Path, project: Path, name: str) -> None:
    for folder in (name, "shoot"):
        write_photographs(tmp_path / folder, 1)
    before = key(project, tmp_path / name)
    change(tmp_path / "shoot" / "0.bmp")
    assert key(project, tmp_path / name) == before
    change(tmp_path / name / "0.bmp")
    assert key(project, tmp_path / name) != before


@pytest.mark.parametrize("what", ["nowhere", "empty", "file", "broken"])
def test_a_scene_that_cannot_be_hashed_is_refused(tmp_path: Path, project: Path, what: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").symlink_to("a.png")
    with pytest.raises(RecordingError, match=what):
        key(project, tmp_path / what)


def test_a_sweep_hashes_a_scene_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photographs(tmp_path, 2)
    hashed: list[Path] = []
    hash_files = fingerprints.hash_files
    monkeypatch.setattr(
        fingerprints, "hash_files", lambda base, *rest: hashed.append(base) or hash_files(base, *rest)
    )
    grid = {"scene": str(tmp_path), "frames": 2, "m": [0.0, 0.3, 0.5], "seed": [0, 1]}
    assert len(jobs.plan("book/runs/one_run.ipynb", grid)) == 6
    assert hashed.count(tmp_path) == 1


def test_a_hash_is_computed_again_only_where_a_file_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "SETTLED", 0)
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_bytes(b"content")
    first = contents.hash_files(tmp_path, files, tmp_path / "notes")
    (note,) = (tmp_path / "notes").iterdir()
    note.write_text("noted")
    assert contents.hash_files(tmp_path, files, tmp_path / "notes") == "noted"
    time.sleep(0.05)  # the clock of files ticks a few hundred times a second
    change(files[1])
    assert contents.hash_files(tmp_path, files, tmp_path / "notes") not in (first, "noted")
    monkeypatch.setattr(contents, "SETTLED", 10**12)
    change(files[1])
    before = len(list((tmp_path / "notes").iterdir()))
    assert contents.hash_files(tmp_path, files, tmp_path / "notes") == first
    assert len(list((tmp_path / "notes").iterdir())) == before, "what may still change is not noted"

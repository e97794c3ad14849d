"""Records: what a result depends on, writing it in one piece, and never giving out a stale one."""

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_book import notebook

from lib import records, used
from lib.records import code, contents, experiments, fingerprints, record, store
from lib.records.fingerprints import Provenance
from lib.records.record import Quantity, Record, Run, device_name

NOTEBOOK = "book/runs/one.ipynb"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project: one notebook, a library of which it imports a part, a data file and weights."""
    files = {
        NOTEBOOK: notebook("m = 0.5\nseed = 0\nmodel = 'mini'", "from lib.deep import work\nwork(m)"),
        "lib/__init__.py": "",
        "lib/records/__init__.py": "LAYOUT = 1\n",
        "lib/deep/__init__.py": "from .work import work\nfrom lib import records\n",
        "lib/deep/work.py": "from lib.base import one\n\n\ndef work(m):\n    return m * one()\n",
        "lib/base.py": "TABLE = 'table.yml'\n\n\ndef one():\n    return 1\n",
        "lib/table.yml": "1",
        "lib/other.yml": "1",
        "lib/unrelated.py": "X = 1\n",
        "data/points.txt": "1 2 3",
        "data/weights/mini.safetensors": "weights",
        "data/measurements/old.json": "{}",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def written(root: Path, value: float = 1.5, **params: object) -> tuple[Record, Path]:
    """A finished record in the folder ``records`` of the project."""
    run = records.begin(NOTEBOOK, params, root=root)
    arrays = {"curve": np.arange(4, dtype=np.float32)}
    record = run.finish({"ate": (value, "m"), "forward": (0.3, "s")}, kept=0.5, arrays=arrays)
    return record, records.save(record, root / "records", root)


def loaded(root: Path, **params: object) -> Record:
    with used.unwatched():  # a run that reads a record depends on it; this process is run and reader in one
        return store.load_from(root / "records", root, NOTEBOOK, params)


# --- what a result depends on ---


def test_code_is_followed_through_packages_and_relative_imports(root: Path) -> None:
    files = set(code.code_hashes(NOTEBOOK, root))
    deep = {"lib/__init__.py", "lib/deep/__init__.py", "lib/deep/work.py", "lib/base.py"}
    assert files == {NOTEBOOK, "lib/table.yml"} | deep


def test_a_module_is_an_experiment_too(root: Path) -> None:
    assert set(code.code_hashes("lib.base", root)) == {"lib/base.py"}
    with pytest.raises(FileNotFoundError, match=r"lib\.nowhere"):
        code.code_hashes("lib.nowhere", root)


@pytest.mark.parametrize("name", ["run", "r", "recordings", "records_of_old"])
def test_no_module_but_the_records_themselves_is_bookkeeping(root: Path, name: str) -> None:
    """However its name begins, any other module can change a number."""
    (root / f"lib/{name}.py").write_text("X = 1\n")
    (root / "lib/user.py").write_text(f"from lib import {name}\nfrom lib.records import LAYOUT\n")
    assert set(code.code_hashes("lib.user", root)) == {"lib/__init__.py", "lib/user.py", f"lib/{name}.py"}


def test_a_file_is_known_by_sixteen_digits(root: Path) -> None:
    """More or fewer would part stored measurements from the code that made them."""
    (digest,) = code.code_hashes("lib.base", root).values()
    assert re.fullmatch("[0-9a-f]{16}", digest)


def test_what_a_key_does_not_cover_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other code of ours and files of the project; neither the bookkeeping nor what only the tests import."""
    origin = records.provenance(NOTEBOOK, {}, root)
    imported = {"lib/base.py", "lib/unrelated.py", "lib/records/__init__.py", "tests/conftest.py"}
    monkeypatch.setattr(used, "modules", lambda _: imported)
    monkeypatch.setattr(used, "files", lambda _: {"data/points.txt", "notes.txt"})
    assert fingerprints.beyond(origin, root) == ("imported lib/unrelated.py", "opened notes.txt")
    assert fingerprints.beyond(replace(origin, experiment="lib.base"), root) == ()


EDITS = [
    ("lib/base.py", "return 1", "return 2", True),
    ("lib/base.py", "    return 1", "    '''Words.'''\n    return 1  # a comment\n\n", False),
    ("lib/table.yml", "1", "2", True),
    ("lib/other.yml", "1", "2", False),
    ("lib/unrelated.py", "X = 1", "X = 2", False),
    ("lib/records/__init__.py", "LAYOUT = 1", "LAYOUT = 2", False),
    (NOTEBOOK, "work(m)", "2 * work(m)", True),
    (NOTEBOOK, "seed = 0", "seed = 1", True),
    ("data/points.txt", "1 2 3", "1 2 4", True),
    ("data/weights/mini.safetensors", "weights", "others", True),
    ("data/measurements/old.json", "{}", "[]", False),
]


@pytest.mark.parametrize(("name", "old", "new", "changes"), EDITS)
def test_the_key_changes_with_what_can_change_a_number(
    root: Path, name: str, old: str, new: str, changes: bool
) -> None:
    before = records.key(NOTEBOOK, {"m": 0.3}, root)
    text = (root / name).read_text()
    assert old in text
    (root / name).write_text(text.replace(old, new))
    assert (records.key(NOTEBOOK, {"m": 0.3}, root) != before) is changes


def test_versions_are_part_of_the_key(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = records.key(NOTEBOOK, {}, root)
    monkeypatch.setattr(fingerprints.metadata, "version", lambda package: "0.0.1")
    assert records.key(NOTEBOOK, {}, root) != before


def test_metadata_narrows_what_data_a_notebook_reads(root: Path) -> None:
    raw = json.loads((root / NOTEBOOK).read_text())
    raw["metadata"]["inputs"] = ["data/{model}*"]
    (root / NOTEBOOK).write_text(json.dumps(raw))
    (root / "data/mini-extra.txt").write_text("x")
    inputs = records.provenance(NOTEBOOK, {}, root).inputs
    assert set(inputs) == {"data/mini-extra.txt", "data/weights/mini.safetensors"}


def test_a_folder_named_by_a_parameter_counts_with_names_and_contents(root: Path, tmp_path: Path) -> None:
    scene = tmp_path / "scene"
    scene.mkdir()
    (scene / "a.png").write_bytes(b"1")
    keys = [records.key("lib.base", {"scene": "scene"}, root)]
    (scene / "a.png").write_bytes(b"2")
    keys.append(records.key("lib.base", {"scene": "scene"}, root))
    (scene / "a.png").rename(scene / "b.png")
    keys.append(records.key("lib.base", {"scene": "scene"}, root))
    assert len(set(keys)) == 3


@given(st.text(alphabet="abc#'\"\n =1", max_size=40))
def test_a_trailing_comment_never_counts(comment: str) -> None:
    source = "def f():\n    return '# kept'"
    remark = "\n".join(f"# {line}" for line in comment.split("\n"))
    assert code.significant(f"{source}\n{remark}\n") == code.significant(source)
    assert "# kept" in code.significant(source)


def test_magics_count_as_code() -> None:
    assert code.significant("%precision 3\nx = 1") != code.significant("%precision 4\nx = 1")


SOURCE = '''"""Words

of a module.
"""

import os  # why


class A:
    """One
    two."""

    x = 1

    def f(self):
        """Three."""
        return """no docstring"""


def g(): "on one line"


def h():
    """Words."""; y = 2
    return y
'''
KEPT = '''import os
class A:
    x = 1
    def f(self):
        return """no docstring"""
def g(): "on one line"
def h():
    """Words."""; y = 2
    return y'''


def test_what_is_left_of_a_source_text_by_hand() -> None:
    """A docstring that shares a line with code stays."""
    assert code.significant(SOURCE) == KEPT


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("import lib.base, os.path as p", {"lib.base", "os.path"}),
        ("from lib.base import one", {"lib.base", "lib.base.one"}),
        ("from . import work", {"lib.deep", "lib.deep.work"}),
        ("from .work import one, two", {"lib.deep.work", "lib.deep.work.one", "lib.deep.work.two"}),
        ("from ..base import one", {"lib.base", "lib.base.one"}),
    ],
)
def test_names_that_a_line_imports_into_a_package(line: str, names: set[str]) -> None:
    assert code.imported(line, "lib.deep") == names


def test_modules_of_a_package_are_followed_from_where_they_lie(root: Path) -> None:
    inits = [("lib", root / "lib/__init__.py"), ("lib.deep", root / "lib/deep/__init__.py")]
    assert code.module_files("lib.deep.work", root) == [*inits, ("lib.deep", root / "lib/deep/work.py")]
    deep = {"lib/__init__.py", "lib/deep/__init__.py", "lib/deep/work.py", "lib/base.py", "lib/table.yml"}
    assert set(code.code_hashes("lib.deep", root)) == deep
    (root / "lib/deep/user.py").write_text("from .work import work\n")
    assert set(code.code_hashes("lib.deep.user", root)) == deep | {"lib/deep/user.py"}


def test_hashes_of_files_and_folders_by_hand(tmp_path: Path) -> None:
    """Stored measurements hold them: of a file its content, of a folder names and contents in order."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(b"one")
    (tmp_path / "a").write_bytes(b"two")
    one, two = (hashlib.sha256(content).digest() for content in (b"one", b"two"))
    assert contents.hash_path(tmp_path / "a") == hashlib.sha256(two).hexdigest()[:16]
    folder = hashlib.sha256(b"a\0" + two + b"b/c\0" + one)
    assert contents.hash_path(tmp_path) == folder.hexdigest()[:16]


def test_files_below_a_folder_are_found_through_links_and_once(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for name in ("a/1", "a/b/2", "elsewhere/3"):
        (tmp_path / name).touch()
    (tmp_path / "a" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    found = sorted(path.relative_to(tmp_path / "a").as_posix() for path in contents.below(tmp_path / "a"))
    # a file beside the link upwards is met there again, what lies below it is not
    assert found == ["1", "b/2", "b/up/1", "link/3"]


def test_a_hash_is_noted_two_seconds_after_the_last_change_of_any_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a folder that is still to be made; the time of modification, which can be set, is not asked."""
    files, notes = [tmp_path / "a", tmp_path / "b"], tmp_path / "new" / "notes"
    for count, file in enumerate(files):
        file.write_bytes(b"content")
        os.utime(file, (0, 0))
        changed = file.stat().st_ctime_ns
        for wait, noted in ((2_000_000_000, count), (2_000_000_001, count + 1)):
            monkeypatch.setattr(contents.time, "time_ns", lambda now=changed + wait: now)
            contents.hash_files(tmp_path, [file], notes)
            assert len(list(notes.glob("*"))) == noted


def test_a_key_is_the_same_in_any_order_and_of_numbers_only() -> None:
    origin = Provenance("lib.run", {"a": 1, "b": 2}, {"x": "1", "y": "2"}, {}, {})
    other = replace(origin, params={"b": 2, "a": 1}, code={"y": "2", "x": "1"})
    assert origin.key == other.key and re.fullmatch("[0-9a-f]{16}", origin.key)
    with pytest.raises(ValueError, match="not JSON compliant"):
        _ = replace(origin, params={"a": float("nan")}).key


def test_what_differs_between_two_runs_is_said_in_words() -> None:
    """Also where only one of them has it."""
    old = Provenance("lib.run", {"m": 1, "n": 1}, {"a": "1", "b": "1"}, {"x": "1"}, {"numpy": "1"})
    new = Provenance("lib.other", {"m": 2, "n": 1}, {"b": "1", "c": "1"}, {"x": "2"}, {"numpy": "2"})
    said = ("experiment lib.other", "params m", "code a", "code c", "inputs x")
    assert old.changes(new) == (*said, "versions numpy")
    assert old.changes(new, versions=False) == said
    assert old.changes(old) == ()


def test_a_library_without_its_project_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"no experiment 'lib\.base'"):
        records.provenance("lib.base", {}, tmp_path)
    monkeypatch.setattr(fingerprints, "ROOT", tmp_path)
    with pytest.raises(fingerprints.NoProjectError, match="without the notebooks"):
        records.provenance("lib.base", {}, tmp_path)


def test_who_asks_for_a_key_depends_on_what_its_run_does(root: Path) -> None:
    records.key(NOTEBOOK, {"m": 0.125}, root)
    assert [
        line for line in used.dependencies(root) if line.startswith(f"run {NOTEBOOK}") and "0.125" in line
    ]


def test_blank_texts_name_nothing(root: Path) -> None:
    assert fingerprints.input_paths("lib.base", {"scene": " ", "model": ""}, root) == {}
    assert experiments.complete("lib.base", {"scene": "", "model": " "}, root) == {"scene": "", "model": " "}


@pytest.fixture
def other_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose texts are in another encoding than UTF-8 unless one is named."""
    monkeypatch.setattr(io, "text_encoding", lambda encoding, stacklevel=2: encoding or "ascii")


@pytest.mark.usefixtures("other_encoding")
def test_projects_are_in_utf_8_on_every_machine(root: Path) -> None:
    for name, line in (("lib/base.py", "WORD = 'Größe'"), (NOTEBOOK, None)):
        text = (root / name).read_text(encoding="utf-8")
        text = f"{text}\n{line}\n" if line else text.replace("work(m)", "'µ'; work(m)")
        (root / name).write_text(text, encoding="utf-8")
    raw = json.loads((root / NOTEBOOK).read_text(encoding="utf-8"))
    assert "µ" in json.dumps(raw, ensure_ascii=False)
    (root / NOTEBOOK).write_text(json.dumps(raw, ensure_ascii=False), encoding="utf-8")
    _, path = written(root)
    text = path.read_text(encoding="utf-8").replace('"m"', '"µm"')
    path.write_text(text, encoding="utf-8")
    assert loaded(root).measurements["ate"].unit == "µm"
    assert "lib/base.py" in code.code_hashes("lib.base", root)


# --- parameters ---


def test_defaults_complete_what_is_given_and_ints_become_floats(root: Path) -> None:
    full = experiments.complete(NOTEBOOK, {"m": 0}, root)
    assert full == {"m": 0.0, "seed": 0, "model": "mini"}
    assert records.key(NOTEBOOK, {"m": 0.5}, root) == records.key(NOTEBOOK, {"seed": 0}, root)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sede": 1}, "takes no parameter 'sede'.*did you mean 'seed'"),
        ({"m": "0.5"}, "m = '0.5' is a str, needed is a float"),
        ({"seed": True}, "seed = True is a bool"),
        ({"m": True}, "m = True is a bool, needed is a float"),
        ({"seed": 0.5}, "seed = 0.5 is a float, needed is a int$"),
        ({"seed": "x"}, "seed = 'x' is a str, needed is a int$"),
        ({"m": "1e-3"}, "needed is a float; a number like 1e-3 is text in YAML, write 1.0e-3$"),
        ({"model": 3}, "model = 3 is a int, needed is a str; with papermill, -r .* passes text as it is$"),
    ],
)
def test_unknown_or_mistyped_parameters_are_refused(root: Path, given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        records.key(NOTEBOOK, given, root)


def test_a_notebook_sees_what_papermill_passed(root: Path) -> None:
    passed = ["", "m = 0.5", "# Parameters\nm = 0.3\n", "OTHER = 1"]
    namespace = {"m": 0.3, "seed": 0, "model": "mini", "In": passed, "OTHER": 1}
    assert records.parameters(NOTEBOOK, namespace, root) == {"m": 0.3, "seed": 0, "model": "mini"}
    with pytest.raises(ValueError, match="takes no parameter 'M'"):
        passed[2] = "# Parameters\nM = 0.3\n"
        records.parameters(NOTEBOOK, namespace | {"M": 0.3}, root)


def test_a_default_may_be_annotated_and_one_of_none_takes_anything(root: Path) -> None:
    (root / NOTEBOOK).write_text(notebook("m: float = 0.5\nscale = None"))
    assert experiments.declared(NOTEBOOK, root) == {"m": 0.5, "scale": None}
    for value in (None, 3, "x"):
        assert experiments.complete(NOTEBOOK, {"scale": value}, root) == {"m": 0.5, "scale": value}


def test_a_notebook_without_parameters_is_refused(root: Path) -> None:
    raw = json.loads((root / NOTEBOOK).read_text())
    for cell in raw["cells"]:
        cell["metadata"] = {}
    (root / NOTEBOOK).write_text(json.dumps(raw))
    with pytest.raises(ValueError, match="0 cells are tagged 'parameters', needed is exactly one"):
        experiments.declared(NOTEBOOK, root)


def test_a_shipped_model_keeps_its_name_whatever_lies_in_the_working_folder(
    root: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(here)
    for name in ("mini", "mine"):
        (here / name).touch()
    assert experiments.complete(NOTEBOOK, {}, root)["model"] == "mini"
    assert experiments.complete(NOTEBOOK, {"model": "mine"}, root)["model"] == str(here / "mine")


def test_a_notebook_of_the_project_needs_no_root() -> None:
    name = "book/runs/one_run.ipynb"
    defaults = experiments.declared(name, records.ROOT)
    assert records.parameters(name, defaults) == defaults


@pytest.mark.parametrize("cell", ["m = 1 + x", "import os", "m, n = 1, 2", "m = 1\nm += 1"])
def test_a_parameters_cell_holds_only_literals(root: Path, cell: str) -> None:
    (root / NOTEBOOK).write_text(notebook(cell))
    with pytest.raises(ValueError, match=r"literal"):
        experiments.declared(NOTEBOOK, root)


# --- writing and reading ---


def test_what_was_written_is_read_back(root: Path) -> None:
    record, path = written(root, m=0.3, seed=7)
    back = loaded(root, m=0.3, seed=7)
    assert path.name == f"one-{record.provenance.key}.json"
    assert back["ate"] == 1.5
    assert back.measurements["ate"] == Quantity(1.5, "m")
    assert (back.kept, back.seed, back.provenance) == (0.5, 7, record.provenance)
    np.testing.assert_array_equal(back["curve"], np.arange(4, dtype=np.float32))
    with pytest.raises(KeyError, match="ate, forward, curve"):
        back["rpe"]


def test_a_gpu_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: {"cuda:1": "Large GPU"}[device])
    assert device_name("cuda:1") == "cuda:1 Large GPU"


def test_a_run_on_a_cpu_keeps_to_one_thread_unless_told_otherwise(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    monkeypatch.setattr("torch.set_num_threads", threads.append)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "GPU")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    run = records.begin(NOTEBOOK, {}, root=root)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    records.begin(NOTEBOOK, {}, root=root)
    records.begin(NOTEBOOK, {}, "cuda", root)
    assert threads == [1, 3]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", run.started)
    (root / "data/seen.txt").write_text("from here on it is noted")
    (root / "data/seen.txt").read_text()
    assert "data/seen.txt" in used.files(root)


def test_a_run_lasts_from_its_beginning_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record.time, "perf_counter", lambda: 5.0)
    run = Run(Provenance("lib.run", {}, {}, {}, {}), "cpu", "now", clock=2.0)
    made = run.finish({"best": ("none", "1"), "least": (None, "m"), "all": ([1, 2.5, None], "m")})
    assert made.seconds == 3.0 and made.kept is None and made.arrays == {}
    assert (made["best"], made["least"], made["all"]) == ("none", None, [1, 2.5, None])


def test_the_file_names_everything_it_depends_on(root: Path) -> None:
    raw = json.loads(written(root)[1].read_text())
    assert raw["weights"].keys() == {"data/weights/mini.safetensors"}
    assert raw["data"].keys() == {"data/points.txt"}
    assert {"python", "numpy"} <= raw["versions"].keys()
    assert raw["params"] == {"m": 0.5, "seed": 0, "model": "mini"}
    assert raw["device"].startswith("cpu ")
    assert raw["seconds"] > 0


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("lib/base.py", "code lib/base.py"),
        ("data/points.txt", "inputs data/points.txt"),
        ("data/weights/mini.safetensors", "inputs data/weights/mini.safetensors"),
    ],
)
def test_a_stale_record_is_an_error_that_says_what_changed(root: Path, name: str, what: str) -> None:
    written(root)
    before = (root / name).read_text()
    (root / name).write_text(before + "\nchanged = 1\n")
    with pytest.raises(records.StaleResultError, match=f"changed since the last run: {what}"):
        loaded(root)
    (root / name).write_text(before)
    assert loaded(root)["ate"] == 1.5


def test_numbers_that_are_there_already_are_left_as_they_are(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times included, so that what was drawn from them stays current; other numbers replace them."""
    monkeypatch.setattr(store, "RECORDS", root / "records")
    first, path = written(root)
    assert written(root)[1] == path
    assert loaded(root).seconds == first.seconds
    other, again = written(root, value=2.5)
    assert again == path and (loaded(root)["ate"], loaded(root).seconds) == (2.5, other.seconds)


def test_outside_the_records_a_repetition_replaces_what_was_there(root: Path) -> None:
    """Measurements of another machine keep the newest times."""
    written(root)
    second, path = written(root)
    assert store.read(path).seconds == second.seconds


def test_a_record_is_a_text_with_a_line_for_each_thing_it_says(root: Path) -> None:
    made, _ = written(root)
    path = records.save(replace(made, arrays={}), root / "in" / "a new folder", root)
    with used.unwatched():
        lines = path.read_text().split("\n")
        assert lines[:2] == ["{", f' "experiment": "{NOTEBOOK}",'] and lines[-2:] == ["}", ""]
        assert list(path.parent.iterdir()) == [path], "no arrays, no file of arrays"
        assert store.read(path).arrays == {}
    with pytest.raises(ValueError, match="not JSON compliant"):
        records.save(replace(made, kept=float("nan")), root / "records", root)


def test_arrays_that_would_run_code_are_not_read(root: Path) -> None:
    made, _ = written(root)
    path = records.save(replace(made, arrays={"a": np.array([None])}), root / "records", root)
    with pytest.raises(records.StaleResultError, match="damaged"):
        store.read(path)


def test_a_run_that_used_what_its_key_does_not_cover_is_not_recorded(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "beyond", lambda origin, root: ("opened notes.txt",))
    with pytest.raises(records.StaleResultError, match=r"does not cover: opened notes\.txt"):
        written(root)
    assert not (root / "records").exists()


def test_another_version_of_a_package_makes_a_record_stale(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(root)
    monkeypatch.setattr(fingerprints.metadata, "version", lambda package: "0.0.1")
    with pytest.raises(records.StaleResultError, match="changed since the last run: versions numpy"):
        loaded(root)


def test_results_of_the_project_are_loaded_by_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "data/measurements/old.json").unlink()
    monkeypatch.setattr(store, "ROOT", root)
    monkeypatch.setattr(store, "RECORDS", root / "records")
    monkeypatch.setattr(store, "MEASUREMENTS", root / "data/measurements")
    for m in (0.25, 0.75):
        made, _ = written(root, value=m, m=m)
        records.save(made, root / "data/measurements", root)
    with used.unwatched():
        assert records.load(NOTEBOOK, m=0.25)["ate"] == 0.25
        assert [r["ate"] for r in records.load_sweep(NOTEBOOK, [{"m": 0.75}, {"m": 0.25}])] == [0.75, 0.25]
        assert records.load_measured(NOTEBOOK, m=0.75).record["ate"] == 0.75


def in_two_versions(root: Path, folder: str) -> None:
    """Two records of one run, of value 1 and 2 in this order of time, by code that is no longer there."""
    starts = {1.0: "2026-03-01T00:00:00+00:00", 2.0: "2026-03-02T00:00:00+00:00"}
    for value in (2.0, 1.0):  # not in the order of time
        (root / "lib/base.py").write_text(f"def one():\n    return {value}\n")
        record = records.begin(NOTEBOOK, {}, root=root).finish({"ate": (value, "m")})
        records.save(replace(record, started=starts[value]), root / folder, root)
        if value == 1.0:
            (root / "data/points.txt").write_text("4 5 6")
    (root / "lib/base.py").write_text("def one():\n    return 2.0\n")


def test_of_two_measurements_the_newest_is_shown(root: Path) -> None:
    in_two_versions(root, "data/measurements")
    (root / "data/measurements/old.json").unlink()
    found = store.measured_in(root / "data/measurements", root, NOTEBOOK, {})
    assert found.record["ate"] == 2.0 and found.record.started.startswith("2026-03-02")


def test_of_two_stale_records_the_newest_is_compared(root: Path) -> None:
    in_two_versions(root, "records")
    with pytest.raises(records.StaleResultError, match=r"since the last run: inputs data/points\.txt"):
        loaded(root)


def test_a_run_that_never_was_is_an_error_that_says_how_to_run_it(root: Path) -> None:
    written(root)
    with pytest.raises(records.StaleResultError, match=r"it never ran.*lib\.sweep .*-p m 0\.7"):
        loaded(root, m=0.7)


def test_code_that_changed_during_the_run_is_not_recorded(root: Path) -> None:
    run = records.begin(NOTEBOOK, {}, root=root)
    (root / "lib/base.py").write_text("def one():\n    return 2\n")
    with pytest.raises(records.StaleResultError, match=r"lib/base\.py"):
        records.save(run.finish({"ate": (1.0, "m")}), root / "records", root)
    assert not (root / "records").exists()


def test_lost_or_exchanged_arrays_are_an_error(root: Path) -> None:
    _, path = written(root)
    np.savez(path.with_suffix(".npz"), curve=np.zeros(4, dtype=np.float32))
    with pytest.raises(records.StaleResultError, match=r"npz"):
        loaded(root)
    path.with_suffix(".npz").unlink()
    with pytest.raises(records.StaleResultError, match=r"npz"):
        loaded(root)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff{", b'{"experiment": "book/runs/one.ip'])
def test_a_damaged_record_is_as_good_as_none_and_repeated(root: Path, content: bytes) -> None:
    record, path = written(root)
    with used.unwatched():
        whole = path.read_bytes()
    path.write_bytes(content)
    with pytest.raises(records.StaleResultError, match=rf"{path.name} is damaged .*run it again"):
        loaded(root)
    with pytest.raises(records.StaleResultError, match="it never ran"):
        loaded(root, m=0.25)
    assert store.found(path) is None
    records.save(record, root / "records", root)
    with used.unwatched():
        assert path.read_bytes() == whole and store.found(path) is not None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, float("nan")]])
def test_a_measurement_is_finite_and_has_a_unit(root: Path, value: object) -> None:
    run = records.begin(NOTEBOOK, {}, root=root)
    with pytest.raises(ValueError, match="not finite"):
        run.finish({"ate": (value, "m")})
    with pytest.raises(ValueError, match="no unit"):
        run.finish({"ate": (1.0, "")})


def test_an_interrupted_write_leaves_the_old_record_and_strays_are_cleared(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path = written(root, value=1.5)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(store.os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            written(root, value=9.0)
    assert loaded(root)["ate"] == 1.5
    assert list(path.parent.glob("*.tmp")) == []
    young, stray = path.parent / "young.tmp", path.parent / "killed.tmp"
    for file in (young, stray):
        file.write_text("of another run")
    os.utime(stray, (0, time.time() - 4000))  # more than an hour ago
    written(root, value=2.0)
    assert list(path.parent.glob("*.tmp")) == [young]


def test_two_runs_are_compared_bit_by_bit_apart_from_times(root: Path) -> None:
    first, second, other = (written(root, value=v)[0] for v in (1.5, 1.5, 1.5 + 2**-52))
    assert first.seconds != second.seconds
    assert first.comparable() == second.comparable()
    assert first.comparable() != other.comparable()
    assert "forward" not in first.comparable()["measurements"]


# --- measurements from other machines ---


def test_a_measurement_says_whether_the_code_is_still_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "data/measurements/old.json").unlink()
    record, _ = written(root, m=0.3)
    records.save(record, root / "data/measurements", root)

    def measured() -> store.Measured:
        return store.measured_in(root / "data/measurements", root, NOTEBOOK, {"m": 0.3})

    monkeypatch.setattr(fingerprints.metadata, "version", lambda package: "another machine's")
    assert (measured().changed, measured().banner) == ((), None)
    assert measured().origin.startswith("cpu ")
    (root / "data/weights/mini.safetensors").unlink()
    assert measured().banner is None, "weights that are not here cannot have changed"
    (root / "lib/base.py").write_text("TABLE = 'table.yml'\n\n\ndef one():\n    return 2\n")
    assert "Measured with other code" in (measured().banner or "")
    assert measured().changed == ("code lib/base.py",)
    many = replace(measured(), changed=("a", "b", "c", "d"))
    assert (many.banner or "").endswith("changed since: a, b, c and 1 more")
    assert (replace(many, changed=("a", "b", "c")).banner or "").endswith("changed since: a, b, c")
    with pytest.raises(records.StaleResultError, match="holds no run"):
        store.measured_in(root / "data/measurements", root, NOTEBOOK, {"m": 0.9})


def test_a_measurement_from_before_a_parameter_is_one_with_its_default(root: Path) -> None:
    (root / "data/measurements/old.json").unlink()
    record, _ = written(root, m=0.3)
    records.save(record, root / "data/measurements", root)
    notebook = root / NOTEBOOK
    notebook.write_text(notebook.read_text().replace("seed = 0", "logit_scale = 'none'\\nseed = 0"))

    def measured(**params: object) -> store.Measured:
        return store.measured_in(root / "data/measurements", root, NOTEBOOK, {"m": 0.3, **params})

    assert measured().changed == ()
    assert measured().record.params["logit_scale"] == "none"
    with pytest.raises(records.StaleResultError, match="holds no run"):
        measured(logit_scale="1.5")


def test_a_scene_of_another_machine_cannot_have_changed(root: Path, tmp_path: Path) -> None:
    (root / "data/measurements/old.json").unlink()
    scene = tmp_path / "scene"
    scene.mkdir()
    (scene / "a.png").write_bytes(b"1")
    run = records.begin("lib.base", {"scene": str(scene)}, root=root)
    records.save(run.finish({"ate": (1.0, "m")}), root / "data/measurements", root)
    shutil.rmtree(scene)
    found = store.measured_in(root / "data/measurements", root, "lib.base", {"scene": str(scene)})
    assert (found.record["ate"], found.changed) == (1.0, ())


# --- where records lie ---


def test_older_records_are_brought_home(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record, path = written(root)
    old = root / "_build" / "records"
    old.parent.mkdir()
    path.parent.rename(old)
    monkeypatch.setattr(store, "FORMERLY", old)
    monkeypatch.setattr(store, "RECORDS", root / "records")
    assert records.bring_home() == 2
    assert records.bring_home() == 0
    assert loaded(root).provenance == record.provenance
    assert not old.exists()


def test_arrays_are_moved_before_the_record_that_needs_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a folder that may have to be made, or is there already."""
    old, new, moved = root / "_build" / "records", root / "on" / "a disk", []
    monkeypatch.setattr(store, "FORMERLY", old)
    monkeypatch.setattr(store, "RECORDS", new)
    move = os.replace
    monkeypatch.setattr(store.os, "replace", lambda a, b: (moved.append(Path(a).name), move(a, b)))
    for name in ("one", "two"):
        old.mkdir(parents=True)
        for suffix in ("json", "npz"):
            (old / f"{name}.{suffix}").touch()
        assert records.bring_home() == 2
    assert moved == ["one.npz", "one.json", "two.npz", "two.json"]
    assert {path.name for path in new.iterdir()} == set(moved)


@pytest.mark.parametrize("where", ["records", "_build/records"])
def test_make_clean_never_removes_a_record(tmp_path: Path, where: str) -> None:
    for name in (f"{where}/one-1.json", "_build/html/index.html"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("{}")
    subprocess.run(["make", "-f", records.ROOT / "Makefile", "clean"], cwd=tmp_path, check=True)
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*")] == ["records/one-1.json"]


# --- what a process really used ---

FINDER = "__editable__.ours.finder.__path_hook__"  # setuptools puts such an entry on the path; no file


def noted(command: str) -> list[str]:
    """Dependencies that a fresh process notes while it executes a command in the project's root."""
    script = (
        f"import sys; from lib import used; used.watch(); {command}; print(*used.dependencies(), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=records.ROOT, check=True, capture_output=True, text=True
    )
    return [line for line in done.stdout.splitlines() if not line.startswith("module lib/")]


@pytest.mark.parametrize(
    ("command", "lines"),
    [
        ("open('README.md').read()", ["file README.md"]),
        ("import os; os.close(os.open('README.md', os.O_RDONLY))", ["file README.md"]),
        ("import os; os.listdir('data/weights')", ["listing data/weights *"]),
        ("from pathlib import Path; list(Path('book/runs').glob('*.yml'))", ["listing book/runs *"]),
        ("from importlib import metadata; metadata.entry_points()", []),
        (f"sys.path.append({FINDER!r}); from importlib import metadata; metadata.entry_points()", []),
        ("import types; sys.modules['m'] = m = types.ModuleType('m'); m.__file__ = '_ops.py'", []),
        ("import book.study.numbers", ["module book/study/__init__.py", "module book/study/numbers.py"]),
    ],
)
def test_a_process_notes_what_it_uses(command: str, lines: list[str]) -> None:
    assert noted(command) == lines


def test_what_installing_in_place_leaves_is_not_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "a.egg-info").mkdir()
    (tmp_path / "a.egg-info" / "entry_points.txt").write_text("")
    (tmp_path / "a.txt").write_text("")
    script = (
        f"from pathlib import Path; root = Path({str(tmp_path)!r}); used.watch(root); "
        "[p.read_text() for p in (root / 'a.egg-info' / 'entry_points.txt', root / 'a.txt')]; "
        "print(*used.files(root))"
    )
    assert noted(script) == ["a.txt"]


@pytest.mark.slow
def test_weights_are_noted_although_they_are_not_opened_by_python() -> None:
    load = "from lib.vggt.checkpoint import load; load('data/weights/mini.safetensors')"
    assert "file data/weights/mini.safetensors" in noted(load)


@pytest.mark.slow
def test_what_is_in_a_key_is_not_noted_a_second_time() -> None:
    lines = noted("from lib import records; records.key('book/runs/one_run.ipynb', {'m': 0.5})")
    assert [line.split("{")[0] for line in lines] == ["run book/runs/one_run.ipynb "]


# --- sources of others ---


@pytest.mark.parametrize(
    "cell", ["%%bash\nfor x in *; do echo $x; done", "%matplotlib inline", "!ls", "x = (1\n  % 2)"]
)
def test_magics_of_other_notebooks_are_understood(root: Path, cell: str) -> None:
    (root / "book/runs/other.ipynb").write_text(notebook("m = 0.5", cell), encoding="utf-8")
    first = code.code_hashes("book/runs/other.ipynb", root)["book/runs/other.ipynb"]
    (root / "book/runs/other.ipynb").write_text(notebook("m = 0.5", cell + "  # 1"), encoding="utf-8")
    assert (code.code_hashes("book/runs/other.ipynb", root)["book/runs/other.ipynb"] != first) == (
        cell[0] in "%!"
    )


@pytest.mark.parametrize("cell", ["files = !ls", "torch?", "if True:", "x = (1"])
def test_what_is_not_python_is_refused_by_name(root: Path, cell: str) -> None:
    (root / "book/runs/other.ipynb").write_text(notebook("m = 0.5", cell), encoding="utf-8")
    with pytest.raises(ValueError, match=r"other\.ipynb or a module that it imports is not plain Python"):
        code.code_hashes("book/runs/other.ipynb", root)

"""Every command of the page Run it yourself is executed, at small size, in a folder of its own."""

import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib.formats import read_trajectory_file
from lib.formats.trajectories import tum_text

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "book" / "run_it_yourself.md").read_text(encoding="utf-8")
PAGE = re.sub(r" \\\n +", " ", PAGE)  # one command in several lines
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind == "bash" for line in block.splitlines()]

# What stands for what on the page, so that each command is executed within seconds and without a GPU.
SMALLER = {
    r"facebook/VGGT-1B": "mini",
    r"\bdevice cuda\b": "device cpu",
    r"\bframes (16|32)\b": "frames 4",
    r"\bframes 64\b": "frames 3",
    r"-p m 0.0 0.3 0.5 0.7 0.9": "-p m 0.0 0.5",
    r"(?<=papermill )book/runs": str(ROOT / "book" / "runs"),
    r"frames=16": "frames=4",
}


def small(command: str) -> str:
    for large, little in SMALLER.items():
        command = re.sub(large, little, command)
    return command


def module(command: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """``python -m lib.X ...`` in this process: nothing is imported twice."""
    words = shlex.split(small(command))
    while "=" in words[0]:
        patch.setenv(*words.pop(0).split("=", 1))
    assert words[:2] == ["python", "-m"]
    patch.setattr(sys, "argv", words[2:])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(words[2], run_name="__main__", alter_sys=True)
    assert not ended.value.code, command


def process(command: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """In a shell, with this Python; no proof against what the shell itself lacks."""
    done = subprocess.run(["bash", "-c", small(command)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-1500:]}{done.stderr[-1500:]}"


def extra(command: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Not executed, since a test changes no installation: the extra that it names is there, and pinned."""
    (name,) = re.findall(r"--editable '\.\[(\w+)\]'$", command)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").replace("_", "-")
    needs = project["optional-dependencies"][name]
    assert [need for need in needs if f"\n{need.replace('_', '-')}==" not in pins] == []


def rehearsed(command: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """By ``make --dry-run``, which prints what it would do: it would install, and build for hours."""
    words = shlex.split(command)
    while "=" in words[0]:
        words.pop(0)
    # as in a reader's own shell: the tests may have been started by a make with another environment
    shell = {name: value for name, value in os.environ.items() if name not in {"VENV", "MAKEFLAGS"}}
    done = subprocess.run([*words, "--dry-run"], cwd=ROOT, env=shell, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for profile in (word.removeprefix("PROFILE=") for word in words if word.startswith("PROFILE=")):
        assert (ROOT / "book" / "profiles" / f"{profile}.yml").is_file()
        assert f"BOOK_PROFILE={profile} " in done.stdout


def activated(command: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Not executed: the Python of the tests is the one; `make` puts the environment where the line says."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "VENV ?= .venv\n" in makefile and "STAMP := $(VENV)/installed\n" in makefile


# Stand for Slurm: a job is run at once, as its script says; squeue does not answer, so results alone count.
SLURM = {
    "sbatch": "echo >> $0.jobs\nid=$(wc -l < $0.jobs)\n"
    "SLURM_JOB_ID=$id bash $1 > /dev/null 2>&1 &\necho Submitted batch job $id",
    "srun": 'while :; do case "$1" in --output) shift 2;; --*) shift;; *) break;; esac; done; exec "$@"',
    "squeue": "exit 1",
    "scancel": "exit 1",
}


def on_a_cluster(command: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """With what stands for Slurm on the path."""
    for name, text in SLURM.items():
        (folder / "slurm").mkdir(exist_ok=True)
        (folder / "slurm" / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / "slurm" / name).chmod(0o755)
    with patch.context() as there:
        there.setenv("PATH", f"{folder / 'slurm'}{os.pathsep}{os.environ['PATH']}")
        process(command, folder, there)


def on_gpus(command: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """As if there were four GPUs to be shared out; the runs use none."""
    with patch.context() as there:
        there.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
        process(command, folder, there)


Way = Callable[[str, Path, pytest.MonkeyPatch], None]
WAYS: dict[str, Way] = {
    r"make ": rehearsed,
    r"BOOK_\w+=\w+ make ": rehearsed,
    r"source \.venv/bin/activate$": activated,
    r"python -m pip install ": extra,
    r"(OMP_NUM_THREADS=8 )?python -m lib\.(run|metrics) ": module,
    r"python -m lib\.sweep .* --executor slurm ": on_a_cluster,
    r"python -m lib\.sweep .* --gpus-per-job 1$": on_gpus,
    r"python -m lib\.sweep .* --dry-run$": process,
    r"python -m lib\.sweep ": process,
    r"papermill ": process,
    r"mkdir frames$": process,
    r"ffmpeg ": process,
}
WITH_FFMPEG = ("ffmpeg ", "mkdir frames", "python -m lib.run frames ")  # in a test of their own
KERNELS = ("papermill ", "python -m lib.sweep ")


def way(command: str) -> Way:
    return next(found for pattern, found in WAYS.items() if re.match(pattern, command))


def test_every_command_has_a_way_to_be_executed() -> None:
    unknown = [command for command in COMMANDS if not any(re.match(pattern, command) for pattern in WAYS)]
    assert unknown == []
    unused = [pattern for pattern in WAYS if not any(re.match(pattern, command) for command in COMMANDS)]
    assert unused == []
    assert [large for large in SMALLER if not re.search(large, PAGE)] == []


def test_every_fenced_block_is_one_of_those_that_are_executed() -> None:
    assert len(re.findall(r"^```\w+\n", PAGE, re.MULTILINE)) == len(BLOCKS) == PAGE.count("```") / 2


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with what the reader of the page has: photographs, one of them HEIC, and a truth."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    (tmp_path / "photos").mkdir()
    tones = np.random.default_rng(0).integers(0, 256, (4, 9, 12, 3), dtype=np.uint8)
    for number, pixels in enumerate(tones):
        picture = Image.fromarray(pixels).resize((64, 48))
        picture.save(tmp_path / "photos" / f"IMG_{number}.{'heic' if number == 3 else 'jpg'}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def truths(folder: Path) -> None:
    """Somebody's trajectory in both formats: what the run said, with one camera moved."""
    poses = read_trajectory_file(folder / "results" / "photos" / "trajectory.txt").poses.copy()
    poses[1, :3, 3] += 0.1
    (folder / "truth.txt").write_text(tum_text(poses, np.arange(4.0)), encoding="utf-8")
    shutil.copytree(folder / "results" / "photos" / "colmap", folder / "theirs")


@pytest.mark.slow
def test_commands_without_a_kernel(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (line for line in COMMANDS if not line.startswith((*WITH_FFMPEG, *KERNELS))):
        if "lib.metrics truth.txt" in command:
            truths(folder)
        way(command)(command, folder, monkeypatch)
        if command.startswith("python -m lib.metrics"):
            said = capsys.readouterr().out
            assert json.loads(said) if "--json" in command else "4 pairs by time" in said
    written = {path.name for path in (folder / "results" / "photos").iterdir()}
    assert written == set(re.findall(r"^\| `([\w.]+)/?` \|", PAGE, re.MULTILINE))
    made = {path.name for path in (folder / "results").iterdir()}
    assert made == {"photos", "vggt", "merged", "mac", "half"}


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="no ffmpeg on the path: the video is not taken apart"
)
def test_a_video(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process("ffmpeg -f lavfi -i testsrc=duration=3:size=64x48:rate=10 video.mp4", folder, monkeypatch)
    for command in (line for line in COMMANDS if line.startswith(WITH_FFMPEG)):
        way(command)(command, folder, monkeypatch)
    assert (folder / "results" / "video" / "view.html").is_file()


@pytest.mark.slow
@pytest.mark.book
def test_commands_with_a_kernel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = ROOT / "_build" / f"run-it-yourself-{os.getpid()}"  # records lie below the project
    monkeypatch.setenv("RECORDS_FOLDER", own.relative_to(ROOT).as_posix())
    try:
        for command in (line for line in COMMANDS if line.startswith(KERNELS)):
            way(command)(command, folder, monkeypatch)
        (code,) = (block for kind, block in BLOCKS if kind == "python")
        process(f"python -c {shlex.quote(small(code))}", folder, monkeypatch)
        assert len(list(own.glob("*.json"))) == 5
        assert (folder / "slurm" / "sbatch.jobs").read_text() == "\n\n", "two runs were jobs"
    finally:
        shutil.rmtree(own, ignore_errors=True)
    assert (folder / "results" / "notebook" / "view.html").is_file()

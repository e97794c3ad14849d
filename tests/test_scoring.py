"""Anybody's trajectories scored from files: every format, every way to pair, equal to evo."""

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lib.formats import Trajectory, TrajectoryError, pair, read_trajectory_file
from lib.formats.trajectories import tum_text
from lib.metrics import __main__ as program
from lib.metrics.__main__ import command_line, parser

COUNT = 9


def track(seed: int, noise: float = 0.0) -> np.ndarray:
    """Camera-to-world poses of a walk that turns; the same walk for every seed, up to noise."""
    draw, walk = np.random.default_rng(seed), np.random.default_rng(99)
    poses = np.tile(np.eye(4), (COUNT, 1, 1))
    turns = walk.normal(size=(COUNT, 3)) * 0.4 + noise * draw.normal(size=(COUNT, 3))
    poses[:, :3, :3] = Rotation.from_rotvec(turns).as_matrix()
    poses[:, :3, 3] = walk.normal(size=(COUNT, 3)) + noise * draw.normal(size=(COUNT, 3))
    return poses


def write_tum(path: Path, poses: np.ndarray, late: float = 0.0) -> None:
    path.write_text(tum_text(poses, 1305031102.0 + np.arange(COUNT) / 30 + late), encoding="utf-8")


def write_kitti(path: Path, poses: np.ndarray) -> None:
    np.savetxt(path, poses[:, :3].reshape(-1, 12), fmt="%.17g")


def write_matrices(path: Path, poses: np.ndarray) -> None:
    np.savetxt(path, poses.reshape(-1, 4), fmt="%.17g")


def write_rows(path: Path, poses: np.ndarray) -> None:
    np.savetxt(path, poses.reshape(-1, 16), fmt="%.17g")


def write_colmap(path: Path, poses: np.ndarray) -> None:
    lines = ["# Image list with two lines of data per image:"]
    for number, pose in enumerate(np.linalg.inv(poses)):
        x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
        numbers = " ".join(f"{value!r}" for value in map(float, (w, x, y, z, *pose[:3, 3])))
        lines += [f"{number + 1} {numbers} 1 photo {number}.jpg", "1.5 2.5 -1" if number % 2 else ""]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_folder(path: Path, poses: np.ndarray) -> None:
    path.mkdir()
    for number, pose in enumerate(poses):
        np.savetxt(path / f"{number}.pose.txt", pose, fmt="%.17g")


WRITERS: dict[str, Callable[[Path, np.ndarray], None]] = {
    "tum": write_tum,
    "kitti": write_kitti,
    "matrices": write_matrices,
    "rows": write_rows,
    "colmap": write_colmap,
    "folder": write_folder,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_back_its_poses(tmp_path: Path, kind: str) -> None:
    WRITERS[kind](tmp_path / "poses", track(0))
    found = read_trajectory_file(tmp_path / "poses")
    np.testing.assert_allclose(found.poses, track(0), atol=1e-14)
    assert (found.times is not None) == (kind == "tum")
    assert (found.names is not None) == (kind in ("colmap", "folder"))


def test_matrices_may_be_world_to_camera(tmp_path: Path) -> None:
    write_rows(tmp_path / "poses", np.linalg.inv(track(0)))
    found = read_trajectory_file(tmp_path / "poses", inverse=True)
    np.testing.assert_allclose(found.poses, track(0), atol=1e-14)


def test_a_model_of_colmap_is_read_from_its_folder(tmp_path: Path) -> None:
    write_colmap(tmp_path / "images.txt", track(0))
    assert read_trajectory_file(tmp_path).names == tuple(f"photo {k}.jpg" for k in range(COUNT))


def evo_numbers(truth: object, estimate: object) -> list[float]:
    """RMSE of evo's four errors, after its Sim(3) alignment."""
    from evo.core import metrics

    estimate.align(truth, correct_scale=True)
    found = []
    for relation in (metrics.PoseRelation.translation_part, metrics.PoseRelation.rotation_angle_deg):
        for measure in (
            metrics.APE(relation),
            metrics.RPE(relation, delta=1, delta_unit=metrics.Unit.frames, all_pairs=True),
        ):
            measure.process_data((truth, estimate))
            found.append(measure.get_statistic(metrics.StatisticsType.rmse))
    return found


@pytest.mark.parametrize("kind", ["tum", "kitti"])
def test_scores_equal_those_of_evo(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    from evo.core import sync
    from evo.tools import file_interface

    paths = tmp_path / "truth.txt", tmp_path / "estimate.txt"
    WRITERS[kind](paths[0], track(0))
    moved = track(1, noise=0.05)
    moved[:, :3, 3] = 0.3 * moved[:, :3, 3] + 2
    WRITERS[kind](paths[1], moved)
    if kind == "tum":
        write_tum(paths[1], moved, late=0.008)
        lines = paths[1].read_text().splitlines()
        paths[1].write_text("\n".join(lines[:3] + lines[4:]))  # a pose is missing
        read = file_interface.read_tum_trajectory_file
        theirs = sync.associate_trajectories(*map(read, map(str, paths)), max_diff=0.02)
    else:
        theirs = tuple(map(file_interface.read_kitti_poses_file, map(str, paths)))
    assert command_line([*map(str, paths), "--json"]) == 0
    ours = json.loads(capsys.readouterr().out)["centres"]
    assert ours["frames"] == COUNT - (kind == "tum")
    found = [ours[name] for name in ("ate", "rpe_trans", "are_deg", "rpe_rot_deg")]
    np.testing.assert_allclose(found, evo_numbers(*theirs), rtol=0, atol=1e-9)


def test_both_conventions_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_kitti(tmp_path / "truth", track(0))
    write_colmap(tmp_path / "estimate", track(1, noise=0.05))
    assert command_line([str(tmp_path / "truth"), str(tmp_path / "estimate")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "9 pairs by order, of 9 true and 9 estimated poses"
    assert lines[1].split() == ["centres", "fastvggt"]
    _, centres, fastvggt = lines[2].rsplit(maxsplit=2)
    assert lines[2].startswith("ATE, RMSE") and float(centres) != float(fastvggt) > 0


def named(*names: str) -> Trajectory:
    return Trajectory(track(0)[: len(names)], None, names)


@pytest.mark.parametrize(
    ("true", "guess"),
    [
        (("a.jpg", "b.jpg", "c.jpg"), ("c.jpg", "a.jpg")),
        (("a.jpg", "b.jpg", "c.jpg"), ("x/c.png", "x/a.png")),
        (("1", "2", "3"), ("f/3.color.jpg", "f/1.color.jpg")),
    ],
)
def test_names_pair_whatever_their_order_and_suffix(true: tuple[str, ...], guess: tuple[str, ...]) -> None:
    found = pair(named(*true), named(*guess))
    assert found.by == "name"
    np.testing.assert_array_equal(found.truth, track(0)[[0, 2]])
    np.testing.assert_array_equal(found.estimate, track(0)[[1, 0]])


def test_names_that_are_time_stamps_pair_with_time_stamps() -> None:
    times = np.array([1305031102.175304, 1305031102.211214, 1305031102.243211])
    truth = Trajectory(track(0)[:3], times)
    found = pair(truth, named("rgb/1305031102.243211.png", "rgb/1305031102.175304.png"))
    assert found.by == "time"
    np.testing.assert_array_equal(found.estimate, track(0)[[1, 0]])


def test_an_offset_brings_two_clocks_together() -> None:
    truth = Trajectory(track(0), np.arange(COUNT) / 30)
    late = Trajectory(track(0), np.arange(COUNT) / 30 + 5)
    assert len(pair(truth, late, offset=-5.0).truth) == COUNT
    with pytest.raises(TrajectoryError, match=r"the nearest are 4\.7\d* s apart"):
        pair(truth, late)


still, straight = track(0), track(0)
still[:, :3, 3] = 1.0
straight[:, :3, 3] = np.arange(COUNT)[:, None]
skewed, lost = track(0), track(0)
skewed[4, 0, 0] += 0.5
lost[4, 0, 0] = np.nan


@pytest.mark.parametrize(
    ("poses", "message"),
    [
        (still, "all 9 estimated points coincide"),
        (straight, "lie on one line"),
        (track(0)[:2], "9 true and 2 estimated poses, and no time stamps or names"),
        (skewed, "estimate of frame 4 is not a rotation"),
        (lost, r"estimate: pose 4 \(from 0\) is not finite"),
        ("", "estimate holds no pose: it is empty"),
        ("# nothing\n", "estimate holds no pose"),
        ("1 2 3\n", "begins with '1 2 3', 3 words: none of tum, kitti, colmap, matrices"),
        ("0 0 0 0 0 0 0 1\n1 2\n", "estimate, line 2: 7 words expected"),
        ("0 0 0 0 0 0 0 0\n", "format tum; all 1 are missing, not finite or zero"),
        ("1 1 0 0 0 0 0 0 1 a.jpg\n1 1 0 0 0 0 0 0 1 b.jpg\n1 1 0 0\n", "estimate, line 3: IMAGE_ID"),
        ("1 0 0 0\n0 1 0 0\n0 0 1 0\n", "3 lines of four numbers; a pose has four"),
        (" ".join("1" * 12) + "\n" + "1 2 3\n", "estimate, line 2: 12 numbers expected"),
        (b"\xff\xfe\x00", "estimate is not text in UTF-8"),
        (None, "estimate is not there; give a file of poses"),
    ],
)
def test_what_cannot_be_scored_says_why(
    tmp_path: Path, poses: np.ndarray | str | bytes | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "estimate"
    write_kitti(tmp_path / "truth", track(0))
    if isinstance(poses, np.ndarray):
        write_kitti(path, poses)
    elif poses is not None:
        path.write_bytes(poses if isinstance(poses, bytes) else poses.encode())
    assert command_line([str(tmp_path / "truth"), str(path)]) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(said.err)


@pytest.mark.slow
def test_the_command_is_a_module(tmp_path: Path) -> None:
    write_kitti(tmp_path / "poses", track(0))
    command = [sys.executable, "-m", "lib.metrics", str(tmp_path / "poses"), str(tmp_path / "poses")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and "9 pairs by order" in done.stdout


def test_what_is_not_asked_for_and_what_is() -> None:
    paths = {"truth": "a", "estimate": "b"}
    unsaid = {"truth_format": None, "estimate_format": None, "by": None, "json": False}
    unsaid |= {"truth_world_to_camera": False, "estimate_world_to_camera": False}
    assert vars(parser().parse_args(["a", "b"])) == paths | unsaid | {
        "max_difference": 0.02,
        "offset": 0.0,
        "delta": 1,
    }
    words = "a b --max-difference 0.5 --offset -2 --delta 3 --by time --json --truth-format tum"
    words += " --estimate-format kitti --truth-world-to-camera --estimate-world-to-camera"
    said = {"truth_format": "tum", "estimate_format": "kitti", "by": "time", "json": True}
    said |= {"truth_world_to_camera": True, "estimate_world_to_camera": True}
    numbers = {"max_difference": 0.5, "offset": -2.0, "delta": 3}
    assert vars(parser().parse_args(words.split())) == paths | said | numbers


@pytest.mark.parametrize(
    "words", ["--by hand", "--truth-format csv", "--estimate-format csv", "--delta 1.5", "--offset late"]
)
def test_what_is_no_choice_is_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parser().parse_args(["a", "b", *words.split()])
    assert left.value.code == 2 and words.split()[0] in capsys.readouterr().err


def test_the_help_says_what_each_argument_means() -> None:
    said = " ".join(parser().format_help().split())
    assert said.startswith("usage: python -m lib.metrics ")
    for words in (
        *("Errors of an estimated trajectory.", "'fastvggt' is that of the released evaluation"),
        *("file or folder: TUM, KITTI, COLMAP", "told from the file if left out"),
        *("its 4x4 matrices are world-to-camera", "how poses are paired", "seconds within a pair"),
        *("seconds added to the estimate's stamps", "frames from pose to pose", "as JSON instead"),
    ):
        assert words in said


def test_poses_that_are_left_out_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, lost in (("truth", [0]), ("estimate", [3, 5])):
        write_tum(tmp_path / name, track(0))
        lines = (tmp_path / name).read_text().splitlines()
        for number in lost:
            lines[1 + number] = lines[1 + number].split()[0] + " nan" * 7  # below a head
        (tmp_path / name).write_text("\n".join(lines))
    assert command_line([str(tmp_path / "truth"), str(tmp_path / "estimate"), "--by", "time"]) == 0
    assert "; 3 that are not finite are left out" in capsys.readouterr().out.splitlines()[0]


@pytest.mark.filterwarnings("ignore:.*lib.metrics:RuntimeWarning")
def test_the_exit_status_is_that_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And JSON has a line for each number, so that two of them can be compared by lines."""
    write_kitti(tmp_path / "poses", track(0))
    poses = str(tmp_path / "poses")
    for other, status in ((poses, 0), (f"{poses}-gone", 1)):
        monkeypatch.setattr(sys, "argv", ["metrics", poses, other, "--json"])
        with pytest.raises(SystemExit) as left:
            runpy.run_path(str(program.__file__), run_name="__main__")
        assert left.value.code == status
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["{", ' "centres": {'] and lines[2].startswith('  "ate": ')

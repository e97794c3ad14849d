"""What a run writes: trajectories, COLMAP's text, points, maps and a page, read back by other programs."""

import json
import re
from dataclasses import replace
from pathlib import Path

import browser
import numpy as np
import pytest
from PIL import Image
from test_recordings import write_image, write_tum

from lib.formats import read_trajectory_file
from lib.formats import reconstruction as writing
from lib.formats.reconstruction import ExportError, Reconstruction, write
from lib.run import Params, prepare, run
from lib.run.__main__ import command_line
from lib.run.results import reconstruction
from lib.scenes.framing import fit

QUICK = Params(scene="rooms:3", frames=4, m=0.0)


@pytest.fixture(scope="module")
def found() -> Reconstruction:
    return reconstruction(run(prepare(QUICK)))


@pytest.fixture(scope="module")
def folder(found: Reconstruction, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "results"
    listed = [path.relative_to(out).as_posix() for path in write(found, out, share=0.25)]
    colmap = [f"colmap/{name}.txt" for name in ("cameras", "images", "points3D")]
    depth = [f"depth/{number:06d}.png" for number in range(4)]
    assert listed == [*colmap, *depth, "maps.npz", "points.ply", "trajectory.txt", "view.html"]
    return out


def test_evo_reads_the_trajectory(found: Reconstruction, folder: Path) -> None:
    from evo.tools import file_interface

    theirs = file_interface.read_tum_trajectory_file(str(folder / "trajectory.txt"))
    np.testing.assert_allclose(theirs.poses_se3, found.cameras, atol=1e-12)
    np.testing.assert_array_equal(theirs.timestamps, np.arange(4))


def test_pycolmap_reads_cameras_images_and_points(found: Reconstruction, folder: Path) -> None:
    import pycolmap

    theirs = pycolmap.Reconstruction(folder / "colmap")
    assert theirs.num_images() == theirs.num_cameras() == 4
    for image in theirs.images.values():
        place = found.names.index(image.name)
        world = np.linalg.inv(found.cameras[place])[:3]
        np.testing.assert_allclose(image.cam_from_world().matrix(), world, atol=1e-12)
        middle = image.camera.calibration_matrix() - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
        np.testing.assert_allclose(middle, found.intrinsics[place], atol=1e-9)
        assert (image.camera.width, image.camera.height) == found.sizes[place]
    points, colours, _ = found.cloud(0.25)
    read = [theirs.points3D[number + 1] for number in range(len(points))]
    np.testing.assert_allclose([point.xyz for point in read], points, atol=1e-12)
    np.testing.assert_array_equal([point.color for point in read], colours)


def test_all_formats_hold_one_trajectory(folder: Path) -> None:
    tum = read_trajectory_file(folder / "trajectory.txt")
    colmap = read_trajectory_file(folder / "colmap")
    np.testing.assert_allclose(tum.poses, colmap.poses, atol=1e-12)


def read_ply(path: Path) -> np.ndarray:
    """A binary PLY by its own header."""
    head, _, body = path.read_bytes().partition(b"end_header\n")
    lines = [line.split() for line in head.decode("ascii").splitlines()]
    assert lines[:2] == [["ply"], ["format", "binary_little_endian", "1.0"]]
    kinds = {"float": "<f4", "uchar": "u1"}
    layout = [(words[2], kinds[words[1]]) for words in lines if words[0] == "property"]
    (count,) = (int(words[2]) for words in lines if words[0] == "element")
    rows = np.frombuffer(body, dtype=layout)
    assert len(rows) == count
    return rows


def test_points_have_colours_and_confidence(found: Reconstruction, folder: Path) -> None:
    rows = read_ply(folder / "points.ply")
    assert len(rows) == round(0.25 * found.depth.size)
    least = np.sort(found.confidence.reshape(-1))[-len(rows)]
    assert rows["confidence"].min() >= least
    points, colours, _ = found.cloud(0.25)
    np.testing.assert_allclose(np.stack([rows[axis] for axis in "xyz"], 1), points, rtol=1e-6)
    np.testing.assert_array_equal(rows["green"], colours[:, 1])
    # each point is seen at its pixel, in the colour of the picture
    maps = np.load(folder / "maps.npz")
    np.testing.assert_array_equal(maps["depth"], found.depth)
    camera = np.linalg.inv(found.cameras[2])
    seen = found.intrinsics[2] @ (camera[:3, :3] @ found.points[2, 5, 7] + camera[:3, 3])
    np.testing.assert_allclose(seen[:2] / seen[2], (7, 5), atol=1e-3)
    np.testing.assert_allclose(seen[2], found.depth[2, 5, 7], rtol=1e-5)


def test_depth_images_hold_thousandths(found: Reconstruction, folder: Path) -> None:
    for place, depth in enumerate(found.depth):
        with Image.open(folder / "depth" / f"{place:06d}.png") as image:
            assert image.mode == "I;16"
            np.testing.assert_allclose(np.asarray(image) / 1000, depth, atol=0.000501)


def test_depth_that_does_not_fit_is_none() -> None:
    row = [[0.0, -1.0, np.nan, np.inf, -np.inf, 0.0006, 65.534, 65.535, 1e9]]
    np.testing.assert_array_equal(writing.depth_image(np.array(row)), [[0, 0, 0, 0, 0, 1, 65534, 0, 0]])


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 48), (48, 64), (90, 20)])
def test_intrinsics_are_those_of_the_pictures(tmp_path: Path, size: tuple[int, int]) -> None:
    for number in range(2):
        Image.new("RGB", size, (200, 10 * number, 0)).save(tmp_path / f"p{number}.png")
    outcome = run(prepare(replace(QUICK, scene=str(tmp_path), frames=2)))
    found = reconstruction(outcome)
    assert found.names == ("p0.png", "p1.png") and found.sizes == (size, size)
    framing = fit(size, target=48, patch_size=8)
    assert outcome.prediction.intrinsics is not None
    for theirs, ours in zip(outcome.prediction.intrinsics[0].double().numpy(), found.intrinsics, strict=True):
        np.testing.assert_allclose(framing.intrinsics(ours), theirs, atol=1e-9)


def test_pieces_and_time_stamps_of_a_recording_are_kept(tmp_path: Path) -> None:
    write_tum(tmp_path, 7)
    found = reconstruction(run(prepare(replace(QUICK, scene=f"{tmp_path}#1/2", frames=3))))
    lines = (tmp_path / "rgb.txt").read_text().splitlines()
    stamps = [float(line.split()[0]) for line in lines if not line.startswith("#")]
    np.testing.assert_allclose(found.times, sorted(stamps)[3:6], atol=1e-6)  # the last has no pose


def test_a_photograph_turned_by_its_camera_has_the_size_that_viewers_show(tmp_path: Path) -> None:
    tag = Image.Exif()
    tag[0x0112] = 6
    for number in range(2):
        Image.new("RGB", (64, 48)).save(tmp_path / f"p{number}.jpg", exif=tag)
    found = reconstruction(run(prepare(replace(QUICK, scene=str(tmp_path), frames=2))))
    assert found.sizes == ((48, 64), (48, 64))


@pytest.mark.slow
def test_the_command_writes_and_never_over_something(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        write_image(tmp_path / "mine" / f"{number}.png", number)
    asked = [
        str(tmp_path / "mine"),
        "--frames",
        "3",
        "--merging",
        "uniform",
        "--m",
        "0.5",
    ]
    out = tmp_path / "deep" / "out"
    assert command_line([*asked, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "kept 0.4" in said and f"wrote {out / 'view.html'}" in said
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert command_line([*asked, "--out", str(out)]) == 1
    assert f"error: {out} holds something already" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("broken", ["write_cloud", "colmap_texts", "viewer_page"])
def test_a_full_disk_leaves_nothing(
    found: Reconstruction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, broken, full)
    with pytest.raises(ExportError, match=r"out cannot be written: No space left on device"):
        write(found, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_drawn_writes_nothing() -> None:
    outcome = run(prepare(QUICK))
    bare = replace(outcome, prediction=replace(outcome.prediction, depth=None))
    with pytest.raises(ExportError, match=r"'mini' lacks the head for cameras or for depth"):
        reconstruction(bare)
    assert outcome.prediction.intrinsics is not None
    flat = outcome.prediction.intrinsics.clone()
    flat[0, 2, 1, 1] = float("inf")
    with pytest.raises(ExportError, match=r"'mini' gives frame 2 a field of view of zero"):
        reconstruction(replace(outcome, prediction=replace(outcome.prediction, intrinsics=flat)))


def test_the_page_is_whole_by_itself(found: Reconstruction, tmp_path: Path) -> None:
    write(replace(found, title="<b>&kitchen"), tmp_path / "out", share=1.0)
    page = (tmp_path / "out" / "view.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)\s*=|https?:|@import|url\(", page)
    assert "<h1>&lt;b&gt;&amp;kitchen</h1>" in page and "4 cameras, 9,216 of 9,216 points." in page


@pytest.mark.slow
@pytest.mark.skipif(browser.chromium() is None, reason="no chromium on the path")
def test_the_page_turns_by_drag_wheel_and_keys(folder: Path) -> None:
    with browser.browser() as opened:
        page = browser.new_page(opened, 390, 600)
        faults: list[str] = []
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto((folder / "view.html").as_uri())

        def view() -> dict[str, float]:
            return json.loads(page.evaluate("document.querySelector('canvas').dataset.view"))

        def painted() -> int:
            page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            return page.evaluate(
                "[...context.getImageData(0, 0, canvas.width, canvas.height).data]"
                ".filter((value, place) => place % 4 == 3 && value).length"
            )

        begin = view()
        assert painted() > 500
        page.mouse.move(200, 400)
        page.mouse.down()
        page.mouse.move(260, 380)
        page.mouse.up()
        dragged = view()
        assert dragged["turn"] > begin["turn"] and dragged["tilt"] > begin["tilt"]
        page.mouse.wheel(0, -300)
        page.wait_for_function(f"JSON.parse(canvas.dataset.view).far < {begin['far']}")
        page.focus("canvas")
        page.keyboard.press("ArrowLeft")
        assert view()["turn"] < dragged["turn"]
        page.keyboard.press("Shift+ArrowRight")
        assert view()["x"] > 0
        page.keyboard.press("-")
        page.keyboard.press("0")
        assert view() == begin and painted() > 500
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert [fault for fault in faults if "willReadFrequently" not in fault] == []  # the test reads

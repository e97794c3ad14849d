"""Recordings written in each layout and read back, and a real 7-Scenes excerpt."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation

from lib.geometry import camera_centres, unproject
from lib.scenes import layouts
from lib.scenes.consistency import check_centre, check_views, vga_shrink, why_no_pose, why_no_time
from lib.scenes.framing import fit, read_colour, read_depth
from lib.scenes.preprocessing import crop
from lib.scenes.recording_files import RecordingError, associate, natural, pinhole, read_pose, read_timed
from lib.scenes.recordings import load_frames, open_recording, read_layout, select_frames
from lib.scenes.sequence import Sequence

WIDE, HIGH = 64, 48
COLOUR = np.array([[60.0, 0, 31.0], [0, 61.0, 24.5], [0, 0, 1]])
DEPTH = np.array([[35.0, 0, 16.5], [0, 34.0, 11.0], [0, 0, 1]])  # of a 32x24 camera in the same place
PLANE = np.array([0.1, -0.2, 0.4])  # the points X with PLANE @ X = 1: a wall about 2.5 m away


def poses_c2w(frames: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, :3, :3] = Rotation.random(frames, rng=rng).as_matrix()
    poses[:, :3, 3] = rng.normal(size=(frames, 3))
    return poses


def plane_depth(camera: np.ndarray, wide: int, high: int) -> np.ndarray:
    """(high, wide) z-depth of the wall before a camera."""
    u, v = np.meshgrid(np.arange(wide), np.arange(high))
    rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(camera).T
    return 1 / (rays @ PLANE)


def write_image(file: Path, seed: int, size: tuple[int, int] = (WIDE, HIGH)) -> np.ndarray:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    return pixels


def write_depth(file: Path, metres: np.ndarray, unit: float) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.round(metres * unit).astype(np.uint16)).save(file)


def write_scannet(folder: Path, frames: int = 12) -> np.ndarray:
    poses = poses_c2w(frames)
    for i in range(frames):
        write_image(folder / "color" / f"{i}.png", i)
        write_depth(folder / "depth" / f"{i}.png", plane_depth(DEPTH, 32, 24), 1000)
        (folder / "pose").mkdir(exist_ok=True)
        np.savetxt(folder / "pose" / f"{i}.txt", poses[i])
    (folder / "intrinsic").mkdir()
    for name, camera in (("color", COLOUR), ("depth", DEPTH)):
        padded = np.eye(4)
        padded[:3, :3] = camera
        np.savetxt(folder / "intrinsic" / f"intrinsic_{name}.txt", padded)
    return poses


def write_seven_scenes(folder: Path, frames: int = 4, suffix: str = "png") -> np.ndarray:
    poses = poses_c2w(frames, seed=1)
    focal = 585 * 32 / 640
    camera = np.array([[focal, 0, 16], [0, focal, 12], [0, 0, 1]])
    for i in range(frames):
        write_image(folder / f"frame-{i:06d}.color.{suffix}", i)
        write_depth(folder / f"frame-{i:06d}.depth.png", plane_depth(camera, 32, 24), 1000)
        np.savetxt(folder / f"frame-{i:06d}.pose.txt", poses[i])
    return poses


def write_tum(folder: Path, frames: int = 5) -> np.ndarray:
    """Depth 10 ms after colour, poses at four times the rate, 4 ms off; the last colour image has no pose."""
    poses = poses_c2w(frames, seed=2)
    times = 1000 + np.arange(frames) / 10
    rgb, depth, truth = ["# colour"], ["# depth"], ["# timestamp tx ty tz qx qy qz qw"]
    for i, time in enumerate(times):
        write_image(folder / "rgb" / f"{time:.6f}.png", i)
        write_depth(folder / "depth" / f"{time + 0.01:.6f}.png", plane_depth(COLOUR, WIDE, HIGH) + i, 5000)
        rgb.append(f"{time:.6f} rgb/{time:.6f}.png")
        depth.append(f"{time + 0.01:.6f} depth/{time + 0.01:.6f}.png")
        for step, pose in ((0, poses[i]), (1, poses[i - 1]), (2, poses[i - 1]), (3, poses[i - 1])):
            if i < frames - 1:
                values = [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()]
                truth.append(" ".join(f"{v:.9f}" for v in [time + 0.004 + step / 40, *values]))
    for name, lines in (("rgb", rgb), ("depth", depth), ("groundtruth", truth)):
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return poses


def assert_cameras(sequence: Sequence, poses: np.ndarray) -> None:
    assert sequence.extrinsics is not None and sequence.extrinsics.dtype == torch.float64
    np.testing.assert_allclose(sequence.extrinsics, np.linalg.inv(poses)[:, :3], atol=1e-7)


def assert_wall(sequence: Sequence, valid: float) -> None:
    """The depth is that of the wall at the sequence's own pixels, up to half a depth pixel of slope."""
    assert sequence.depth is not None and sequence.intrinsics is not None
    high, wide = sequence.depth.shape[1:]
    expected = plane_depth(sequence.intrinsics[0].numpy(), wide, high)
    measured = sequence.depth[0].numpy()
    assert (measured > 0).mean() > valid
    assert np.abs(measured - expected)[measured > 0].max() < 0.07 < np.ptp(expected) / 4


def test_scannet_round_trip(tmp_path):
    poses = write_scannet(tmp_path)
    sequence = open_recording(tmp_path)
    assert read_layout(tmp_path).layout == "scannet" and sequence.name == tmp_path.name
    assert_cameras(sequence, poses)  # natural order: frame 2 before frame 10
    np.testing.assert_allclose(sequence.intrinsics[3], COLOUR)
    expected = np.array(Image.open(tmp_path / "color" / "10.png"))
    np.testing.assert_array_equal((sequence.images[10] * 255).round().permute(1, 2, 0), expected)
    assert_wall(sequence, valid=0.7)


def test_scannet_frames_without_a_pose_are_left_out_and_counted(tmp_path):
    poses = write_scannet(tmp_path)
    for index in (0, 5):
        np.savetxt(tmp_path / "pose" / f"{index}.txt", np.full((4, 4), -np.inf))
    (tmp_path / "pose" / "7.txt").unlink()
    with pytest.warns(UserWarning, match=r"left out 3 of 12 frames without a usable pose \(first: 0\)"):
        sequence = open_recording(tmp_path, 3, "fastvggt")
    assert_cameras(sequence, np.delete(poses, [0, 5, 7], axis=0)[[0, 1, 5]])
    assert read_layout(tmp_path).dropped == ("0", "5", "7")


def test_scannet_intrinsics_of_another_size_are_refused(tmp_path):
    write_scannet(tmp_path)
    np.savetxt(tmp_path / "intrinsic" / "intrinsic_color.txt", np.diag([2, 1, 1, 1]) @ np.pad(COLOUR, (0, 1)))
    with pytest.raises(RecordingError, match=r"intrinsic_color.txt has its principal point at \(62, 24\.5\)"):
        open_recording(tmp_path)
    assert open_recording(tmp_path, 2, intrinsics=COLOUR).intrinsics[0, 0, 0] == COLOUR[0, 0]
    for share in (0.46, 0.54):  # off the middle, but of these images
        near = np.eye(4)
        near[:2, 2] = share * WIDE, share * HIGH
        np.savetxt(tmp_path / "intrinsic" / "intrinsic_color.txt", near)
        assert open_recording(tmp_path, 2).intrinsics[0, 0, 2] == share * WIDE


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_seven_scenes_round_trip(tmp_path, suffix):
    poses = write_seven_scenes(tmp_path / "kitchen" / "seq-01", suffix=suffix)
    sequence = open_recording(tmp_path / "kitchen")
    assert sequence.name == "kitchen/seq-01"
    assert_cameras(sequence, poses)
    np.testing.assert_allclose(sequence.intrinsics[0], [[52.5, 0, 32], [0, 52.5, 24], [0, 0, 1]])
    # the depth camera sees less: its focal length is longer
    assert_wall(sequence, valid=0.98 * (525 / 585) ** 2)


def test_tum_round_trip(tmp_path):
    poses = write_tum(tmp_path)
    with pytest.warns(UserWarning, match="left out 1 of 5"):
        sequence = open_recording(tmp_path, intrinsics=COLOUR)
    assert_cameras(sequence, poses[:4])
    assert_wall(sequence, valid=0.999)
    offsets = (sequence.depth - sequence.depth[0]).mean(dim=(1, 2))
    np.testing.assert_allclose(offsets, np.arange(4), atol=1e-3)  # depth map i belongs to colour image i


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("rgbd_dataset_freiburg1_desk", (517.3, 516.5, 318.6, 255.3)),
        ("rgbd_dataset_freiburg2_xyz", (520.9, 521.0, 325.1, 249.7)),
        ("rgbd_dataset_freiburg3_office", (535.4, 539.2, 320.1, 247.6)),
        ("my_room", (525.0, 525.0, 319.5, 239.5)),
    ],
)
def test_tum_intrinsics_follow_the_folder_name_and_the_size(tmp_path, name, published):
    write_tum(tmp_path / name)
    camera = read_layout(tmp_path / name).colour_camera
    whole, half = camera(640, 480), camera(320, 240)
    assert (whole[0, 0], whole[1, 1], whole[0, 2], whole[1, 2]) == published
    for axis in (0, 1):
        assert half[axis, axis] == whole[axis, axis] / 2
        assert half[axis, 2] == pytest.approx((whole[axis, 2] + 0.5) / 2 - 0.5)


def test_association_takes_the_closest_pairs_once():
    pairs = associate(np.array([0.0, 1.0, 1.01, 5.0]), np.array([1.012, 0.03, 0.995, -0.01]), 0.02)
    assert pairs == {0: 3, 1: 2, 2: 0}
    assert associate(np.array([1.0, 1.01]), np.array([1.009]), 0.02) == {1: 0}
    assert associate(np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0]), 0.02) == {0: 2, 1: 1, 2: 0}


def test_folder_of_images(tmp_path):
    for number in (10, 2, 1):
        write_image(tmp_path / f"photo{number}.png", number)
    (tmp_path / "notes.txt").write_text("not an image")
    sequence = open_recording(tmp_path)
    assert len(sequence) == 3 and sequence.extrinsics is None and sequence.intrinsics is None
    second = np.array(Image.open(tmp_path / "photo2.png"))
    np.testing.assert_array_equal((sequence.images[1] * 255).round().permute(1, 2, 0), second)
    with pytest.raises(RecordingError, match="holds images but no poses, and poses are needed"):
        open_recording(tmp_path, need_poses=True)


def test_transparent_images_lie_on_white(tmp_path):
    Image.new("RGBA", (8, 8), (10, 20, 30, 0)).save(tmp_path / "clear.png")
    for size in ({}, {"height": 4, "width": 4}, {"target": 4, "patch_size": 4}):
        assert open_recording(tmp_path, **size).images.min() == 1.0


def test_invalid_depth_and_missing_depth_are_zero(tmp_path):
    write_scannet(tmp_path, frames=3)
    (tmp_path / "intrinsic" / "intrinsic_depth.txt").unlink()  # registered: same view, half the size
    depth = np.full((24, 32), 2000, np.uint16)
    depth[0, 0], depth[0, 1] = 0, 65535
    Image.fromarray(depth).save(tmp_path / "depth" / "0.png")
    (tmp_path / "depth" / "1.png").unlink()
    sequence = open_recording(tmp_path)
    assert torch.equal(sequence.depth[0, :2, :4], torch.zeros(2, 4))
    assert (sequence.depth[0] == 2).sum() == 2 * 2 * (depth.size - 2)
    assert sequence.depth[1].max() == 0 < sequence.depth[2].min()
    Image.fromarray(depth[:, :20]).save(tmp_path / "depth" / "2.png")
    with pytest.raises(RecordingError, match=r"2\.png is 20x24, another shape than its colour image"):
        open_recording(tmp_path)


@pytest.mark.parametrize(
    "size", [{"height": 24, "width": 24}, {"target": 32, "patch_size": 8}, {"target": 28}]
)
def test_intrinsics_and_depth_follow_the_size(tmp_path, size):
    """The wall stays the same wall: depth of the resized frame fits the resized intrinsics."""
    write_scannet(tmp_path, frames=2)
    sequence = open_recording(tmp_path, **size)
    high, wide = sequence.images.shape[2:]
    expected = (24, 24) if "height" in size else (24, 32) if size["target"] == 32 else (28, 28)
    assert (high, wide) == expected
    assert_wall(sequence, valid=0.7)


def test_crop_rule_is_that_of_the_loader(tmp_path):
    """Portrait images, where rows are cut: pixels are the loader's, and the principal point moves along."""
    write_image(tmp_path / "a.png", 0, size=(40, 60))
    sequence = open_recording(tmp_path, target=28, intrinsics=[[50, 0, 19.5], [0, 50, 29.5], [0, 0, 1]])
    assert torch.equal(sequence.images, crop([tmp_path / "a.png"], target=28))
    centre = [[35, 0, 13.5], [0, 50 * 42 / 60, 13.5], [0, 0, 1]]
    np.testing.assert_allclose(sequence.intrinsics[0], centre)
    whole = open_recording(tmp_path, target=28, intrinsics=[[50, 0, 19], [0, 50, 29], [0, 0, 1]])
    np.testing.assert_allclose(whole.intrinsics[0, 0], [35, 0, 13.15])


@given(
    wide=st.integers(20, 200), high=st.integers(20, 200), width=st.integers(8, 90), height=st.integers(8, 90)
)
def test_framing_maps_pixels_and_intrinsics_alike(wide, high, width, height):
    """A pixel of the result and where it came from lie on the same ray; the part is centred and inside."""
    for framing in (
        fit((wide, high), height=height, width=width),
        fit((wide, high), target=28, patch_size=7),
    ):
        camera = np.array([[70.0, 0, wide / 2], [0, 80.0, high / 3], [0, 0, 1]])
        new, (columns, rows) = framing.intrinsics(camera), framing.recorded_pixels()
        assert (len(columns), len(rows)) == (framing.width, framing.height)
        before, after = (
            (columns - camera[0, 2]) / camera[0, 0],
            (np.arange(len(columns)) - new[0, 2]) / new[0, 0],
        )
        np.testing.assert_allclose(after, before, atol=1e-9)
        before, after = (rows - camera[1, 2]) / camera[1, 1], (np.arange(len(rows)) - new[1, 2]) / new[1, 1]
        np.testing.assert_allclose(after, before, atol=1e-9)
        assert columns[0] >= -0.5 and rows[0] >= -0.5
        assert columns[0] + columns[-1] == pytest.approx(wide - 1)


def test_fastvggt_selection_equals_the_stored_lists(golden, golden_config):
    section = golden_config["eval_metrics"]
    expected = json.loads((golden / section["expected_file"]).read_text())["frame_selection"]
    for case in section["frame_selection"]:
        chosen, stored = select_frames(case["frames"], case["ask"], "fastvggt"), expected[case["key"]]
        if case["stored"] == "list":
            assert chosen == stored
        else:
            assert (len(chosen), chosen[0], chosen[-1]) == (stored["count"], stored["first"], stored["last"])
            assert set(np.diff(chosen[1:])) == {stored["step"]}


@given(available=st.integers(1, 300), data=st.data(), stride=st.integers(1, 7))
def test_even_selection_uses_the_whole_sequence(available, data, stride):
    kept = len(range(0, available, stride))
    frames = data.draw(st.integers(1, kept))
    chosen = select_frames(available, frames, stride=stride)
    assert len(chosen) == frames and chosen == sorted(set(chosen)) and chosen[0] == 0
    if frames > 1:
        assert chosen[-1] == (kept - 1) * stride
        assert np.ptp(np.diff(chosen)) <= stride
    assert all(index % stride == 0 for index in chosen)
    assert select_frames(available, frames, "first", stride=stride) == [i * stride for i in range(frames)]
    assert select_frames(available, None, stride=stride) == list(range(0, available, stride))


def test_selection_is_checked():
    with pytest.raises(ValueError, match=r"11 frames asked for, but there are 10 \(20 frames, stride 2\)"):
        select_frames(20, 11, stride=2)
    with pytest.raises(ValueError, match="selection is 'random'"):
        select_frames(20, 5, "random")
    with pytest.raises(ValueError, match="stride 0 and frames 5 must be at least 1"):
        select_frames(20, 5, stride=0)
    assert select_frames(20, 1, "fastvggt") == [0]


def test_chosen_frames_of_a_listing(tmp_path):
    poses = write_scannet(tmp_path)
    recording = read_layout(tmp_path)
    assert [frame.name for frame in recording.frames] == [str(i) for i in range(12)]
    assert_cameras(load_frames(recording, [7, 3], height=8, width=8), poses[[7, 3]])


def test_errors_of_folders(tmp_path):
    with pytest.raises(RecordingError, match="nowhere is not there; give a folder"):
        open_recording(tmp_path / "nowhere")
    with pytest.raises(RecordingError, match="does not hold images or a recording"):
        open_recording(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(RecordingError, match="is a file; give a folder"):
        open_recording(tmp_path / "file")
    for name in ("seq-01", "seq-02"):
        write_seven_scenes(tmp_path / name, frames=1)
    with pytest.raises(RecordingError, match=r"holds 2 recordings; give one of them: .*seq-01, .*seq-02"):
        open_recording(tmp_path)
    with pytest.raises(RecordingError, match="layout is 'kitti'; choose one of"):
        open_recording(tmp_path, layout="kitti")
    with pytest.raises(RecordingError, match="does not hold a tum recording"):
        open_recording(tmp_path / "seq-01", layout="tum")
    with pytest.raises(ValueError, match="give either target or both height and width"):
        open_recording(tmp_path / "seq-01", height=8)
    with pytest.raises(ValueError, match="target 30 must be a positive multiple of patch_size 14"):
        open_recording(tmp_path / "seq-01", target=30)


@pytest.mark.parametrize(("height", "width", "part"), [(20, 64, np.s_[14:34, :]), (48, 30, np.s_[:, 17:47])])
def test_a_narrower_picture_is_the_middle_of_the_recorded_one(tmp_path, height, width, part):
    pixels = write_image(tmp_path / "a.png", 3)
    found = read_colour(tmp_path / "a.png", fit((WIDE, HIGH), height=height, width=width))
    assert torch.equal((found * 255).round().byte(), torch.from_numpy(pixels[part]).permute(2, 0, 1))


def test_a_smaller_picture_is_the_middle_too(tmp_path):
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:, 8:56] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = read_colour(tmp_path / "a.png", fit((64, 48), height=12, width=12))
    assert found[..., 1:-1].min() == 1  # the outermost columns see what is beyond


def test_a_coloured_depth_image_is_refused(tmp_path):
    write_scannet(tmp_path, frames=4)
    write_image(tmp_path / "depth" / "2.png", 0, size=(32, 24))
    with pytest.raises(RecordingError, match=r"2\.png is not a one-channel depth image \(its mode is RGB\)"):
        open_recording(tmp_path)


def test_errors_of_files(tmp_path):
    write_scannet(tmp_path, frames=4)
    write_image(tmp_path / "color" / "2.png", 0, size=(30, 20))
    with pytest.raises(RecordingError, match=r"0\.png is 64x48, but .*2\.png is 30x20"):
        open_recording(tmp_path)
    (tmp_path / "color" / "2.png").write_text("not an image")
    with pytest.raises(RecordingError, match=r"2\.png is not a readable image"):
        open_recording(tmp_path)
    whole = (tmp_path / "color" / "1.png").read_bytes()
    (tmp_path / "color" / "2.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordingError, match=r"2\.png is not a readable image"):
        open_recording(tmp_path)
    (tmp_path / "pose" / "3.txt").write_text("1 2 three")
    with pytest.raises(RecordingError, match=r"3\.txt is not a table of numbers"):
        open_recording(tmp_path)
    np.savetxt(tmp_path / "pose" / "3.txt", np.eye(4) * 2)
    with pytest.raises(RecordingError, match=r"3\.txt is not a rigid pose: \|R R\^T - 1\| = 3"):
        open_recording(tmp_path)
    np.savetxt(tmp_path / "pose" / "3.txt", np.eye(3))
    with pytest.raises(RecordingError, match=r"3\.txt must hold a 4x4 pose, got 3x3"):
        open_recording(tmp_path)
    (tmp_path / "intrinsic" / "intrinsic_color.txt").unlink()
    with pytest.raises(RecordingError, match=r"intrinsic_color\.txt is missing"):
        open_recording(tmp_path)


def test_errors_of_tum_lists_and_unposed_images(tmp_path):
    write_tum(tmp_path / "a")
    with (tmp_path / "a" / "groundtruth.txt").open("a") as stream:
        stream.write("1000.5 1 2 3\n")
    with pytest.raises(RecordingError, match=r"groundtruth\.txt, line 18: 7 words expected .* got 3"):
        open_recording(tmp_path / "a")
    (tmp_path / "a" / "groundtruth.txt").write_text("1000 1 2 3 0 0 0 one\n")
    with pytest.raises(RecordingError, match=r"groundtruth\.txt has a pose that is not seven numbers"):
        open_recording(tmp_path / "a")
    write_image(tmp_path / "b" / "frame-000000.color.png", 0)
    with pytest.raises(RecordingError, match=r"none of its 1 .*frame-000000\.pose\.txt is not"):
        open_recording(tmp_path / "b")
    assert open_recording(tmp_path / "b", layout="images").extrinsics is None


def test_camera_centres_are_the_recorded_translations(tmp_path):
    poses = write_scannet(tmp_path, frames=3)
    np.testing.assert_allclose(
        camera_centres(open_recording(tmp_path).extrinsics), poses[:, :3, 3], atol=1e-7
    )


def warped_depth_error(sequence: Sequence, source: int, target: int) -> tuple[float, float]:
    """Median difference (m), and the share below 5 cm, of one frame's depth seen from another frame."""
    depth = sequence.depth[source].double()
    points = unproject(depth, sequence.extrinsics[source], sequence.intrinsics[source])[depth > 0]
    extrinsics, intrinsics = sequence.extrinsics[target], sequence.intrinsics[target]
    seen = points @ extrinsics[:, :3].T + extrinsics[:, 3]
    column, row = ((seen @ intrinsics.T)[:, :2] / seen[:, 2:]).round().long().unbind(1)
    high, wide = sequence.depth.shape[1:]
    inside = (seen[:, 2] > 0) & (column >= 0) & (column < wide) & (row >= 0) & (row < high)
    measured = sequence.depth[target][row[inside], column[inside]]
    difference = (measured - seen[inside, 2])[measured > 0].abs()
    assert len(difference) > 1000
    return difference.median().item(), (difference < 0.05).double().mean().item()


@pytest.mark.slow
@pytest.mark.parametrize("size", [{}, {"height": 112, "width": 112}, {"target": 140, "patch_size": 14}])
def test_real_depth_agrees_between_frames(redkitchen, size):
    """Poses, intrinsics and depth fit together: the depth of one frame, moved, is the depth of another."""
    sequence = open_recording(redkitchen, 30, "first", stride=10, **size)
    for source in (7, 14, 21):
        median, near = warped_depth_error(sequence, source, source + 1)
        assert median < 0.02 and near > 0.85
    # the control: camera-to-world poses taken for camera-from-world
    rotation, translation = sequence.extrinsics[:, :, :3].mT, camera_centres(sequence.extrinsics)[..., None]
    inverted = replace(sequence, extrinsics=torch.cat([rotation, translation], dim=-1))
    for source in (7, 14):
        median, near = warped_depth_error(inverted, source, source + 1)
        assert median > 0.1 and near < 0.5


@pytest.mark.slow
def test_real_recording_has_the_size_that_it_had(redkitchen):
    recording = read_layout(redkitchen)
    assert recording.layout == "7scenes" and len(recording.frames) == 500 and not recording.dropped
    sequence = open_recording(redkitchen, 50)
    np.testing.assert_allclose(sequence.intrinsics[0], [[183.75, 0, 112], [0, 183.75, 84], [0, 0, 1]])
    centres = camera_centres(sequence.extrinsics)
    assert float(centres.diff(dim=0).norm(dim=1).sum()) == pytest.approx(6.6, abs=0.3)
    assert (centres.amax(0) - centres.amin(0)).tolist() == pytest.approx([1.9, 0.6, 1.0], abs=0.15)
    assert 0.5 < float((sequence.depth > 0).double().mean()) < 0.89


def test_one_pixel_is_a_size_and_none_is_not():
    assert fit((4, 4), target=1, patch_size=1).width == fit((4, 4), height=1, width=1).width == 1
    for size in ({"target": 0, "patch_size": 1}, {"target": 1, "patch_size": 0}, {"height": 0, "width": 1}):
        with pytest.raises(ValueError, match="must be"):
            fit((4, 4), **size)


def test_colours_are_as_stored_unless_asked_upright(tmp_path):
    image = Image.new("RGB", (6, 4))
    image.putpixel((0, 0), (255, 0, 0))
    exif = image.getexif()
    exif[0x0112] = 3  # turned by half
    image.save(tmp_path / "a.png", exif=exif)
    red = [read_colour(tmp_path / "a.png", fit((6, 4)), **kind)[0] for kind in ({}, {"upright": True})]
    assert red[0][0, 0] == 1 == red[1][3, 5] and red[0].sum() == red[1].sum() == 1


def test_depth_is_in_millimetres_unless_the_layout_says_otherwise(tmp_path):
    write_scannet(tmp_path / "a", frames=1)
    write_seven_scenes(tmp_path / "b", frames=1)
    write_image(tmp_path / "c.png", 0)
    assert [read_layout(tmp_path / name).depth_unit for name in "ab"] == [1000, 1000]
    for name in "ab":
        shutil.rmtree(tmp_path / name)
    assert read_layout(tmp_path).depth_unit == 1000


def test_a_grey_picture_with_an_alpha_lies_on_white_too(tmp_path):
    Image.new("LA", (4, 4), (10, 0)).save(tmp_path / "clear.png")
    assert read_colour(tmp_path / "clear.png", fit((4, 4))).min() == 1.0


@pytest.mark.parametrize("last", ["0 0 0 1", "0 0 0 0", "1 1 1 1"])
def test_a_pose_without_a_rotation_is_none_wherever_its_camera_stands(tmp_path, last):
    (tmp_path / "0.txt").write_text("0 0 0 1\n0 0 0 2\n0 0 0 3\n" + last)
    assert read_pose(tmp_path / "0.txt") is None


# --- how much may differ


@pytest.mark.parametrize(("share", "fits"), [(0.54, True), (0.46, True), (0.56, False), (0.44, False)])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_principal_point_lies_within_a_twentieth_of_the_middle(share, fits, axis):
    centre = [320.0, 240.0]
    centre[axis] *= 2 * share
    if fits:
        check_centre(Path("k.txt"), pinhole(500, 500, *centre), 640, 480)
        return
    with pytest.raises(RecordingError, match="far from the middle of 640x480"):
        check_centre(Path("k.txt"), pinhole(500, 500, *centre), 640, 480)


def test_images_are_of_the_shape_of_vga_up_to_a_fiftieth():
    assert vga_shrink(Path("a"), 320, 240) == 0.5 and vga_shrink(Path("a"), 650, 480) == 650 / 640
    for width in (660, 620):
        with pytest.raises(RecordingError, match=f"images of {width}x480"):
            vga_shrink(Path("a"), width, 480)


@pytest.mark.parametrize(
    ("focal", "centre", "resized"),
    [
        ((1.03, 1.03), 1.03, True),
        ((1.03, 1.03), 1.045, True),  # by the same factor, up to a fiftieth
        ((1.01, 1.01), 1.01, False),  # no more than calibrations differ
        ((1.1, 1.1), 1.133, False),  # in the field of view, but not in step with the principal point
        ((1.03, 1.0), 1.03, False),  # along one side only
        ((1.0, 1.0), 1.0, False),
    ],
)
def test_one_factor_in_focal_length_and_principal_point_is_a_change_of_size(focal, centre, resized):
    colour, depth = (
        pinhole(500 * focal[0], 510 * focal[1], 320 * centre, 240 * centre),
        pinhole(250, 255, 160, 120),
    )
    if not resized:
        check_views(Path("k.txt"), colour, (640, 480), depth, (320, 240))
        return
    with pytest.raises(RecordingError, match=f"differ {focal[0]:.3g} times"):
        check_views(Path("k.txt"), colour, (640, 480), depth, (320, 240))


def test_why_there_is_no_pose_by_hand(tmp_path):
    assert why_no_pose([tmp_path / "a"]) == f"{tmp_path / 'a'} is not there"
    for number in range(4):
        (tmp_path / f"{number}.txt").touch()
    assert why_no_pose([tmp_path / "a"]) == f"{tmp_path / 'a'} is not there, only 0.txt, 1.txt, 2.txt …"
    times, far = np.array([1.0, 2.0]), "s apart or more, allowed are 0.5 s"
    assert why_no_time(times, np.array([2.5, 9.0]), 0.5) == "no pose in groundtruth.txt is finite"
    assert f" 1 {far}" in why_no_time(times, np.array([3.0, 9.0]), 0.5)
    assert f" inf {far}" in why_no_time(times, np.array([]), 0.5)
    assert f" inf {far}" in why_no_time(np.array([]), times, 0.5)


@pytest.mark.parametrize(("deviation", "is_one"), [(0.009, True), (0.015, False)])
def test_a_recorded_rotation_may_deviate_by_a_hundredth_and_is_mended(tmp_path, deviation, is_one):
    pose = poses_c2w(1)[0]
    scaled = pose.copy()
    scaled[:3, :3] *= np.sqrt(1 + deviation)
    np.savetxt(tmp_path / "0.txt", scaled)
    if is_one:
        np.testing.assert_allclose(read_pose(tmp_path / "0.txt"), pose, atol=1e-12)
        return
    with pytest.raises(RecordingError, match="is not a rigid pose"):
        read_pose(tmp_path / "0.txt")


# --- lists and stamps


def test_stamps_exactly_as_far_apart_as_allowed_are_a_pair():
    assert associate(np.array([0.0, 4.0]), np.array([0.5, 3.5, 9.0]), 0.5) == {0: 0, 1: 1}


@pytest.mark.parametrize("stamp", ["nan", "inf"])
def test_a_time_stamp_is_a_finite_number(tmp_path, stamp):
    (tmp_path / "rgb.txt").write_text(f"# colour\n1.0 a.png\n{stamp} b.png\n")
    with pytest.raises(RecordingError, match=rf"rgb\.txt, line 3: {stamp} is no time stamp"):
        read_timed(tmp_path / "rgb.txt", 1)


def test_a_name_comes_before_longer_ones_that_begin_like_it():
    names = ["x1.png", "x1a2.png", "x1a10.png", "x2.png", "x10.png", "x.png", "x.png0.png"]
    assert sorted(reversed(names), key=lambda name: natural(Path(name))) == names


# --- depth at the pixels of the colour image


def numbered(file: Path, wide: int, high: int) -> np.ndarray:
    """A depth map in which each pixel has a number of its own, and its values."""
    values = 1 + np.arange(wide * high, dtype=np.uint16).reshape(high, wide)
    Image.fromarray(values).save(file)
    return values


def test_depth_of_a_camera_of_its_own_by_hand(tmp_path):
    """Column c is seen at (c - 3) / 4 * 8 + 1, row r at (r - 2) / 2 * 6 + 2, and nothing outside."""
    values = numbered(tmp_path / "d.png", 8, 6)
    colour, own = pinhole(4, 2, 3, 2), pinhole(8, 6, 1, 2)
    found = read_depth(tmp_path / "d.png", fit((8, 6)), 2.0, colour, lambda wide, high: own)
    expected = np.zeros((6, 8))
    expected[2:4, 3:7] = values[np.ix_([2, 5], [1, 3, 5, 7])] / 2
    np.testing.assert_array_equal(found, expected)


def test_registered_depth_of_half_the_size_by_hand(tmp_path):
    values = numbered(tmp_path / "d.png", 4, 3)
    found = read_depth(tmp_path / "d.png", fit((8, 6)), 1.0)
    np.testing.assert_array_equal(found, values.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize(("size", "fits"), [((129, 96), True), ((65, 48), False), ((63, 48), False)])
def test_registered_depth_is_of_the_same_shape_up_to_a_hundredth(tmp_path, size, fits):
    numbered(tmp_path / "d.png", 64, 48)
    if fits:
        assert read_depth(tmp_path / "d.png", fit(size), 1.0).shape == size[::-1]
        return
    with pytest.raises(RecordingError, match="another shape than its colour image"):
        read_depth(tmp_path / "d.png", fit(size), 1.0)


def test_a_flat_picture_has_one_row_of_patches():
    for high in (20, 4):  # 0.6 and 0.1 patches
        assert fit((64, high), target=28).height == 14


# --- what is read, and from where


def test_frames_of_a_listing_are_chosen_by_hand(tmp_path):
    """FastVGGT's rule: after the first frame every step-th of the others, the step rounded down."""
    assert select_frames(10, 4, "fastvggt") == [0, 1, 4, 7]
    assert select_frames(20, 15, "fastvggt") == list(range(15))
    assert select_frames(3, 9, "fastvggt") == [0, 1, 2]
    with pytest.raises(ValueError, match="available 0, stride 1"):
        select_frames(0)
    poses = write_scannet(tmp_path, frames=5)
    assert_cameras(open_recording(tmp_path, stride=2), poses[::2])


def test_one_photograph_has_no_pose_either(tmp_path):
    write_image(tmp_path / "a.png", 0)
    with pytest.raises(RecordingError, match="images but no poses"):
        open_recording(tmp_path, need_poses=True)


def test_frames_left_out_are_told_to_the_caller(tmp_path):
    write_tum(tmp_path)
    with pytest.warns(UserWarning, match="left out 1 of 5") as caught:
        open_recording(tmp_path)
    assert caught[0].filename == __file__


def test_a_named_layout_is_looked_for_one_level_below(tmp_path):
    (tmp_path / "notes").mkdir()
    write_seven_scenes(tmp_path / "seq-01", frames=1)
    assert read_layout(tmp_path, "7scenes").name == f"{tmp_path.name}/seq-01"


def test_a_folder_of_colours_without_poses_is_one_of_images(tmp_path):
    write_image(tmp_path / "color" / "a.png", 0)
    found = read_layout(tmp_path)
    assert (found.layout, found.name) == ("images", "color")


def test_what_a_folder_holds_instead_is_said_by_its_suffixes(tmp_path):
    with pytest.raises(RecordingError, match=r"7scenes, images\); give the folder of the images$"):
        read_layout(tmp_path)
    (tmp_path / "x.y").mkdir()
    for name in ("README", "a.dng"):
        (tmp_path / name).touch()
    with pytest.raises(RecordingError, match=r"images\), only \.dng files; give"):
        read_layout(tmp_path)


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def forbidden(folder):
        raise PermissionError("not yours")

    monkeypatch.setattr(layouts, "_detect", forbidden)
    with pytest.raises(RecordingError, match=rf"{tmp_path.name} cannot be read: not yours"):
        read_layout(tmp_path)

"""Photographs as people have them: turned, deep, transparent, hidden, linked, oddly named, beside others."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from test_recordings import (
    DEPTH,
    plane_depth,
    write_depth,
    write_image,
    write_scannet,
    write_seven_scenes,
    write_tum,
)

from lib.scenes.layouts import read_layout
from lib.scenes.pictures import ImageLoadError, as_rgb, image_size, opened, read_rgb
from lib.scenes.preprocessing import load_images
from lib.scenes.recording_files import RecordingError
from lib.scenes.recordings import open_recording
from lib.scenes.walks import open_scene, single_scenes

ORIENTATION = 0x0112
SCENE = np.zeros((48, 64, 3), np.uint8)  # no symmetry: white sky, red to the left
SCENE[:16], SCENE[16:, :20, 0] = 255, 200
STORED = {  # how a camera that writes this orientation stores the scene
    1: SCENE,
    2: SCENE[:, ::-1],
    3: SCENE[::-1, ::-1],
    4: SCENE[::-1],
    5: SCENE.swapaxes(0, 1),
    6: np.rot90(SCENE, 1),
    7: np.rot90(SCENE.swapaxes(0, 1), 2),
    8: np.rot90(SCENE, -1),
}


def save(file: Path, pixels: np.ndarray, orientation: int) -> None:
    tag = Image.Exif()
    tag[ORIENTATION] = orientation
    lossless = {"lossless": True} if file.suffix == ".webp" else {}
    quality = {"quality": 100, "subsampling": 0} if file.suffix == ".jpg" else {}
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, exif=tag, **lossless, **quality)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_every_orientation_is_seen_as_viewers_show_it(tmp_path: Path, orientation: int, suffix: str) -> None:
    save(tmp_path / f"a.{suffix}", STORED[orientation], orientation)
    save(tmp_path / f"b.{suffix}", SCENE, 1)
    seen = open_recording(tmp_path).images.permute(0, 2, 3, 1).numpy()
    assert np.abs(seen - SCENE / 255).max() < 0.1


def test_a_posed_recording_and_the_loaders_of_vggt_keep_pixels_as_stored(tmp_path: Path) -> None:
    write_scannet(tmp_path, frames=1)
    save(tmp_path / "color" / "0.png", SCENE, 3)
    np.testing.assert_allclose(open_recording(tmp_path).images[0].permute(1, 2, 0), SCENE / 255)
    plain, tagged = load_images([Image.fromarray(SCENE)]), load_images([tmp_path / "color" / "0.png"])
    assert bool((plain == tagged).all())


def test_damaged_exif_is_no_orientation(tmp_path: Path) -> None:
    Image.fromarray(SCENE).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    seen = open_recording(tmp_path).images[0].permute(1, 2, 0).numpy()
    assert seen.shape == SCENE.shape and np.abs(seen - SCENE / 255).mean() < 0.05


def test_sizes_are_as_stored_unless_asked_upright(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg", STORED[6], 6)
    assert image_size(tmp_path / "a.jpg") == (48, 64) == image_size(tmp_path / "a.jpg", upright=True)[::-1]


def test_sixteen_bits_are_rounded_to_eight_by_hand() -> None:
    values = np.array([[0, 128, 129, 257, 514, 65535]], np.uint16)
    assert np.asarray(as_rgb(Image.fromarray(values), "a"))[0, :, 0].tolist() == [0, 0, 1, 1, 2, 255]


def test_a_mode_without_a_way_to_rgb_is_refused_by_name() -> None:
    with pytest.raises(ImageLoadError, match=r"a\.tif has mode La .*save it as RGB"):
        as_rgb(Image.new("La", (2, 2)), "a.tif")


def test_the_loaders_of_vggt_drop_the_alpha_of_grey_files(tmp_path: Path) -> None:
    Image.new("LA", (4, 4), (10, 0)).save(tmp_path / "a.png")
    assert read_rgb(tmp_path / "a.png").getpixel((0, 0)) == (10, 10, 10)
    assert read_rgb(tmp_path / "a.png", every_alpha=True).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(("brand", "heic"), [(b"heic", True), (b"msf1", True), (b"isom", False)])
def test_the_reader_of_heic_is_fetched_where_a_file_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brand: bytes, heic: bool
) -> None:
    fetched = []
    stub = SimpleNamespace(register_heif_opener=lambda: fetched.append(True))
    monkeypatch.setitem(sys.modules, "pillow_heif", stub)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(64))
    with pytest.raises(ImageLoadError, match=r"a\.heic is not a readable image"), opened(tmp_path / "a.heic"):
        pass
    assert bool(fetched) == heic


RAMP = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (48, 1))


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm", "ppm"])
def test_sixteen_bit_grey_keeps_its_tones(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(RAMP).save(tmp_path / f"a.{suffix}")
    for images in (open_recording(tmp_path).images, open_recording(tmp_path, target=56).images):
        assert abs(images.mean() - 0.5) < 0.02 and images.min() < 0.02 and images.max() > 0.98
    assert abs(load_images([tmp_path / f"a.{suffix}"], target=56).mean() - 0.5) < 0.02


@pytest.mark.parametrize("mode", ["I", "F"])
def test_numbers_of_unknown_range_are_refused_by_mode(tmp_path: Path, mode: str) -> None:
    Image.fromarray(RAMP.astype(np.int32 if mode == "I" else np.float32)).save(tmp_path / "a.tif")
    for read in (open_recording, lambda folder: load_images([folder / "a.tif"], target=56)):
        with pytest.raises(ImageLoadError, match=rf"a\.tif has mode {mode}.*save it with 8 or 16 bits"):
            read(tmp_path)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_mode_of_colour_gives_its_colours(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(np.full((48, 64), 255, np.uint8)).convert(mode)
    grey.save(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"))
    assert open_recording(tmp_path).images.min() > 0.99


@pytest.mark.parametrize("mode", ["P", "LA", "RGBA"])
@pytest.mark.parametrize("size", [{}, {"target": 56}])
def test_what_is_transparent_lies_on_white(tmp_path: Path, mode: str, size: dict[str, int]) -> None:
    clear = Image.new("RGBA", (64, 48), (0, 0, 0, 0))
    options = {"transparency": 0} if mode == "P" else {}
    image = Image.new("P", (64, 48), 0) if mode == "P" else clear.convert(mode)
    image.save(tmp_path / "a.png", **options)
    assert open_recording(tmp_path, **size).images.min() == 1


@pytest.mark.parametrize("name", ["a.heic", "a.HEIC", "a.jpg"])
def test_heic_names_what_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    write_image(tmp_path / "b.png", 0)
    (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))
    with pytest.raises(RecordingError, match=rf"{name} is an HEIC photograph: pip install pillow-heif"):
        open_recording(tmp_path)


@pytest.mark.parametrize("orientation", sorted(STORED))
def test_heic_photographs_are_turned_once(tmp_path: Path, orientation: int) -> None:
    """The format turns its pixels itself; the EXIF orientation beside says the same again."""
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    tag = Image.Exif()
    tag[ORIENTATION] = orientation
    Image.fromarray(SCENE).save(tmp_path / "a.heic", exif=tag, quality=95)
    images = open_recording(tmp_path).images[0].permute(1, 2, 0).numpy()
    assert images.shape == SCENE.shape and abs(images - SCENE / 255).mean() < 0.03


def test_hidden_files_and_folders_are_no_photographs(tmp_path: Path) -> None:
    for name in ("a.png", "photos/a.png"):
        write_image(tmp_path / name, 0)
        for hidden in ("._a.png", ".trashed.jpg"):
            (tmp_path / name).with_name(hidden).write_bytes(b"\0\5\26\7")
    for folder in ("__MACOSX", "@eaDir", ".thumbnails"):
        write_image(tmp_path / folder / "a.png", 1)
    assert len(open_recording(tmp_path / "photos")) == 1
    (tmp_path / "a.png").unlink()
    assert len(open_recording(tmp_path)) == 1


def test_names_with_any_digit_are_in_order(tmp_path: Path) -> None:
    names = ["①1.png", "²2.png", "٣.png", "img2.png", "img10.png", "img010.png"]
    for name in names:
        write_image(tmp_path / name, 0)
    read = [frame.name for frame in read_layout(tmp_path).frames]
    assert set(read) == set(names) and read.index("img2.png") < read.index("img010.png") < read.index(
        "img10.png"
    )


def test_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", 0)
    (tmp_path / "b.png").symlink_to("gone.png")
    with pytest.raises(RecordingError, match=r"b\.png is a link to gone\.png, which is not there"):
        open_recording(tmp_path)


@pytest.mark.parametrize("below", ["images", "seq-01", "extra"])
def test_an_image_beside_a_recording_names_both(tmp_path: Path, below: str) -> None:
    write_seven_scenes(tmp_path / below) if below == "seq-01" else write_image(tmp_path / below / "b.png", 0)
    write_image(tmp_path / "preview.png", 0)
    with pytest.raises(RecordingError, match=rf"holds images, and so does .*{below}; give .*{below}"):
        open_recording(tmp_path)
    assert len(open_recording(tmp_path, layout="images")) == 1
    assert len(open_recording(tmp_path / below)) >= 1


def test_a_folder_of_other_files_says_what_it_holds(tmp_path: Path) -> None:
    for name in ("a.dng", "b.MOV"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(RecordingError, match=r"does not hold images or a recording.*only \.dng, \.mov files"):
        open_recording(tmp_path)


# --- poses, stamps, intrinsics ---


def test_a_pose_of_zeros_is_left_out_and_counted(tmp_path: Path) -> None:
    write_scannet(tmp_path, frames=3)
    np.savetxt(tmp_path / "pose" / "1.txt", np.zeros((4, 4)))
    with pytest.warns(UserWarning, match=r"left out 1 of 3 frames without a usable pose \(first: 1\)"):
        assert len(open_recording(tmp_path)) == 2


@pytest.mark.parametrize(
    ("names", "value", "message"),
    [
        ("{:06}.txt", 1.0, r"pose/0\.txt is not there, only 000000\.txt"),
        ("{}.txt", -np.inf, "hold no finite pose"),
    ],
)
def test_without_a_pose_the_cause_is_named_and_the_advice_works(
    tmp_path: Path, names: str, value: float, message: str
) -> None:
    write_scannet(tmp_path, frames=3)
    for i in range(3):
        (tmp_path / "pose" / f"{i}.txt").unlink()
        np.savetxt(tmp_path / "pose" / names.format(i), np.eye(4) * value)
    with pytest.raises(RecordingError, match=message) as caught:
        open_recording(tmp_path)
    advised = str(caught.value).rpartition("without poses, ")[2].removesuffix(" is the folder to give")
    assert len(open_recording(advised)) == 3


@pytest.mark.parametrize(("factor", "shift"), [(1e9, 0.0), (1.0, 3600.0), (1.0, 0.5)])
def test_stamps_that_never_meet_say_how_far_they_are(tmp_path: Path, factor: float, shift: float) -> None:
    write_tum(tmp_path)
    lines = [line.split(" ", 1) for line in (tmp_path / "rgb.txt").read_text().splitlines()[1:]]
    moved = [(float(stamp) * factor + shift, rest) for stamp, rest in lines]
    (tmp_path / "rgb.txt").write_text("".join(f"{stamp:.6f} {rest}\n" for stamp, rest in moved))
    truth = np.loadtxt(tmp_path / "groundtruth.txt")[:, 0]
    gap = min(np.abs(truth - stamp).min() for stamp, _ in moved)
    with pytest.raises(
        RecordingError, match=rf"are {gap:g} s apart or more.*rgb is the folder to give".replace("+", r"\+")
    ):
        open_recording(tmp_path)
    assert len(open_recording(tmp_path / "rgb")) == len(moved)


@pytest.mark.parametrize("mark", ["utf-8", "utf-8-sig"])
def test_lists_may_begin_with_a_byte_order_mark(tmp_path: Path, mark: str) -> None:
    write_tum(tmp_path)
    for name in ("rgb.txt", "groundtruth.txt"):
        text = (tmp_path / name).read_text().splitlines()[1:]
        (tmp_path / name).write_text("\n".join(text), encoding=mark)
    with pytest.warns(UserWarning, match="left out 1 of 5"):
        assert len(open_recording(tmp_path)) == 4
    (tmp_path / "rgb.txt").write_text("1 rgb/a.png", encoding="utf-16")
    with pytest.raises(RecordingError, match=r"rgb\.txt is not text in UTF-8.*save it as UTF-8"):
        open_recording(tmp_path)


@pytest.mark.parametrize("scale", [0.5, 0.75, 0.9, 1.25, 2.0])
@pytest.mark.parametrize("which", ["color", "depth"])
def test_images_of_another_size_than_their_intrinsics_are_refused(
    tmp_path: Path, scale: float, which: str
) -> None:
    write_scannet(tmp_path, frames=1)
    wide, high = (64, 48) if which == "color" else (32, 24)
    size = round(wide * scale), round(high * scale)
    if which == "color":
        write_image(tmp_path / "color" / "0.png", 0, size)
    else:
        write_depth(tmp_path / "depth" / "0.png", np.resize(plane_depth(DEPTH, wide, high), size[::-1]), 1000)
    with pytest.raises(RecordingError, match=rf"intrinsic_{which}\.txt.*another size|not of the size"):
        open_recording(tmp_path)


def test_a_small_change_of_size_shows_in_the_fields_of_view(tmp_path: Path) -> None:
    write_scannet(tmp_path, frames=1)
    focal, focal_depth = 1170 / 1296 * 640, 577.0 / 640 * 320
    for name, matrix in (
        ("color", [focal, 0, 320, 0, focal, 240, 0, 0, 1]),
        ("depth", [focal_depth, 0, 160, 0, focal_depth, 120, 0, 0, 1]),
    ):
        (tmp_path / "intrinsic" / f"intrinsic_{name}.txt").write_text(" ".join(map(str, matrix)))
    write_depth(tmp_path / "depth" / "0.png", np.ones((240, 320)), 1000)
    write_image(tmp_path / "color" / "0.png", 0, (640, 480))
    open_recording(tmp_path)
    write_image(tmp_path / "color" / "0.png", 0, (608, 456))  # 0.95 times
    with pytest.raises(RecordingError, match="not of the size that its intrinsics are for"):
        open_recording(tmp_path)


@pytest.mark.parametrize("write", [write_tum, write_seven_scenes])
def test_cameras_known_for_four_to_three_refuse_cut_images(tmp_path: Path, write) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path, 2)
    for file in [*tmp_path.glob("rgb/*.png"), *tmp_path.glob("*.color.png")]:
        write_image(file, 0, (64, 36))
    with (
        pytest.raises(RecordingError, match="64x36, but its cameras are known for 640x480"),
        pytest.warns(UserWarning) if write is write_tum else pytest.MonkeyPatch.context(),
    ):
        open_recording(tmp_path)


# --- names of scenes ---


def test_a_folder_comes_before_pieces_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("shoot", "shoot#1", "shoot #2"):
        write_image(tmp_path / name / "a.png", len(name))
    assert single_scenes(f"{tmp_path}/shoot#1") == [f"{tmp_path}/shoot#1"]
    assert single_scenes(f"{tmp_path}/shoot#3") == [f"{tmp_path}/shoot#{k}/3" for k in range(3)]
    assert single_scenes(f"{tmp_path}/shoot#1#1") == [f"{tmp_path}/shoot#1#0/1"]
    inside = open_scene(f"{tmp_path}/shoot#1", 1, 28, 14).images
    assert bool((inside == open_recording(tmp_path / "shoot#1", target=28).images).all())
    monkeypatch.chdir(tmp_path)
    assert bool((inside == open_scene("shoot#1", 1, 28, 14).images).all())


@pytest.mark.parametrize(
    "scene", ["", " ", "a\0b", "x" * 5000, "\udcff", "gone#4/4", "gone#5/4", "gone#0", "gone"]
)
def test_what_names_no_scene_is_refused(scene: str) -> None:
    with pytest.raises(RecordingError):
        open_scene(scene, 1, 28, 14)


@pytest.mark.skipif(os.name == "nt", reason="names of files are bytes")
@pytest.mark.parametrize(
    "name", ["a b", "ä'\"", "新しい", "#", "a#1", "[x]*?", "{m}", "-p", "line\nbreak", "%s", "~"]
)
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / name / f"{name}.png", 0)
    assert open_scene(f"{tmp_path}/{name}", 1, 28, 14).name == name
    assert single_scenes(f"{tmp_path}/{name}") == [f"{tmp_path}/{name}"]


def test_a_photograph_that_is_too_elongated_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (100, 4)).save(tmp_path / "b.png")
    with pytest.raises(RecordingError, match=r"b\.png: image 0 is too elongated"):
        open_recording(tmp_path, target=28)

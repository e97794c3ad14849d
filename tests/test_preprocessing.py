"""Loaders: byte-exact parity with the reference, the rounding rules, and what they say about bad input."""

import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lib.scenes import preprocessing


def check_parity(folder: Path, config: dict, case: dict) -> None:
    """One loader call of a reference set against what it stored: shape, boxes, and every byte."""
    inputs = folder / config["preproc"]["folder"]
    paths = [inputs / name for name in case["inputs"]]
    if case["mode"] == "square":
        result, boxes = preprocessing.square(paths, target=case["target"])
        torch.testing.assert_close(boxes, torch.tensor(case["coords"]), atol=1e-5, rtol=0)
    else:
        result = preprocessing.load_images(paths, case["mode"], target=case["target"])
    assert list(result.shape) == case["shape"] and result.dtype == torch.float32
    as_bytes = (result * 255).round().to(torch.uint8)
    if hashlib.sha256(as_bytes.numpy().tobytes()).hexdigest() == case["sha256_uint8_chw"]:
        return
    # Another build of Pillow may round a bicubic value the other way: at most one step of 255.
    stored = np.stack([np.array(Image.open(inputs / name)) for name in case["files"]])
    reference = torch.from_numpy(stored).permute(0, 3, 1, 2).float() / 255
    atol = config["tolerances"]["preproc"][""]["atol"]
    torch.testing.assert_close(result, reference, atol=atol, rtol=0)


def cases_of(folder: Path, config: dict) -> list[dict]:
    """Each case of a reference set: its loader call (config.json) and what that gave (expected.json)."""
    expected = json.loads((folder / config["preproc"]["expected_file"]).read_text())["cases"]
    calls = {call["tag"]: call for call in config["preproc"]["cases"]}
    assert calls.keys() == {case["tag"] for case in expected}, "config.json and expected.json differ in tags"
    return [case | calls[case["tag"]] for case in expected]


@pytest.mark.filterwarnings("ignore:images have different shapes")
def test_parity(golden, golden_config, subtests):
    """Every case of whatever set ``VGGT_GOLDEN`` names."""
    cases = cases_of(golden, golden_config)
    assert cases, f"{golden} holds no case of preprocessing"
    for case in cases:
        with subtests.test(tag=case["tag"]):
            check_parity(golden, golden_config, case)


def grey_set(folder: Path, calls: list[tuple[str, str, tuple[int, int], int, list[int]]]) -> dict:
    """Write a reference set of plain grey images, whose results need no loader; its configuration."""
    (folder / "preproc").mkdir()
    expected = []
    for tag, mode, (width, height), target, shape in calls:
        Image.new("RGB", (width, height), (90, 90, 90)).save(folder / "preproc" / f"in_{tag}.png")
        out = np.full((shape[2], shape[3], 3), 255 if mode == "pad" else 0, dtype=np.uint8)
        left, top = (target - shape[4]) // 2, (target - shape[5]) // 2
        place = (slice(None),) * 2 if mode == "crop" else np.s_[top : top + shape[5], left : left + shape[4]]
        out[place] = 90
        Image.fromarray(out).save(folder / "preproc" / f"out_{tag}.png")
        box = [float(x) for x in (left, top, left + shape[4], top + shape[5], width, height)]
        content = hashlib.sha256(out.transpose(2, 0, 1)[None].tobytes()).hexdigest()
        entry = {"tag": tag, "inputs": [f"in_{tag}.png"], "files": [f"out_{tag}.png"], "shape": shape[:4]}
        expected.append(entry | {"sha256_uint8_chw": content, "coords": [box] if mode == "square" else None})
    (folder / "preproc" / "expected.json").write_text(json.dumps({"cases": expected}))
    tags = [{"tag": tag, "mode": mode, "target": target} for tag, mode, _, target, _ in calls]
    section = {"expected_file": "preproc/expected.json", "folder": "preproc", "cases": tags}
    return {"preproc": section, "tolerances": {"preproc": {"": {"atol": 0.0039216, "rtol": 0.0}}}}


GREY = [  # shape of the result, then width and height of the image in it
    ("wide", "crop", (56, 28), 56, [1, 3, 28, 56, 56, 28]),
    ("tall", "crop", (30, 60), 42, [1, 3, 42, 42, 42, 42]),
    ("padded", "pad", (20, 40), 56, [1, 3, 56, 56, 28, 56]),
    ("square", "square", (40, 40), 28, [1, 3, 28, 28, 28, 28]),
]


@pytest.mark.parametrize("count", [1, 4])
def test_any_reference_set_of_the_schema_is_compared(tmp_path, count, monkeypatch):
    """As many cases as it has, each of them really compared."""
    config = grey_set(tmp_path, GREY[:count])
    cases = cases_of(tmp_path, config)
    assert [case["tag"] for case in cases] == [call[0] for call in GREY[:count]]
    for case in cases:
        check_parity(tmp_path, config, case)
    brighter = preprocessing.load_images
    monkeypatch.setattr(preprocessing, "load_images", lambda *a, **k: (brighter(*a, **k) + 0.1).clamp(max=1))
    with pytest.raises(AssertionError):
        check_parity(tmp_path, config, cases[0])


def test_a_reference_set_whose_lists_differ_is_refused(tmp_path):
    config = grey_set(tmp_path, GREY)
    config["preproc"]["cases"].pop()
    with pytest.raises(AssertionError, match="differ in tags"):
        cases_of(tmp_path, config)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(640, 480, (392, 518)), (1920, 1080, (294, 518)), (480, 640, (518, 518)), (74, 1, (14, 518))],
)
def test_crop_size_of_common_formats(width, height, expected):
    if (width, height) == (74, 1):  # 0.5 patches rounds to even, that is to none
        with pytest.raises(preprocessing.ImageLoadError, match="too elongated"):
            preprocessing.crop([Image.new("RGB", (width, height))])
        return
    assert preprocessing.crop([Image.new("RGB", (width, height))]).shape[-2:] == expected


@pytest.mark.parametrize(("height", "patches"), [(3, 2), (5, 2), (7, 4), (9, 4)])
def test_half_patches_round_to_even(height, patches):
    image = Image.new("RGB", (28, height))  # at width 28 and patch 2, height h gives h/2 patches
    assert preprocessing.crop([image], target=28, patch_size=2).shape[-2] == 2 * patches
    wide = preprocessing.pad([Image.new("RGB", (28, height), "black")], target=28, patch_size=2)
    assert int((wide[0, 0, :, 0] == 0).sum()) == 2 * patches


@settings(max_examples=25, deadline=None)
@given(
    width=st.integers(20, 90), height=st.integers(20, 90), patches=st.integers(3, 6), patch=st.integers(3, 9)
)
def test_sizes_are_whole_patches_and_values_are_bytes(width, height, patches, patch):
    rng = np.random.default_rng(width * 1000 + height)
    image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    target = patches * patch
    for mode in ("crop", "pad"):
        result = preprocessing.load_images([image], mode, target=target, patch_size=patch)
        assert result.shape[-2] % patch == 0 and result.shape[-1] == target and result.shape[-2] <= target
        assert torch.equal((result * 255).round() / 255, result)


def test_odd_margins_put_the_smaller_half_first():
    canvas = preprocessing.pad_centred(torch.zeros(3, 2, 3), 5, 6, 1.0)
    rows, columns = canvas[0].amin(dim=1), canvas[0].amin(dim=0)
    assert rows.tolist() == [1, 0, 0, 1, 1] and columns.tolist() == [1, 0, 0, 0, 1, 1]
    with pytest.raises(ValueError, match="smaller canvas"):
        preprocessing.pad_centred(torch.zeros(3, 5, 5), 4, 5, 1.0)


def test_tall_image_keeps_its_middle_rows():
    ramp = np.repeat(np.arange(100, dtype=np.uint8)[:, None, None], 50, axis=1).repeat(3, axis=2)
    result = preprocessing.crop([Image.fromarray(ramp)], target=50, patch_size=10)
    assert torch.equal((result[0, 0, :, 0] * 255).round(), torch.arange(25.0, 75.0))


def test_transparency():
    clear = Image.new("RGBA", (28, 28), (0, 0, 0, 0))
    assert preprocessing.crop([clear], target=28).min() == 1.0  # laid on white
    grey_alpha = Image.new("LA", (28, 28), (0, 0))
    assert preprocessing.crop([grey_alpha], target=28).max() == 0.0  # alpha dropped, as upstream


def test_square_pads_black_before_resizing():
    pixels, boxes = preprocessing.square([Image.new("RGB", (20, 10), "white")], target=40)
    assert boxes.tolist() == [[0, 10, 40, 30, 20, 10]]
    assert pixels[0, :, 0].max() == 0 and pixels[0, :, 20].min() == 1


def test_different_shapes_warn_and_pad_white():
    images = [Image.new("RGB", (28, 28)), Image.new("RGB", (28, 14))]
    with pytest.warns(UserWarning, match="different shapes"):
        result = preprocessing.crop(images, target=28, patch_size=7)
    assert result.shape == (2, 3, 28, 28)
    assert result[1, 0, :, 0].tolist() == [1.0] * 7 + [0.0] * 14 + [1.0] * 7
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        preprocessing.crop(images[:1] * 2, target=28, patch_size=7)


def test_errors_name_what_is_wrong(tmp_path):
    text, cut = tmp_path / "notes.png", tmp_path / "cut.png"
    text.write_text("not an image")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(cut)
    cut.write_bytes(cut.read_bytes()[:2000])
    image = Image.new("RGB", (28, 28))
    with pytest.raises(ValueError, match="no images"):
        preprocessing.crop([])
    with pytest.raises(ValueError, match=r"'stretch'; choose 'crop', 'pad' or 'square'"):
        preprocessing.load_images([image], "stretch")
    with pytest.raises(ValueError, match="give a list"):
        preprocessing.pad("photo.png")
    with pytest.raises(ValueError, match="multiple of the patch size 14; the nearest below is 504"):
        preprocessing.crop([image], target=512)
    with pytest.raises(preprocessing.ImageLoadError, match=r"image 1: no file at .*absent\.png"):
        preprocessing.crop([image, tmp_path / "absent.png"])
    with pytest.raises(
        preprocessing.ImageLoadError, match=r"notes\.png is not a readable image: Pillow does not know"
    ):
        preprocessing.crop([text])
    with pytest.raises(
        preprocessing.ImageLoadError, match=r"cut\.png is not a readable image: it cannot be decoded"
    ):
        preprocessing.crop([cut])
    with pytest.raises(preprocessing.ImageLoadError, match="image 0 is a ndarray"):
        preprocessing.crop([np.zeros((4, 4, 3))])


def test_square_pictures_by_hand():
    """A tall picture lies between black margins, the smaller one to the left; any size will do."""
    pixels, boxes = preprocessing.square([Image.new("RGB", (10, 21), "white")], target=21)
    assert boxes.tolist() == [[5, 0, 15, 21, 10, 21]]
    assert pixels[0, 1, 0].tolist() == [0.0] * 5 + [1.0] * 10 + [0.0] * 6
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    assert torch.equal(
        preprocessing.load_images([image], "square", target=8), preprocessing.square([image], target=8)[0]
    )
    assert preprocessing.square([image])[0].shape == (1, 3, 1024, 1024)


def test_whoever_calls_a_loader_is_warned_of_different_shapes():
    def loader() -> torch.Tensor:
        return preprocessing._stack([torch.zeros(3, 1, 2), torch.zeros(3, 2, 1)])

    with pytest.warns(UserWarning, match="different shapes") as caught:
        loader()
    assert caught[0].filename == __file__

"""Whatever bytes a recording or a checkpoint holds, it is read or refused with the library's own error."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from small_models import tiny_config, tiny_vggt
from test_recordings import write_scannet, write_seven_scenes, write_tum

from lib.scenes.recording_files import RecordingError
from lib.scenes.recordings import open_recording
from lib.vggt import checkpoint

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))  # of each test; more are drawn anew each time
FUZZ = settings(
    max_examples=EXAMPLES,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
WORDS = st.sampled_from(
    ["nan", "inf", "-inf", "1e400", "0", "-1", "1e-300", "x", "#", ",", "\ufeff", "\0", "٣", "²", "1_0"]
)
TEXTS = st.one_of(
    st.binary(max_size=60),
    st.lists(st.one_of(WORDS, st.floats().map(str)), max_size=20).map(lambda w: " ".join(w).encode()),
)


@st.composite
def damage(draw: st.DrawFn, content: bytes) -> bytes:
    """Content cut short, with bytes changed, or replaced."""
    kind = draw(st.sampled_from(["cut", "flip", "text"]))
    if kind == "text" or not content:
        return draw(TEXTS)
    if kind == "cut":
        return content[: draw(st.integers(0, len(content) - 1))]
    changed = bytearray(content)
    for place in draw(st.lists(st.integers(0, min(len(content), 400) - 1), min_size=1, max_size=4)):
        changed[place] = draw(st.integers(0, 255))
    return bytes(changed)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two frames in each layout, and one photograph in each format."""
    base = tmp_path_factory.mktemp("recordings")
    for write in (write_scannet, write_seven_scenes, write_tum):
        write(base / write.__name__, 2)
    (base / "photos").mkdir()
    tag = Image.Exif()
    tag[0x0112] = 6
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8))
    for suffix in ("jpg", "png", "webp", "tif", "bmp", "ppm", "avif"):
        (base / suffix).mkdir()
        picture.save(base / suffix / f"a.{suffix}", **({} if suffix in ("bmp", "ppm") else {"exif": tag}))
    (base / "photos").rmdir()
    return sorted(base.iterdir())


@FUZZ
@given(data=st.data())
def test_a_damaged_recording_is_read_or_refused(recordings: list[Path], data: st.DataObject) -> None:
    folder = data.draw(st.sampled_from(recordings))
    file = data.draw(st.sampled_from(sorted(path for path in folder.rglob("*") if path.is_file())))
    content = file.read_bytes()
    file.write_bytes(data.draw(damage(content)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            open_recording(folder, target=28)
    except RecordingError as error:
        assert str(folder) in str(error) or file.name in str(error)
    finally:
        file.write_bytes(content)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One model in each format that is read."""
    model, base = tiny_vggt(seed=0), tmp_path_factory.mktemp("checkpoints")
    checkpoint.save(model, base / "w.safetensors")
    torch.save(model.state_dict(), base / "w.pt")
    torch.save(model.state_dict(), base / "w.bin", _use_new_zipfile_serialization=False)
    return {path.suffix: path.read_bytes() for path in sorted(base.iterdir())}


@pytest.mark.slow
@FUZZ
@given(data=st.data())
def test_a_damaged_checkpoint_is_read_or_refused(
    tmp_path: Path, checkpoints: dict[str, bytes], data: st.DataObject
) -> None:
    suffix = data.draw(st.sampled_from(sorted(checkpoints)))
    path = tmp_path / f"w{suffix}"
    path.write_bytes(data.draw(damage(checkpoints[suffix])))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            checkpoint.load(path, tiny_config())
    except checkpoint.CheckpointError as error:
        assert str(path) in str(error)

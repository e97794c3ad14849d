"""Checkpoints: what comes back is what was saved, and every kind of bad file has its own error."""

import json
import pickle
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_models import golden_vggt_config, tiny_config, tiny_vggt

from lib.vggt import (
    VGGT,
    CameraHeadConfig,
    DenseHeadConfig,
    PatchEmbedConfig,
    TrackHeadConfig,
    VGGTConfig,
    checkpoint,
)


@pytest.fixture(scope="module")
def model():
    """One for all tests: whoever changes a weight builds another."""
    return tiny_vggt(seed=3).requires_grad_(False)


@pytest.fixture(scope="module")
def camera():
    """A network of few tensors, for what is repeated in many forms."""
    return tiny_vggt(depth=1, depth_head=None, point_head=None, seed=3)


@pytest.fixture(scope="module")
def written(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "tiny.safetensors"
    checkpoint.save(model, path, {"steps": 7, "note": "mini"})
    return path


@pytest.fixture
def saved(written, tmp_path):
    return Path(shutil.copy(written, tmp_path))


def rewrite(path, change):
    """Apply `change` to the tensors of a saved file, keeping its header."""
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata=header)


def test_a_pickle_that_claims_more_than_there_can_be_is_corrupt(tmp_path):
    (tmp_path / "w.pt").write_bytes(b"\x8eK\x03\x04\x00\x00\x08\x08\x00")
    with pytest.raises(checkpoint.CorruptCheckpointError, match=r"w\.pt is no readable pickle"):
        checkpoint.load(tmp_path / "w.pt")


def test_round_trip_is_exact_and_needs_no_config(model, saved):
    loaded = checkpoint.load(saved)
    assert loaded.config == model.config and not loaded.training
    assert checkpoint.read_metadata(saved) == {"steps": 7, "note": "mini"}
    ours = loaded.state_dict()
    assert ours.keys() == model.state_dict().keys()
    assert all(torch.equal(ours[name], value) for name, value in model.state_dict().items())
    images = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(loaded(images).depth, model(images).depth)


def test_parameters_can_be_trained_and_random_state_is_untouched(saved):
    state = torch.get_rng_state()
    loaded = checkpoint.load(saved)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.slow
def test_loading_imports_no_compiler(tmp_path):
    path = tmp_path / "all_heads.safetensors"
    dense = dict(features=8, out_channels=(8, 8, 8, 8), layers=(0, 0, 0, 0))
    config = VGGTConfig(
        image_size=28, width=16, depth=1, heads=2,
        patch_embed=PatchEmbedConfig(depth=1, heads=2),
        camera_head=CameraHeadConfig(trunk_depth=1, heads=2),
        depth_head=DenseHeadConfig(2, activation="exp", **dense), point_head=DenseHeadConfig(4, **dense),
        track_head=TrackHeadConfig(**dense, hidden=8, heads=2, blocks=1, virtual_tracks=2),
    )  # fmt: skip
    checkpoint.save(VGGT.from_seed(config, 0), path)
    lines = (
        "import sys, torch",
        "from lib.vggt.checkpoint import load",
        "before = set(sys.modules)",
        f"load({str(path)!r})(torch.zeros(1, 3, 14, 14))",
        "print(*sorted({'.'.join(n.split('.')[:2]) for n in set(sys.modules) - before}))",
    )
    found = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, cwd=ROOT)
    assert found.returncode == 0, found.stderr
    assert not {"torch._dynamo", "torch._inductor", "sympy.core"} & set(found.stdout.split()), found.stdout


def test_reference_weights_load(golden, golden_config):
    sizes = golden_config["small_vggt"]
    path = golden / sizes["weights_file"]
    loaded = checkpoint.load(path, golden_vggt_config(sizes))
    assert torch.equal(
        loaded.track_head.tracker.query_ref_token, load_file(path)["track_head.tracker.query_ref_token"]
    )


@pytest.mark.slow
def test_file_without_config_is_taken_for_vggt_1b(golden, golden_config):
    with pytest.raises(
        checkpoint.MissingKeysError, match=r"lacks .* and \d+ more of the model's 1797 tensors"
    ):
        checkpoint.load(golden / golden_config["small_vggt"]["weights_file"])


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
def test_half_precision_storage_becomes_float32(model, tmp_path, stored):
    path = tmp_path / "half.safetensors"
    checkpoint.save(model, path, dtype=stored)
    assert path.stat().st_size < 0.6 * 4 * sum(value.numel() for value in model.parameters())
    name, value = next(iter(checkpoint.load(path).state_dict().items()))
    assert value.dtype == torch.float32
    assert torch.equal(value, model.state_dict()[name].to(stored).float())
    assert {p.dtype for p in checkpoint.load(path, dtype=torch.bfloat16).parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("wrap", [None, "model", "state_dict"])
def test_pickled_state_dict(model, tmp_path, wrap):
    path = tmp_path / "tiny.pt"
    content = dict(model.state_dict())
    torch.save({wrap: content, "epoch": 3} if wrap else content, path)
    loaded = checkpoint.load(path, model.config)
    assert torch.equal(loaded.aggregator.camera_token, model.aggregator.camera_token)


def test_heads_that_the_config_leaves_out_are_skipped(saved):
    loaded = checkpoint.load(saved, tiny_config(point_head=None))
    assert loaded.point_head is None and loaded.depth_head is not None


def test_missing_surplus_and_misshapen_keys(saved):
    rewrite(saved, lambda weights: weights.pop("depth_head.norm.bias"))
    with pytest.raises(checkpoint.MissingKeysError, match=r"lacks depth_head\.norm\.bias of the model's"):
        checkpoint.load(saved)
    rewrite(
        saved, lambda w: w.update({"depth_head.norm.bias": torch.zeros(96), "extra.weight": torch.ones(1)})
    )
    with pytest.raises(checkpoint.SurplusKeysError, match=r"has extra\.weight that"):
        checkpoint.load(saved)
    rewrite(saved, lambda w: (w.pop("extra.weight"), w.update({"depth_head.norm.bias": torch.zeros(95)})))
    with pytest.raises(checkpoint.ShapeMismatchError, match=r"norm\.bias \(95,\) instead of \(96,\)"):
        checkpoint.load(saved)


def test_long_lists_of_keys_are_counted(saved):
    rewrite(saved, lambda weights: [weights.pop(name) for name in list(weights)[:8]])
    with pytest.raises(checkpoint.MissingKeysError, match=r"(\S+, ){4}\S+ and 3 more of"):
        checkpoint.load(saved)


def test_a_list_that_is_not_too_long_is_whole(saved):
    rewrite(saved, lambda weights: [weights.pop(name) for name in list(weights)[:5]])
    with pytest.raises(checkpoint.MissingKeysError, match=r"lacks (\S+, ){4}\S+ of the model's"):
        checkpoint.load(saved)


def test_a_model_is_saved_into_folders_that_are_not_there_yet(camera, tmp_path):
    path = tmp_path / "new" / "newer" / "w.safetensors"
    checkpoint.save(camera, path)
    assert checkpoint.load(path).config == camera.config and checkpoint.read_metadata(path) == {}
    torch.save(camera.state_dict(), path.with_suffix(".pt"))
    with pytest.raises(checkpoint.CorruptCheckpointError, match="only those carry metadata"):
        checkpoint.read_metadata(path.with_suffix(".pt"))


def test_weights_that_were_pickled_on_a_gpu_are_read_without_one(camera, tmp_path, monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        torch.save(camera.state_dict(), tmp_path / "w.pt")
    loaded = checkpoint.load(tmp_path / "w.pt", camera.config)
    assert torch.equal(loaded.aggregator.camera_token, camera.aggregator.camera_token)


def test_a_tensor_that_a_file_cannot_fill_is_named(camera, tmp_path, monkeypatch):
    class More(VGGT):
        def __init__(self, config):
            super().__init__(config)
            self.register_buffer("table", torch.zeros(3), persistent=False)

    checkpoint.save(camera, tmp_path / "w.safetensors")
    monkeypatch.setattr(checkpoint, "VGGT", More)
    with pytest.raises(checkpoint.MissingKeysError, match="left table without values"):
        checkpoint.load(tmp_path / "w.safetensors")


def test_a_head_that_is_absent_is_told_where_the_file_was_asked_for(tmp_path, monkeypatch):
    model = tiny_vggt(depth=1, depth_head=None, point_head=None, seed=3)
    whole = tiny_config(depth=1, depth_head=None, point_head=None)
    monkeypatch.setattr(VGGTConfig, "vggt_1b", classmethod(lambda cls: whole))
    torch.save(model.state_dict(), tmp_path / "own.pt")
    with pytest.warns(UserWarning, match="nothing of depth_head, point_head, track_head: the") as told:
        loaded = checkpoint.load(tmp_path / "own.pt")
    assert told[0].filename == __file__ and loaded.config == whole


@pytest.mark.filterwarnings("error")
def test_no_head_is_called_absent_where_all_are_there_or_none(tmp_path, monkeypatch):
    """A file that holds nothing of any head is one of another model, not one without heads."""
    dense = dict(features=8, out_channels=(8, 8, 8, 8), layers=(0, 0, 0, 0))
    track = TrackHeadConfig(**dense, hidden=8, heads=2, blocks=1, virtual_tracks=2)
    heads = {"depth_head": DenseHeadConfig(2, "exp", **dense), "point_head": DenseHeadConfig(4, **dense)}
    whole = tiny_config(depth=1, track_head=track, **heads)
    monkeypatch.setattr(VGGTConfig, "vggt_1b", classmethod(lambda cls: whole))
    weights = VGGT.from_seed(whole, 0).state_dict()
    torch.save(weights, tmp_path / "all.pt")
    assert checkpoint.load(tmp_path / "all.pt").config == whole
    torch.save({k: v for k, v in weights.items() if k.startswith("aggregator.")}, tmp_path / "none.pt")
    with pytest.raises(checkpoint.MissingKeysError, match=r"lacks camera_head\."):
        checkpoint.load(tmp_path / "none.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_weights(saved, tmp_path, value):
    model = tiny_vggt(seed=3)
    rewrite(saved, lambda weights: weights["depth_head.norm.bias"].fill_(value))
    with pytest.raises(checkpoint.NonFiniteError, match=r"values in depth_head\.norm\.bias"):
        checkpoint.load(saved)
    with torch.no_grad():
        model.aggregator.camera_token.fill_(value)
    target = tmp_path / "never.safetensors"
    with pytest.raises(checkpoint.NonFiniteError, match="the model has"):
        checkpoint.save(model, target)
    assert not target.exists()


def test_weights_that_overflow_half_precision_are_not_saved(tmp_path):
    model = tiny_vggt(seed=3)
    with torch.no_grad():
        model.aggregator.camera_token.fill_(1e6)
    with pytest.raises(checkpoint.NonFiniteError):
        checkpoint.save(model, tmp_path / "never.safetensors", dtype=torch.float16)


@pytest.mark.parametrize("keep", [0, 4, 300, 0.5, -1])
def test_truncated_safetensors(saved, keep):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(checkpoint.CorruptCheckpointError, match="truncated or no safetensors file"):
        checkpoint.load(saved)


@pytest.mark.parametrize("keep", [0, 300, 0.5, -1])
def test_truncated_pickle(model, tmp_path, keep):
    path = tmp_path / "cut.pt"
    torch.save(model.state_dict(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(checkpoint.CorruptCheckpointError, match=r"no readable pickle|PyTorch file \(\w"):
        checkpoint.load(path, model.config)


def test_text_under_a_weights_name(tmp_path):
    for name in ("notes.pt", "notes.safetensors"):
        (tmp_path / name).write_text("these are not the weights you are looking for, " * 20)
        with pytest.raises(checkpoint.CorruptCheckpointError):
            checkpoint.load(tmp_path / name)


class Payload:
    """Unpickling it in the ordinary way creates the file `marker`."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("form", ["plain pickle", "torch file"])
def test_malicious_pickle_does_not_run(tmp_path, form):
    marker, path = tmp_path / "executed", tmp_path / "weights.pt"
    if form == "plain pickle":
        path.write_bytes(pickle.dumps(Payload(marker)))
    else:
        torch.save({"weight": torch.ones(1), "more": Payload(marker)}, path)
    with pytest.raises(checkpoint.UnsafeCheckpointError, match="can run code"):
        checkpoint.load(path)
    assert not marker.exists()
    if form == "plain pickle":  # the trap works: unpickled naively it does create the file
        pickle.loads(path.read_bytes()).close()
        assert marker.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    ("content", "error"),
    [
        (pickle.dumps(b"no tensor"), checkpoint.CorruptCheckpointError),  # harmless, and nothing of ours
        (
            b"(ios\ngetcwd\n.",
            checkpoint.UnsafeCheckpointError,
        ),  # an instance: the oldest way to name one
    ],
)
def test_a_pickle_is_called_unsafe_where_it_names_a_global(tmp_path, content, error):
    (tmp_path / "weights.pt").write_bytes(content)
    with pytest.raises(error):
        checkpoint.load(tmp_path / "weights.pt")


@pytest.mark.parametrize("content", [torch.ones(3), [torch.ones(3)], {"epoch": 3}, {3: torch.ones(1)}, {}])
def test_not_a_state_dict(tmp_path, content):
    path = tmp_path / "other.pt"
    torch.save(content, path)
    with pytest.raises(checkpoint.NotAStateDictError):
        checkpoint.load(path)


def test_integer_weights(saved):
    rewrite(
        saved, lambda weights: weights.update({"depth_head.norm.bias": torch.zeros(96, dtype=torch.int64)})
    )
    with pytest.raises(checkpoint.NotAStateDictError, match=r"integers in depth_head\.norm\.bias"):
        checkpoint.load(saved)


@pytest.mark.parametrize("change", [{"colour": "blue"}, {"width": 49}, {"depth_head": {"sise": 1}}])
def test_stored_config_that_does_not_fit(model, tmp_path, change):
    path = tmp_path / "tiny.safetensors"
    config = json.dumps(model.config.to_dict() | change)
    save_file(dict(model.state_dict()), path, metadata={"config": config})
    with pytest.raises(checkpoint.CheckpointConfigError):
        checkpoint.load(path)
    save_file(dict(model.state_dict()), path, metadata={"config": "{not json"})
    with pytest.raises(checkpoint.CheckpointConfigError):
        checkpoint.load(path)


def test_missing_file_and_unknown_suffix(tmp_path, model):
    for source in (
        tmp_path / "absent.safetensors",
        str(tmp_path / "absent"),
        "weights/absent.pt",
        tmp_path,
        "",
    ):
        with pytest.raises(checkpoint.CheckpointNotFoundError, match="no checkpoint at"):
            checkpoint.load(source)
    other = tmp_path / "weights.onnx"
    other.write_bytes(b"0")
    with pytest.raises(checkpoint.CorruptCheckpointError, match="unknown suffix"):
        checkpoint.load(other)
    with pytest.raises(ValueError, match=r"saved as \.safetensors"):
        checkpoint.save(model, tmp_path / "weights.pt")


def test_hub_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(checkpoint.HubError, match="pip install huggingface_hub"):
        checkpoint.load("facebook/VGGT-1B")


def test_hub_download_and_offline(monkeypatch, saved):
    asked = []

    def fetch(repository, filename):
        asked.append((repository, filename))
        if repository == "nobody/nothing":
            raise ConnectionError("offline")
        return str(saved)

    hub = types.SimpleNamespace(hf_hub_download=fetch)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert checkpoint.load("someone/tiny").config == tiny_config()
    with pytest.raises(checkpoint.HubError, match=r"ConnectionError: offline.*download the file by hand"):
        checkpoint.load("nobody/nothing")
    assert asked == [("someone/tiny", "model.safetensors"), ("nobody/nothing", "model.safetensors")]


def test_interrupted_save_keeps_the_old_file_and_leaves_nothing_behind(model, saved, monkeypatch):
    before = saved.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(model, saved, {"steps": 8})
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_every_error_is_a_checkpoint_error():
    kinds = [
        kind for kind in vars(checkpoint).values() if isinstance(kind, type) and issubclass(kind, Exception)
    ]
    own = [kind for kind in kinds if kind.__module__ == checkpoint.__name__]
    assert len(own) == 11 and all(issubclass(kind, checkpoint.CheckpointError) for kind in own)


# --- checkpoints as people have them ---


def names_of_vggt_1b(*without: str) -> dict[str, torch.Tensor]:
    """The names of VGGT-1B's tensors, each with one number: a check of sizes comes after that of names."""
    with torch.device("meta"):
        names = VGGT(VGGTConfig.vggt_1b()).state_dict()
    return {name: torch.zeros(1) for name in names if not name.startswith(without or ("none",))}


@pytest.mark.slow
@pytest.mark.parametrize(
    "heads", [("point_head", "track_head"), ("camera_head",), ("depth_head", "point_head")]
)
def test_a_head_of_which_a_file_holds_nothing_is_left_out(tmp_path, heads):
    torch.save({"model": names_of_vggt_1b(*heads), "epoch": 1}, tmp_path / "own.pt")
    with (
        pytest.warns(UserWarning, match=f"holds nothing of {', '.join(heads)}: the model is built without"),
        pytest.raises(checkpoint.ShapeMismatchError),
    ):
        checkpoint.load(tmp_path / "own.pt")


@pytest.mark.slow
def test_a_head_that_lacks_one_tensor_is_not_absent(tmp_path):
    weights = names_of_vggt_1b()
    del weights["track_head.tracker.query_ref_token"]
    torch.save(weights, tmp_path / "own.pt")
    with pytest.raises(checkpoint.MissingKeysError, match=r"lacks track_head\.tracker\.query_ref_token of"):
        checkpoint.load(tmp_path / "own.pt")


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "module._orig_mod.", "net.vggt."])
@pytest.mark.parametrize(
    "wrap", [(), ("model",), ("state_dict", "model"), ("model_state_dict",), ("module",)]
)
def test_prefixes_and_wrappers_are_taken_off(camera, tmp_path, prefix, wrap):
    content = {f"{prefix}{name}": value for name, value in camera.state_dict().items()}
    for name in wrap:
        content = {name: content, "step": 7}
    torch.save(content, tmp_path / "own.ckpt")
    loaded = checkpoint.load(tmp_path / "own.ckpt", camera.config)
    ours = loaded.state_dict()
    assert all(torch.equal(value, ours[name]) for name, value in camera.state_dict().items())


def shards(model, folder, suffix):
    weights = dict(model.state_dict())
    halves = [dict(list(weights.items())[k::2]) for k in range(2)]
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    names = [f"{stem}-0000{k + 1}-of-00002.{suffix}" for k in range(2)]
    for name, half in zip(names, halves, strict=True):
        save_file(half, folder / name) if suffix == "safetensors" else torch.save(half, folder / name)
    index = {"weight_map": {key: name for name, half in zip(names, halves, strict=True) for key in half}}
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))
    return folder / f"{stem}.{suffix}.index.json", folder / names[0]


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_a_sharded_checkpoint_is_read_by_its_list_or_its_folder(camera, tmp_path, suffix):
    index, first = shards(camera, tmp_path, suffix)
    for source in (index, tmp_path):
        loaded = checkpoint.load(source, camera.config)
        ours = loaded.state_dict()
        assert all(torch.equal(value, ours[name]) for name, value in camera.state_dict().items())
    with pytest.raises(checkpoint.MissingKeysError, match=r"one part of several: give the \.index\.json"):
        checkpoint.load(first, camera.config)
    first.unlink()
    with pytest.raises(checkpoint.CheckpointNotFoundError, match=f"lists {first.name}, not there beside it"):
        checkpoint.load(index, camera.config)
    index.write_text("[]")
    with pytest.raises(checkpoint.CorruptCheckpointError, match="is not the list of a sharded checkpoint"):
        checkpoint.load(index, camera.config)


@pytest.mark.parametrize("suffix", ["pt", "bin", "safetensors", "ckpt"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
            "is a Git LFS pointer.*git lfs pull",
        ),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (b"", "truncated or no|no readable pickle|is empty"),
        (b"hello", "truncated or no|no readable pickle"),
    ],
)
def test_what_lies_in_the_place_of_weights_is_named_and_nothing_unsafe_advised(
    tmp_path, suffix, content, message
):
    (tmp_path / f"own.{suffix}").write_bytes(content)
    with pytest.raises(checkpoint.CorruptCheckpointError, match=message) as caught:
        checkpoint.load(tmp_path / f"own.{suffix}")
    assert "weights_only" not in str(caught.value)

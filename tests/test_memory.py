"""Memory estimates: exact where arithmetic is, right in direction elsewhere, refusal with numbers."""

import csv
import math
import os
import re
from dataclasses import replace

import pytest
import torch
from small_models import tiny_config, tiny_vggt

from lib.vggt import DenseHeadConfig, TrackHeadConfig, VGGTConfig, memory


@pytest.mark.slow
def test_weights_and_token_list_of_vggt_1b(golden):
    with (golden / "vggt1b_state_dict.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["kind"] == "parameter"]
    count = sum(math.prod(int(side) for side in row["shape"].split("x")) for row in rows)
    config = VGGTConfig.vggt_1b()
    kept = memory.estimate_memory(config, 1, 392, 518)
    assert kept.weights == 4 * count
    # spec 1.11: 204.7 MB a frame for all 24 entries, of which four are read
    everything = memory.estimate_memory(config, 1, 392, 518, layers_kept=config.depth)
    assert everything.token_list / 1e6 == pytest.approx(204.7, abs=0.05)
    assert kept.token_list * 6 == everything.token_list
    assert everything.peak - kept.peak == everything.token_list - kept.token_list


def test_token_list_and_weights_are_what_the_model_holds():
    model = tiny_vggt()
    estimate = memory.estimate_memory(model.config, 3, 16, 24, batch=2)
    assert estimate.weights == 4 * sum(value.numel() for value in model.parameters())
    assert estimate.images == 4 * 2 * 3 * 3 * 16 * 24 and estimate.copies == 0
    keep = model.config.layers_read(("camera", "depth", "points"))
    with torch.no_grad():
        features, _ = model.aggregator(torch.rand(2, 3, 3, 16, 24), keep=keep)
    assert estimate.token_list == 4 * sum(value.numel() for value in features.values())


def test_autocast_by_hand():
    """Products and the token list in half precision, the residual stream in single; weights kept twice."""
    config = tiny_config()
    plain, half = (
        memory.estimate_memory(config, 3, 16, 24, autocast=dtype) for dtype in (None, torch.bfloat16)
    )
    tokens, width = config.layout(3, 16, 24).tokens, config.width
    assert half.token_list * 2 == plain.token_list and half.weights == plain.weights
    assert plain.blocks == tokens * width * 4 * (1 + 5 + 2 * 4)
    merged, rounded = (
        memory.estimate_memory(config, 3, 16, 24, kept=1.5, autocast=dtype)
        for dtype in (None, torch.bfloat16)
    )
    attention = 2 + 3 * 1.5  # rows for matching; merged queries, keys and values
    assert merged.blocks == tokens * width * 4 * (1 + 7 + 3 + attention)
    assert rounded.blocks == tokens * width * (4 * (1 + 7 + attention) + 2 + 2 * 3)
    assert half.blocks == tokens * width * (4 * (1 + 5) + 2 + 2 * 2 * 4)
    assert half.copies == 2 * sum(value.numel() for value in tiny_vggt().aggregator.parameters())
    heads = half.outputs + half.dense  # more than the blocks at this size
    assert half.activations == half.images + half.copies + half.token_list + heads
    assert (half.dense, half.outputs) == (plain.dense, plain.outputs), "heads run outside autocast"


def test_attention_weighs_more_than_a_narrow_mlp():
    """The residual stream twice, norm1(x), queries, keys and values, and what rotating them takes."""
    config = tiny_config(mlp_ratio=1.0)
    tokens = config.layout(3, 16, 24).tokens
    found = memory.estimate_memory(config, 3, 16, 24).blocks
    assert found == tokens * config.width * 4 * (1 + 7 + 3)


def test_an_estimate_says_its_parts_and_their_largest_sum():
    numbers = {"weights": 10, "images": 2, "token_list": 3, "blocks": 4, "dense": 5, "tracks": 6}
    parts = {name: 10**8 * number for name, number in (numbers | {"outputs": 1, "copies": 7}).items()}
    estimate = memory.MemoryEstimate("two frames", **parts)
    assert estimate.activations == 10**8 * (2 + 7 + 3 + 1 + 6) and estimate.peak == 29 * 10**8
    listed = ", ".join(f"{name} {value / 1e9:.2f} GB" for name, value in parts.items())
    assert str(estimate) == f"two frames: 2.90 GB at the peak ({listed})"


@pytest.mark.slow
def test_a_thousand_frames_are_refused_on_a_card_of_80_gb_only_in_single_precision():
    config = VGGTConfig.vggt_1b(enable_track=False)
    half = memory.estimate_memory(config, 1000, 392, 518, autocast=torch.bfloat16)
    memory.require_memory(half, "cuda", available=80 * 10**9)
    with pytest.raises(memory.InsufficientMemoryError, match="frames of 392 x 518 in float32"):
        memory.require_memory(memory.estimate_memory(config, 1000, 392, 518), "cuda", available=80 * 10**9)


def test_a_dense_head_by_hand():
    """24 patches of 8 pixels; six frames at once: skip maps, and the largest of what follows them."""
    head = DenseHeadConfig(4, features=8, out_channels=(8, 8, 8, 8), layers=(0, 1, 1, 2), hidden=8)
    config = tiny_config(depth_head=None, point_head=head, camera_head=None)
    skips = 8 * 24 * (16 + 4 + 1 + 0.25)
    hidden = 32 * 48 * (4 + 3 * 8)  # more than fusing, 3 * 64 * 24 * 8, and than the end of the pyramid
    assert memory.estimate_memory(config, 6, 32, 48).dense == 4 * 6 * (skips + hidden)
    thin = replace(head, hidden=1)
    fusing = memory.estimate_memory(replace(config, point_head=thin), 6, 32, 48)
    assert fusing.dense == 4 * 6 * (skips + 3 * 64 * 24 * 8)
    both = replace(config, depth_head=replace(head, hidden=9))  # one head after the other: the larger one
    assert memory.estimate_memory(both, 6, 32, 48).dense == 4 * 6 * (skips + 32 * 48 * (4 + 3 * 9))
    outputs = memory.estimate_memory(both, 6, 32, 48).outputs
    assert outputs == 4 * 2 * 6 * 32 * 48 * (4 + 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("points", "hidden", "down_ratio", "floats"),
    [
        (5, 16, 2, 2 * 6912 + 6 * (1530 + 13824)),  # while features are extracted: the finest fusion
        (5, 16, 1, 2 * 27648 + 6 * (1530 + 12 * (3 * 384 + 64 * 6))),  # the output, three times, beside it
        (200, 16, 2, int(4.4 * 6912 + 6 * 200 * 25 * 12)),  # correlations of all points
        (200, 64, 2, int(4.4 * 6912 + 6 * 203 * 64 * 13)),  # tokens of all points and three virtual ones
    ],
)
def test_the_tracker_by_hand(points, hidden, down_ratio, floats):
    """Maps of 12 channels, at half the size of 16 x 24 6912 numbers for six frames; taps of 5 x 5."""
    track = TrackHeadConfig(
        features=12,
        down_ratio=down_ratio,
        out_channels=(8, 8, 8, 8),
        layers=(0, 1, 1, 2),
        corr_levels=2,
        corr_radius=2,
        hidden=hidden,
        virtual_tracks=3,
    )
    config = tiny_config(track_head=track)
    estimate = memory.estimate_memory(config, 6, 16, 24, heads=["tracks"], query_points=points)
    assert estimate.tracks == 4 * floats
    assert memory.estimate_memory(config, 6, 16, 24, heads=["tracks"]).tracks == 0
    assert memory.estimate_memory(config, 6, 16, 24, heads=["camera"], query_points=points).tracks == 0


def test_directions(monkeypatch):
    monkeypatch.setattr(memory, "_parameters", lambda config: 0)  # slow to count, and no part of activations
    config = VGGTConfig.vggt_1b()

    def activations(frames=50, **options):
        return memory.estimate_memory(config, frames, 392, 518, **options).activations

    assert 1.8 * activations(50) < activations(100) <= 2 * activations(50)
    assert activations(dtype=torch.bfloat16) * 2 == activations()
    assert activations(500, kept=0.35) > activations(500), "merging holds a plan and does not shorten the MLP"
    assert activations(500, kept=0.35) < activations(500, kept=1.0)
    assert activations(frames_chunk=None) > activations(frames_chunk=8) == activations()
    assert activations(1, heads=["camera"]) < activations(1, heads=["camera", "depth"]) < activations(1)
    assert activations(query_points=2000) > activations()
    assert memory.estimate_memory(config, 8, 392, 518, heads=["camera"]).dense == 0


def test_refusal_names_the_numbers():
    estimate = memory.estimate_memory(tiny_config(), 4, 16, 24)
    needed = round(memory.ALLOCATOR_MARGIN * estimate.activations)
    memory.require_memory(estimate, available=needed)
    with pytest.raises(
        memory.InsufficientMemoryError, match=r"4 frames of 16 x 24.*cpu has 0\.00 GB available"
    ):
        memory.require_memory(estimate, available=needed - 1)
    with pytest.raises(memory.InsufficientMemoryError, match="weights and activations"):
        memory.require_memory(estimate, available=needed + estimate.weights - 1, weights_loaded=False)
    huge = memory.estimate_memory(VGGTConfig.vggt_1b(), 10**7, 392, 518)
    with pytest.raises(MemoryError, match="fewer frames"):
        memory.require_memory(huge, "cpu")


def test_available_memory(tmp_path, monkeypatch):
    assert 0 < memory.available_memory("cpu") < 2**50
    (tmp_path / "meminfo").write_text("MemTotal: 900 kB\nA: b: c\nMemAvailable:   500 kB\n")
    assert memory._meminfo_available(tmp_path / "meminfo") == 500 * 1024
    assert memory._meminfo_available(tmp_path / "absent") is None
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory._control_group_left(tmp_path) is None  # a limit without what is used of it
    (tmp_path / "memory.current").write_text("300\n")
    for limit, left in (("max", None), ("1000", 700), ("100", 0)):
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        assert memory._control_group_left(tmp_path) == left
    monkeypatch.setattr(memory, "_meminfo_available", lambda: 10)
    monkeypatch.setattr(memory, "_control_group_left", lambda: 5)
    assert memory.available_memory("cpu") == 5
    monkeypatch.setattr(memory, "_meminfo_available", lambda: None)
    monkeypatch.setattr(memory, "_control_group_left", lambda: None)
    assert memory.available_memory("cpu") == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")  # a Mac
    monkeypatch.delattr(memory.os, "sysconf")
    with pytest.warns(UserWarning, match="cannot tell how much memory there is") as told:
        assert memory.available_memory("cpu") > 2**60
    assert told[0].filename == __file__  # where the memory was asked for


@pytest.mark.parametrize("gpus", [0, 1, 2])
def test_a_device_is_one_of_those_that_are_here(monkeypatch, gpus):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    accepted = ["cpu", *["cuda"] * (gpus > 0), *(f"cuda:{number}" for number in range(gpus))]
    for device in accepted:
        assert memory.check_device(device) == device
    for device in ("mps", "gpu", "auto", "", "CPU", "cuda:", f"cuda:{gpus}", "cuda:-1", None, 0):
        with pytest.raises(
            ValueError, match=re.escape(f"device is {device!r}; on this machine it can be cpu")
        ):
            memory.check_device(device)


@pytest.mark.parametrize(("device", "told"), [("cuda", True), ("cuda:1", True), ("mps", False)])
def test_only_who_asks_for_a_gpu_is_told_that_there_is_none(device, told, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError) as refused:
        memory.check_device(device)
    assert str(refused.value).endswith(", since torch sees no GPU") == told


def test_available_memory_of_a_gpu_counts_what_the_cache_holds(monkeypatch):
    for name, value in (("mem_get_info", (100, 800)), ("memory_reserved", 30), ("memory_allocated", 12)):
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    assert memory.available_memory("cuda") == 118


def test_sizes_out_of_range():
    config = tiny_config()
    for frames, height, kept in ((0, 16, None), (1, 17, None), (1, 0, None), (1, 16, 0.0), (1, 16, 2.5)):
        with pytest.raises(ValueError, match=r"multiples of 8|fraction of tokens"):
            memory.estimate_memory(config, frames, height, 24, kept=kept)


def test_a_patch_may_be_one_pixel_and_a_picture_one_patch():
    assert memory.estimate_memory(tiny_config(patch_size=1), 1, 1, 1).activations > 0
    assert memory.estimate_memory(tiny_config(), 1, 8, 8).activations > 0

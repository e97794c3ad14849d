"""One run end to end: what it measures, and what it refuses."""

import dataclasses

import numpy as np
import pytest
import torch

from book.study.scenes import aligned_extrinsics, attention_over_frames
from lib.merging import FastVGGTRule, KeyValueGridRule, UniformRule
from lib.probe import Probe
from lib.run import (
    Params,
    errors,
    in_half,
    load_model,
    load_scene,
    merging_rule,
    prepare,
    run,
)
from lib.scenes.sequence import Sequence

QUICK = Params(model="random", scene="rooms:3", frames=4, m=0.5, rule="uniform", seed=1)


@pytest.fixture(scope="module")
def outcome():
    return run(prepare(QUICK))


def test_measures_cameras_depth_and_costs(outcome):
    names = set(outcome.measurements)
    assert {"ate_centres", "ate_fastvggt", "are_deg_centres", "abs_rel", "kept", "forward_seconds"} <= names
    assert outcome.kept == pytest.approx(0.5, abs=0.01)
    assert outcome.measurements["pairs_relative"][0] == pytest.approx(0.25, abs=0.02)


def test_a_merged_run_asks_for_the_memory_of_its_plan_too(monkeypatch):
    asked = []
    monkeypatch.setattr("lib.run.require_memory", lambda estimate, device: asked.append(estimate))
    for m in (0.0, 0.5):
        prepare(dataclasses.replace(QUICK, m=m))
    plain, merged = asked
    assert merged.blocks > plain.blocks and merged.outputs == plain.outputs


def test_random_weights_carry_a_banner(outcome):
    assert "andom weights" in outcome.setup.banner


def test_same_parameters_same_numbers(outcome):
    again = run(prepare(QUICK))
    assert torch.equal(again.prediction.depth, outcome.prediction.depth)
    other = run(prepare(dataclasses.replace(QUICK, seed=2)))
    assert not torch.equal(other.prediction.depth, outcome.prediction.depth)


def test_truth_through_the_same_code_has_no_error(outcome):
    sequence = outcome.setup.sequence
    truth = dataclasses.replace(
        outcome.prediction, extrinsics=sequence.extrinsics[None], depth=sequence.depth[None, ..., None]
    )
    perfect = errors(sequence, truth)
    assert perfect["rotation_from_frame_0"][0] < 1e-3 < outcome.measurements["rotation_from_frame_0"][0]
    assert perfect["ate_centres"][0] < 1e-5
    assert perfect["are_deg_fastvggt"][0] < 1e-2
    assert perfect["abs_rel"][0] < 1e-6 and perfect["delta_1.25"][0] == 1.0


def test_alignment_moves_the_prediction_onto_the_truth(outcome):
    moved = aligned_extrinsics(outcome)
    centres = -np.einsum("sji,sj->si", moved[:, :, :3], moved[:, :, 3])
    truth = outcome.setup.sequence.extrinsics.double().numpy()
    goal = -np.einsum("sji,sj->si", truth[:, :, :3], truth[:, :, 3])
    rmse = np.sqrt(((centres - goal) ** 2).sum(1).mean())
    assert rmse == pytest.approx(outcome.measurements["ate_centres"][0], rel=1e-5)


@pytest.mark.parametrize(
    ("rule", "kind"), [("fastvggt", FastVGGTRule), ("uniform", UniformRule), ("grid", KeyValueGridRule)]
)
def test_rule_by_name(rule, kind):
    made = merging_rule(dataclasses.replace(QUICK, rule=rule, size_bias=True))
    assert isinstance(made, kind) and made.size_bias
    assert (made.m, made.seed) == (QUICK.m, QUICK.seed)


def test_a_query_is_named_by_frame_row_and_column(outcome):
    """On a grid that is no square: 3 frames of 4 x 6 patches."""
    patch = outcome.setup.model.config.patch_size
    images = torch.zeros(3, 3, 4 * patch, 6 * patch)
    setup = dataclasses.replace(outcome.setup, sequence=Sequence("grey", images))
    layout = setup.layout
    assert (layout.frames, layout.patches_high, layout.patches_wide) == (3, 4, 6)
    assert setup.central_query == (0, 2, 3)
    patches = torch.arange(layout.tokens).view(3, -1)[:, layout.special :].view(3, 4, 6)
    for query in ((0, 0, 0), (0, 2, 3), (1, 3, 5), (2, 1, 4)):
        assert setup.token(query) == int(patches[query])


def test_m_zero_is_plain():
    assert merging_rule(dataclasses.replace(QUICK, m=0.0)) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"m": 1.0}, r"\[0, 1\)"),
        ({"frames": 0}, "at least 1"),
        ({"rule": "tome"}, "tome"),
        ({"device": "cuda:99"}, "can be cpu"),
        ({"dtype": "half"}, r"dtype must be one of .* got 'half'"),
        ({"device": "mps"}, "device is 'mps'; on this machine it can be cpu"),
    ],
)
def test_bad_parameters_are_named(change, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(QUICK, **change)


def test_missing_weights_and_scenes_are_named(tmp_path):
    with pytest.raises(Exception, match="nowhere"):
        load_model(dataclasses.replace(QUICK, model=str(tmp_path / "nowhere.safetensors")))
    model, _ = load_model(QUICK)
    with pytest.raises(ValueError, match="rooms:7"):
        load_scene(dataclasses.replace(QUICK, scene="rooms:x"), model.config)
    with pytest.raises((ValueError, FileNotFoundError), match="nowhere"):
        load_scene(dataclasses.replace(QUICK, scene=str(tmp_path / "nowhere")), model.config)


@pytest.mark.slow
def test_real_photographs(redkitchen):
    params = dataclasses.replace(QUICK, scene=str(redkitchen), frames=5)
    result = run(prepare(params))
    assert len(result.setup.sequence) == 5
    assert result.measurements["ate_centres"][1] == "m" and result.measurements["ate_centres"][0] > 0


@pytest.mark.slow
@pytest.mark.parametrize("m", [0.0, 0.5])
def test_attention_over_frames_is_the_softmax_of_the_query(m):
    setup = prepare(dataclasses.replace(QUICK, m=m))
    query = setup.central_query
    probe = Probe(queries=[setup.token(query)], layers=[0, 3])
    run(setup, probe)
    maps = attention_over_frames(probe.readings, setup.layout)
    layout = setup.layout
    assert maps.shape == (2, layout.frames, layout.patches_high, layout.patches_wide)
    assert (maps >= 0).all() and (maps.sum(axis=(1, 2, 3)) < 1).all()
    assert maps.sum() > 1  # most of two unit masses lies on patches


def test_half_precision_on_a_cpu_says_nearly_the_same(outcome):
    setup = dataclasses.replace(
        outcome.setup, params=dataclasses.replace(outcome.setup.params, dtype="bfloat16")
    )
    half = run(setup).prediction
    for name in ("pose_enc", "depth", "world_points"):
        found, exact = getattr(half, name), getattr(outcome.prediction, name)
        assert found.dtype == torch.float32 and not torch.equal(found, exact)
        assert (found - exact).norm() < 0.03 * exact.norm(), name


@pytest.mark.parametrize(
    ("dtype", "device", "half"),
    [
        *(("auto", "cpu", False), ("auto", "cuda:1", True), ("bfloat16", "cpu", True)),
        *(("float32", "cuda", False), ("float32", "cpu", False)),
    ],
)
def test_where_a_run_computes_in_half_precision(dtype, device, half):
    assert in_half(dtype, device) is half

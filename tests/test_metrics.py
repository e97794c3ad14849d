"""Camera, depth, point and Chamfer errors against stored numbers, evo, and what must hold for any input."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from parity import assert_close_golden
from scipy.spatial.transform import Rotation

from book.study.reconstruction.chamfer import chamfer_fastvggt, voxel_means
from lib import metrics
from lib.metrics.cameras import to_array, umeyama

SEEDS = st.integers(0, 2**31)


def random_poses(seed: int, frames: int) -> np.ndarray:
    """(S, 4, 4) rigid poses spread over a few metres."""
    rng = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, :3, :3] = Rotation.random(frames, rng=rng).as_matrix()
    poses[:, :3, 3] = rng.normal(size=(frames, 3)) * 2
    return poses


def disturbed(poses: np.ndarray, seed: int) -> np.ndarray:
    """The same poses with noise of about 0.1 m and 5 degrees."""
    rng = np.random.default_rng([seed, 1])
    noisy = poses.copy()
    noise = Rotation.from_rotvec(rng.normal(size=(len(poses), 3)) * np.radians(3)).as_matrix()
    noisy[:, :3, :3] = poses[:, :3, :3] @ noise
    noisy[:, :3, 3] += rng.normal(size=(len(poses), 3)) * 0.1
    return noisy


def random_similarity(seed: int) -> metrics.Similarity:
    rng = np.random.default_rng([seed, 2])
    rotation = Rotation.random(rng=rng).as_matrix()
    return metrics.Similarity(float(rng.uniform(0.2, 5)), rotation, rng.normal(size=3) * 3)


def values(errors: metrics.CameraErrors) -> list[float]:
    return [errors.ate, errors.are_deg, errors.rpe_trans, errors.rpe_rot_deg]


@pytest.fixture(scope="module")
def evaluation(golden, golden_config):
    """The section of config.json, the stored inputs and the stored numbers."""
    section = golden_config["eval_metrics"]
    inputs = np.load(golden / section["inputs_file"])
    return section, inputs, json.loads((golden / section["expected_file"]).read_text())


@pytest.mark.parametrize(
    "stored, cameras_to_world, options",
    [
        ("upstream_protocol_w2c", False, {"origin": True}),
        ("own_reimplementation_w2c", False, {"origin": True}),
        ("same_on_c2w", True, {"origin": True}),
        ("w2c_align_false", False, {"similarity": False}),
        ("own_without_origin_step_w2c", False, {}),
        ("own_without_origin_step_c2w", True, {}),
    ],
)
def test_trajectory_errors_equal_the_stored_numbers(
    evaluation, golden_config, stored, cameras_to_world, options
):
    section, inputs, expected = evaluation
    estimate, truth = inputs["est_w2c"], np.linalg.inv(inputs["gt_c2w"])
    assert len(truth) == section["frames"]
    if cameras_to_world:
        estimate, truth = np.linalg.inv(estimate), inputs["gt_c2w"]
    errors = metrics.trajectory_errors(estimate, truth, **options)
    names = {
        "ate": errors.ate,
        "are": errors.are_deg,
        "rpe_rot": errors.rpe_rot_deg,
        "rpe_trans": errors.rpe_trans,
    }
    for name, value in names.items():
        target = expected[stored][name]
        tolerances = golden_config["tolerances"]["eval_metrics"]
        assert_close_golden(f"{stored}.{name}", value, target, tolerances, file="eval_metrics")


def test_named_conventions_equal_the_stored_numbers(evaluation, golden_config):
    _, inputs, expected = evaluation
    tolerances = golden_config["tolerances"]["eval_metrics"]
    truth = torch.from_numpy(np.linalg.inv(inputs["gt_c2w"]))[:, :3]
    estimate = torch.from_numpy(inputs["est_w2c"])[:, :3]
    for name, stored in (("fastvggt", "upstream_protocol_w2c"), ("centres", "own_without_origin_step_c2w")):
        errors = metrics.camera_errors(estimate, truth, name)
        assert errors.convention == name
        wanted = [expected[stored][key] for key in ("ate", "are", "rpe_trans", "rpe_rot")]
        assert_close_golden(f"camera_errors.{name}", values(errors), wanted, tolerances, file="eval_metrics")
    matrix = metrics.camera_errors(estimate, truth, "fastvggt").alignment.matrix
    assert_close_golden(
        "sim3_matrix_w2c", matrix, expected["sim3_matrix_w2c"], tolerances, file="eval_metrics"
    )


def test_chamfer_equals_the_stored_numbers(evaluation, golden_config):
    section, inputs, expected = evaluation
    tolerances = golden_config["tolerances"]["eval_metrics"]
    for case in section["chamfer"]:
        result = chamfer_fastvggt(
            inputs["chamfer_pred"],
            inputs["chamfer_gt"],
            voxel_size=section["voxel_size"],
            max_distance=case["max_distance"],
        )
        for key in (case["key"], case["own_key"]):
            assert_close_golden(key, result.distance, expected[key], tolerances, file="eval_metrics")
        assert_close_golden(
            "bbox_scale_factor", result.scale, expected["bbox_scale_factor"], tolerances, file="eval_metrics"
        )


@pytest.mark.parametrize("seed", [0, 1])
def test_camera_errors_equal_evo(seed):
    pytest.importorskip("evo")
    from evo.core import metrics as evo_metrics
    from evo.core.trajectory import PosePath3D

    truth = random_poses(seed, 12)
    estimate = random_similarity(seed).poses(disturbed(truth, seed))
    ours = metrics.trajectory_errors(estimate, truth, delta=3)
    reference, moved = PosePath3D(poses_se3=list(truth)), PosePath3D(poses_se3=list(estimate))
    moved.align(reference, correct_scale=True)
    relation = evo_metrics.PoseRelation
    wanted = []
    for kind in (relation.translation_part, relation.rotation_angle_deg):
        measure = evo_metrics.APE(kind)
        measure.process_data((reference, moved))
        wanted += [
            measure.get_statistic(s)
            for s in (evo_metrics.StatisticsType.rmse, evo_metrics.StatisticsType.median)
        ]
    for kind in (relation.translation_part, relation.rotation_angle_deg):
        measure = evo_metrics.RPE(kind, delta=3, delta_unit=evo_metrics.Unit.frames, all_pairs=True)
        measure.process_data((reference, moved))
        wanted += [
            measure.get_statistic(s)
            for s in (evo_metrics.StatisticsType.rmse, evo_metrics.StatisticsType.median)
        ]
    found = [ours.ate, ours.ate_median, ours.are_deg, ours.are_median_deg]
    found += [ours.rpe_trans, ours.rpe_trans_median, ours.rpe_rot_deg, ours.rpe_rot_median_deg]
    np.testing.assert_allclose(found, wanted, rtol=1e-9)
    assert ours.path_length == pytest.approx(reference.path_length)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, frames=st.integers(4, 20))
def test_the_world_of_the_estimate_does_not_matter(seed, frames):
    """Textbook errors do not change when the estimated world is turned, shifted and scaled."""
    truth = random_poses(seed, frames)
    estimate, moved = disturbed(truth, seed), random_similarity(seed).poses(disturbed(truth, seed))
    before, after = (metrics.camera_errors(np.linalg.inv(p), np.linalg.inv(truth)) for p in (estimate, moved))
    np.testing.assert_allclose(values(after), values(before), rtol=1e-7)
    assert before.ate > 1e-3 and before.are_deg > 0.1


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, frames=st.integers(4, 20), convention=st.sampled_from(sorted(metrics.CONVENTIONS)))
def test_the_truth_has_no_error(seed, frames, convention):
    truth = np.linalg.inv(random_poses(seed, frames))
    errors = metrics.camera_errors(truth, truth, convention, delta=2)
    assert max(values(errors)) < 1e-9
    assert errors.alignment.scale == pytest.approx(1.0)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_umeyama_finds_the_similarity_and_nothing_beats_it(seed):
    similarity, rng = random_similarity(seed), np.random.default_rng(seed)
    points = rng.normal(size=(9, 3))
    found = metrics.umeyama(points, similarity.points(points))
    np.testing.assert_allclose(found.matrix, similarity.matrix, atol=1e-8)
    noisy = similarity.points(points) + rng.normal(size=(9, 3)) * 0.2
    best = metrics.umeyama(points, noisy)
    residual = ((best.points(points) - noisy) ** 2).sum()
    turn = Rotation.from_rotvec(rng.normal(size=3) * 0.02).as_matrix()
    other = metrics.Similarity(best.scale * 1.01, turn @ best.rotation, best.translation + 0.01)
    assert residual < ((other.points(points) - noisy) ** 2).sum()
    assert np.linalg.det(metrics.umeyama(points, points * [1, 1, -1]).rotation) == pytest.approx(1.0)


def test_umeyama_of_a_mirrored_cloud_by_hand():
    """The least bad rotation of a mirror image is none, and the scale pays for the mirrored axis."""
    source = np.diag([3.0, 2.0, 1.0])
    source = np.concatenate([source, -source])
    found = metrics.umeyama(source, source * [1.0, 1.0, -1.0])
    np.testing.assert_allclose(found.rotation, np.eye(3), atol=1e-12)
    assert found.scale == pytest.approx((9 + 4 - 1) / (9 + 4 + 1))


def test_rpe_by_hand():
    """A track along x that is 10 % too long and turns 1 degree a frame, without alignment."""
    frames = 6
    truth = np.tile(np.eye(4), (frames, 1, 1))
    estimate = truth.copy()
    truth[:, 0, 3], estimate[:, 0, 3] = np.arange(frames), 1.1 * np.arange(frames)
    yaw = Rotation.from_euler("x", np.arange(frames)[:, None], degrees=True).as_matrix()
    estimate[:, :3, :3] = yaw
    for delta in (1, 2, 5):
        errors = metrics.trajectory_errors(estimate, truth, similarity=False, delta=delta)
        assert errors.rpe_trans == pytest.approx(0.1 * delta)
        assert errors.rpe_rot_deg == pytest.approx(delta)
    assert errors.ate == pytest.approx(np.sqrt(np.mean((0.1 * np.arange(frames)) ** 2)))
    assert errors.are_deg == pytest.approx(np.sqrt(np.mean(np.arange(frames) ** 2.0)))
    assert errors.are_median_deg == pytest.approx(2.5)
    assert errors.path_length == pytest.approx(frames - 1)
    assert errors.ate_relative == pytest.approx(errors.ate / (frames - 1))
    assert json.loads(json.dumps(errors.to_dict()))["ate"] == errors.ate
    assert np.isnan(replace(errors, path_length=0.0).ate_relative)


def test_path_length_is_that_of_the_centres_in_both_conventions():
    truth = random_poses(3, 8)
    steps = np.linalg.norm(np.diff(truth[:, :3, 3], axis=0), axis=1).sum()
    for convention in metrics.CONVENTIONS:
        errors = metrics.camera_errors(np.linalg.inv(truth), np.linalg.inv(truth), convention)
        assert errors.path_length == pytest.approx(steps)
        assert errors.convention == convention


def test_the_alignment_of_the_centres_moves_points_too():
    truth, similarity = random_poses(0, 7), random_similarity(0)
    points = np.random.default_rng(0).normal(size=(50, 3))
    errors = metrics.camera_errors(np.linalg.inv(similarity.poses(truth))[:, :3], np.linalg.inv(truth))
    aligned = metrics.chamfer(similarity.points(points), points, alignment=errors.alignment)
    assert aligned.distance < 1e-9 < metrics.chamfer(similarity.points(points), points).distance


@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda p: p[:2], metrics.DegenerateAlignmentError, "at least 3 points, got 2"),
        (lambda p: np.repeat(p[:1], 5, axis=0), metrics.DegenerateAlignmentError, "coincide"),
        (lambda p: p[:, :2], ValueError, r"must be \(S, 3, 4\) or \(S, 4, 4\)"),
        (
            lambda p: p * np.array([np.nan] + [1] * 3),
            ValueError,
            r"NaN or infinite values in frames \[0, 1, 2",
        ),
        (lambda p: p * 2, ValueError, r"frame 0 is not a rotation: \|R R\^T - 1\| = 3 "),
        (lambda p: p * np.array([[1], [1], [-1], [1]]), ValueError, r"det R = -1"),
    ],
)
def test_camera_errors_refuse_what_has_no_answer(change, error, message):
    poses = random_poses(0, 5)
    with pytest.raises(error, match=message):
        metrics.camera_errors(change(poses), change(poses))


@pytest.mark.parametrize(
    ("convention", "inverted", "origin"), [("centres", True, False), ("fastvggt", False, True)]
)
def test_a_convention_says_which_matrices_are_aligned_and_whether_at_frame_0(convention, inverted, origin):
    truth = random_poses(1, 6)
    estimate = truth + 0.0
    estimate[:, :3, 3] += np.random.default_rng(3).normal(size=(6, 3)) / 5
    found = metrics.camera_errors(estimate, truth, convention)
    pair = [np.linalg.inv(poses) if inverted else poses for poses in (estimate, truth)]
    moved = found.alignment.poses(pair[0])
    assert found.ate == pytest.approx(metrics.trajectory_errors(*pair, origin=origin).ate)
    assert (np.abs(moved[0] - pair[1][0]).max() < 1e-9) == origin


def test_a_rotation_may_deviate_by_the_tolerance_and_no_more(monkeypatch):
    poses = np.tile(np.diag([1.125, 1, 1, 1]), (5, 1, 1))  # R R^T - 1 is 17/64, exactly
    poses[:, :3, 3] = np.random.default_rng(0).normal(size=(5, 3))
    monkeypatch.setattr("lib.metrics.cameras._ROTATION_TOLERANCE", 17 / 64)
    metrics.camera_errors(poses, poses)
    monkeypatch.setattr("lib.metrics.cameras._ROTATION_TOLERANCE", np.nextafter(17 / 64, 0))
    with pytest.raises(ValueError, match="is not a rotation"):
        metrics.camera_errors(poses, poses)


@pytest.mark.usefixtures("unchecked")
def test_camera_errors_refuse_a_line_other_lengths_and_bad_choices():
    poses = random_poses(0, 5)
    line = np.tile(np.eye(4), (5, 1, 1))
    line[:, 0, 3] = np.arange(5)
    with pytest.raises(metrics.DegenerateAlignmentError, match="on one line"):
        metrics.camera_errors(line, line)
    slanted = np.outer(np.random.default_rng(0).normal(size=9), [0.1, -1.3, 0.6])  # on it up to rounding
    with pytest.raises(metrics.DegenerateAlignmentError, match="on one line"):
        metrics.umeyama(slanted, slanted)
    with pytest.raises(metrics.DegenerateAlignmentError, match="all 5 estimated points coincide"):
        metrics.camera_errors(np.repeat(poses[:1], 5, axis=0), poses)
    with pytest.raises(ValueError, match="5 estimated poses but 4 true ones"):
        metrics.camera_errors(poses, poses[:4])
    with pytest.raises(ValueError, match=r"delta is 5; with 5 poses it must lie in \[1, 4\]"):
        metrics.camera_errors(poses, poses, delta=5)
    with pytest.raises(ValueError, match=r"'evo'; choose one of \['centres', 'fastvggt'\]"):
        metrics.camera_errors(poses, poses, "evo")


def test_depth_errors_by_hand():
    truth = torch.tensor([[[1.0, 2.0], [4.0, 0.0]]])
    estimate = torch.tensor([[[1.2, 2.5], [4.0, 7.0]]])[..., None]
    errors = metrics.depth_errors(estimate, truth)
    assert errors.pixels == 3 and errors.scale == 1.0
    assert errors.abs_rel == pytest.approx((0.2 + 0.25) / 3)
    assert errors.delta_1_25 == pytest.approx(2 / 3)  # a ratio of exactly 1.25 is not inside
    assert errors.rmse == pytest.approx(np.sqrt((0.04 + 0.25) / 3))
    masked = metrics.depth_errors(estimate, truth, mask=torch.tensor([[[False, False], [True, True]]]))
    assert (masked.pixels, masked.abs_rel, masked.delta_1_25) == (1, 0.0, 1.0)


@settings(max_examples=25, deadline=None)
@given(ratio=st.floats(0.2, 5.0))
def test_the_share_within_a_quarter_takes_too_near_like_too_far(ratio):
    assume(min(abs(ratio - r) for r in (0.8, 1.25)) > 1e-6)
    within = metrics.depth_errors(np.array([2.0 * ratio]), np.array([2.0])).delta_1_25
    assert within == float(0.8 < ratio < 1.25)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, factor=st.floats(0.01, 100))
def test_median_scaling_forgets_the_scale(seed, factor):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.5, 8, (2, 5, 6)) * (rng.random((2, 5, 6)) > 0.2)
    estimate = truth * rng.uniform(0.8, 1.3, truth.shape)
    plain, scaled = (metrics.depth_errors(estimate * f, truth, scale="median") for f in (1, factor))
    assert scaled.abs_rel == pytest.approx(plain.abs_rel) and scaled.rmse == pytest.approx(plain.rmse)
    assert metrics.depth_errors(truth * factor, truth, scale="median").abs_rel < 1e-12
    assert plain.scale == pytest.approx(np.median(truth[truth > 0]) / np.median(estimate[truth > 0]))


@pytest.mark.usefixtures("unchecked")
def test_depth_errors_refuse_what_has_no_answer():
    depth = np.ones((1, 2, 2))
    with pytest.raises(ValueError, match="no valid pixel"):
        metrics.depth_errors(depth, depth * 0)
    with pytest.raises(ValueError, match="holds 4 NaN"):
        metrics.depth_errors(depth * np.nan, depth)
    with pytest.raises(ValueError, match=r"estimate is \(1, 2, 2\) but truth is \(1, 2, 3\)"):
        metrics.depth_errors(depth, np.ones((1, 2, 3)))
    with pytest.raises(ValueError, match="median of the estimated depth is -1"):
        metrics.depth_errors(-depth, depth, scale="median")
    with pytest.raises(ValueError, match="'none' or 'median'"):
        metrics.depth_errors(depth, depth, scale="mean")
    with pytest.raises(ValueError, match=r"mask is \(2,\)"):
        metrics.depth_errors(depth, depth, mask=np.ones(2))


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_point_errors_after_alignment(seed):
    rng, similarity = np.random.default_rng(seed), random_similarity(seed)
    truth = rng.normal(size=(2, 4, 5, 3))
    truth[0, 0, 0] = np.nan
    errors = metrics.point_errors(similarity.points(np.nan_to_num(truth)), truth, alignment="similarity")
    assert errors.points == 39 and errors.rmse < 1e-9
    shifted = metrics.point_errors(np.nan_to_num(truth) + np.array([0.3, 0.0, 0.4]), truth)
    assert [shifted.rmse, shifted.mean, shifted.median] == pytest.approx([0.5] * 3)
    step = metrics.Similarity(1.0, np.eye(3), np.array([-0.3, 0.0, 0.0]))
    moved = metrics.point_errors(np.nan_to_num(truth) + np.array([0.3, 0.0, 0.4]), truth, alignment=step)
    assert moved.rmse == pytest.approx(0.4)


def test_point_errors_by_hand():
    errors = metrics.point_errors(np.diag([1.0, 2, 6]), np.zeros((3, 3)))
    assert (errors.mean, errors.median) == (3.0, 2.0)
    assert errors.rmse == pytest.approx(np.sqrt(41 / 3))


@pytest.mark.usefixtures("unchecked")
def test_point_errors_refuse_what_has_no_answer():
    points = np.random.default_rng(0).normal(size=(4, 3))
    with pytest.raises(metrics.DegenerateAlignmentError, match="got 2"):
        metrics.point_errors(points[:2], points[:2], alignment="similarity")
    with pytest.raises(ValueError, match="alignment is 'icp'"):
        metrics.point_errors(points, points, alignment="icp")
    with pytest.raises(ValueError, match=r"points must be \(\.\.\., 3\)"):
        metrics.point_errors(points[:, :2], points[:, :2])


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, n=st.integers(2, 60), m=st.integers(2, 60))
def test_chamfer_is_symmetric_and_rigid(seed, n, m):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(n, 3)), rng.normal(size=(m, 3))
    there, back = metrics.chamfer(a, b), metrics.chamfer(b, a)
    assert there.distance == pytest.approx(back.distance)
    assert (there.accuracy, there.completeness) == (back.completeness, back.accuracy)
    brute = np.linalg.norm(a[:, None] - b[None], axis=-1)
    assert there.accuracy == pytest.approx(brute.min(1).mean())
    assert there.completeness == pytest.approx(brute.min(0).mean())
    similarity = random_similarity(seed)
    moved = metrics.chamfer(similarity.points(a), similarity.points(b))
    assert moved.distance == pytest.approx(similarity.scale * there.distance)
    assert metrics.chamfer(a, a).distance == 0


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, scale=st.floats(0.1, 10))
def test_fastvggt_chamfer_forgets_scale_and_shift_of_the_estimate(seed, scale):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 3, (400, 3))
    estimate = truth[:300] + rng.normal(size=(300, 3)) * 0.02
    plain = chamfer_fastvggt(estimate, truth)
    moved = chamfer_fastvggt(estimate * scale + [1.0, -2.0, 5.0], truth)
    assert moved.distance == pytest.approx(plain.distance, rel=1e-6)
    assert moved.scale == pytest.approx(plain.scale / scale)
    assert chamfer_fastvggt(truth * scale, truth).distance < 1e-9


def test_fastvggt_chamfer_subset_is_seeded_and_clipped():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 3, (5000, 3))
    first, again, other = (chamfer_fastvggt(truth, truth, max_points=500, seed=s) for s in (1, 1, 2))
    assert first == again and first.distance != other.distance
    as_released = chamfer_fastvggt(truth, truth, max_points=500, seed=33)
    assert chamfer_fastvggt(truth, truth, max_points=500) == as_released != first
    assert first.points_truth <= 500
    capped = chamfer_fastvggt(truth, truth, max_points=500, max_distance=1e-3)
    assert capped.accuracy <= 1e-3 and capped.completeness <= 1e-3


def test_voxel_means_by_hand():
    points = np.array([[0.0, 0, 0], [0.02, 0, 0], [0.9, 0, 0]])
    np.testing.assert_allclose(voxel_means(points, 0.1), [[0.01, 0, 0], [0.9, 0, 0]])
    # the first cube is centred on the smallest coordinates: its upper face lies at 0.05
    split = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.04], [1.0, 2.0, 3.06]])
    np.testing.assert_allclose(voxel_means(split, 0.1), [[1, 2, 3.02], [1, 2, 3.06]])


def test_clouds_are_checked():
    cloud = np.random.default_rng(0).normal(size=(5, 3))
    with pytest.raises(ValueError, match=r"truth must be a cloud \(n >= 1, 3\), got \(0, 3\)"):
        metrics.chamfer(cloud, cloud[:0])
    with pytest.raises(ValueError, match="estimate holds 15 NaN"):
        metrics.chamfer(cloud * np.nan, cloud)
    with pytest.raises(ValueError, match="all source points coincide"):
        chamfer_fastvggt(np.repeat(cloud[:1], 4, axis=0), cloud)
    with pytest.raises(ValueError, match=r"max_distance 0, .* must be positive"):
        chamfer_fastvggt(cloud, cloud, max_distance=0)


def test_points_that_all_lie_at_the_origin_coincide():
    cloud = np.random.default_rng(0).normal(size=(5, 3))
    with pytest.raises(metrics.DegenerateAlignmentError, match="all 5 true points coincide"):
        metrics.umeyama(cloud, np.zeros((5, 3)))


def test_the_unit_of_length_does_not_make_points_collinear():
    cloud = np.random.default_rng(0).normal(size=(5, 3)) * 1e-5
    found = metrics.umeyama(cloud, 2 * cloud)
    assert found.scale == pytest.approx(2)


def test_what_lies_on_the_bounds_of_depth_errors():
    """Beyond a quarter begins at a quarter; no depth is no truth; a median of zero cannot be scaled."""
    truth = np.array([1.0, 1.25, 1.0, 0.0, np.inf])
    found = metrics.depth_errors(np.array([1.25, 1.0, 1.2, 3.0, 3.0]), truth)
    assert (found.pixels, found.delta_1_25) == (3, pytest.approx(1 / 3))
    with pytest.raises(ValueError, match="median of the estimated depth is 0"):
        metrics.depth_errors(np.array([0.0, 0.0, 1.0]), np.ones(3), scale="median")
    assert metrics.depth_errors(np.array([1e-9] * 3), np.ones(3), scale="median").rmse == pytest.approx(0)


@pytest.mark.parametrize("side", [0, 1])
def test_points_of_either_side_must_be_finite_to_align(side):
    points = [np.eye(3, 4).T.copy(), np.eye(3, 4).T.copy()]
    points[side][0, 0] = np.nan
    with pytest.raises(ValueError, match="points to align hold NaN"):
        umeyama(*points)


def test_a_similarity_by_hand():
    """A quarter turn about z, twice as large, and moved: of points and poses, as a matrix, and repeated."""
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    map_ = metrics.Similarity(2.0, turn, np.array([1.0, 2, 3]))
    np.testing.assert_array_equal(map_.matrix, [[0, -2, 0, 1], [2, 0, 0, 2], [0, 0, 2, 3], [0, 0, 0, 1]])
    np.testing.assert_array_equal(map_.points(np.array([5.0, 7, 9])), [-13, 12, 21])
    np.testing.assert_array_equal(map_.poses(np.eye(4)[None])[0], [*np.c_[turn, [1, 2, 3]], [0, 0, 0, 1]])
    twice = map_.then(metrics.Similarity(3.0, turn, np.array([0.0, 0, 1])))
    np.testing.assert_array_equal(twice.matrix[:3], [[-6, 0, 0, -6], [0, -6, 0, 3], [0, 0, 6, 10]])


def test_three_points_and_so_a_plane_are_enough_to_align():
    corner = np.array([[0.0, 0, 0], [2, 0, 0], [0, 1, 0]])
    found = metrics.umeyama(corner, 3 * corner + [1.0, 2, 3])
    np.testing.assert_allclose(
        found.matrix, [[3, 0, 0, 1], [0, 3, 0, 2], [0, 0, 3, 3], [0, 0, 0, 1]], atol=1e-12
    )


@pytest.mark.parametrize(("width", "lies"), [(0.95e-6, "on a line"), (1.2e-6, "in a plane")])
def test_points_lie_on_a_line_up_to_a_millionth_of_its_length(width, lies):
    """The variance across is then 1e-12 of that along."""
    cross = np.array([[1.0, 0, 0], [-1, 0, 0], [0, width, 0], [0, -width, 0]])
    if lies == "in a plane":
        assert metrics.umeyama(cross, cross).scale == pytest.approx(1)
        return
    with pytest.raises(metrics.DegenerateAlignmentError, match="on one line"):
        metrics.umeyama(cross, cross)


@pytest.mark.parametrize(("spread", "coincide"), [(3.6e-9, True), (6e-9, False)])
def test_points_coincide_up_to_a_billionth_of_their_distance(spread, coincide):
    """Four metres from the origin."""
    cross = np.array([[4, spread, 0], [4, -spread, 0], [4, 0, spread], [4, 0, -spread]])
    if not coincide:
        assert metrics.umeyama(cross, cross).scale == pytest.approx(1)
        return
    with pytest.raises(metrics.DegenerateAlignmentError, match="all 4 estimated points coincide"):
        metrics.umeyama(cross, cross)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("shapes", [((4, 3), (5, 3)), ((4, 2), (4, 2)), ((4, 3, 1), (4, 3, 1))])
def test_points_to_align_are_two_lists_of_places(shapes):
    with pytest.raises(ValueError, match=r"must both be \(n, 3\)"):
        metrics.umeyama(*(np.random.default_rng(0).normal(size=shape) for shape in shapes))


def test_errors_of_motion_are_from_frame_to_frame_unless_asked_otherwise():
    truth = random_poses(0, 5)
    errors = metrics.camera_errors(np.linalg.inv(disturbed(truth, 0)), np.linalg.inv(truth))
    assert errors.delta == 1 == metrics.trajectory_errors(truth, truth).delta


@pytest.mark.parametrize(("deviation", "is_one"), [(0.009, True), (0.015, False)])
def test_a_recorded_rotation_may_deviate_by_a_hundredth(deviation, is_one):
    poses = random_poses(0, 5)
    poses[:, :3, :3] *= np.sqrt(1 + deviation)
    if is_one:
        assert metrics.camera_errors(poses, poses).ate < 1e-9
        return
    with pytest.raises(ValueError, match="is not a rotation"):
        metrics.camera_errors(poses, poses)


def test_one_pose_is_a_path_of_no_length_and_none_is_no_path():
    assert metrics.path_length(np.eye(4)[None]) == 0
    with pytest.raises(ValueError, match="with S >= 1"):
        metrics.path_length(np.zeros((0, 4, 4)))


def test_the_first_ten_broken_frames_are_named():
    with pytest.raises(ValueError, match=r"in frames \[0, 1, 2, 3, 4, 5, 6, 7, 8, 9\]; leave"):
        metrics.path_length(np.full((12, 4, 4), np.nan))


def test_errors_are_computed_in_double_precision():
    for values in (np.ones(2, np.float32), torch.ones(2, dtype=torch.float16), [1, 2], np.array([True])):
        assert to_array(values).dtype == np.float64


@pytest.mark.usefixtures("unchecked")
def test_only_a_trailing_axis_of_length_one_is_dropped():
    column = np.array([[1.0], [2.0], [4.0]])
    assert metrics.depth_errors(column, column).pixels == 3
    with pytest.raises(ValueError, match=r"estimate is \(2, 2, 2\) but truth is \(2, 2\)"):
        metrics.depth_errors(np.ones((2, 2, 2)), np.ones((2, 2)))


def test_chamfer_by_hand():
    """One point against itself and another four metres away: 0 one way, 2 on average the other way."""
    truth = np.array([[1.0, 0, 0], [5, 0, 0]])
    found = metrics.chamfer(truth[:1] / 4, truth, alignment=metrics.Similarity(4.0, np.eye(3), np.zeros(3)))
    assert (found.accuracy, found.completeness, found.distance) == (0, 2, 1)
    assert (found.points_estimate, found.points_truth, found.scale) == (1, 2, 4)

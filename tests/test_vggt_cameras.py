"""Pose encoding, quaternions, inverse poses and unprojection, against stored numbers and by round trips."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import assert_close_golden
from scipy.spatial.transform import Rotation

from lib.geometry import camera_centres, invert, relative_to_first, rotation_angle_deg, unproject
from lib.vggt.cameras import (
    decode_pose,
    encode_pose,
    matrix_to_quaternion,
    quaternion_to_matrix,
)
from lib.vggt.heads import activate_pose


@pytest.fixture(scope="module")
def check(units, golden_config):
    def compare(key, value):
        tolerances = golden_config["tolerances"]["units"]
        assert_close_golden(key, value, units[key], tolerances, golden_config["units"]["file"])

    return compare


class TestStored:
    def test_encode_and_decode(self, units, golden_config, check):
        pose = golden_config["units"]["pose"]
        size = (pose["image_height"], pose["image_width"])
        check(pose["encoding"], encode_pose(units[pose["extrinsics"]], units[pose["intrinsics"]], size))
        extrinsics, intrinsics = decode_pose(units[pose["encoding"]], size)
        check(pose["decoded_extrinsics"], extrinsics)
        check(pose["decoded_intrinsics"], intrinsics)

    def test_quaternions(self, units, golden_config, check):
        keys = golden_config["units"]["quaternion"]
        matrices = quaternion_to_matrix(units[keys["quaternions"]])
        check(keys["matrices"], matrices)
        check(keys["back"], matrix_to_quaternion(matrices))

    def test_pose_activation(self, units, golden_config, check):
        keys = golden_config["units"]["pose_activation"]
        check(keys["activated"], activate_pose(units[keys["raw"]]))

    def test_geometry(self, units, golden_config, check):
        keys = golden_config["units"]["geometry"]
        depth, extrinsics = units[keys["depth"]], units[keys["extrinsics"]]
        points = unproject(*(t.double() for t in (depth[..., 0], extrinsics, units[keys["intrinsics"]])))
        check(keys["world_points"], points)
        check(keys["inverse"], invert(extrinsics))


class TestQuaternions:
    @settings(deadline=None, max_examples=40)
    @given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 50))
    def test_agree_with_scipy_at_any_scale_and_sign(self, seed, scale):
        q = np.random.default_rng(seed).normal(size=4)
        for sign in (1, -1):
            ours = quaternion_to_matrix(torch.tensor(sign * scale * q))
            np.testing.assert_allclose(ours.numpy(), Rotation.from_quat(q).as_matrix(), atol=1e-12)

    @settings(deadline=None, max_examples=40)
    @given(seed=st.integers(0, 10_000), turn=st.floats(0.0, np.pi))
    def test_inverse_is_exact_up_to_half_turns(self, seed, turn):
        axis = np.random.default_rng(seed).normal(size=3)
        matrix = Rotation.from_rotvec(turn * axis / np.linalg.norm(axis)).as_matrix()
        quaternion = matrix_to_quaternion(torch.tensor(matrix))
        assert quaternion[3] >= 0
        np.testing.assert_allclose(quaternion.norm(), 1, atol=1e-12)
        np.testing.assert_allclose(quaternion_to_matrix(quaternion).numpy(), matrix, atol=1e-12)

    def test_half_turns_about_an_axis_are_that_axis(self):
        for axis in range(3):
            turn = -torch.ones(3)
            turn[axis] = 1
            assert torch.equal(matrix_to_quaternion(turn.diag())[:3], torch.eye(3)[axis])


class TestEncoding:
    @settings(deadline=None, max_examples=25)
    @given(seed=st.integers(0, 10_000), height=st.integers(8, 60), width=st.integers(8, 60))
    def test_cameras_with_a_central_axis_come_back(self, seed, height, width):
        extrinsics, intrinsics, _ = _camera()
        focal = np.random.default_rng(seed).uniform(4, 90, (2, 2))
        intrinsics[:, 0, 0], intrinsics[:, 1, 1] = torch.tensor(focal)
        intrinsics[:, 0, 2], intrinsics[:, 1, 2] = width / 2, height / 2
        back = decode_pose(encode_pose(extrinsics, intrinsics, (height, width)), (height, width))
        for value, expected in zip(back, (extrinsics, intrinsics), strict=True):
            torch.testing.assert_close(value, expected, atol=1e-9, rtol=1e-9)

    def test_fields_of_view_by_hand(self):
        """Vertical, then horizontal: a right angle where the focal length is half the side."""
        intrinsics = torch.tensor([[[30.0, 0, 30], [0, 20.0, 20], [0, 0, 1]]])
        encoding = encode_pose(torch.eye(3, 4)[None], intrinsics, (40, 60))
        torch.testing.assert_close(encoding[0], torch.tensor([0, 0, 0, 0, 0, 0, 1, np.pi / 2, np.pi / 2]))
        wide = intrinsics * torch.tensor([3**0.5, 1.0, 1.0])[:, None]
        assert encode_pose(torch.eye(3, 4)[None], wide, (40, 60))[0, 8] == pytest.approx(np.pi / 3)


class TestGeometry:
    def test_unprojected_points_project_back_to_their_pixels(self):
        extrinsics, intrinsics, depth = _camera()
        world = unproject(depth, extrinsics, intrinsics)  # (2, 4, 6, 3)
        camera = torch.einsum("fij,fhwj->fhwi", extrinsics[..., :3], world)
        camera = camera + extrinsics[:, None, None, :, 3]
        torch.testing.assert_close(camera[..., 2], depth)
        pixels = torch.einsum("fij,fhwj->fhwi", intrinsics, camera / camera[..., 2:])
        v, u = torch.meshgrid(torch.arange(4.0), torch.arange(6.0), indexing="ij")
        torch.testing.assert_close(pixels[..., 0], u.double().expand(2, -1, -1))
        torch.testing.assert_close(pixels[..., 1], v.double().expand(2, -1, -1))

    def test_inverse_composes_to_identity(self):
        extrinsics, _, _ = _camera()
        product = invert(invert(extrinsics)) @ invert(extrinsics)
        torch.testing.assert_close(product, torch.eye(4).double().expand(2, 4, 4))

    def test_relative_poses_lead_from_the_first_camera_to_each(self):
        extrinsics, _, _ = _camera()
        relative = relative_to_first(extrinsics)
        torch.testing.assert_close(relative[0], torch.eye(4).double()[:3])
        # the first camera's place, seen from camera 1, is the translation
        seen = extrinsics[1, :, :3] @ camera_centres(extrinsics)[0] + extrinsics[1, :, 3]
        torch.testing.assert_close(relative[1, :, 3], seen)
        torch.testing.assert_close(relative_to_first(extrinsics.expand(3, -1, -1, -1))[2], relative)

    @pytest.mark.parametrize("angle", [0.0, 1e-7, 0.3, 2.0, np.pi])
    def test_rotation_angles(self, angle):
        a = torch.from_numpy(Rotation.random(random_state=0).as_matrix())
        b = torch.from_numpy(Rotation.from_rotvec([0, 0.6 * angle, 0.8 * angle]).as_matrix()) @ a
        assert float(rotation_angle_deg(a, b)) == pytest.approx(np.degrees(angle), rel=1e-7, abs=1e-10)

    def test_a_half_turn_in_few_digits_is_an_angle(self):
        turn = torch.tensor([-1.001, -1.001, 1.0]).diag()  # rounding makes it longer than a rotation
        assert rotation_angle_deg(turn, torch.eye(3)) == 180

    def test_gradient_reaches_the_encoding_through_rotation_and_focal_length(self):
        encoding = torch.tensor([0.1, 0.2, 0.3, 0.1, 0.2, 0.3, 0.9, 1.0, 1.2], requires_grad=True)
        extrinsics, intrinsics = decode_pose(encoding, (40, 60))
        ((extrinsics * torch.arange(12.0).view(3, 4)).sum() + intrinsics.sum()).backward()
        assert encoding.grad.isfinite().all() and (encoding.grad[[0, 3, 6, 7, 8]] != 0).all()


def _camera():
    generator = torch.Generator().manual_seed(3)
    rotation = quaternion_to_matrix(torch.randn(2, 4, generator=generator, dtype=torch.float64))
    translation = torch.randn(2, 3, 1, generator=generator, dtype=torch.float64)
    intrinsics = torch.tensor([[5.0, 0, 2.5], [0, 6.0, 1.5], [0, 0, 1]], dtype=torch.float64).repeat(2, 1, 1)
    depth = 1 + torch.rand(2, 4, 6, generator=generator, dtype=torch.float64)
    return torch.cat((rotation, translation), dim=-1), intrinsics, depth

"""Networks without a reference frame, and causal ones: what each must not depend on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lib.merging import UniformRule
from lib.training.config import mini_model
from lib.vggt.model import VGGT

ORDER = [2, 0, 3, 1]


def model(**options: bool) -> VGGT:
    network = VGGT.from_seed(mini_model(depth=4, width=32, image_size=16, **options), 0).eval()
    with torch.no_grad():  # poses that differ between frames, far from the identity
        assert network.camera_head is not None
        network.camera_head.pose_branch.fc2.bias.copy_(torch.tensor([0.1, 0, 0, 0.1, 0, 0, 1, 1, 1]))
    return network


def images() -> Tensor:
    return torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_without_a_reference_frame_outputs_follow_their_frames() -> None:
    for reference in (False, True):
        network = model(reference=reference)
        plain, mixed = network(images()), network(images()[ORDER])
        same = [
            torch.allclose(getattr(mixed, name)[0], getattr(plain, name)[0, ORDER], atol=1e-5)
            for name in ("pose_enc", "depth", "depth_conf", "world_points_conf")
        ]
        assert same == [not reference] * 4


@torch.inference_mode()
def test_without_a_reference_frame_cameras_and_points_are_given_from_frame_0() -> None:
    network = model(reference=False)
    plain, mixed = network(images()), network(images()[ORDER])
    assert torch.allclose(plain.extrinsics[0, 0], torch.eye(3, 4), atol=1e-6)
    assert not torch.allclose(plain.extrinsics[0, 1], torch.eye(3, 4), atol=1e-4)
    # the new frame 0 was frame 2: its camera takes the old coordinates to the new ones
    camera = plain.extrinsics[0, ORDER[0]]
    moved = plain.world_points[0, ORDER] @ camera[:, :3].T + camera[:, 3]
    assert torch.allclose(mixed.world_points[0], moved, atol=1e-5)


@torch.inference_mode()
def test_without_cameras_points_stay_where_the_head_puts_them() -> None:
    network = model(reference=False)
    plain, alone = network(images()), network(images(), heads=("points",))
    camera = plain.extrinsics[0]  # takes frame 0's coordinates to those of the head
    back = torch.einsum("sij,shwj->shwi", camera[..., :3], plain.world_points[0])
    assert torch.allclose(alone.world_points[0], back + camera[:, None, None, :, 3], atol=1e-5)
    assert not torch.allclose(alone.world_points, plain.world_points, atol=1e-3)


@torch.inference_mode()
def test_later_frames_change_nothing_before_them_in_a_causal_network() -> None:
    other = images()
    other[2:] = other[2:].flip(-1)
    for causal in (True, False):
        network = model(causal=causal)
        one, two, short = network(images()), network(other), network(images()[:2])
        for name in ("pose_enc", "depth", "world_points", "world_points_conf"):
            first, second = getattr(one, name)[0], getattr(two, name)[0]
            assert torch.allclose(first[:2], second[:2], atol=1e-6) == causal, name
            assert torch.allclose(first[:2], getattr(short, name)[0], atol=1e-6) == causal, name
            assert not torch.allclose(first[2:], second[2:], atol=1e-6), name


@torch.inference_mode()
def test_the_last_frame_of_a_causal_block_sees_all() -> None:
    everything, causal = model().aggregator.global_blocks[0], model(causal=True).aggregator.global_blocks[0]
    q, k, v = torch.randn(3, 1, 12, 32, generator=torch.Generator().manual_seed(0)).unbind(0)
    x, positions = q + k + v, torch.zeros(1, 12, 2, dtype=torch.long)
    a = everything.attn(x, positions)
    b = causal.attn(x, positions, frame_tokens=4)
    assert torch.allclose(a[:, 8:], b[:, 8:], atol=1e-6) and not torch.allclose(a[:, :8], b[:, :8], atol=1e-4)


def test_a_causal_network_refuses_merging() -> None:
    with pytest.raises(ValueError, match="a causal model takes no rule; pass merging=None"):
        model(causal=True)(images(), merging=UniformRule(0.5))


def test_variants_share_the_names_and_shapes_of_weights() -> None:
    plain = model().state_dict()
    for options in ({"reference": False}, {"causal": True}):
        other = model(**options)
        other.load_state_dict(plain)
        assert other.config.from_dict(other.config.to_dict()) == other.config != model().config

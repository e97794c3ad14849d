"""What decides the predictions about networks of other designs, where the answer is known."""

import numpy as np
import pytest
import torch
from small_models import Kept, tiny_vggt

from book.study import entries
from book.study.fits import growth
from book.study.networks import designs, draw
from lib.geometry import rotation_angle_deg
from lib.run import Params


def images(frames: int) -> torch.Tensor:
    return torch.rand(frames, 3, 16, 24, generator=torch.Generator().manual_seed(0))


def test_entropy_and_special_tokens_are_those_of_the_matrix():
    seen, kept = designs.Dilution(causal=False), Kept()
    with torch.no_grad():
        for probe in (seen, kept):
            tiny_vggt()(images(3), probe=probe)
    event = kept.events[1]
    layout = event.layout
    weights = (event.scale * event.q[0] @ event.k[0].mT).softmax(-1).double()
    patch = layout.special + torch.arange(layout.patches)
    rows = torch.cat([frame * layout.tokens_per_frame + patch for frame in range(3)])
    by_frame = weights[:, rows].unflatten(1, (3, -1))
    entropy = -(by_frame * by_frame.log()).sum(-1).mean((0, 2))
    np.testing.assert_allclose(seen.entropy[1], entropy, rtol=1e-5)
    special = by_frame.unflatten(-1, (3, -1))[..., : layout.special].sum(-1).mean((0, 2))
    np.testing.assert_allclose(seen.special[1], special, rtol=1e-4)


def test_a_query_that_sees_all_alike_has_all_keys_and_no_sink():
    model = tiny_vggt()
    with torch.no_grad():
        for block in model.aggregator.global_blocks:
            block.attn.q_norm.weight.zero_()
            block.attn.q_norm.bias.zero_()
        seen = designs.Dilution(causal=False)
        model(images(4), probe=seen)
    tokens = 4 * (5 + 6)
    np.testing.assert_allclose(np.exp(seen.entropy), tokens, rtol=1e-5)
    assert [designs.sink_ratio(layer) for layer in seen.special] == pytest.approx([1.0] * 3)


def test_a_causal_frame_is_diluted_by_those_before_it_only():
    model, few, many = (
        tiny_vggt(causal=True), designs.Dilution(causal=True), designs.Dilution(causal=True)
    )  # fmt: skip
    with torch.no_grad():
        model(images(5)[:4], probe=few)
        model(images(5), probe=many)
    for short, long in zip(few.entropy, many.entropy, strict=True):
        np.testing.assert_allclose(long[:4], short, rtol=1e-4)
    assert np.all(np.triu(many.special[0], 1) == 0) and many.special[0][3, 3] > 0


def test_keys_that_grow_as_the_frames_have_slope_one_from_eight_frames_on():
    lengths = [4, 8, 16, 64]
    entropy = np.log([99.0, 8 * 3, 16 * 3, 64 * 3])[:, None, None] * np.ones((4, 2, 3))
    np.testing.assert_allclose(growth(entropy, lengths), np.ones((2, 3)))


def test_errors_by_place_are_angles_since_the_first_frame():
    axis = torch.tensor([0.0, 0.1, 0.3])
    angles = zip(axis.sin(), axis.cos(), strict=True)
    turned = torch.stack([torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]) for s, c in angles])
    poses = torch.cat([turned, torch.zeros(3, 3, 1)], -1)
    found = designs.rotation_by_place(poses, poses[:1].expand(3, -1, -1))
    np.testing.assert_allclose(found, np.rad2deg(axis.numpy()), atol=1e-4)
    assert rotation_angle_deg(turned[1], turned[0]).item() == pytest.approx(found[1], abs=1e-4)


def test_every_declared_quantity_is_measured_and_nothing_else():
    layers, places = np.zeros((5, 2, 3)), np.tile(np.arange(1.0, 129), (2, 1))
    arrays = {"entropy": layers, "entropy_last": layers, "entropy_fourth": layers, "sink": layers + 2}
    found, errors = {}, {"plain": np.array([2.0, 4.0]), "anchored": np.array([1.0, 2.0])}
    walks = np.array([9.0, 3.0]), np.array([2.0, 2.0])
    for design in ("equivariant", "few", "causal"):
        given = arrays | {"rotation": places}
        found |= designs.quantities(design, given, [8, 16, 32, 64, 128], errors, walks)
    assert found["equivariant_anchor"] == found["few_anchor"] == 0.5 and found["few_growth"] == 3
    assert found["equivariant_sink"] == 2
    assert found["causal_late_error"] == pytest.approx(124.5 / 7.5)
    path = designs.DECLARED
    declared = entries.read(path, ("predictions",))["predictions"]
    assert {one["quantity"] for one in declared.values()} == found.keys()


@pytest.mark.slow
def test_a_run_on_rooms_and_what_it_refuses():
    params = Params(model="random", scene="denser:0-1", m=0.0)
    found = designs.measure(params, [4, 8])
    assert found["entropy"].shape == found["sink"].shape == (2, 2, found["sink"].shape[2])
    assert found["rotation"].shape == (2, 8) and np.all(found["rotation"][:, 0] < 1e-3)
    for lengths in ([8], [3, 8], [8, 8], [16, 8]):
        with pytest.raises(ValueError, match="two or more that increase"):
            designs.measure(params, lengths)
    with pytest.raises(ValueError, match="'few' or 'causal'"):
        designs.quantities("other", found, [8, 32])
    with pytest.raises(ValueError, match="declared at 32 frames"):
        designs.quantities("equivariant", found, [8, 16])


def test_the_picture_of_a_causal_network_shows_both_frames_and_errors_by_place() -> None:
    lengths, rng = [8, 16, 32], np.random.default_rng(0)
    arrays = {name: rng.random((3, 4, 2)) for name in ("entropy_last", "entropy_fourth")}
    arrays |= {"rotation": np.tile(np.repeat([1.0, 2.0, 3.0, 4.0], 8), (4, 1))}
    left, right = draw.one_by_one(arrays, arrays, lengths).axes
    drawn = {one.get_label(): one.lines[0].get_ydata() for one in (*left.containers, *right.containers)}
    assert list(drawn["causal"]) == list(drawn["shipped"]) == [1, 2, 3, 4]
    last = np.exp(arrays["entropy_last"].mean(-1))
    assert drawn["causal, last frame"] == pytest.approx(np.median(last, 1))


def test_the_picture_of_two_trainings_shows_their_errors_and_the_block_that_resists() -> None:
    lengths, powers = [8, 16, 32], np.array([1.0, 0.25])
    entropy = np.log(lengths)[:, None, None] * powers * np.ones((3, 4, 2))
    rows = [
        {"walk": "denser", "frames": frames, "who": "model", "rotation_deg": {"values": [frames / 8.0] * 3}}
        for frames in lengths
    ]
    reports = {label: {"evaluation": {"rows": rows}} for label in ("shipped", "again")}
    kept = {label: {"entropy": entropy} for label in reports}
    left, right = draw.trainings_apart(reports, kept, lengths).axes
    for ax, wanted in ((left, [1.0, 2.0, 4.0]), (right, powers)):
        assert [one.get_label() for one in ax.containers] == ["shipped", "again"]
        for one in ax.containers:
            assert one.lines[0].get_ydata() == pytest.approx(wanted)
    apart = [one.lines[0].get_xdata()[0] for one in right.containers]
    assert apart == pytest.approx([-0.06, 0.06]), "beside one another, around the number of the block"

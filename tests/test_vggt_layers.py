"""Rotary positions, attention and the block, against stored numbers and against their own laws."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import assert_close_golden

from lib.merging import Plan, TokenLayout
from lib.merging.placement import positions
from lib.vggt.layers import (
    Attention,
    Block,
    normal_parameter,
    rope_angles,
    rope_tables,
    rotate,
    softmax_attention,
)


def _probe_block(probes, golden_config, name):
    sizes = golden_config["probes"][name]
    block = Block(
        sizes["width"],
        sizes["heads"],
        mlp_ratio=sizes["mlp_ratio"],
        qk_norm=sizes["qk_norm"],
        rope_base=sizes["rope_base"],
        norm_eps=sizes["norm_eps"],
        kind="frame",
        layer=1,
    )
    prefix = name + golden_config["probes"]["weights_infix"]
    block.load_state_dict({k[len(prefix) :]: v for k, v in probes.items() if k.startswith(prefix)})
    positions = probes[sizes["positions"]] if sizes["positions"] else None
    return block.eval(), probes[sizes["x"]], positions, sizes["y"]


class TestRope:
    def test_matches_stored_rotations(self, units, golden_config):
        config = golden_config["units"]
        for case in config["rope_cases"]:
            dtype = getattr(torch, case["dtype"])
            x, positions = units[case["x"]].to(dtype), units[case["positions"]]
            tables = rope_tables(positions, case["head_dim"], config["rope_base"], dtype)
            y = rotate(x, tables)
            assert y.dtype == dtype
            assert_close_golden(
                case["y"], y, units[case["y"]], golden_config["tolerances"]["units"], config["file"]
            )

    def test_matches_stored_tables(self, units, golden_config):
        config, tolerances = golden_config["units"], golden_config["tolerances"]["units"]
        table = config["rope_table"]
        angles = rope_angles(torch.arange(table["positions"]), table["half_width"], config["rope_base"])
        both = torch.cat((angles, angles), dim=-1)
        assert_close_golden(table["cos"], both.cos(), units[table["cos"]], tolerances, config["file"])
        assert_close_golden(table["sin"], both.sin(), units[table["sin"]], tolerances, config["file"])

    def test_matches_stored_positions(self, units, golden_config):
        config, tolerances = golden_config["units"], golden_config["tolerances"]["units"]
        grid = config["rope_grid"]
        special = config["rope_special_tokens"]
        ours = positions(TokenLayout(1, grid["height"], grid["width"], special))
        stored = units[grid["positions"]]
        # the stored grid counts from 0; patches are shifted by one because the special tokens hold (0, 0)
        shift = 1 - int(stored.min())
        key = grid["positions"]
        assert_close_golden(key, ours[special:] - shift, stored, tolerances, config["file"])
        assert torch.equal(ours, units[config["rope_cases"][0]["positions"]][0])

    def test_positions_by_hand(self):
        """Special tokens at the origin; patches count rows, then columns, from one."""
        expected = [[0, 0], [0, 0], [1, 1], [1, 2], [1, 3], [2, 1], [2, 2], [2, 3]]
        assert positions(TokenLayout(1, 2, 3, 2)).tolist() == expected

    @settings(deadline=None, max_examples=25)
    @given(st.integers(1, 4), st.integers(0, 40), st.integers(0, 40), st.sampled_from([10.0, 100.0]))
    def test_a_rotation_turns_each_pair_forward_by_its_own_angle(self, quarter, row, column, base):
        """Element i of a half is the real, element i + D/4 the imaginary part; rows turn the first half."""
        x = torch.randn(1, 1, 1, 4 * quarter, generator=torch.Generator().manual_seed(0)).double()
        y = rotate(x, rope_tables(torch.tensor([[[row, column]]]), 4 * quarter, base, torch.float64))
        speed = base ** (-torch.arange(quarter).double() / quarter)
        for half, position in enumerate((row, column)):
            before, after = (torch.complex(*t[0, 0, 0].view(2, 2, quarter)[half]) for t in (x, y))
            turn = torch.polar(torch.ones_like(speed), position * speed)
            torch.testing.assert_close(after, before * turn, atol=2e-5, rtol=0)

    def test_scores_depend_on_relative_position_only(self):
        generator = torch.Generator().manual_seed(0)
        q, k = torch.randn(2, 1, 1, 1, 16, generator=generator, dtype=torch.float64)

        def score(at_q, at_k):
            tables = [rope_tables(torch.tensor([[at]]), 16, 100.0, torch.float64) for at in (at_q, at_k)]
            return (rotate(q, tables[0]) * rotate(k, tables[1])).sum()

        assert score((2, 7), (5, 3)) == pytest.approx(float(score((12, 9), (15, 5))), abs=1e-5)
        assert abs(score((2, 7), (5, 3)) - score((2, 7), (3, 5))) > 1e-3

    def test_origin_is_not_rotated(self):
        x = torch.randn(1, 2, 3, 8, generator=torch.Generator().manual_seed(0))
        origin = torch.zeros(1, 3, 2, dtype=torch.long)
        assert torch.equal(rotate(x, rope_tables(origin, 8, 100.0, x.dtype)), x)

    def test_under_autocast_angles_of_far_positions_are_not_rounded(self):
        """In half precision 37 steps of the fastest pair would be off by up to an eighth of a radian."""
        far = torch.tensor([[[37, 301]]])
        exact = rope_tables(far, 16, 100.0, torch.float32)
        with torch.autocast("cpu", torch.bfloat16):
            half = rope_tables(far, 16, 100.0, torch.bfloat16)
        for table, rounded in zip(exact, half, strict=True):
            assert rounded.dtype == torch.bfloat16 and torch.equal(table.bfloat16(), rounded)

    def test_without_autocast_angles_have_the_precision_of_the_model(self):
        places = torch.tensor([[[37, 301]]])
        cos, sin = rope_tables(places, 16, 100.0, torch.bfloat16)
        angles = torch.cat([rope_angles(places[0, 0, axis], 8, 100.0).bfloat16() for axis in (0, 1)])
        half = (slice(0, 4), slice(8, 12))  # the other elements pair with these
        assert torch.equal(torch.cat([cos[0, 0, 0, part] for part in half]), angles.cos())
        assert torch.equal(torch.cat([-sin[0, 0, 0, part] for part in half]), angles.sin())

    def test_rejects_head_dimension_not_divisible_by_four(self):
        with pytest.raises(ValueError, match="divisible by 4, got 6"):
            Attention(12, 2, rope_base=100.0)
        with pytest.raises(ValueError, match="width 10 is not a multiple of heads 4"):
            Attention(10, 4)


class TestBlock:
    @pytest.mark.parametrize("name", ["block", "vitblock"])
    def test_matches_stored_output(self, probes, golden_config, name):
        block, x, positions, key = _probe_block(probes, golden_config, name)
        with torch.no_grad():
            y = block(x, positions)
        tolerances = golden_config["tolerances"]["probes"]
        assert_close_golden(key, y, probes[key], tolerances, golden_config["probes"]["file"])

    def test_observing_is_bitwise_neutral_and_sees_the_attention(self):
        block = _random_block()
        x, positions, layout = _tokens()
        seen = []
        plain = block(x, positions)
        watched = block(x, positions, layout=layout, observe=seen.append)
        assert torch.equal(plain, watched)
        (event,) = seen
        assert (event.kind, event.layer, event.layout) == ("global", 3, layout)
        assert event.plan is None and event.x is x
        assert torch.equal(event.q, event.q_full) and torch.equal(event.k, event.k_full)
        assert event.scale == block.attn.scale == 12**-0.5  # a head has twelve channels
        # softmax by hand from what was seen gives the reported update
        weights = (event.q @ event.k.transpose(-1, -2) * event.scale).softmax(-1)
        by_hand = block.ls1(block.attn.proj((weights @ event.v).transpose(1, 2).flatten(2)))
        torch.testing.assert_close(event.update, by_hand)
        torch.testing.assert_close(plain, (x + by_hand) + block.ls2(block.mlp(block.norm2(x + by_hand))))

    def test_plan_of_all_singletons_changes_nothing(self):
        block = _random_block()
        x, positions, layout = _tokens()
        out = block(x, positions, rule=_Rule(_Identity(None)), layout=layout)
        assert torch.equal(out, block(x, positions))

    def test_plan_merges_after_rope_and_unmerges_after_projection(self):
        block = _random_block()
        x, positions, layout = _tokens()
        seen = []
        out = block(x, positions, rule=_Rule(_Halving()), layout=layout, observe=seen.append)
        (event,) = seen
        torch.testing.assert_close(event.k, _Halving().merge_keys(event.k_full))
        torch.testing.assert_close(event.q, _Halving().merge_queries(event.q_full))
        weights = (event.q @ event.k.transpose(-1, -2) * event.scale).softmax(-1)
        update = block.attn.proj((weights @ event.v).transpose(1, 2).flatten(2)).repeat_interleave(2, dim=1)
        torch.testing.assert_close(event.update, block.ls1(update))
        assert not torch.allclose(out, block(x, positions))

    def test_log_sizes_act_like_repeated_keys(self):
        attention = _random_block().attn
        x, positions, _ = _tokens()
        repeats = torch.tensor([3, 1, 1, 2, 1, 1, 4, 1, 1, 1])
        counted = attention(x, positions, plan=_Identity(repeats.double().log()[None].expand(2, -1)))
        q, k, v = attention._project(x, positions)
        k, v = k.repeat_interleave(repeats, dim=2), v.repeat_interleave(repeats, dim=2)
        weights = (q @ k.transpose(-1, -2) * attention.scale).softmax(-1)
        expected = attention.proj((weights @ v).transpose(1, 2).flatten(2))
        torch.testing.assert_close(counted, expected)

    @pytest.mark.parametrize("halved", [False, True])
    def test_attend_is_forward_of_tokens_that_were_projected(self, halved):
        plan = _Halving() if halved else None
        attention = _random_block().attn
        x, positions, _ = _tokens()
        got = attention.attend(*attention._project(x, positions), plan, attention.scale)
        assert torch.equal(got, attention(x, positions, plan=plan))

    def test_layer_scale_begins_at_a_hundredth(self):
        assert torch.equal(Block(8, 2).ls1.gamma, torch.full((8,), 0.01))

    def test_missing_positions_or_layout_are_named(self):
        block = _random_block()
        x, positions, _ = _tokens()
        with pytest.raises(ValueError, match="pass positions"):
            block(x)
        with pytest.raises(ValueError, match="pass layout"):
            block(x, positions, rule=_Rule(None))


class _Identity:
    """A plan that merges nothing, with a given key bias."""

    merge = Plan.merge

    kept, pairs, seconds = 1.0, 0, 0.0

    def __init__(self, log_sizes):
        self.log_sizes = log_sizes

    def merge_queries(self, q):
        return q

    def merge_keys(self, k):
        return k

    def unmerge(self, y):
        return y


class _Halving(_Identity):
    """Merges tokens 2i and 2i + 1 into their mean."""

    def __init__(self):
        super().__init__(None)

    def merge_keys(self, k):
        return k.unflatten(2, (-1, 2)).mean(3)

    merge_queries = merge_keys

    def unmerge(self, y):
        return y.repeat_interleave(2, dim=-2)


class _Rule:
    def __init__(self, plan):
        self._plan = plan

    def plan(self, x, layout):
        return self._plan


def _random_block():
    torch.manual_seed(0)
    return Block(24, 2, qk_norm=True, rope_base=100.0, layer_scale=0.7, kind="global", layer=3).eval()


def _tokens():
    layout = TokenLayout(2, 2, 2, special=1)
    places = positions(layout)[None].repeat(1, 2, 1)
    x = torch.randn(2, layout.tokens, 24, generator=torch.Generator().manual_seed(1))
    return x, places, layout


def test_a_causal_block_shows_a_frame_nothing_of_later_ones():
    torch.manual_seed(0)
    block = Block(24, 2, qk_norm=True, rope_base=100.0, layer_scale=0.7, kind="global", causal=True).eval()
    x, places, layout = _tokens()
    with torch.no_grad():
        both = block(x, places, layout=layout)
        alone = block(x[:, : layout.tokens_per_frame], places[:, : layout.tokens_per_frame], layout=layout)
    torch.testing.assert_close(both[:, : layout.tokens_per_frame], alone)


def test_normalised_queries_and_keys_are_guarded_as_those_of_the_large_model():
    """VGGT's attention norms have the usual guard of LayerNorm; its other norms are told theirs."""
    attention = Attention(16, 2, qk_norm=True)
    assert (attention.q_norm.eps, attention.k_norm.eps) == (1e-5, 1e-5)
    other = Attention(16, 2, qk_norm=True, norm_eps=1e-3)
    assert (other.q_norm.eps, other.k_norm.eps) == (1e-3, 1e-3)


def test_a_block_is_what_it_is_told_and_else_the_usual_one():
    usual, told = Block(8, 2), Block(8, 2, qk_norm=True, norm_eps=1e-3, mlp_ratio=3.0)
    assert (usual.kind, usual.layer, usual.causal) == ("", 0, False)
    assert (usual.mlp.fc1.out_features, told.mlp.fc1.out_features) == (32, 24)
    assert isinstance(usual.attn.q_norm, torch.nn.Identity) and usual.attn.rope_base is None
    assert isinstance(Attention(8, 2).k_norm, torch.nn.Identity)
    assert {usual.norm1.eps, usual.norm2.eps} == {1e-5}
    assert {norm.eps for norm in (told.norm1, told.norm2, told.attn.q_norm, told.attn.k_norm)} == {1e-3}


def test_new_parameters_have_the_spread_that_was_asked_for():
    torch.manual_seed(0)
    assert normal_parameter(100, 50).std().item() == pytest.approx(1.0, rel=0.05)
    assert normal_parameter(100, 50, std=0.25).std().item() == pytest.approx(0.25, rel=0.05)


@pytest.mark.parametrize("sizes", [None, [1.0, 7.0, 1.0, 2.0]])
@pytest.mark.parametrize(
    ("dtype", "trained", "fused"),
    [(torch.bfloat16, True, False), (torch.bfloat16, False, True), (torch.float32, True, True)],
)
def test_only_training_in_bf16_on_a_cpu_does_without_the_fused_kernel(
    monkeypatch, sizes, dtype, trained, fused
):
    """There the fused one is slow backwards; what comes out is the same softmax of counted keys."""
    calls, kernel = [], torch.nn.functional.scaled_dot_product_attention

    def watched(*arguments, **options):
        calls.append(arguments)
        return kernel(*arguments, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    q, k, v = (
        torch.randn(1, 2, 4, 8, generator=torch.Generator().manual_seed(n)).to(dtype) for n in range(3)
    )
    plan = None if sizes is None else _Identity(torch.tensor([sizes]).log())
    found = softmax_attention(q.clone().requires_grad_(trained), k, v, plan, 0.5)
    logits = 0.5 * q.double() @ k.double().transpose(-1, -2) + torch.tensor(sizes or [1.0] * 4).double().log()
    tolerance = 1e-5 if dtype == torch.float32 else 0.03
    torch.testing.assert_close(
        found.double(), logits.softmax(-1) @ v.double(), atol=tolerance, rtol=tolerance
    )
    assert len(calls) == int(fused) and found.dtype == dtype


def test_by_default_a_block_leaves_its_logits_as_they_are():
    block = _random_block()
    x, places, layout = _tokens()
    assert torch.equal(block(x, places, layout=layout), block(x, places, layout=layout, factor=1.0))
    assert not torch.allclose(block(x, places), block(x, places, factor=2.0))

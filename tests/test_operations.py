"""Accounts of operations: counted by hooks on a real network, and kept fractions against real plans."""

import pytest
import torch

from lib.merging import FastVGGTRule, TokenLayout
from lib.vggt import VGGT, VGGTConfig
from lib.vggt.operations import (
    attention_operations,
    dense_operations,
    forward_operations,
    matching_share,
    released_kept,
)


def small_config(depth=2):
    values = VGGTConfig.vggt_1b(enable_track=False).to_dict()
    values |= {"image_size": 32, "patch_size": 8, "width": 32, "depth": depth, "heads": 2}
    values |= {"patch_embed": {"kind": "conv"}, "camera_head": None, "depth_head": None, "point_head": None}
    return VGGTConfig.from_dict(values)


def test_dense_operations_are_those_of_the_linear_layers_of_a_network():
    config, counted = small_config(), [0.0]
    network = VGGT(config).eval()

    def count(module, inputs, output):
        counted[0] += 2 * inputs[0].numel() // inputs[0].shape[-1] * module.weight.numel()

    for module in network.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.rand(3, 3, 32, 32), heads=())
    layout = TokenLayout(3, 4, 4)
    assert counted[0] == forward_operations(config, layout).dense
    assert counted[0] == 2 * config.depth * dense_operations(layout.tokens, config.width)


def test_attention_is_quadratic_and_merging_touches_nothing_else():
    config, layout = VGGTConfig.vggt_1b(), TokenLayout(10, 28, 37)
    plain, merged = (forward_operations(config, layout, k, f) for k, f in ((1.0, 0.0), (0.5, 0.25)))
    whole = config.depth * attention_operations(layout.tokens, layout.tokens, config.width)
    assert plain.global_attention == whole and plain.matching == 0
    assert merged.global_attention == whole / 4 and merged.matching == whole * 3 / 32
    assert (merged.embedding, merged.dense, merged.frame_attention) == (
        plain.embedding,
        plain.dense,
        plain.frame_attention,
    )
    assert plain.total == sum(vars(plain).values())


def test_matching_share_is_the_counted_products():
    tokens, destinations, width = 400, 100, 16
    counted = 2 * (tokens - destinations) * destinations * width
    assert matching_share(destinations / tokens) == counted / attention_operations(tokens, tokens, width)
    with pytest.raises(ValueError, match=r"1\.5"):
        matching_share(1.5)


@pytest.mark.parametrize("options", [{}, {"protect": 0.0}, {"stride": 3}])
def test_kept_fraction_from_counts_is_that_of_a_plan(options):
    layout = TokenLayout(5, 7, 9)
    features = torch.randn(1, layout.tokens, 8, generator=torch.Generator().manual_seed(0))
    for m in (0.2, 0.5, 0.6, 0.7, 0.9):
        plan = FastVGGTRule(m, **options).plan(features, layout)
        assert plan is not None and released_kept(m, layout, **options) == plan.kept
    assert released_kept(0.0, layout) == 1.0

"""Accounts of operations: counted by hooks on a real network, and kept fractions against real plans."""

import pytest
import torch

from lib.costs.operations import (
    attention_operations,
    dense_operations,
    forward_operations,
    matching_share,
)
from lib.merging import TokenLayout
from lib.vggt import VGGT, VGGTConfig


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
    of_block = attention_operations(layout.tokens, layout.tokens, config.width)
    plain = forward_operations(config, layout)
    merged = forward_operations(config, layout, 0.25, matching_share(0.25) * of_block)
    whole = config.depth * of_block
    assert plain.global_attention == whole and plain.matching == 0
    assert merged.global_attention == whole / 4 and merged.matching == whole * 3 / 32
    assert (merged.embedding, merged.dense, merged.frame_attention) == (
        plain.embedding,
        plain.dense,
        plain.frame_attention,
    )
    assert plain.total == sum(vars(plain).values())
    assert plain.total == plain.alternating + plain.embedding


def test_matching_share_is_the_counted_products():
    tokens, destinations, width = 400, 100, 16
    counted = 2 * (tokens - destinations) * destinations * width
    assert matching_share(destinations / tokens) == counted / attention_operations(tokens, tokens, width)
    with pytest.raises(ValueError, match=r"1\.5"):
        matching_share(1.5)

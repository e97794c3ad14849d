"""What a GPU asks for, as far as a CPU can tell: biases as key columns, plans made once for all blocks."""

import pytest
import torch
from small_models import tiny_vggt
from torch.nn.functional import pad, scaled_dot_product_attention

from lib.gpu import clock, kept_dtype, stopwatch, with_key_bias
from lib.merging import (
    AdaptiveRule,
    FastVGGTRule,
    KeyValueGridRule,
    TokenLayout,
    UniformRule,
    once,
)

SCALE = 0.4
CACHES = (once.places_of, once.groups_of, once.thinned, once.basis_of)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def biased(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention with log sizes as a key column and as a mask, both in `dtype`."""
    q, k, v = (noise(2, 3, 9, 6, seed=s).to(dtype) for s in range(3))
    sizes = torch.randint(1, 400, (2, 9), generator=torch.Generator().manual_seed(3)).double().log()
    wide_q, wide_k = with_key_bias(q, k, SCALE, sizes[:, None].expand(2, 3, 9))
    assert wide_q.shape[-1] % 8 == 0
    wide_v = pad(v, (0, wide_q.shape[-1] - 6))
    column = scaled_dot_product_attention(wide_q, wide_k, wide_v, scale=SCALE)[..., :6]
    mask = sizes[:, None, None].to(dtype)
    return column, scaled_dot_product_attention(q, k, v, mask, scale=SCALE)


def test_a_bias_as_a_key_column_equals_the_mask():
    column, mask = biased(torch.float64)
    assert (column - mask).abs().max() < 1e-13


def test_in_half_precision_the_column_is_the_more_accurate_one():
    truth = biased(torch.float64)[1]
    column, mask = ((one.double() - truth).norm() for one in biased(torch.bfloat16))
    assert column < mask


def test_without_a_bias_only_the_width_grows():
    q, k = noise(2, 5, 6), noise(2, 7, 6, seed=1)
    wide_q, wide_k = with_key_bias(q, k, SCALE, None)
    assert wide_q.shape == (2, 5, 8) and torch.equal(wide_q @ wide_k.mT, q @ k.mT)


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule",
    [
        FastVGGTRule(0.5),
        UniformRule(0.3, metric_width=8),
        UniformRule(0.3, matching="position"),
        UniformRule(0.3, region=2, matching="features"),
        KeyValueGridRule(0.5, seed=1),
        AdaptiveRule(0.5),
    ],
)
def test_what_depends_on_the_layout_alone_is_made_once_for_all_blocks(rule):
    """And it can be used under gradients afterwards, whatever mode made it."""
    for cache in CACHES:
        cache.cache_clear()
    model, images = tiny_vggt(), torch.rand(4, 3, 32, 24, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        first = model(images, merging=rule)
    made = [cache.cache_info().misses for cache in CACHES]
    assert max(made) == 1 and sum(made) <= 2
    again = model(images, merging=rule)
    assert [cache.cache_info().misses for cache in CACHES] == made
    assert torch.equal(first.pose_enc, again.pose_enc)
    again.pose_enc.sum().backward()


def test_rules_of_one_layout_do_not_share_what_differs():
    layout, x = TokenLayout(4, 4, 5), noise(1, 100, 16).float()
    for one, other in ((FastVGGTRule(0.5), FastVGGTRule(0.5, seed=1)), (UniformRule(0.5), UniformRule(0.4))):
        sources = [rule.plan(x, layout).sources for rule in (one, other, one)]
        assert sources[0].shape != sources[1].shape or not torch.equal(sources[0], sources[1])
        assert torch.equal(sources[0], sources[2])


def test_clocks_on_a_cpu():
    x = noise(2)
    start, elapsed = clock(x), stopwatch(x)
    first = float(elapsed())
    assert 0 <= first <= float(elapsed()) and clock(x) >= start


def test_features_keep_their_type_on_a_cpu_and_under_gradients():
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert kept_dtype(noise(2).float()) == torch.float32

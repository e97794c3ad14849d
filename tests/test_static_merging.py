"""Merging applied to the tokens of an unmerged run."""

import pytest
import torch

from book.study.static_merging import Observers, StaticMerging
from lib.merging import FastVGGTRule, UniformRule
from lib.probe import Probe
from lib.run import random_config
from lib.spectra import Budget
from lib.vggt import VGGT


@pytest.fixture(scope="module")
def scene():
    model = VGGT.from_seed(random_config(), 0).eval()
    images = torch.rand(1, 3, 3, 70, 70, generator=torch.Generator().manual_seed(1))
    return model, images


def read(model, images, merging, make):
    probe = Probe(merged=True, bracket=Budget())
    with torch.inference_mode():
        model(images, merging=merging, probe=make(probe))
    return probe.readings


@pytest.mark.slow
@pytest.mark.parametrize("rule", [FastVGGTRule(0.4), UniformRule(0.3, size_bias=True)])
def test_the_first_block_is_the_merged_one_and_later_ones_are_not(scene, rule):
    model, images = scene
    static = read(model, images, None, lambda probe: StaticMerging(model, rule, probe))
    merged = read(model, images, rule, lambda probe: probe)
    for a, b in zip(static[0].heads, merged[0].heads, strict=True):
        assert a.merged_bracket.entropy == pytest.approx(b.merged_bracket.entropy, abs=1e-9)
        assert a.scalars.stable_rank == b.scalars.stable_rank
    assert static[0].kept == merged[0].kept < 1
    entropies = [[layer.heads[0].scalars.row_entropy for layer in layers] for layers in (static, merged)]
    later = [abs(a - b) for a, b in zip(*entropies, strict=True)]
    assert later[0] == 0 and max(later[1:]) > 1e-6


def test_static_merging_refuses_a_merged_run(scene):
    model, images = scene
    rule = FastVGGTRule(0.4)
    with pytest.raises(ValueError, match="unmerged"):
        read(model, images, rule, lambda probe: StaticMerging(model, rule, probe))


def test_several_observers_see_the_same_run(scene):
    model, images = scene
    plain, again = Probe(), Probe()
    with torch.inference_mode():
        model(images, probe=Observers([plain, again]))
    assert [r.features for r in plain.readings] == [r.features for r in again.readings] != []

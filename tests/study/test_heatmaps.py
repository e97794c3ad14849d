"""Heat maps: tokens chosen by rule, distances of matrices where they are known, pictures in place."""

import base64
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from book.study.heatmaps import draw
from book.study.heatmaps import measure as heatmaps
from lib.merging import TokenLayout
from lib.run import Params, load_model, prepare
from lib.scenes.sequence import Sequence

LAYOUT = TokenLayout(frames=3, patches_high=2, patches_wide=4, special=5)


@pytest.fixture(scope="module")
def random_run():
    params = Params(model="random", scene="longer:0", frames=3, m=0.5)
    return prepare(params, load_model(params)[0])


@pytest.fixture(scope="module")
def reading(random_run):
    tokens = heatmaps.chosen_tokens(random_run.sequence, random_run.layout)
    return heatmaps.read_scene(random_run, tokens, 12, spectra=True)


def test_distances_of_known_maps():
    identity = torch.eye(5)
    assert heatmaps.distances(identity) == pytest.approx(1)  # no two rows overlap
    assert heatmaps.distances(torch.full((4, 5), 0.2)) == pytest.approx(0)
    assert heatmaps.from_uniform(torch.full((4, 5), 0.2)) == pytest.approx(0, abs=1e-7)
    assert heatmaps.from_uniform(identity) == pytest.approx(1 - 1 / 5)
    pair = torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.0, 0.5]])
    assert heatmaps.distances(pair) == pytest.approx(0.5)
    assert math.isnan(heatmaps.distances(identity[:1]))
    assert heatmaps.distances(torch.stack([identity, identity])).shape == (2,)


def test_energy_shares_are_those_of_the_rows():
    attention = torch.rand(30, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 4
    attention = attention / attention.sum(1, keepdim=True)
    mean = attention.mean(0)
    total = (attention**2).sum(1).mean()
    expected = [1 / 30, ((mean - 1 / 30) ** 2).sum(), ((attention - mean) ** 2).sum(1).mean()]
    mass = attention.sum(0)
    shares = heatmaps.energy_shares(float(total), float(mass.sum() ** 2 / (mass**2).sum()), 30)
    assert shares == pytest.approx([float(part / total) for part in expected])
    assert sum(shares) == pytest.approx(1)


def test_tokens_are_chosen_by_gradient():
    images = torch.full((3, 3, 4, 8), 0.5)
    images[0, :, :, 0] = torch.linspace(0.4, 0.6, 4)  # patches in column 0 are not flat
    images[0, :, 2:, 4] = 1.0  # an edge around column 2 of the lower row
    images[0, :, 2:, 5] = 0.0
    tokens = heatmaps.chosen_tokens(Sequence("drawn", images), LAYOUT)
    edges, plain = tokens[2], tokens[3]
    assert (edges.frame, edges.row, edges.column) == (0, 1, 2)
    assert (plain.row, plain.column) == (0, 1)
    assert [t.index for t in tokens[:2]] == [0, 1]
    middle = tokens[-1]
    assert middle.frame == 1 and middle.index == LAYOUT.tokens_per_frame + 5 + 1 * 4 + 2


def test_one_frame_without_special_tokens_has_three_choices():
    layout = replace(LAYOUT, frames=1, special=0)
    tokens = heatmaps.chosen_tokens(Sequence("noise", torch.rand(1, 3, 4, 8)), layout)
    assert len(tokens) == 3 and all(t.row is not None for t in tokens)


def test_sample_is_reproducible_and_at_most_all():
    assert heatmaps.sample_tokens(LAYOUT, 7, 1) == heatmaps.sample_tokens(LAYOUT, 7, 1)
    assert heatmaps.sample_tokens(LAYOUT, 10_000, 1) == list(range(LAYOUT.tokens))


def test_pictures_are_the_patches_in_place():
    row = np.arange(LAYOUT.tokens, dtype=np.float32)[None]
    pictures, special = heatmaps.over_frames(row, LAYOUT)
    assert pictures.shape == (1, 3, 2, 4) and special.shape == (1, 3)
    assert pictures[0, 1, 1, 2] == LAYOUT.tokens_per_frame + 5 + 1 * 4 + 2
    assert special[0, 0] == 0 + 1 + 2 + 3 + 4


class Matrices:
    """Dense attention of every global block and head of an unmerged run."""

    def __init__(self):
        self.layers = []

    def observe(self, event):
        if event.kind == "global":
            logits = event.scale * event.q[0].double() @ event.k[0].double().transpose(-1, -2)
            self.layers.append(logits.softmax(-1))


def test_numbers_are_those_of_the_dense_matrices(random_run):
    plain = replace(random_run, rule=None)
    tokens = heatmaps.chosen_tokens(plain.sequence, plain.layout)
    everything = heatmaps.read_scene(plain, tokens, 10_000, spectra=True)
    dense = Matrices()
    with torch.inference_mode():
        plain.model(plain.sequence.images, probe=dense)
    assert everything.rehearsed is None
    for layer, attention in enumerate(dense.layers):
        mean = attention.mean(1, keepdim=True)
        own = ((attention - mean) ** 2).sum((1, 2)) / (attention**2).sum((1, 2))
        got = {name: values[layer] for name, values in everything.numbers.items()}
        assert got["share_own"] == pytest.approx(own.numpy(), abs=1e-5)
        assert got["between_tokens"] == pytest.approx(heatmaps.distances(attention).numpy(), rel=1e-4)
        singular = torch.linalg.svdvals(attention)
        assert got["stable_rank"] == pytest.approx(
            ((singular**2).sum(1) / singular[:, 0] ** 2).numpy(), rel=1e-3
        )
        chosen = attention[:, [t.index for t in tokens]].transpose(0, 1)
        assert everything.maps[:, layer] == pytest.approx(chosen.numpy(), abs=1e-6)


@pytest.mark.slow
def test_rehearsal_starts_from_the_same_tokens(reading):
    """In the first block nothing was merged before, so both readings are the same; later they are not."""
    for name, values in reading.numbers.items():
        assert reading.rehearsed[name][0] == pytest.approx(values[0], rel=1e-5), name
    assert not np.allclose(reading.rehearsed["spread"][-1], reading.numbers["spread"][-1], rtol=1e-7)


def test_maps_are_probabilities(reading, random_run):
    assert reading.maps.shape[-1] == random_run.layout.tokens
    assert reading.maps.sum(-1) == pytest.approx(1, abs=1e-5) and reading.maps.min() >= 0


def test_arrays_stack_scenes(reading):
    arrays = heatmaps.scenes_as_arrays([reading, reading])
    assert arrays["run.stable_rank"].shape == (2, 4, 2) and arrays["rehearsed.spread"].shape == (2, 4)


def test_summaries_of_known_profiles():
    values = np.array([[[0.9, 0.7], [0.1, 0.1], [0.6, 0.4], [0.3, 0.5]]] * 3)
    assert heatmaps.deeper(6) == slice(3, 6) and heatmaps.deeper(5) == slice(2, 5)
    assert heatmaps.smallest_deeper(values) == (3, pytest.approx(0.4))
    assert [i.median for i in heatmaps.profile(values, 0)] == pytest.approx([0.8, 0.1, 0.5, 0.4])
    assert heatmaps.deeper_ratio(2 * values, values, 0).median == pytest.approx(2)
    with pytest.raises(ValueError, match="cannot pair"):
        heatmaps.deeper_ratio(values, values[:1], 0)


def test_widget_holds_the_maps_it_was_given():
    maps = np.random.default_rng(0).random((1, 2, 2, 3, 2, 4)) / 100
    facts = np.full(maps.shape[:3], 0.25)
    images = np.full((3, 3, 8, 16), 0.5)
    tokens = [{"name": "</script>", "frame": 0, "row": None, "column": None}]
    strengths = [draw.Strength("not merged", 1.0, maps, facts, facts)]
    page = draw.widget(images, tokens, strengths, 1 / 39, ["head 0", "mean"])
    stored = re.search(r'<script type="application/json" class="data">(.*?)</script>', page, re.DOTALL)
    data = json.loads(stored[1])  # a name cannot end the script early
    assert data["tokens"] == tokens and data["shape"] == {"layers": 2, "frames": 3, "high": 2, "wide": 4}
    values = np.frombuffer(base64.b64decode(data["strengths"][0]["bytes"]), np.uint8).reshape(maps.shape)
    top = np.array(data["strengths"][0]["top"]).reshape(maps.shape[:3])[..., None, None, None]
    assert values / 255 * top / 39 == pytest.approx(maps, abs=maps.max() / 100)
    assert "http" not in page and len(data["frames"]) == 3

"""The block that holds on: what is declared of it, from arrays whose answers are known, and its picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_models import Kept, tiny_vggt

from book.study import hypothesis
from book.study.family import statements
from book.study.hold import Hold
from book.study.holding import draw
from book.study.holding.measure import Heads, measure
from book.study.holding.readers import BY_HEAD, DECLARED, NETWORKS, READERS, WEAK, by_head, quantities, weak
from lib.merging import FastVGGTRule
from lib.run import Params

LENGTHS = [8, 16, 32, 64, 128]
POWERS = np.array([1, 1, 1, 0.5, 0.25, 1, 0.75, 1, 0.125, 1, 1, 1])  # by block


def test_every_declared_quantity_is_measured() -> None:
    entropy = np.log(np.array(LENGTHS, float))[:, None, None] * POWERS * np.ones((3, 1))
    found: dict[str, float] = {}
    for shape in NETWORKS:
        found |= quantities(shape, {"entropy": entropy}, LENGTHS)
    heads = entropy[..., None] * np.array([1.0, 0.25, 0.5])
    for shape in BY_HEAD:
        found |= by_head(shape, heads, LENGTHS)
    for shape in WEAK:
        found |= weak(shape, heads, LENGTHS)
    of_errors = {f"{shape}_{name}" for shape in ("moved", "untracked") for name in ("growth", "anchor")}
    assert {one.quantity for one in hypothesis.read(DECLARED)} <= found.keys() | of_errors
    assert found["moved_reader"] == pytest.approx(0.25) and found["moved_former"] == pytest.approx(0.5)
    assert found["deep12_reader"] == pytest.approx(0.125) and found["deep12_former"] == pytest.approx(0.5)
    assert found["untracked_least"] == pytest.approx(0.125)
    assert found["untracked_dilution"] == pytest.approx(POWERS.mean())
    assert found["deep12_mixed_least"] == pytest.approx(0.25)  # block 7 has the power 1
    assert found["deep12_mixed_second"] == pytest.approx(0.5)
    # block 8 has the power 1/8
    assert [found["few_weak_least"], found["few_weak_second"]] == pytest.approx([1 / 32, 1 / 16])
    assert not {"untracked_reader", "untracked_hold"} & found.keys(), "no loss reads a block of it"


def test_the_blocks_that_were_declared_are_those_that_the_losses_read() -> None:
    configs = {shape: statements.report(name)["config"] for shape, name in NETWORKS.items()}
    assert {shape: configs[shape]["track_layer"] for shape in READERS} == {
        shape: block for shape, (block, _) in READERS.items()
    }
    assert configs["untracked"]["track_weight"] == 0


def test_a_law_that_blocks_follow_foretells_them_better_than_a_power() -> None:
    rooms = np.ones((3, 1))
    block, _ = READERS["moved"]
    laws = [Hold(50.0 if place == block else 1e-2, held=3.0, others=2.0) for place in range(6)]
    entropy = np.stack([law.entropy(LENGTHS) for law in laws], -1)[:, None] * rooms
    found = quantities("moved", {"entropy": entropy}, LENGTHS)
    assert found["moved_hold"] == pytest.approx(1, abs=0.01) and found["moved_better"] < 0.2


def test_heads_that_follow_the_law_are_foretold_and_their_mean_is_not() -> None:
    """In every block one head holds for good, one loses its hold, and one has none."""
    laws = [Hold(5e3, 3.0, 2.0), Hold(40.0, 2.0, 3.0), Hold(1e-2, 3.0, 4.0)]
    entropy = np.stack([law.entropy(LENGTHS) for law in laws], -1)[:, None, None] * np.ones((3, 12, 1))
    found = by_head("deep12", entropy, LENGTHS)
    assert found["deep12_heads_hold"] == pytest.approx(1, abs=0.01) and found["deep12_heads_better"] < 0.2
    assert found["deep12_heads_nearer"] < 0.2
    assert found["deep12_mixed_least"] < found["deep12_mixed_second"] < 1


def test_keys_of_a_head_are_those_of_its_rows_of_patches() -> None:
    model = tiny_vggt()
    seen, kept = Heads(), Kept()
    images = torch.rand(3, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for probe in (seen, kept):
            model(images, probe=probe)
    for entropy, event in zip(seen.entropy, kept.events, strict=True):
        patch = torch.arange(event.layout.tokens) % event.layout.tokens_per_frame >= event.layout.special
        logs = (event.scale * event.q[0].double() @ event.k[0].double().mT).log_softmax(-1)
        wanted = -(logs.exp() * logs).sum(-1)[:, patch].mean(1)
        np.testing.assert_allclose(entropy, wanted.numpy(), atol=1e-5)


def test_every_scene_is_read_at_every_length() -> None:
    params = Params(model="mini", scene="denser:0-1", frames=4)
    found = measure(params, [2, 3])["entropy"]
    assert found.shape == (2, 2, 6, 3) and (found[1] > found[0]).mean() > 0.8 and (found > 0).all()
    for wrong in ([3], [3, 3], [3, 2], [0, 2]):
        with pytest.raises(ValueError, match="increase"):
            measure(params, wrong)


def test_merged_and_causal_attention_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="m = 0"), torch.inference_mode():
        tiny_vggt()(torch.rand(3, 3, 16, 24), probe=Heads(), merging=FastVGGTRule(0.5))
    causal = tiny_vggt(causal=True)
    monkeypatch.setattr("book.study.holding.measure.load_model", lambda _: (causal, None))
    with pytest.raises(ValueError, match="causal"):
        measure(Params(model="random", scene="denser:0-1", frames=4), [2, 3])


def test_the_picture_of_blocks_marks_the_one_that_a_loss_reads() -> None:
    lengths, powers = [8, 16, 32], np.array([1.0, 0.25, 0.75])
    arrays = {"entropy": np.log(lengths)[:, None, None] * powers * np.ones((3, 4, 3))}
    axes = draw.powers_by_block({"one": arrays, "none": arrays}, {"one": 1, "none": None}, lengths).axes
    for ax, wanted in zip(axes, ([([0, 2], [1.0, 0.75]), ([1], [0.25])], [([0, 1, 2], powers)]), strict=True):
        drawn = [one.lines[0].get_data() for one in ax.containers]
        assert [(list(blocks), list(found)) for blocks, found in drawn] == [
            (blocks, pytest.approx(found)) for blocks, found in wanted
        ]
        assert ax.get_ylim()[0] == 0


def test_the_picture_of_heads_has_a_dot_for_each_of_them() -> None:
    lengths, powers = [8, 16, 32], np.array([[1.0, 0.25], [0.5, 0.75], [1.0, 1.0]])
    entropy = np.log(lengths)[:, None, None, None] * powers * np.ones((4, 1, 1))
    (ax,) = draw.powers_by_head({"one": entropy, "none": entropy}, {"one": 1, "none": None}, lengths).axes
    dots = [(line.get_marker(), list(line.get_xdata()), line.get_ydata()) for line in ax.lines[:4]]
    assert [(mark, pytest.approx(found)) for mark, found, _ in dots] == [
        ("o", [1.0, 0.25, 1.0, 1.0]),
        ("D", [0.5, 0.75]),
        ("o", powers.flatten()),
        ("D", []),
    ]
    assert all(
        np.abs(height + place).max(initial=0) < 0.5
        for (_, _, height), place in zip(dots, (0, 0, 1, 1), strict=True)
    )
    assert [text.get_text() for text in ax.get_yticklabels()] == ["one", "none"]

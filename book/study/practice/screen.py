"""One screen: what fits, how long it takes and what to do, from frames and card; nothing is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch

from book.study import entries
from book.study.numbers import number
from book.study.practice.light import Remedy, remedy
from lib.costs.operations import forward_operations
from lib.merging import FastVGGTRule, TokenLayout
from lib.vggt import VGGTConfig
from lib.vggt.memory import ALLOCATOR_MARGIN, estimate_memory

FILE = Path(__file__).with_name("cards.yml")
HEADS = ("camera", "depth")
MERGED = FastVGGTRule(0.7, size_bias=True)
PATIENCE = 60.0  # seconds from which on a faster way is worth a sentence
MOST = 4096  # frames that anybody asks about


@dataclass(frozen=True)
class Card:
    """A graphics card: memory in GB, peak in 10¹² operations a second, and where that is printed."""

    gigabytes: float
    peak: float
    source: str


@dataclass(frozen=True)
class Machine:
    """A network on pictures of (height, width) pixels; efficiency: share of a card's peak that it reaches."""

    config: VGGTConfig
    size: tuple[int, int]
    trained: int
    efficiency: float

    def layout(self, frames: int) -> TokenLayout:
        """Tokens of so many frames."""
        return self.config.layout(frames, *self.size)

    def gigabytes(self, frames: int) -> float:
        """Peak in bf16 with camera and depth head, activations with the allocator's margin."""
        return _gigabytes(self.config, self.size, frames)

    def most_frames(self, card: Card) -> int:
        """Largest number of frames that fits, at most `MOST`; 0 if none does."""
        low, high = 0, MOST + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.gigabytes(middle) <= card.gigabytes else (low, middle)
        return low

    def seconds(self, frames: int, card: Card, merged: bool = False) -> float:
        """Of one pass, heads not counted; merged by `MERGED`."""
        layout, kept, matching = self.layout(frames), 1.0, 0.0
        if merged:
            kept = MERGED.kept(layout)
            matching = MERGED.matching_operations(layout, self.config.width)
        operations = forward_operations(self.config, layout, kept**2, matching).total
        return operations / (self.efficiency * card.peak * 1e12)


@cache
def _gigabytes(config: VGGTConfig, size: tuple[int, int], frames: int) -> float:
    found = estimate_memory(config, frames, *size, heads=HEADS, dtype=torch.bfloat16)
    return (found.weights + ALLOCATOR_MARGIN * found.activations) / 1e9


def efficiency(config: VGGTConfig, size: tuple[int, int], frames: int, seconds: float, card: Card) -> float:
    """Share of the card's peak that a pass over `frames` reached which took `seconds`."""
    return forward_operations(config, config.layout(frames, *size)).total / (seconds * card.peak * 1e12)


def load_cards(path: Path = FILE) -> dict[str, Card]:
    """The cards by name. Raises EntryError on a slip in the file."""
    where, content = entries.shown(path), entries.read(path, ("cards",))
    found = entries.mapping(content["cards"], where)
    return {name: entries.build(Card, entry, f"{where}, {name}") for name, entry in found.items()}


def steps(machine: Machine, frames: int, card: Card) -> list[str]:
    """What to do, most useful first. The chapter says which measurement stands behind each sentence."""
    if frames <= machine.trained:
        return ["run it as it is"]
    found, most = [], machine.most_frames(card)
    if most < frames:
        every = -(-frames // max(1, most))
        found.append(f"keep every {ordinal(every)} frame, or cut into chunks of {most}")
        frames = -(-frames // every)
    balance = remedy(machine.layout(frames), machine.trained)
    if balance.bias > 0:
        found.append(f"bias {balance.bias:.2f} on the keys of frame 0 (or factor {balance.factor:.2f})")
    found.append("middle frame first")
    if machine.seconds(frames, card) > PATIENCE:
        ratio = machine.seconds(frames, card, merged=True) / machine.seconds(frames, card)
        found.append(f"in a hurry: drop frames, or merge with size bias and bias ({ratio:.2f} of the time)")
    return found


def table(machine: Machine, frames: Sequence[int], cards: Mapping[str, Card]) -> list[dict[str, str]]:
    """One row a number of frames and card, as text."""
    return [
        {
            "frames": f"{count:,}",
            "do this": "; ".join(steps(machine, count, card)),
            "card": name,
            "needs": f"{machine.gigabytes(count):.1f} GB",
            "fits": "yes" if machine.gigabytes(count) <= card.gigabytes else "no",
            "seconds": number(machine.seconds(count, card), 3) if count <= machine.most_frames(card) else "",
        }
        for count in frames
        for name, card in cards.items()
    ]


def remedies(
    machine: Machine, frames: Sequence[int], sizes: Sequence[tuple[int, int]]
) -> list[dict[str, str]]:
    """Bias by frames, and factor by frames and pictures of (height, width) pixels."""
    rows = []
    for count in frames:
        each: list[Remedy] = [
            remedy(replace(machine, size=size).layout(count), machine.trained) for size in sizes
        ]
        named = {
            f"factor at {w} × {h} px": f"{one.factor:.3f}" for (h, w), one in zip(sizes, each, strict=True)
        }
        rows.append({"frames": f"{count:,}", "bias on frame 0 (nats)": f"{each[0].bias:.2f}"} | named)
    return rows


def ordinal(number: int) -> str:
    """2nd, 3rd, 4th … of a number from 1 to 20."""
    return f"{number}{({1: 'st', 2: 'nd', 3: 'rd'}).get(number, 'th')}"

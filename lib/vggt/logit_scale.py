"""A factor on the logits of global attention: against dilution by more frames than in training.

Each value below is a function of the layer and of the sequence; 1 leaves a layer as it is. The factor enters
the softmax's own scale, so that it costs nothing; it equals that factor on weight and bias of ``q_norm``.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from lib.merging import TokenLayout


class LogitScale(Protocol):
    """Anything that gives each global layer its factor."""

    def factor(self, layer: int, layout: TokenLayout) -> float:
        """Factor > 0 of the logits of global block `layer` in a sequence of `layout`."""
        ...


@dataclass(frozen=True)
class FixedScale:
    """The same factor `value` > 0 whatever the sequence, in `layers` only (None = all)."""

    value: float
    layers: Collection[int] | None = None

    def __post_init__(self) -> None:
        _positive("value", self.value)

    def factor(self, layer: int, layout: TokenLayout) -> float:
        """`value` in the chosen layers, else 1."""
        return self.value if self.layers is None or layer in self.layers else 1.0


@dataclass(frozen=True)
class LengthScale:
    """ln N / ln N_train, N_train the tokens of `frames` frames (those of training), and never below 1.

    layers: where, None = all. Source: log-n scaling (see the chapter on long sequences).
    """

    frames: float
    layers: Collection[int] | None = None

    def __post_init__(self) -> None:
        _positive("frames", self.frames)

    def factor(self, layer: int, layout: TokenLayout) -> float:
        """The factor in the chosen layers, else 1."""
        if self.layers is not None and layer not in self.layers:
            return 1.0
        trained = max(2.0, self.frames * layout.tokens_per_frame)
        return max(1.0, math.log(layout.tokens) / math.log(trained))


@dataclass(frozen=True)
class SinkScale:
    """1 + ln((S−1)/(frames−1))/b: the factor that keeps the share of frame 0 that it has at `frames` frames.

    log_odds: b of each global layer, nats above an average frame; a layer with b <= 0 has no sink and stays.
    frames: > 1, those of training. Never below 1. Source: the chapter on long sequences.
    """

    frames: float
    log_odds: tuple[float, ...]

    def __post_init__(self) -> None:
        _positive("frames - 1", self.frames - 1)

    def factor(self, layer: int, layout: TokenLayout) -> float:
        """The factor of a layer; 1 for layers beyond `log_odds`."""
        b = self.log_odds[layer] if layer < len(self.log_odds) else 0.0
        longer = math.log((layout.frames - 1) / (self.frames - 1)) if layout.frames > self.frames else 0.0
        return 1.0 if b <= 0 else 1 + longer / b


def parse_scale(text: str) -> LogitScale | None:
    """A logit scale from its text: "none", "1.5", "length 12", "sink 12 0.4 1.1 3.6"; layers after "in".

    >>> parse_scale("length 12 in 0 1")
    LengthScale(frames=12.0, layers=(0, 1))

    Raises:
        ValueError: naming the text and how a scale is written.
    """
    try:
        match text.split():
            case ["none"]:
                return None
            case ["sink", frames, first, *odds]:
                return SinkScale(float(frames), tuple(map(float, (first, *odds))))
            case ["length", frames, *rest]:
                return LengthScale(float(frames), _layers(rest))
            case [factor, *rest]:
                return FixedScale(float(factor), _layers(rest))
    except ValueError:
        pass
    raise ValueError(
        f"logit scale {text!r}: write 'none', a factor > 0 ('1.5'), 'length F' with F the training frames, "
        "either perhaps with layers ('1.5 in 0 3'), or 'sink F b0 b1 …' with the log-odds of frame 0 by layer"
    )


def _layers(words: list[str]) -> tuple[int, ...] | None:
    """Layers from "in", "0", "3"; None of no words at all."""
    if words and (words[0] != "in" or len(words) == 1):
        raise ValueError(words)
    return tuple(map(int, words[1:])) or None


def _positive(name: str, value: float) -> None:
    if not (0 < value < math.inf):
        raise ValueError(f"{name} must be positive and finite, got {value}")

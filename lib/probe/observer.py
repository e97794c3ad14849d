"""The probe: reads attention layer by layer while a model runs, and changes nothing."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float32
from torch import Tensor

from lib.gpu import clock
from lib.probe.features import Sample, alignment, token_statistics
from lib.probe.operators import attention_operators
from lib.probe.readings import HeadReading, LayerReading
from lib.spectra import (
    AttentionOperator,
    Bracket,
    Budget,
    LiftedAttention,
    Measures,
    Scalars,
    bracketed_scalars,
    exact_scalars,
    frame_pooled,
)
from lib.vggt import AttentionEvent

Attention = AttentionOperator | LiftedAttention


@dataclass
class Probe:
    """Observer for VGGT.forward(…, probe=…).

    layers, heads: which to read, None = all. kinds: "global" and, on request, "frame". items: batch entries
    to read (scenes for global, frames for frame attention). queries: tokens of the flattened sequence whose
    attention is kept as a heatmap. bracket: budget for the token-level entropy of every head read, None =
    no bracket. merged: also read the N' x N' matrix among merged tokens. samples: query tokens for β_eff
    and cluster mass. precision: dtype that the attention calls run in, after rounding to the model's own.
    seed: of every sample. sink: called with each reading, which is then not kept; None keeps them in
    `readings`.

    Cost: about ten attention calls a head, ⌈S/64⌉ more for pooling and what `bracket` allows; every reading
    states its seconds. Memory: O(N) while a layer is read, numbers and heatmaps afterwards.

    Raises:
        ValueError: unknown kinds; while the model runs, heads or items that it does not have.
    """

    layers: Collection[int] | None = None
    heads: Sequence[int] | None = None
    kinds: Collection[str] = ("global",)
    items: Sequence[int] = (0,)
    queries: Sequence[int] = ()
    bracket: Budget | None = None
    merged: bool = False
    samples: int = 32
    precision: torch.dtype = torch.float32
    seed: int = 0
    sink: Callable[[LayerReading], None] | None = None
    readings: list[LayerReading] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not set(self.kinds) <= {"global", "frame"}:
            raise ValueError(f"kinds = {self.kinds} must be among 'global' and 'frame'")

    def observe(self, event: AttentionEvent) -> None:
        """Read one attention layer if it was asked for."""
        if event.kind not in self.kinds or (self.layers is not None and event.layer not in self.layers):
            return
        # autocast would round the probe's own products to half precision
        with torch.inference_mode(), torch.autocast(event.x.device.type, enabled=False):
            for item in self.items:
                reading = self._read(event, item)
                self.readings.append(reading) if self.sink is None else self.sink(reading)

    def _read(self, event: AttentionEvent, item: int) -> LayerReading:
        heads = range(event.q.shape[1]) if self.heads is None else self.heads
        numbers = [("item", item, len(event.x)), *(("head", h, event.q.shape[1]) for h in heads)]
        for name, value, size in numbers:
            if not 0 <= value < size:
                raise ValueError(
                    f"{name} = {value} is not among the {size} of {event.kind} layer {event.layer}"
                )
        start = clock(event.x)
        frames = event.layout.frames if event.kind == "global" and event.layout is not None else 1
        x, update = event.x[item], event.update[item]
        features = token_statistics(x, update, frames, self.seed)
        queries = self._queries(event, item)
        sample = Sample.draw(x, min(self.samples, len(x)), self.seed)
        reading = LayerReading(
            kind=event.kind,
            layer=event.layer,
            item=item,
            tokens=len(x),
            frames=frames,
            kept=1.0 if event.plan is None else event.plan.kept,
            features=features,
            queries=tuple(queries),
            heads=tuple(
                self._read_head(event, item, head, frames, sample, features.gamma, queries) for head in heads
            ),
            seconds=0.0,
        )
        return replace(reading, seconds=clock(event.x) - start)

    def _queries(self, event: AttentionEvent, item: int) -> list[int]:
        """Chosen queries as tokens of this item: all for a scene, those of its own frame for a frame."""
        n = event.x.shape[1]
        first = 0 if event.kind == "global" or event.layout is None else (item % event.layout.frames) * n
        local = [q - first for q in self.queries]
        if event.kind == "global" and any(not 0 <= q < n for q in local):
            raise ValueError(f"queries = {tuple(self.queries)} must be tokens in [0, {n})")
        return [q for q in local if 0 <= q < n]

    def _read_head(
        self,
        event: AttentionEvent,
        item: int,
        head: int,
        frames: int,
        sample: Sample,
        gamma: float,
        queries: list[int],
    ) -> HeadReading:
        inner, outer = attention_operators(event, head, item, self.precision)
        scalars, bracket = self._spectrum(outer)
        merged, merged_bracket = self._spectrum(inner) if self.merged and inner is not outer else (None, None)
        pooled = frame_pooled(outer, frames) if event.kind == "global" else None
        values = None if pooled is None else torch.linalg.svdvals(pooled)
        query, key = event.q_full[item, head], event.k_full[item, head]
        logits = event.scale * (query[sample.queries].float() @ key.float().T)
        attention = outer.attention_rows(sample.queries)
        return HeadReading(
            head=head,
            scalars=scalars,
            merged=merged,
            pooled=None if values is None else Measures.of(values),
            pooled_singular_values=None if values is None else values.cpu(),
            own_frame_mass=None if pooled is None else float(pooled.diagonal().mean()),
            bracket=bracket,
            alignment=alignment(logits, attention, sample, gamma, scalars.trace / outer.rows),
            heatmaps=_rows(outer, queries) if queries else None,
            merged_bracket=merged_bracket,
        )

    def _spectrum(self, operator: Attention) -> tuple[Scalars, Bracket | None]:
        if self.bracket is None:
            return exact_scalars(operator, self.seed), None
        return bracketed_scalars(operator, self.seed, self.bracket)


def _rows(operator: Attention, queries: list[int]) -> Float32[Tensor, "queries tokens"]:
    return operator.attention_rows(torch.tensor(queries, device=operator.device)).float().cpu()

"""How many keys a query has in effect, head by head: their mean mixes heads that hold on with others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from book.study.by_length import among_all_tokens, in_drawn_order, increasing
from lib.run import Params, load_model, run
from lib.spectra import AttentionOperator
from lib.vggt import VGGT, AttentionEvent

Array = NDArray[np.float64]


@dataclass
class Heads:
    """Observer of global attention without merging.

    entropy: one array (heads,) a block, nats, mean over the patch queries of all frames.
    """

    entropy: list[Array] = field(default_factory=list)

    def observe(self, event: AttentionEvent) -> None:
        """Read one block, head by head.

        Raises:
            ValueError: tokens were merged.
        """
        if (layout := among_all_tokens(event)) is None:
            return
        patch = torch.arange(layout.tokens, device=event.q.device) % layout.tokens_per_frame >= layout.special
        heads = [
            AttentionOperator(q.float(), k.float(), event.scale).row_entropies()[patch].mean()
            for q, k in zip(event.q[0], event.k[0], strict=True)
        ]
        self.entropy.append(torch.stack(heads).double().cpu().numpy())


def measure(params: Params, lengths: Sequence[int]) -> dict[str, Array]:
    """Every scene of `params.scene` at every length, its frames in an order drawn by `params.seed`.

    Returns: "entropy" (lengths, scenes, blocks, heads), nats, of `Heads`.

    Raises:
        ValueError: lengths that do not increase, or frames of the network see earlier ones only; and as
            `lib.run.prepare`.
    """
    increasing(lengths, 1)
    model, _ = load_model(params)
    if model.config.causal:
        raise ValueError(f"{params.model!r} is causal: its frames have each their own number of keys")
    found = [
        [_scene(one, model) for one in replace(params, frames=frames, m=0.0).each_scene()]
        for frames in lengths
    ]
    return {"entropy": np.array(found)}


def _scene(params: Params, model: VGGT) -> list[Array]:
    seen = Heads()
    run(in_drawn_order(params, model), seen)
    return seen.entropy

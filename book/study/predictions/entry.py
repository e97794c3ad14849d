"""The frame part at the entry of global attention, where frame 0 is one in S: T9's entry artefact."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from lib.run import forward
from lib.vggt import VGGT, AttentionEvent, LogitScale

Arrays = dict[str, NDArray[np.float64]]


def frame_means(model: VGGT, images: Tensor, scale: LogitScale | None = None) -> Tensor:
    """(S, C) mean directions of the frames entering the first global block."""
    found: list[Tensor] = []

    class First:
        def observe(self, event: AttentionEvent) -> None:
            if event.kind == "global" and event.layer == 0:
                assert event.layout is not None
                directions = normalize(event.x[0].double(), dim=-1)
                found.append(directions.unflatten(0, (event.layout.frames, -1)).mean(1).cpu())

    forward(model, images, probe=First(), logit_scale=scale, heads=())
    return found[0]


def frame_part(means: Tensor) -> float:
    """Variance of the frame means (S, C) between frames."""
    return float((means - means.mean(0)).square().sum(1).mean())


def frame_part_at(means: Tensor, frames: int) -> float:
    """Predicted frame part for S = `frames`, from the means of a short sequence whose frame 0 is apart.

    f_S = (1/S)(1−1/S)|m₀−m_rest|² + (1−1/S)((S−2)/(S−1)) f_rest, f_rest the unbiased variance of the rest.
    """
    first, rest = means[0], means[1:]
    centre = rest.mean(0)
    apart = float((first - centre).square().sum())
    varied = float((rest - centre).square().sum()) / (len(rest) - 1)
    share = 1 / frames
    return share * (1 - share) * apart + (1 - share) * (frames - 2) / (frames - 1) * varied


def entry(model: VGGT, short: Tensor, long: Tensor, scale: LogitScale | None = None) -> Arrays:
    """entry.measured, entry.law: change of ln frame part from the short sequence to the long one."""
    few, many = (frame_means(model, images, scale) for images in (short, long))
    start = np.log(frame_part(few))
    measured, law = np.log(frame_part(many)) - start, np.log(frame_part_at(few, len(long))) - start
    return {"entry.measured": np.array(measured), "entry.law": np.array(law)}

"""Networks of other designs: how many keys a query has in effect, what the first frame draws, who errs where.

What is declared about them stands in `declared.yml` and `declared_shapes.yml`; this file decides it.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from book.study.by_length import among_all_tokens, in_drawn_order, increasing
from book.study.fits import growth
from lib.geometry import relative_to_first, rotation_angle_deg
from lib.run import Params, load_model, run
from lib.vggt import VGGT, AttentionEvent

Array = NDArray[np.float64]
DECLARED = Path(__file__).with_name("declared.yml")
DECLARED_SHAPES = Path(__file__).with_name("declared_shapes.yml")  # of these, and decided by `ratios` alone
SHAPES = ("patch4", "deep12", "large", "control", "seed1", "seed1_few")
FOURTH = 3  # place of the fourth frame
EARLY, LATE = slice(3, 11), slice(-8, None)  # frames 4 to 11, and the last eight
SINK_FRAMES = 32  # at which the declaration asks for the first frame's share


@dataclass
class Dilution:
    """Observer of global attention without merging: what patch queries of each frame see.

    causal: a frame sees itself and earlier ones only. entropy: one array (frames,) a layer, nats, mean over
    heads and the patch queries of a frame. special: one array (frames, frames) a layer, attention of patch
    queries of a frame (rows) to all special tokens of a frame (columns), mean over heads and queries.
    """

    causal: bool
    entropy: list[Array] = field(default_factory=list)
    special: list[Array] = field(default_factory=list)

    def observe(self, event: AttentionEvent) -> None:
        """Read one layer, frame by frame.

        Raises:
            ValueError: tokens were merged.
        """
        if (layout := among_all_tokens(event)) is None:
            return
        size, frames = layout.tokens_per_frame, layout.frames
        entropy, special = np.zeros(frames), np.zeros((frames, frames))
        keys = event.k[0].float().transpose(-1, -2)
        for frame in range(frames):
            seen = frame + 1 if self.causal else frames
            patches = event.q[0][:, frame * size + layout.special : (frame + 1) * size].float()
            logs = (event.scale * patches @ keys[..., : seen * size]).log_softmax(-1)
            weights = logs.exp()
            entropy[frame] = -(weights * logs).sum(-1).double().mean()
            by_frame = weights.unflatten(-1, (seen, size))[..., : layout.special].sum(-1)
            special[frame, :seen] = by_frame.double().mean((0, 1)).numpy()
        self.entropy.append(entropy)
        self.special.append(special)


def sink_ratio(special: Array) -> float:
    """Attention of other frames' patches to the first frame's special tokens, over that to another frame's.

    special: (frames, frames) of `Dilution`.
    """
    return float(special[1:, 0].mean() / special[1:, 1:].mean())


def rotation_by_place(predicted: torch.Tensor, true: torch.Tensor) -> Array:
    """(S,) rotation errors relative to the first frame, degrees; cameras (S, 3, 4), camera-from-world."""
    guess, truth = (relative_to_first(poses.double())[:, :, :3] for poses in (predicted, true))
    return rotation_angle_deg(guess, truth).numpy()


def measure(params: Params, lengths: Many[int]) -> dict[str, Array]:
    """Every scene of `params.scene` at every length, its frames in an order drawn by `params.seed`.

    Returns: "entropy", "entropy_last" and "entropy_fourth" (lengths, scenes, layers), nats, of the patch
    queries of all, the last and the fourth frame; "sink" (lengths, scenes, layers), of `sink_ratio`;
    "rotation" (scenes, longest), degrees, of `rotation_by_place` at the last of the lengths.

    Raises:
        ValueError: lengths that do not increase from four, scenes without true cameras; and as
            `lib.run.prepare`.
    """
    increasing(lengths, FOURTH + 1)
    model, _ = load_model(params)
    parts: dict[str, list[list[list[float]]]] = {
        name: [] for name in ("entropy", "entropy_last", "entropy_fourth", "sink")
    }
    places: list[Array] = []
    for frames in lengths:
        scenes = replace(params, frames=frames, m=0.0).each_scene()
        found = [_scene(one, model) for one in scenes]
        for name, rows in parts.items():
            rows.append([one[name] for one, _ in found])
        places = [turned for _, turned in found]
    return {name: np.array(rows) for name, rows in parts.items()} | {"rotation": np.array(places)}


def _scene(params: Params, model: VGGT) -> tuple[dict[str, list[float]], Array]:
    setup = in_drawn_order(params, model)
    sequence, seen = setup.sequence, Dilution(setup.model.config.causal)
    said = run(setup, seen).prediction
    if sequence.extrinsics is None or said.extrinsics is None:
        raise ValueError(f"{params.scene!r} has no true cameras, or {params.model!r} says none")
    numbers = {
        "entropy": [float(layer.mean()) for layer in seen.entropy],
        "entropy_last": [float(layer[-1]) for layer in seen.entropy],
        "entropy_fourth": [float(layer[FOURTH]) for layer in seen.entropy],
        "sink": [sink_ratio(layer) for layer in seen.special],
    }
    return numbers, rotation_by_place(said.extrinsics[0], sequence.extrinsics)


def quantities(
    design: str,
    arrays: Mapping[str, Array],
    lengths: Many[int],
    errors: Mapping[str, Array] | None = None,
    walks: tuple[Array, Array] | None = None,
) -> dict[str, float]:
    """What `declared.yml` names, from one network's arrays of `measure`.

    design: "equivariant", "few" (equivariant, trained to 4 frames) or "causal". errors: rotation errors of
    the same rooms at 128 frames, "plain" and "anchored"; walks: those of the same test rooms at 128 and at 8
    frames. None leaves out what is declared about them.

    Raises:
        ValueError: another design, or the length at which it is declared is not among them.
    """
    if design == "causal":
        return _causal(arrays, lengths)
    if design not in ("equivariant", "few"):
        raise ValueError(f"design = {design!r} must be 'equivariant', 'few' or 'causal'")
    found = ratios(design, arrays, lengths, errors, walks if design == "few" else None)
    if design == "equivariant":
        found["equivariant_sink"] = _sink(arrays["sink"], lengths)
    return found


def ratios(
    name: str,
    arrays: Mapping[str, Array],
    lengths: Many[int],
    errors: Mapping[str, Array] | None = None,
    walks: tuple[Array, Array] | None = None,
) -> dict[str, float]:
    """What is declared of every network, as ``{name}_dilution``, ``_anchor`` and ``_growth``.

    The power of S with which keys in effect grow over `lengths`; with `errors`, the mean error with the bias
    over that without; with `walks`, the mean error of the longer walks over that of the shorter. Arguments as
    in `quantities`.
    """
    found = {f"{name}_dilution": float(growth(arrays["entropy"], lengths).mean())}
    if errors is not None:
        found[f"{name}_anchor"] = float(errors["anchored"].mean() / errors["plain"].mean())
    if walks is not None:
        found[f"{name}_growth"] = float(walks[0].mean() / walks[1].mean())
    return found


def _sink(sink: Array, lengths: Many[int]) -> float:
    if SINK_FRAMES not in lengths:
        raise ValueError(f"the first frame's share is declared at {SINK_FRAMES} frames, not {lengths}")
    return float(sink[list(lengths).index(SINK_FRAMES)].mean())


def _causal(arrays: Mapping[str, Array], lengths: Many[int]) -> dict[str, float]:
    turned = arrays["rotation"]
    return {
        "causal_late_dilution": float(growth(arrays["entropy_last"], lengths).mean()),
        "causal_early_dilution": float(growth(arrays["entropy_fourth"], lengths).mean()),
        "causal_late_error": float(np.median(turned[:, LATE]) / np.median(turned[:, EARLY])),
    }

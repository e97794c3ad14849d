"""As many more steps in plain rooms as in the wider world: what the steps bought, and what the world.

What is declared about it stands in `declared_control.yml`; this file decides it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from book.study.hypothesis import read
from book.study.intervals import Interval, mean_ratio, median_interval

Array = NDArray[np.float64]
DECLARED = read(Path(__file__).with_name("declared_control.yml"))
WIDER, PLAINER = ("wider", "wider-seed1"), ("plainer-seed0", "plainer-seed1")
NEVER_VARIED = ("camera", "hand", "views")
VARIED = ("curved", "thin", "clutter", "textures", "light")

Errors = Mapping[str, Array]  # network, "shipped" or "still" -> (rooms or pieces,) rotation errors, degrees


def against(errors: Errors) -> Interval:
    """Mean error of the wider networks over that of the plainer ones, seeds averaged room by room."""
    new, old = (np.mean([errors[name] for name in names], axis=0) for names in (WIDER, PLAINER))
    return mean_ratio(new, old)


def quantities(rooms: Mapping[str, Errors], photographs: Errors) -> dict[str, float]:
    """What `declared_control.yml` names.

    Args:
        rooms: domain of `lib.training.domains` -> errors in its held-out rooms.
        photographs: errors on the pieces of a recording, with those of standing still.
    """
    plain = np.mean([rooms["all"][name] for name in PLAINER], axis=0)
    never, varied = (
        np.mean([np.log(against(rooms[name]).median) for name in names]) for names in (NEVER_VARIED, VARIED)
    )
    return {
        "control_wider_high": against(rooms["all"]).high,
        "control_plain_carries": float(plain.mean() / rooms["all"]["shipped"].mean()),
        "control_painted": against(rooms["rooms"]).median,
        "control_never_less_varied": float(never - varied),
        "control_photographs": against(photographs).median,
        "control_again_gap": median_interval(photographs["wider-seed1"] - photographs["still"], 0).high,
    }

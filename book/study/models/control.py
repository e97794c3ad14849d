"""As many more steps in plain rooms as in the wider world: what the steps bought, and what the world.

What is declared about it stands in `declared_control.yml`; this file decides it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from book.study import shipped
from book.study.family.statements import PHOTOGRAPHS
from book.study.hypothesis import read
from book.study.intervals import Interval, mean_ratio, median_interval
from book.study.models.wider import read_domains
from book.study.style import PALETTE, intervals

Array = NDArray[np.float64]
DECLARED = read(Path(__file__).with_name("declared_control.yml"))
WIDER, PLAINER = ("wider", "wider-seed1"), ("plainer-seed0", "plainer-seed1")
NEVER_VARIED = ("camera", "hand", "views")
VARIED = ("curved", "thin", "clutter", "textures", "light")
ALONE = {name: f"with {name}" for name in (*VARIED, *NEVER_VARIED)}
CALLED = {"rooms": "painted rooms"} | ALONE | {"all": "all together"}  # domain -> what the figure calls it
RECORD = "wider-seed1"  # the network whose record holds the errors of all in wider rooms

Errors = Mapping[str, Array]  # network, "shipped" or "still" -> (rooms or pieces,) rotation errors, degrees


def load_rooms() -> dict[str, dict[str, Array]]:
    """Domain of `lib.training.domains` -> errors in its held-out rooms at eight frames.

    Raises:
        StaleResultError: the networks were not evaluated there as they stand.
    """
    called = {"model": RECORD, "mini": "shipped"}
    found: dict[str, dict[str, Array]] = {}
    for (domain, who), errors in read_domains(_report(RECORD)).items():
        found.setdefault(domain, {})[called.get(who, who)] = errors
    return found


def load_photographs(frames: int) -> dict[str, Array]:
    """Errors on pieces of so many photographs."""
    reports = {name: _report(name) for name in (*WIDER, *PLAINER)} | {"shipped": shipped.read_report()}
    found = {
        name: shipped.errors(report, PHOTOGRAPHS, frames, "model", "rotation_deg")
        for name, report in reports.items()
    }
    still = shipped.errors(reports["shipped"], PHOTOGRAPHS, frames, "still", "rotation_deg")
    return found | {"still": still}


def _report(name: str) -> shipped.Report:
    return shipped.read_report(shipped.SHIPPED.with_name(f"{name}.safetensors"))


def mean(errors: Errors, networks: tuple[str, ...]) -> Array:
    """Room by room, over networks."""
    return np.mean([errors[name] for name in networks], axis=0)


def against(errors: Errors) -> Interval:
    """Mean error of the wider networks over that of the plainer ones, seeds averaged room by room."""
    return mean_ratio(mean(errors, WIDER), mean(errors, PLAINER))


def trained_on(errors: Errors) -> Interval:
    """Mean error of the plainer networks over the shipped one's: what steps buy that add no new world."""
    return mean_ratio(mean(errors, PLAINER), errors["shipped"])


def draw(places: Mapping[str, Errors]) -> Figure:
    """What the steps bought and what the world bought in each of `places`, as ratios of mean errors."""
    figure, ax = plt.subplots(figsize=(8.2, 0.36 * len(places) + 1.4))
    at = np.arange(len(places), dtype=float)
    for shift, ratio, colour, label in (
        (-0.16, trained_on, "grey", "more training in painted rooms, over none"),
        (0.16, against, "vermilion", "wider world, over as many painted rooms"),
    ):
        found = [ratio(errors) for errors in places.values()]
        intervals(ax, at + shift, found, colour, label, across=True, fmt="o", lw=2)
    ax.axvline(1, color=PALETTE["black"], lw=0.8, ls=":")
    ax.set_yticks(at, list(places))
    ax.invert_yaxis()
    ax.set_xscale("log")
    ticks = [0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.4]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel("rotation error, ratio of means")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return figure


def quantities(rooms: Mapping[str, Errors], photographs: Errors) -> dict[str, float]:
    """What `declared_control.yml` names.

    Args:
        rooms: domain of `lib.training.domains` -> errors in its held-out rooms.
        photographs: errors on the pieces of a recording, with those of standing still.
    """
    never, varied = (
        np.mean([np.log(against(rooms[name]).median) for name in names]) for names in (NEVER_VARIED, VARIED)
    )
    return {
        "control_wider_high": against(rooms["all"]).high,
        "control_plain_carries": trained_on(rooms["all"]).median,
        "control_painted": against(rooms["rooms"]).median,
        "control_never_less_varied": float(never - varied),
        "control_photographs": against(photographs).median,
        "control_again_gap": median_interval(photographs["wider-seed1"] - photographs["still"], 0).high,
    }

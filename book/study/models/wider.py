"""The network of the wider world: what was declared about it, what came out, and what each ingredient did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from book.study import shipped
from book.study.family.statements import PHOTOGRAPHS
from book.study.hypothesis import read
from book.study.intervals import Interval, median_interval
from book.study.numbers import minus
from book.study.shipped import SHIPPED, Report
from book.study.style import PALETTE, intervals
from lib.records.store import StaleResultError

WEIGHTS = SHIPPED.with_name("wider.safetensors")
DECLARED = read(Path(__file__).with_name("declared_wider.yml"))
ENOUGH = 5  # pieces of a recording below which no interval is shown
WORLD = "without-world"  # the short training without curved, thin, clutter, textures, light
ARMS = ("everything", "without-hand", "without-camera", "without-views", WORLD)
CAMERA = ("without-hand", "without-camera")


def read_domains(report: Report) -> dict[tuple[str, str], np.ndarray]:
    """Rotation errors in held-out wider rooms, (domain, who) -> one value a room, degrees.

    Raises:
        StaleResultError: the record has none, or they are of other weights.
    """
    found = report.get("domains")
    if found is None or found["weights"] != report["weights"]:
        raise StaleResultError("no errors in wider rooms; run: python -m lib.train evaluate --wider")
    return {(row["walk"], row["who"]): np.array(row["rotation_deg"]["values"]) for row in found["rows"]}


def ratio(model: Sequence[float] | np.ndarray, still: Sequence[float] | np.ndarray) -> float:
    """Median error of a network over that of standing still."""
    return float(np.median(model) / np.median(still))


def measured(report: Report, before: Report) -> dict[str, float]:
    """Every declared quantity, from the records of the network and of the one it began as."""

    def on(frames: int, who: str, walk: str = PHOTOGRAPHS, of: Report = report) -> np.ndarray:
        return shipped.errors(of, walk, frames, who, "rotation_deg")

    rooms = read_domains(report)
    arm = {name: float(np.median(rooms["all", name])) for name in ARMS if ("all", name) in rooms}
    found = {
        "photographs_gap": median_interval(on(4, "model") - on(4, "still"), 0).high,
        "photographs_ratio": ratio(on(4, "model"), on(4, "still")),
        "photographs_ratio_eight": ratio(on(8, "model"), on(8, "still")),
        "wider_ratio": ratio(rooms["all", "model"], rooms["all", "still"]),
        "rooms_cost": ratio(on(8, "model", "longer"), on(8, "model", "longer", before)),
    }
    if len(arm) == len(ARMS):
        rest = max(value for name, value in arm.items() if name not in (*CAMERA, "everything"))
        found["left_out_order"] = rest - min(arm[name] for name in CAMERA)
        found["left_out_world"] = arm[WORLD] / arm["everything"]
    return found


def photographs_table(report: Report, before: Report) -> pd.DataFrame:
    """Rotation error on photographs: both networks, standing still, and the paired differences, degrees."""
    rows = []
    for frames in shipped.lengths(report, PHOTOGRAPHS):
        model, still = (
            shipped.errors(report, PHOTOGRAPHS, frames, who, "rotation_deg") for who in ("model", "still")
        )
        old = shipped.errors(before, PHOTOGRAPHS, frames, "model", "rotation_deg")
        rows.append(
            {
                "frames": frames,
                "pieces": len(model),
                "stands still": f"{np.median(still):.3g}",
                "shipped": f"{np.median(old):.3g}",
                "wider": f"{np.median(model):.3g}",
                "wider − still": minus(median_interval(model - still, 0)) if len(model) >= ENOUGH else "",
                "wider − shipped": minus(median_interval(model - old, 0)) if len(model) >= ENOUGH else "",
            }
        )
    return pd.DataFrame(rows).set_index("frames")


def by_ingredient(report: Report, parent: str = "mini") -> Figure:
    """Rotation error in rooms with one ingredient each, before and after, medians with 95 % over rooms."""
    rooms = read_domains(report)
    domains = list(dict.fromkeys(domain for domain, _ in rooms))
    figure, ax = plt.subplots(figsize=(8.2, 3.4))
    looks = {
        "still": ("grey", "stands still", "s"),
        parent: ("blue", "shipped", "o"),
        "model": ("vermilion", "wider", "D"),
    }
    for shift, (who, (colour, label, marker)) in zip((-0.15, 0.0, 0.15), looks.items(), strict=True):
        points: dict[float, Interval] = {
            place + shift: median_interval(rooms[domain, who], 0) for place, domain in enumerate(domains)
        }
        intervals(ax, list(points), list(points.values()), colour, label, fmt=marker)
    names: dict[str, Any] = {"rooms": "painted\nrooms", "all": "all\ntogether"}
    ax.set_xticks(range(len(domains)), [names.get(domain, domain) for domain in domains])
    ax.axvline(1.5, color=PALETTE["black"], lw=0.8, ls=":")
    ax.set(ylabel="rotation error (°)", ylim=(0, None))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return figure


def left_out_table(report: Report) -> pd.DataFrame:
    """Short trainings: median error in wider rooms, paired difference to that with everything; degrees."""
    rooms = read_domains(report)
    rows = []
    for name in [arm for arm in ARMS if ("all", arm) in rooms]:
        errors, all_in = rooms["all", name], rooms["all", ARMS[0]]
        change = "" if name == ARMS[0] else minus(median_interval(errors - all_in, 0))
        rows.append(
            {
                "training": name.replace("-", " "),
                "error (°)": f"{np.median(errors):.3g}",
                "median paired change (°)": change,
            }
        )
    return pd.DataFrame(rows, columns=["training", "error (°)", "median paired change (°)"]).set_index(
        "training"
    )

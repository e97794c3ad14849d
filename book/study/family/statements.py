"""Statements about attention and merging, and the number that each network of the family has for them.

Each is made of records: of the weights (data/weights), and of measurements in rooms that no training saw.
Only the records that a statement needs are read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from book.study import entries, profile, shipped
from book.study.fits import growth
from book.study.intervals import Interval, mean_ratio, median_interval, sign_interval
from lib.records.store import StaleResultError

Array = NDArray[np.float64]
NETWORKS = {  # weights -> what its label says beside the longest training sequence; in the order of figures
    "trained-to-4": "",
    "to4-seed0": " (seed 0)",
    "to4-seed1": " (seed 1)",
    "to4-seed2": " (seed 2)",
    "mini": " (shipped)",
    "to12-seed1": " (seed 1)",
    "to12-seed2": " (seed 2)",
    "track4-seed1": " (tracks moved)",
    "untracked-seed1": " (no tracks)",
    "trained-to-24": "",
    "to24-seed0": " (seed 0)",
    "to24-seed1": " (seed 1)",
    "to24-seed2": " (seed 2)",
    "patch4-seed0": " (finer patches)",
    "deep12-seed0": " (12 blocks)",
    "equivariant-seed0": " (no reference)",
    "equivariant-to4-seed0": " (no reference)",
}
NOTES = NETWORKS | {"wider": " (wider world)", "causal-seed0": " (causal)"}  # of all that ship
FRESH = "denser:200-207"
LENGTHS = (8, 16, 32, 64, 128)
FEW, MANY = 8, 128  # frames of a walk whose errors are compared
PHOTOGRAPHS, PAIR = "redkitchen", 2  # a recording that no training saw, and frames of a piece of it
STRENGTH = 0.7
MERGED = {"frames": 32, "strengths": [STRENGTH]}
# The run that measured the bias: one that the chapter on long sequences declared, or one like these.
BIASED = {"trained-to-4": "long", "trained-to-24": "third-long", "to24-seed0": "new-long"}
ALIKE = "mini-long"
DECLARED = Path(__file__).parents[1] / "long_sequences" / "declared.yml"


@dataclass(frozen=True)
class Statement:
    """A number that each network has for every room, and where it says neither yes nor no.

    says: the statement, true where the number is on the side of `sign` of `neutral`. number: what is drawn.
    found: network -> the number with its 95 % interval over rooms. sign: 1 if larger says yes, -1 if smaller
    does. log: of the axis.
    """

    says: str
    number: str
    neutral: float
    found: Mapping[str, Interval]
    sign: int = 1
    log: bool = True

    def word(self, network: str) -> str:
        """ "yes", "no" or "not clear", by the whole interval; "not measured" where there is no value."""
        if network not in self.found:
            return "not measured"
        found = self.found[network]
        ends = (found.low, found.high) if self.sign > 0 else (-found.high, -found.low)
        neutral = self.sign * self.neutral
        return "yes" if ends[0] > neutral else "no" if ends[1] < neutral else "not clear"

    def sentence(self, labels: Mapping[str, str]) -> str:
        """For which networks it holds; `labels`: name -> "to 12 frames", what its training saw.

        The largest group is counted, the others are named.
        """
        of: dict[str, list[str]] = {}
        for name, label in labels.items():
            of.setdefault(self.word(name), []).append(label)
        said = {
            "yes": "true of",
            "no": "not true of",
            "not clear": "not clear of",
            "not measured": "not measured for",
        }
        most = max(of, key=lambda word: len(of[word]))
        parts = [f"{said[most]} {'all ' if len(of) == 1 else f'{len(of[most])} of '}{len(labels)} networks"]
        for word, those in of.items():
            if word != most:
                parts.append(
                    f"{said[word]} {'that' if len(those) == 1 else 'those'} trained on up {_listed(those)}"
                )
        return f"{self.says}: {'; '.join(parts)}."


def _listed(names: Sequence[str]) -> str:
    """ "one", "one and two", "one, two and three"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def label(name: str) -> str:
    """What a network's training saw, as "to 12 frames (shipped)"; of a network of somebody else its name."""
    return f"to {report(name)['config']['most_frames']} frames{NOTES[name]}" if name in NOTES else name


def labels(names: Iterable[str] = NETWORKS) -> dict[str, str]:
    """Network of the family -> its `label`."""
    return {name: label(name) for name in names}


def shipping() -> list[str]:
    """Networks of the family whose weights are here, for what a page computes itself."""
    return [name for name in NETWORKS if shipped.SHIPPED.with_name(f"{name}.safetensors").is_file()]


@cache
def report(name: str) -> shipped.Report:
    """The record of a network's weights."""
    return shipped.read_report(shipped.SHIPPED.with_name(f"{name}.safetensors"))


@cache
def recording(name: str) -> shipped.Report:
    """Errors of a network on photographs, in the form of the record of its weights.

    Raises:
        StaleResultError: there are none, or they are of other weights; says what to run.
    """
    path = shipped.SHIPPED.parent / "recordings" / f"{name}.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"weights": None}
    if found["weights"] != report(name)["weights"]:
        raise StaleResultError(
            f"{name} has not been evaluated on photographs as it stands; run: python -m lib.train evaluate "
            f"data/weights/{name}.safetensors --photographs FOLDER --rooms 0"
        )
    return {"evaluation": found}


def in_effect(name: str) -> Mapping[str, Array]:
    """The keys that queries have in effect, at `LENGTHS`: see `book.study.networks.designs.measure`."""
    asked = {"model": name, "scene": FRESH, "lengths": list(LENGTHS)}
    return profile.load_measured("book/runs/networks.ipynb", **asked).record.arrays


def merged(name: str) -> Mapping[str, Array]:
    """Without merging and with the released rule: arrays (2, rooms, ...)."""
    return profile.load_measured("book/runs/lengths.ipynb", model=name, scene=FRESH, **MERGED).record.arrays


def biased(name: str) -> tuple[Array, Array]:
    """(rooms,) rotation errors at 128 frames, degrees: with the bias on frame 0, and without."""
    runs = entries.read(DECLARED, ("runs", "predictions"))["runs"]
    asked, found = dict(runs[BIASED.get(name, ALIKE)]) | {"model": name}, []
    for scene in asked.pop("scenes"):
        record = profile.load_measured("book/runs/long_sequences.ipynb", **asked, scene=scene).record
        rows = [list(record["arms"]).index(arm) for arm in ("anchored", "plain")]
        found.append(record["errors.rotation"][rows])
    new, old = np.concatenate(found, 1)
    return new, old


def by_length(name: str, walk: str = "denser") -> tuple[Array, Array]:
    """(rooms,) rotation errors on walks of a kind, degrees: at 128 frames and at 8, of the same rooms."""
    many, few = (
        shipped.errors(report(name), walk, frames, "model", "rotation_deg") for frames in (MANY, FEW)
    )
    both = min(len(few), len(many))
    return many[:both], few[:both]


def against(name: str, other: str, frames: int) -> tuple[str, str, str]:
    """Rotation error of `other` on denser walks, how it compares with that of `name`, and the latter's.

    Medians over the same rooms; the word goes by the interval of the paired differences.
    """
    a, b = (shipped.errors(report(n), "denser", frames, "model", "rotation_deg") for n in (name, other))
    a, b = (found[: min(len(a), len(b))] for found in (a, b))
    gap = median_interval(b - a, seed=0)
    word = "larger than" if gap.low > 0 else "smaller than" if gap.high < 0 else "not clearly different from"
    return f"{np.median(b):.3g}°", word, f"{np.median(a):.3g}°"


def _power(name: str, walk: str) -> Array:
    """(rooms,) power of the number of frames with which the rotation error grows, 8 to 128 frames."""
    many, few = by_length(name, walk)
    return np.asarray(np.log(many / few) / np.log(MANY / FEW))


def _ratio_merged(name: str, array: str, least: float = 0.0) -> Interval:
    """Merged over not merged, of the excess over the least possible value; mean over layers and heads."""
    found = merged(name)[array].mean((2, 3)) - least
    return sign_interval(found[1] / found[0])


def _least_growth(name: str) -> Interval:
    found = growth(in_effect(name)["entropy"], LENGTHS)
    return sign_interval(found[:, found.mean(0).argmin()])


def each(number: Callable[[str], Interval], names: Iterable[str] = NETWORKS) -> dict[str, Interval]:
    """Of every network of the family, or of some of it.

    Raises:
        NotMeasured: in another profile, whose networks are not these.
    """
    if not profile.BOOK.shipped:
        raise profile.NotMeasured("the networks of the family and their rooms are those of the shipped book")
    return {name: number(name) for name in names}


def diluted() -> Statement:
    """Do queries use more keys as there are more, mean over blocks?"""
    found = each(lambda name: sign_interval(growth(in_effect(name)["entropy"], LENGTHS).mean(1)))
    return Statement("Queries are diluted", "keys in effect, power of S", 0.0, found, log=False)


def resists() -> Statement:
    """Is there a block whose queries do so less than in proportion?"""
    found = each(_least_growth)
    number = "keys in effect, power of S, least block"
    return Statement("One block resists dilution", number, 1.0, found, sign=-1, log=False)


def errors_grow() -> Statement:
    """Are walks of 128 frames worse than those of 8 on the same stretch?"""
    found = each(lambda name: mean_ratio(*by_length(name)))
    return Statement("Errors grow with the frames", f"rotation error, {MANY} over {FEW} frames", 1.0, found)


def bias_helps() -> Statement:
    """Does the bias that restores the share of frame 0 lower the error at 128 frames?"""
    found = each(lambda name: mean_ratio(*biased(name)))
    return Statement("A bias on frame 0 helps", f"error with over without, S = {MANY}", 1.0, found, sign=-1)


def merging_evens() -> Statement:
    """Does merging raise the entropy of attention between frames?"""
    found = each(lambda name: _ratio_merged(name, "propagated.entropy"))
    return Statement("Merging evens attention", f"entropy, m = {STRENGTH} over none", 1.0, found, log=False)


def merging_lowers_rank() -> Statement:
    """Does merging bring the stable rank of attention between frames nearer to one?"""
    found = each(lambda name: _ratio_merged(name, "propagated.stable_rank", least=1.0))
    number = f"stable rank − 1, m = {STRENGTH} over none"
    return Statement("Merging lowers the rank", number, 1.0, found, sign=-1)


def merging_costs() -> Statement:
    """Does merging raise the rotation error at 32 frames?"""
    found = each(lambda name: mean_ratio(*merged(name)["errors.rotation"][::-1]))
    return Statement("Merging costs accuracy", f"rotation error, m = {STRENGTH} over none", 1.0, found)


def _static_share(name: str) -> Interval:
    """Of the change of ln entropy by merging: |static| / (|static| + |dynamic|), the static part first."""
    (before, after), (_, static) = (
        merged(name)[f"{part}.entropy"].mean((2, 3)) for part in ("propagated", "static")
    )
    parts = np.abs([np.log(static / before), np.log(after / static)])
    return sign_interval(parts[0] / parts.sum(0))


def mostly_static() -> Statement:
    """Is most of that change there on tokens that never were merged?"""
    number = f"static share of the change, m = {STRENGTH}"
    found = each(_static_share)
    return Statement("The change by merging is mostly static", number, 0.5, found, log=False)


def _rank_by_depth(name: str) -> Interval:
    excess = merged(name)["propagated.stable_rank"][0].mean(2) - 1.0  # (rooms, blocks)
    depth = np.log(np.arange(1, excess.shape[1] + 1))
    return sign_interval(np.polyfit(depth, np.log(excess).T, 1)[0])


def rank_against_depth() -> Statement:
    """Does the rank of attention between frames fall more slowly than with the root of the block?

    Printed: as one over the block.
    """
    found = each(_rank_by_depth)
    return Statement(
        "The rank does not fall as 1/depth",
        "stable rank − 1, power of the block",
        -0.5,
        found,
        log=False,
    )


def frames_alone() -> Statement:
    """On one stretch of path, does the error grow by less than the root of the number of frames?"""
    found = each(lambda name: sign_interval(_power(name, "denser")))
    number = "rotation error, power of S, path fixed"
    return Statement("Frames alone cost less than √S", number, 0.5, found, sign=-1, log=False)


def path_adds() -> Statement:
    """Where further frames walk on, does the error grow faster than that, by a power of 1/4 at least?"""

    def more(name: str) -> Interval:
        free, fixed = _power(name, "longer"), _power(name, "denser")
        both = min(len(free), len(fixed))
        return sign_interval(free[:both] - fixed[:both])

    return Statement(
        "A longer path costs more", "power of S, longer less fixed path", 0.25, each(more), log=False
    )


ALL = (
    *(diluted, resists, errors_grow, bias_helps, merging_evens, merging_lowers_rank, merging_costs),
    *(mostly_static, rank_against_depth, frames_alone, path_adds),
)

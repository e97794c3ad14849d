"""The profile of this build: what stands for the network, the scenes, the lengths and the device of the book.

Chapters and grids name *roles*: the network ``tested`` and those beside it, the walks ``denser:0-7`` and
``longer:0-7``, and lengths, strengths and seeds by what the shipped book takes. ``book/profiles/NAME.yml``
says what each is; ``$BOOK_PROFILE`` (a name, or the path of such a file) chooses. Chapters ask for records
here, so that a run that a profile cannot do is one sentence with its reason.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np
import yaml
from numpy.typing import NDArray

from book.study import entries
from book.study.chosen import CHOSEN, DEFAULT
from lib import records, used

if TYPE_CHECKING:
    from lib import sweep

FOLDER = Path(__file__).resolve().parents[1] / "profiles"
RUNS = records.ROOT / "book" / "runs"
ONE_RUN = "book/runs/one_run.ipynb"
WALK = re.compile(r"(\w+):(\d+)(?:-(\d+))?")
VARIABLE = re.compile(r"\$\{(\w+)\}")
DTYPES = {"cpu": "float32", "cuda": "bfloat16"}  # what `lib.run.forward` computes in
T = TypeVar("T")
KEYS = (
    *("title", "scenes_are", "recording", "networks", "trained", "walks", "scenes", "frames"),
    *("lengths", "strengths", "seeds", "device", "dtype", "small", "beforehand", "without", "leave"),
    "operations_per_second",
    "words",
)


class NotMeasured(records.StaleResultError):
    """This profile has no such run; the message is the reason."""


@dataclass(frozen=True)
class Profile:
    """What each role is. `default` is the shipped book.

    Attributes:
        title: how pages call it. scenes_are: the scenes, in words. recording: what "photographs" are.
        networks: role -> `model` of a run. Roles: "tested", "short-trained" and "long-trained".
        trained: role -> most frames of a scene in its training.
        walks: kind -> (name of a range of scenes, name of one), with {first}, {last}, {count}.
        scenes, frames: most of them in one run; 0: no limit.
        lengths, strengths, seeds: what stands for a number of the shipped book; what is not named stays.
        device, dtype: of every run. small: whether the network under test is small, for verdicts.
        beforehand: also measure here what the shipped book measured beforehand and keeps.
        without: experiment -> why this profile has no run of it. leave: page -> why it is not executed.
        operations_per_second: what the plan reckons with.
        words: what captions of the shipped book call its network, scenes and device -> what they are here.
    """

    name: str
    title: str
    scenes_are: str
    networks: Mapping[str, str]
    trained: Mapping[str, int]
    walks: Mapping[str, tuple[str, str]]
    recording: str = ""
    scenes: int = 0
    frames: int = 0
    lengths: Mapping[int, int] = field(default_factory=dict)
    strengths: Mapping[float, float] = field(default_factory=dict)
    seeds: Mapping[int, int] = field(default_factory=dict)
    device: str = "cpu"
    dtype: str = "float32"
    small: bool = True
    beforehand: bool = False
    without: Mapping[str, str] = field(default_factory=dict)
    leave: Mapping[str, str] = field(default_factory=dict)
    operations_per_second: float = 2e10
    words: Mapping[str, str] = field(default_factory=dict)

    @property
    def shipped(self) -> bool:
        """This is the book as it ships."""
        return self.name == DEFAULT

    def network(self, role: str) -> str:
        """The `model` that plays a role; the shipped book may name others, too.

        Raises:
            NotMeasured: no network does.
        """
        if role == "random":
            return role
        return self.networks[role] if role in self.networks else self._only_shipped(f"network {role}", role)

    def scene(self, walk: str) -> str:
        """The `scene` of a run for a walk such as "denser:0-7".

        Raises:
            NotMeasured: no scenes for this kind of walk, or a variable of the environment is not set.
        """
        found = WALK.fullmatch(walk)
        if found is None or found[1] not in self.walks:
            return self._only_shipped(f"scenes {walk}", walk)
        first = int(found[2])
        last = int(found[3] or first)
        if self.scenes:
            last = min(last, first + self.scenes - 1)
        pattern = self.walks[found[1]][0 if found[3] else 1]
        for name, number in {"first": first, "last": last, "count": last - first + 1}.items():
            pattern = pattern.replace(f"{{{name}}}", str(number))
        return expanded(pattern)

    def length(self, frames: int) -> int:
        """How many frames stand for a length of the shipped book.

        Raises:
            NotMeasured: more than this profile takes.
        """
        here = self.lengths.get(frames, frames)
        if self.frames and here > self.frames:
            raise NotMeasured(
                f"profile {self.name} takes at most {self.frames} frames, and this needs {here}"
            )
        return here

    def _only_shipped(self, what: str, value: str) -> str:
        if self.shipped:
            return value
        raise NotMeasured(f"profile {self.name} has nothing for the {what} of the shipped book")

    def adapt(self, experiment: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters of the run that plays the part of a run of the shipped book.

        Defaults of the notebook that are other here are added; the rest stays as asked.

        Raises:
            NotMeasured: there is none in this profile.
            ValueError: a parameter that the notebook does not take.
        """
        CONSULTED[0] = True
        if (stem := Path(experiment).stem) in self.without:
            raise NotMeasured(self.without[stem])
        roles = as_roles(experiment, asked)
        here = {name: self._value(name, role) for name, role in roles.items()}
        frames = self.trained.get(roles["model"]) if "model" in roles else None
        if frames and not self.shipped:
            if "trained" in here:
                here["trained"] = frames
            if here.get("logit_scale", "").startswith("length "):
                here["logit_scale"] = f"length {frames}"
        defaults = records.declared(experiment, records.ROOT)
        return {name: value for name, value in here.items() if name in asked or value != defaults[name]}

    def _value(self, parameter: str, role: Any) -> Any:
        """What a parameter is here; raises `NotMeasured` where it is nothing."""
        if parameter == "strengths":
            return [self.strengths.get(m, m) for m in role]
        if parameter == "lengths":
            return list(dict.fromkeys(self.length(frames) for frames in role))
        meanings: dict[str, Callable[[Any], Any]] = {
            "model": self.network, "scene": self.scene, "frames": self.length, "long": self.length,
            "m": lambda m: self.strengths.get(m, m), "seed": lambda seed: self.seeds.get(seed, seed),
            "device": lambda _: self.device,
        }  # fmt: skip
        return meanings[parameter](role) if parameter in meanings else role

    def jobs(self) -> list[sweep.Job]:
        """All runs of the grids in ``book/runs``, and with `beforehand` those that the shipped book keeps."""
        from lib import sweep  # here, because a page that only reads records needs none

        seen = dict[str, Any]()
        jobs = {job.origin.key: job for job in sweep.declared(RUNS, self.adapted)}
        for path in sorted(records.MEASUREMENTS.glob("*/*.json")) if self.beforehand else []:
            kept = records.store.read(path).provenance
            if kept.experiment.endswith(".ipynb") and (params := self.adapted(kept.experiment, kept.params)):
                jobs |= {job.origin.key: job for job in sweep.plan(kept.experiment, params, seen=seen)}
        return list(jobs.values())

    def adapted(self, experiment: str, asked: Mapping[str, Any]) -> dict[str, Any] | None:
        """`adapt`, with None where there is no such run here."""
        try:
            return self.adapt(experiment, asked)
        except NotMeasured:
            return None


def expanded(text: str) -> str:
    """``${NAME}`` replaced by the variable of the environment.

    Raises:
        NotMeasured: it is not set.
    """

    def value(found: re.Match[str]) -> str:
        if not os.environ.get(found[1]):
            raise NotMeasured(f"the environment variable {found[1]} is not set")
        return os.environ[found[1]]

    return VARIABLE.sub(value, text)


def as_roles(experiment: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of a run in roles: those asked for and, as the shipped book has them, the others."""
    full = records.experiments.complete(experiment, asked, records.ROOT)
    for name, role_of in (("model", _role_of_network), ("scene", _walk_of)):
        if name in full:
            full[name] = role_of(full[name])
    return full


def _role_of_network(model: str) -> str:
    return {value: role for role, value in default().networks.items()}.get(model, model)


def _walk_of(scene: str) -> str:
    """A walk by its name in the shipped book; only photographs are called otherwise there."""
    recording, single = default().walks["photographs"]
    pieces = re.fullmatch(re.escape(recording).replace(re.escape("{count}"), r"(\d+)"), scene)
    return f"photographs:0-{int(pieces[1]) - 1}" if pieces else "photographs:0" if scene == single else scene


@functools.cache
def read(name: str) -> Profile:
    """The profile of that name in ``book/profiles``, or in the YAML file of that path.

    Raises:
        EntryError: no such file, an unknown key, or a value of another kind; says which and where.
    """
    path = Path(name) if name.endswith(".yml") else FOLDER / f"{name}.yml"
    content = entries.read(path, KEYS)
    where = entries.shown(path)
    if absent := sorted({"title", "scenes_are", "networks", "trained", "walks"} - set(content)):
        raise entries.EntryError(f"{where}: {', '.join(map(repr, absent))} missing")
    walks = {
        kind: _pair(pair, f"{where}, walks, {kind}")
        for kind, pair in entries.mapping(content.pop("walks"), f"{where}, walks").items()
    }
    kinds: dict[str, tuple[type, type]] = {
        "networks": (str, str), "without": (str, str), "leave": (str, str), "words": (str, str),
        "lengths": (int, int), "trained": (str, int), "seeds": (int, int), "strengths": (float, float),
    }  # fmt: skip
    for key, (of, to) in kinds.items():
        content[key] = _table(content.get(key, {}), of, to, f"{where}, {key}")
    for key, kind in (("scenes", int), ("frames", int), ("small", bool), ("beforehand", bool), ("title", str),
                      ("scenes_are", str), ("recording", str), ("operations_per_second", float)):  # fmt: skip
        if key in content and type(content[key]) is not kind:
            raise entries.EntryError(f"{where}, {key}: expected {kind.__name__}, got {content[key]!r}")
    profile = Profile(path.stem, walks=walks, **content)
    _check(profile, where)
    return profile


def _pair(value: object, where: str) -> tuple[str, str]:
    pair = entries.mapping(value, where, ("range", "one"))
    if set(pair) != {"range", "one"} or not all(isinstance(text, str) for text in pair.values()):
        raise entries.EntryError(
            f"{where}: expected `range` and `one`, each the name of scenes, got {value!r}"
        )
    return pair["range"], pair["one"]


def _table(value: object, of: type, to: type, where: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise entries.EntryError(f"{where}: expected {of.__name__}: {to.__name__} pairs, got {value!r}")
    for key, content in value.items():
        if type(key) is not of or type(content) is not to:
            raise entries.EntryError(
                f"{where}: expected {of.__name__}: {to.__name__} pairs, got {key!r}: {content!r}"
            )
    return dict(value)


def _check(profile: Profile, where: str) -> None:
    device = profile.device.partition(":")[0]
    if device not in DTYPES:
        raise entries.EntryError(f"{where}, device: {profile.device!r} is none of {', '.join(DTYPES)}")
    if profile.dtype != DTYPES[device]:
        raise entries.EntryError(f"{where}, dtype: on {device} runs compute in {DTYPES[device]}")
    known = profile if profile.shipped else default()
    for key in ("networks", "trained", "walks"):
        roles = {"networks": known.networks, "trained": known.networks, "walks": known.walks}[key]
        if unknown := sorted(set(getattr(profile, key)) - set(roles)):
            raise entries.EntryError(
                f"{where}, {key}: unknown {', '.join(unknown)}; the roles are {', '.join(roles)}"
            )


def default() -> Profile:
    """The shipped book's."""
    return read(DEFAULT)


BOOK = read(CHOSEN)
CONSULTED = [False]  # whether this process has asked what stands for a run of the book
SAID: list[tuple[str, bool]] = []  # sentences of the text, and whether they hold here


@dataclass(frozen=True)
class Found(records.Record):
    """A record, with the parameters that the book asked for.

    Attributes:
        asked: every parameter as the shipped book has it, networks and walks by their roles: for look-ups.
            `params` are those of the run itself: for what a page shows.
    """

    asked: dict[str, Any] = field(default_factory=dict)


def defined(values: Iterable[float], what: str) -> NDArray[np.float64]:
    """Those that are finite of one value a scene: a correlation with a constant error, say, is not.

    what: the quantity, for the message. A page says how many it left out.

    Raises:
        NotMeasured: none is.
    """
    found = np.asarray(list(values), dtype=float)
    finite = found[np.isfinite(found)]
    if finite.size == 0:
        raise NotMeasured(f"{what} is defined in no scene")
    return finite


def load(experiment: str, /, **asked: Any) -> Found:
    """The record of a run of the book, in this profile.

    Raises:
        NotMeasured: another profile than the shipped book's has no such run, or has not run it.
        StaleResultError, ValueError: as `records.load`.
    """
    adapted = BOOK.adapt(experiment, asked)
    try:
        record = records.load(experiment, **adapted)
    except records.StaleResultError:
        if BOOK.shipped:
            raise
        raise NotMeasured(_why_missing(experiment, adapted)) from None
    return Found(**vars(record), asked=as_roles(experiment, asked))


def run_what_can_be(jobs: Iterable[sweep.Job], workers: int, report: Callable[[str], None]) -> int:
    """Run those without a record; of one that fails, its reason is left beside the records for the pages.

    Returns:
        how many ran.
    """
    from lib import sweep

    todo = {job.label: job for job in sweep.missing(list(jobs))}
    first, failed = len(todo), 0
    while todo:
        try:
            sweep.run(list(todo.values()), workers, report)
            break
        except sweep.SweepError as error:
            job = next((todo[label] for label in todo if str(error).startswith(label)), None)
            if job is None:
                raise
            del todo[job.label]
            failed += 1
            report(f"failed {job.label}, its pages will have gaps")
            path = job.record.with_suffix(".failed")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(error).partition("\n")[0], encoding="utf-8")
    return first - failed


def told(asked: Mapping[str, Any]) -> str:
    """Parameters for a reader: "model = mini, scenes = kitchen#4, frames = 8"; no folder of this machine."""
    return ", ".join(f"{name} = {_told(value)}" for name, value in asked.items())


def _told(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " and ".join(map(_told, value)) if value else "none"
    return scene_name(value) if isinstance(value, str) else str(value)


def scene_name(scene: str) -> str:
    """A scene without the folders that a recording lies in: "kitchen#0/4" of "/home/me/kitchen#0/4"."""
    folder, mark, piece = scene.partition("#")
    return Path(folder).name + mark + piece


def _why_missing(experiment: str, adapted: Mapping[str, Any]) -> str:
    path = records.path_of(records.provenance(experiment, adapted)).with_suffix(".failed")
    if used.listed(records.RECORDS, path.name):
        return path.read_text(encoding="utf-8")
    with_ = f" with {told(adapted)}" if adapted else ""
    return f"{Path(experiment).stem} has not run{with_}"


def load_sweep(experiment: str, grid: Iterable[Mapping[str, Any]]) -> list[Found]:
    """Records of many runs, in the order of ``grid``; raises as `load` does."""
    return [load(experiment, **asked) for asked in grid]


def load_measured(experiment: str, /, **asked: Any) -> records.Measured:
    """What was measured beforehand; in another profile than the shipped book's a run as every other.

    Raises:
        StaleResultError: there is none.
    """
    if not BOOK.shipped:
        return records.Measured(load(experiment, **asked), ())
    found = records.load_measured(experiment, **BOOK.adapt(experiment, asked))
    return replace(found, record=Found(**vars(found.record), asked=as_roles(experiment, asked)))


class Runs(dict[str, T]):
    """What was measured, by name; in another profile than the shipped book's a missing one is a gap."""

    def __init__(self, asked: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        super().__init__()
        self.asked = asked or {}

    def __missing__(self, name: str) -> NoReturn:
        if BOOK.shipped:
            raise KeyError(name)
        asked = {key: self.asked.get(name, {}).get(key) for key in ("model", "frames")}
        known = told({key: value for key, value in asked.items() if value is not None})
        of = f" ({known})" if known else ""
        raise NotMeasured(f"the run {name!r} of the shipped book{of} has not been made here")


def measured_runs(experiment: str, runs: Mapping[str, Mapping[str, Any]]) -> Runs[records.Measured]:
    """Those of the named runs that have been measured."""
    found = Runs[records.Measured](runs)
    for name, asked in runs.items():
        with contextlib.suppress(records.StaleResultError):
            found[name] = load_measured(experiment, **asked)
    return found


def run_params(**asked: Any) -> dict[str, Any]:
    """What `lib.run.Params` takes for a run that the book asks for: ``Params(**run_params(m=0.0))``."""
    return BOOK.adapt(ONE_RUN, asked)


def grid(name: str) -> list[dict[str, Any]]:
    """Every run that ``book/runs/NAME.yml`` asks for, in roles."""
    from lib import sweep

    entries_of = yaml.safe_load((RUNS / f"{name}.yml").read_text(encoding="utf-8"))
    return [asked for entry in entries_of for asked in sweep.grid(entry.get("params") or {})]


def says(holds: Any, sentence: str) -> None:
    """The text of this page says so; in another profile than the shipped book's it is noted instead.

    Raises:
        AssertionError: it does not hold in the shipped book.
    """
    if BOOK.shipped:
        assert holds, f"the text says: {sentence}"
    SAID.append((sentence, bool(holds)))

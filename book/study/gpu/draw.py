"""What came home from a GPU: the records of `python -m benchmarks.gpu`, as tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from book.study.numbers import minus, power
from book.study.style import PALETTE, RULES
from lib import records
from lib.costs.measure import PLAIN

Row = dict[str, Any]
HEADS = {  # of columns, as a reader sees them
    "s": "seconds",
    "aggregator, s": "aggregator, seconds",
    "whole model, s": "whole model, seconds",
    "relative": "aggregator, over plain",
    "attention": "attention, share of the aggregator",
    "matching": "matching, share of the aggregator",
}
JOBS: dict[str, dict[str, str]] = yaml.safe_load(
    Path(__file__).with_name("jobs.yml").read_text(encoding="utf-8")
)


def experiment(job: str) -> str:
    """The name under which a job's records lie."""
    return f"benchmarks.gpu.{job}"


def measured(job: str, folder: Path = records.MEASUREMENTS) -> list[records.Record]:
    """Records of a job from all cards, the newest for each card and set of parameters; no rehearsals."""
    found: dict[str, records.Record] = {}
    paths = folder.glob(f"cuda*/{experiment(job)}-*.json")
    for record in sorted((records.store.read(path) for path in paths), key=lambda record: record.started):
        if not record.params.get("rehearsal"):
            found[record.device + json.dumps(record.params, sort_keys=True)] = record
    return list(found.values())


def banner(job: str, folder: Path = records.MEASUREMENTS) -> str | None:
    """That the newest record of a job was made by other code, or None."""
    paths = sorted(folder.glob(f"cuda*/{experiment(job)}-*.json"))
    if not paths:
        return None
    newest = max(paths, key=lambda path: records.store.read(path).started)
    params = records.store.read(newest).params
    return records.store.measured_in(newest.parent, records.ROOT, experiment(job), params).banner


def refused(record: records.Record) -> bool:
    """Whether it did not fit into memory."""
    return "refused" in record.measurements


def median(record: records.Record, name: str) -> float:
    values = record[name]
    known = [v for v in (values if isinstance(values, list) else [values]) if v is not None]
    return float(np.median(known)) if known else float("nan")


def parity(found: Sequence[records.Record]) -> list[Row]:
    """Largest relative distance to the CPU over the outputs of a pass, in both precisions."""
    rows = []
    for record in (one for one in found if one.params["what"] == "forward"):
        row: Row = {"pass": record.params["variant"]}
        for name in ("fp32", "bf16"):
            values = [record[key] for key in record.measurements if key.startswith(f"{name}: ")]
            row[name] = max(v for v in values if v is not None)
            pairs = f"{name}: equal pairs"
            if pairs in record.measurements:
                outputs = [record[k] for k in record.measurements if k.startswith(f"{name}: ") and k != pairs]
                row[name], row[f"equal pairs, {name}"] = max(outputs), record[pairs]
        rows.append(row)
    return rows


def table2(found: Sequence[records.Record]) -> list[Row]:
    """One row for each length and way of running; times relative to the plain network on the same card."""
    whole = [one for one in found if not refused(one)]
    plain = {
        (one.device, one["frames"]): median(one, f"{PLAIN}: aggregator, wall")
        for one in whole
        if one.params["variant"] == PLAIN
    }
    rows = []
    for one in sorted(whole, key=lambda one: (one["frames"], one.params["variant"] != PLAIN)):
        name = one.params["variant"]
        total, seconds = (median(one, f"{name}: {part}, wall") for part in ("aggregator", "whole"))
        rows.append(
            {
                "frames": one["frames"],
                "variant": name,
                "N′/N": one[f"{name}: kept"],
                "aggregator, s": total,
                "relative": total / plain.get((one.device, one["frames"]), float("nan")),
                "attention": median(one, f"{name}: attention, wall") / total,
                "matching": median(one, f"{name}: matching, wall") / total,
                "whole model, s": seconds,
                "peak, GiB": one[f"{name}: peak"] / 1024,
                "kernel": one[f"{name}: kernel"],
            }
        )
    return rows


def relative(found: Sequence[records.Record], rule: str, m: float) -> dict[int, float]:
    """Seconds of the whole model with a rule over those without, by length; on the card last measured on."""
    newest = max((one.started, one.device) for one in found)[1]
    took = {
        (one.params["variant"], one["frames"]): median(one, f"{one.params['variant']}: whole, wall")
        for one in found
        if not refused(one) and one.device == newest
    }
    name, pairs = f"{rule} m={m}", {}
    for (variant, frames), seconds in sorted(took.items(), key=lambda item: item[0][1]):
        if variant == name and (PLAIN, frames) in took:
            pairs[frames] = seconds / took[PLAIN, frames]
    return pairs


def against_length(found: Sequence[records.Record], printed: Mapping[float, float]) -> Figure:
    """Relative time of the whole model against frames, a line a rule; `printed`: m -> what Table 2 prints."""
    strengths = [m for m in sorted(printed) if any(one.params["m"] == m for one in found)]
    strengths = [m for m in strengths if len(relative(found, "fastvggt", m)) > 2]
    figure, axes = plt.subplots(1, len(strengths), figsize=(8.6, 3.8), sharey=True, squeeze=False)
    for ax, m in zip(axes.flat, strengths, strict=True):
        for rule, (colour, marker) in RULES.items():
            if pairs := relative(found, rule, m):
                look = {"color": PALETTE[colour], "marker": marker, "ms": 5, "label": reader(rule)}
                ax.plot(list(pairs), list(pairs.values()), **look)
        ax.axhline(printed[m], color=PALETTE["black"], lw=1, ls=":", label="printed, Table 2")
        ax.set_title(f"m = {m:g}", loc="left")
        ax.set(xscale="log", yscale="log", xlabel="frames")
        lengths_ = sorted({one["frames"] for one in found if not refused(one)})
        ax.set_xticks(lengths_, [str(n) for n in lengths_])
        ax.set_yticks([0.1, 0.2, 0.3, 0.5, 0.7, 1.0], ["0.1", "0.2", "0.3", "0.5", "0.7", "1"])
        ax.minorticks_off()
    axes[0, 0].set_ylabel("seconds, over those of the plain model")
    handles, labels = axes[0, -1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure


def lengths(found: Sequence[records.Record]) -> list[Row]:
    """Median over all rooms for each network, arm and length."""
    together: dict[tuple[str, int], dict[str, list[float]]] = {}
    for one in (record for record in found if not refused(record)):
        for key in one.measurements:
            arm, _, name = key.partition(": ")
            if name in ("rotation_from_frame_0", "abs_rel", "seconds"):
                values = [v for v in one[key] if v is not None]
                together.setdefault((arm, one.params["frames"]), {}).setdefault(name, []).extend(values)
    rows = []
    for (arm, frames), errors in sorted(together.items()):
        row: Row = {"network and arm": arm, "frames": frames, "rooms": max(map(len, errors.values()))}
        names = {"rotation_from_frame_0": "rotation, °", "abs_rel": "AbsRel", "seconds": "s"}
        rows.append(row | {names[k]: float(np.median(v)) if v else np.nan for k, v in errors.items()})
    return rows


def spectra(found: Sequence[records.Record]) -> list[Row]:
    """One row for each head and type."""
    rows = []
    for one in (record for record in found if not refused(record)):
        heads = sorted({key.partition(": ")[0] for key in one.measurements if key.startswith("block ")})
        for head in heads:
            row: Row = {"network": one.params["network"], "tokens": one["tokens"], "head": head}
            for title, name in (
                ("stable rank", "stable_rank"),
                ("pooled H", "pooled normalised_entropy"),
                ("H", "bracket entropy"),
                ("dense H", "dense entropy"),
                ("s", "seconds"),
            ):
                row[title] = one[f"{head}: {name}"] if f"{head}: {name}" in one.measurements else np.nan
            rows.append(row)
    return rows


def thousand(found: Sequence[records.Record]) -> list[Row]:
    """First and last mean cosine of the tokens at each length, and what the longest passes took."""
    rows: list[Row] = []
    for one in found:
        row: Row = {"frames": one.params["frames"], "pass": one.params.get("variant", "followed in depth")}
        if refused(one):
            rows.append(row | {"refused": one["refused"]})
        elif one.params["what"] == "depth":
            gamma = one["global: gamma"]
            rows.append(row | {"γ, first block": gamma[0], "γ, last block": gamma[-1]})
        else:
            name = one.params["variant"]
            seconds, peak = median(one, f"{name}: whole, wall"), one[f"{name}: peak"] / 1024
            rows.append(row | {"s": seconds, "peak, GiB": peak})
    return rows


def training(found: Sequence[records.Record]) -> list[Row]:
    """One row for each network."""
    names = {"step": "steps", "sequences": "sequences", "training": "s"}
    return [
        {"network": one.params["network"], **{title: one[name] for name, title in names.items()}}
        | {"images": one["frames"], "rotation on validation rooms, °": one["validation"][-1]}
        for one in found
        if not refused(one)
    ]


TABLES: dict[str, Callable[[Sequence[records.Record]], list[Row]]] = {
    "parity": parity,
    "table2": table2,
    "lengths": lengths,
    "spectra": spectra,
    "thousand": thousand,
    "training": training,
}


def digits(value: Any, decimals: int = 3) -> str:
    """A value as a table shows it: so many decimals, or two digits and a power of ten where it is small."""
    if isinstance(value, Integral):
        return f"{value:,}"
    if not isinstance(value, float):
        return reader(str(value))
    return minus(f"{value:.{decimals}f}") if value == 0 or abs(value) >= 0.01 else power(value, 1)


def reader(name: str) -> str:
    """A way of running as readers call it.

    >>> reader("fastvggt m=0.5"), reader("plain, logits x 1.3")
    ('FastVGGT m = 0.5', 'plain, logits × 1.3')
    """
    return name.replace("fastvggt", "FastVGGT").replace("m=", "m = ").replace(" x ", " × ")


def shown(table: pd.DataFrame) -> Styler:
    """A table for readers: heads and names in words, degrees with two decimals."""
    found = table.rename(columns=lambda name: HEADS.get(name, name))
    look = found.style.hide(axis="index").format(digits, na_rep="–")
    degrees = [name for name in found.columns if name.endswith("°")]
    return look.format(lambda value: digits(value, 2), subset=degrees, na_rep="–")


def table(job: str, folder: Path = records.MEASUREMENTS) -> pd.DataFrame:
    """What a job measured; without rows where it has not run."""
    return pd.DataFrame(TABLES[job](measured(job, folder)))


def without_repeats(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """A table without columns that say the same text in every row, and what those say, for its title."""
    alike = [
        name
        for name, values in table.items()
        if len(values) > 1 and isinstance(values.iloc[0], str) and values.nunique() == 1
    ]
    return table.drop(columns=alike), "; ".join(f"{name}: {table[name].iloc[0]}" for name in alike)


def cards(folder: Path = records.MEASUREMENTS) -> list[str]:
    """Each card on which something was measured, with the day of the newest record."""
    newest: dict[str, str] = {}
    for record in (record for job in JOBS for record in measured(job, folder)):
        name = record.device.removeprefix("cuda ")
        newest[name] = max(newest.get(name, ""), record.started[:10])
    return [f"{name}, {day}" for name, day in sorted(newest.items())]

"""The benchmark that feeds the chapter on spectra, and its figures, at toy size."""

import importlib.util
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from lib import records
from lib.spectra import Bracket

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """The benchmark module, writing into a temporary folder."""
    spec = importlib.util.spec_from_file_location("bench_spectra", ROOT / "benchmarks" / "spectra.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(records, "MEASUREMENTS", tmp_path)
    return module


PLACE = {"device": "cpu", "dtype": "float32", "threads": 1}


@pytest.mark.slow
def test_benchmark_writes_what_the_page_reads(bench, tmp_path, capsys):
    params = {"tokens": 512, "cases": 1, **PLACE}
    bench.measure("accuracy", params, again=False)
    bench.measure("accuracy", params, again=False)
    assert "already measured" in capsys.readouterr().out
    (path,) = (tmp_path / "cpu").glob("*.json")
    record = records.store.read(path)
    assert record["kind"] == ["collapsed", "peaked", "diffuse", "random"]
    assert all(record["contains"])
    lower, error, upper = (np.array(record[name]) for name in ("lower", "error", "upper"))
    assert (lower <= error).all() and (error <= upper).all() and np.abs(error).max() < 0.1
    bench.table()
    assert "512 collapsed" in capsys.readouterr().out


def test_benchmark_of_one_large_head(bench, tmp_path):
    params = {"kind": "diffuse", "tokens": 512, "seed": 0, "frame_tokens": 64, "frames": 8, **PLACE}
    bench.measure("large", params, again=False)
    (path,) = (tmp_path / "cpu").glob("*.json")
    record = records.store.read(path)
    assert record["pooled.size"] == 8 and record["scalars.columns"] == 512
    assert record["scalars.stable_rank"] == pytest.approx(1.13, abs=0.05)
    assert record["peak"] > 0


def test_figures_show_every_head_and_case():
    draw = pytest.importorskip("book.study.spectra.draw")
    spectra = {"a": np.geomspace(1, 1e-4, 30), "b": np.ones(30)}
    figure = draw.spectra_and_measures(spectra, {"H": {"a": 0.2, "b": 1.0}, "row": {"a": 0.5, "b": 0.1}})
    left, right = figure.axes
    assert len(left.lines) == 2
    assert [label.get_text() for label in right.get_yticklabels()] == ["H", "row"]
    case = {"kind": ["x", "x", "y"], "error": [0.1, 0, 0], "lower": [0, -1, -1], "upper": [0.2, 1, 1]}

    origin = records.Provenance("none", {"tokens": 2048}, {}, {}, {})
    columns = {name: records.Quantity(values, "1") for name, values in case.items()}
    stored = records.Record(origin, columns, "cpu", "2026-01-01", 1.0)
    figure = draw.accuracy([stored, stored])
    assert [ax.get_title() for ax in figure.axes] == ["N = 2,048"] * 2
    plt.close("all")


def test_bracket_figure_draws_the_truth():
    draw = pytest.importorskip("book.study.spectra.draw")
    fields = dict.fromkeys(Bracket.__dataclass_fields__, 1.0)
    brackets = [Bracket(**{**fields, "lower": 0.5, "upper": 2.0 - 0.1 * i}) for i in range(3)]
    (ax,) = draw.bracket_by_passes([4, 8, 16], brackets, truth=1.25).axes
    assert any(np.allclose(line.get_ydata(), 1.25) for line in ax.lines)
    plt.close("all")

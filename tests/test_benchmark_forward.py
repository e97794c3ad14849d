"""The forward benchmark runs at a toy size and reports every part for both ways of running."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from small_models import tiny_config

from book.study.runtime import draw


class Fake:
    """A record: what was measured, by name."""

    def __init__(self, measurements: dict) -> None:
        self.measurements = measurements

    def __getitem__(self, name: str) -> float:
        return self.measurements[name][0]


@pytest.fixture(scope="module")
def benchmark():
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "forward.py"
    spec = importlib.util.spec_from_file_location("forward_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="CPU peaks need Linux's /proc")
def test_reports_every_part(benchmark, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "MMAP_THRESHOLD", -99)  # unknown to mallopt: leave the test process alone
    config, out = tmp_path / "tiny.json", tmp_path / "out.json"
    config.write_text(json.dumps(tiny_config().to_dict()))
    options = f"--config {config} --frames 3 --size 32x48 --repeats 1 --rule uniform --m 0.5 --json {out}"
    result = benchmark.main(options.split())
    assert result == json.loads(out.read_text())
    plain, merged = result["runs"]
    assert list(plain["parts"]) == [
        "patch embed",
        "frame attention",
        "global attention",
        "MLP",
        "camera",
        "depth",
        "points",
    ]
    assert plain["parts"]["global attention"]["calls"] == tiny_config().depth
    assert (plain["kept"], merged["kept"]) == (1.0, pytest.approx(0.5, abs=0.02))
    for run in (plain, merged):
        named = sum(part["seconds"] for part in run["parts"].values()) + run["matching_seconds"]
        assert named > 0 and named + run["rest"] == pytest.approx(run["seconds"])
        assert sum(part["operations"] for part in run["parts"].values()) <= run["operations"]
    assert "x" in capsys.readouterr().out.split("uniform m=0.5")[1]


def test_operations_are_those_counted_by_hand(benchmark):
    model = benchmark.VGGT.from_seed(tiny_config(), 0).requires_grad_(False)
    run = benchmark.Run("plain", {name: benchmark.Part() for name, _ in benchmark.parts_of(model)})
    with torch.no_grad():
        benchmark.count_operations(run, model, lambda: model(torch.rand(3, 3, 32, 48)))
    tokens, width, depth = 3 * (24 + 5), 48, 3
    assert run.parts["MLP"].operations == 2 * depth * 2 * tokens * 8 * width**2
    projections, pairs = 8 * tokens * width**2, 4 * tokens**2 * width
    assert run.parts["global attention"].operations == depth * (projections + pairs)
    assert run.parts["frame attention"].operations == depth * (projections + pairs / 3)


def test_timing_leaves_no_hooks_behind(benchmark):
    model = benchmark.VGGT.from_seed(tiny_config(), 0)
    with pytest.raises(RuntimeError), benchmark.watched(model, float, lambda *_: None):
        raise RuntimeError
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_unknown_config(benchmark):
    with pytest.raises(SystemExit, match="choose small, vggt-1b"):
        benchmark.read_config("huge")


def test_a_record_names_every_part_and_the_page_makes_a_table_of_it(benchmark):
    def run(name: str, seconds: float, matching: float) -> dict:
        mlp = {"calls": 2, "seconds": 1.0, "operations": 40, "peak_bytes": 7}
        tracks = {"calls": 0, "seconds": 0.0, "operations": 0, "peak_bytes": 0}
        whole = {"name": name, "seconds": seconds, "operations": 60, "peak_bytes": 9}
        return whole | {"parts": {"MLP": mlp, "tracks": tracks}, "matching_seconds": matching, "rest": 0.5}

    result = {
        "machine": {"product_speed": 80.0},
        "runs": [run("plain", 4.0, 0.0), run("grid m=0.5", 2.0, 0.5)],
    }
    found = benchmark.measurements(result)
    assert found["grid m=0.5: matching: seconds"] == (0.5, "s")
    assert found["plain: MLP: peak_bytes"] == (7, "B")
    table = draw.parts_table(Fake(found), ["plain", "grid m=0.5"])
    assert list(table.index) == ["MLP", "matching", "rest", "whole"]
    assert table.loc["MLP", ("plain", "share")] == 0.25 and table.loc["MLP", ("plain", "of product")] == 0.5
    assert table.loc["matching", ("grid m=0.5", "share")] == 0.25
    assert table.loc["whole", ("grid m=0.5", "of product")] == 60 / 2 / 80

"""The forward benchmark runs at a toy size and reports every part for both ways of running."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from small_models import tiny_config


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
        "frame blocks",
        "global blocks",
        "camera",
        "depth",
        "points",
    ]
    assert plain["parts"]["global blocks"]["calls"] == tiny_config().depth
    assert (plain["kept"], merged["kept"]) == (1.0, pytest.approx(0.5, abs=0.02))
    for run in (plain, merged):
        assert 0 < sum(part["seconds"] for part in run["parts"].values()) <= run["seconds"]
    assert "x" in capsys.readouterr().out.split("uniform m=0.5")[1]


def test_timing_leaves_no_hooks_behind(benchmark):
    model = benchmark.VGGT.from_seed(tiny_config(), 0)
    with pytest.raises(RuntimeError), benchmark.watched(model, benchmark.Meter(torch.device("cpu")), False):
        raise RuntimeError
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_unknown_config(benchmark):
    with pytest.raises(SystemExit, match="choose small, vggt-1b"):
        benchmark.read_config("huge")

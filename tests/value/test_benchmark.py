"""The benchmark's commands, in small: what they measure is right; how long it takes is not looked at."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "benchmark.py"
SETTING = {"size": 16, "patch": 4, "dim": 16, "depth": 2, "heads": 2, "batch": 4, "unet-width": 4, "learner-steps": 1}
SMALL = [word for name, value in SETTING.items() for word in (f"--{name}", str(value))]


@pytest.fixture
def benchmark(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("benchmark", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*arguments: str) -> dict:
        out = tmp_path / "out.json"
        monkeypatch.setattr(sys, "argv", ["benchmark.py", *arguments, *SMALL, "--out", str(out)])
        monkeypatch.setattr(module.torch, "set_num_threads", lambda n: None)  # leave other tests their threads
        module.main()
        return json.loads(out.read_text())

    return run


def test_metagradient_times_every_estimator_rule_and_depth(benchmark, capsys):
    rows = benchmark(
        "metagradient", "--repeats", "1", "--rules", "dot", "adam", "--aligned-blocks", "1", "2", "--objectives", "mae"
    )["rows"]
    assert len(rows) == 3 * 2 * 2
    exact = [r for r in rows if r["estimator"] == "double_backward"]
    assert all(r["cosine_to_exact"] == pytest.approx(1) and r["relative_error"] < 1e-6 for r in exact)
    assert all(r["ratio"] == pytest.approx(r["meta_ms"] / r["ssl_ms"]) and r["ssl_ms"] > 0 for r in rows)
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| mae")]
    assert len(table) == len(rows)


def test_difference_step_reports_every_step(benchmark):
    result = benchmark("difference-step", "--relu-head", "--rules", "cosine", "--aligned-blocks", "1")
    assert [r["step"] for r in result["rows"][:6]] == [1e-2, 3e-3, 1e-3, 5e-4, 2e-4, 1e-4]
    assert len(result["rows"]) == 2 * 2 * 6
    assert result["settings"]["relu_head"] is True

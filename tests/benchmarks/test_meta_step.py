"""`metagradient` and `difference-step`, in small: what they measure is right; how long it takes is not looked at."""

import pytest

SETTING = {"size": 16, "patch": 4, "dim": 16, "depth": 2, "heads": 2, "batch": 4, "unet-width": 4, "learner-steps": 1}
SMALL = [word for name, value in SETTING.items() for word in (f"--{name}", str(value))]


@pytest.mark.slow
def test_metagradient_times_every_estimator_rule_and_depth(benchmark, capsys):
    words = ["--repeats", "1", "--rules", "dot", "adam", "--aligned-blocks", "1", "2", "--objectives", "mae"]
    result = benchmark("metagradient", *words, *SMALL)
    rows = result["rows"]
    assert len(rows) == 3 * 2 * 2
    exact = [r for r in rows if r["estimator"] == "double_backward"]
    assert all(r["cosine_to_exact"] == pytest.approx(1) and r["relative_error"] < 1e-6 for r in exact)
    for row in rows:  # one repetition: all three quartiles are the one number
        assert row["ssl_ms"][0] == row["ssl_ms"][2] > 0
        assert row["ratio"][1] == pytest.approx(row["meta_ms"][1] / row["ssl_ms"][1])
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| mae")]
    assert len(table) == len(rows)
    assert "CPU threads: 1" in result["machine"] and "medians [quartiles] of 1" in result["machine"]


@pytest.mark.slow
def test_difference_step_reports_every_step(benchmark):
    result = benchmark("difference-step", "--relu-head", "--rules", "cosine", "--aligned-blocks", "1", *SMALL)
    assert len(result["rows"]) == 2 * 2
    for row in result["rows"]:
        assert all(row[step] >= 0 for step in ("0.01", "0.003", "0.001", "0.0005", "0.0002", "0.0001", "chosen"))
    assert result["settings"]["relu_head"] is True
    assert "medians" not in result["machine"]

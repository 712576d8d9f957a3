"""`learner-step`, in small: a row for each variant, with ratios taken within a repetition."""

import pytest

SMALL = ["--size", "32", "--dim", "16", "--depth", "2", "--heads", "2", "--batch", "4", "--repeats", "1"]


@pytest.mark.parametrize("objective", ["simclr", "mae", "dino"])
def test_learner_step_times_every_variant(benchmark, capsys, objective):
    result = benchmark("learner-step", "--objective", objective, "--backend", "aot_eager", *SMALL)
    rows = {(row["precision"], row["blocks"]): row for row in result["rows"]}
    assert len(rows) == 4
    base = rows["fp32", "as written"]
    assert base["speed"] == base["processor_speed"] == [1, 1, 1]
    for row in rows.values():  # one repetition: all three quartiles are the one number
        assert row["speed"][1] == pytest.approx(base["step_ms"][1] / row["step_ms"][1])
        assert row["images_per_second"] == pytest.approx(4e3 / row["step_ms"][1])
    assert "fp32 and bf16" in result["machine"] and "| bf16 | compiled |" in capsys.readouterr().out

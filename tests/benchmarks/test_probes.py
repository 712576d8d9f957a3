"""`probes`, in small: both ways come to the same scores; how long they take is not looked at."""

import pytest

SMALL = '{"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 1}'


@pytest.mark.slow
def test_both_ways_come_to_the_same_scores(benchmark, capsys):
    numbers = {"size": 32, "train": 4, "val": 2, "steps": 2, "batch": 4, "repeats": 1, "heads": 2}
    words = [word for name, value in numbers.items() for word in (f"--{name}", str(value))]
    (row,) = benchmark("probes", "--model-args", SMALL, *words)["rows"]
    assert row["largest_difference_mIoU"] < 1e-3  # whole split in every step: the same batches
    assert row["plain_images_per_s"] == pytest.approx(2 * 2 * 4 / row["plain_ms"][1] * 1e3)
    assert row["processor_ratio"][1] > 0
    assert "| 2 |" in capsys.readouterr().out

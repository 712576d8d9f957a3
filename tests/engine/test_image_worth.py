"""What a run with `ImageWeights` on a mixture of folders records of its images and sources."""

import json

import numpy as np
import pytest

from vssl.engine.training import build_runner
from vssl.reports.policy.policy_page import write_policy_page


@pytest.mark.slow
def test_a_run_tells_which_images_and_sources_count(designed_config, two_folders, tmp_path):
    designed_config.unlabeled = two_folders
    designed_config.designer = dict(type="vssl.designers.ImageWeights", width=4)
    runner = build_runner(designed_config, tmp_path / "run", seed=0)
    runner.train()
    told = json.loads((tmp_path / "run/image_worth.json").read_text())
    assert told["images"] == 24 and [len(told[end]) for end in ("most", "least")] == [8, 8]
    most, least = ([entry["weight"] for entry in told[end]] for end in ("most", "least"))
    assert most == sorted(most, reverse=True) and least == sorted(least) and most[0] > 1 > least[0] > 0
    sources = {row["name"]: row for row in told["sources"]}
    assert sum(row["images"] for row in sources.values()) == 24 and sources.keys() == {"first", "second"}
    mean = sum(row["mean"] * row["images"] for row in sources.values()) / 24
    assert mean == pytest.approx(1.0, abs=1e-5)
    pictures = np.load(tmp_path / "run/image_worth.npz")
    assert pictures["most"].shape == pictures["least"].shape == (8, 32, 32, 3)
    page = write_policy_page(tmp_path / "run").read_text(encoding="utf-8")
    assert "Which images count" in page and "first" in page

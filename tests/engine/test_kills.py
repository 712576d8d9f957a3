"""Killed runs go on bit for bit: the short form of ``tools/benchmark.py kills``, and that it notices what is lost."""

import json
import random
import shutil

import pytest
import torch

from vssl.benchmarks.kills import differences, kill_and_compare
from vssl.engine.training import train

SHORT = {"budget": dict(steps=8), "checkpoint_interval": 3, "log_interval": 2, "snapshots": 2}


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "ranks"), [(0, 1), (2, 1), (0, 2)])
def test_killed_runs_end_as_an_unbroken_one(designed_config, tmp_path, workers, ranks):
    designed_config.dump(tmp_path / "config.py")
    options = SHORT | {"num_workers": workers}
    row, lost = kill_and_compare(tmp_path / "config.py", options, ranks, 3, tmp_path / "runs", random.Random(workers))
    assert not lost and row["lost"] == 0
    assert row["kills"] == 3 == sum(row[name] for name in ("SIGKILL", "SIGTERM", "SIGINT"))


@pytest.mark.slow
def test_what_is_lost_is_noticed(designed_config, tmp_path):
    designed_config.merge_from_dict(SHORT)
    run = train(designed_config, tmp_path / "run")
    shutil.copytree(run, tmp_path / "other")
    assert differences(run, tmp_path / "other") == []

    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows[1]["loss"] += 1e-7
    (tmp_path / "other/metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    content = torch.load(run / "checkpoint.pth", weights_only=True)
    content["designer_update"]["optimizer"]["state"][0]["exp_avg"][0] += 1e-7
    content["stream"]["position"] += 1
    torch.save(content, tmp_path / "other/checkpoint.pth")
    found = " ".join(differences(run, tmp_path / "other"))
    assert "metrics.jsonl: /1/loss" in found and "/stream/position" in found and "/optimizer/state/0/exp_avg" in found

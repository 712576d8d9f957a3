"""The probe benchmark in small: both ways come to the same scores; how long they take is not looked at."""

import argparse
import json

import pytest
import torch

from vssl.benchmarks import probes

SMALL = '{"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 1}'


def test_both_ways_come_to_the_same_scores(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)  # leave other tests their threads
    parser = argparse.ArgumentParser()
    probes.add_command(parser.add_subparsers())
    numbers = {"size": 32, "train": 4, "val": 2, "steps": 2, "batch": 4, "repeats": 1, "heads": 2}
    words = [word for name, value in numbers.items() for word in (f"--{name}", str(value))]
    arguments = parser.parse_args(["probes", "--model-args", SMALL, *words, "--out", str(tmp_path / "r.json")])
    arguments.run(arguments)
    (row,) = json.loads((tmp_path / "r.json").read_text())["rows"]
    assert row["largest_difference_mIoU"] < 1e-3  # whole split in every step: the same batches
    assert row["plain_images_per_s"] == pytest.approx(2 * 2 * 4 / row["plain_s"]) and row["processor_ratio"] > 0
    assert "| 2 |" in capsys.readouterr().out

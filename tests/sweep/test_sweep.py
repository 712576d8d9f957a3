"""Whole sweeps: what they leave, how they go on, what they give up, and what they hand over."""

import csv
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from vssl.engine import load_config, train
from vssl.sweep import read_sweep

pytestmark = pytest.mark.slow


def results(run: Path) -> dict:
    return json.loads((run / "results.json").read_text())


def table(run: Path) -> list[dict]:
    """What does not depend on the machine."""
    same = ("number", "state", "values", "scores", "on_the_way", "steps", "why")
    return [{key: trial[key] for key in same} for trial in results(run)["trials"]]


def test_it(with_scenes, sweep, capsys):
    run = sweep()
    print(capsys.readouterr().out)
    print((run / "results.md").read_text())
    print((run / "trials.csv").read_text())
    print((run / "best.py").read_text()[:600])

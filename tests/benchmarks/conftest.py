import json
from pathlib import Path

import pytest
import torch

from vssl.commands.benchmark import main


@pytest.fixture
def benchmark(monkeypatch, tmp_path):
    """Runs ``tools/benchmark.py`` and returns what it wrote to --out (``out``: a name to which it adds .json)."""

    def run(*arguments: str, out: Path = tmp_path / "out.json") -> dict:
        monkeypatch.setattr(torch, "set_num_threads", lambda n: None)  # leave other tests their threads
        assert main([*arguments, "--out", str(out)]) == 0
        return json.loads(out.with_suffix(".json").read_text())

    return run

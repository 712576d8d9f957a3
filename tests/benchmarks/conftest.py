import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

TOOL = Path(__file__).parents[2] / "tools" / "benchmark.py"


@pytest.fixture
def benchmark(monkeypatch, tmp_path):
    """Runs ``tools/benchmark.py`` and returns what it wrote to --out (``out``: a name to which it adds .json)."""
    spec = importlib.util.spec_from_file_location("benchmark", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*arguments: str, out: Path = tmp_path / "out.json") -> dict:
        monkeypatch.setattr(sys, "argv", ["benchmark.py", *arguments, "--out", str(out)])
        monkeypatch.setattr(torch, "set_num_threads", lambda n: None)  # leave other tests their threads
        module.main()
        return json.loads(out.with_suffix(".json").read_text())

    return run

"""How far each run of a comparison is, by the files that it has."""

from pathlib import Path

from vssl.reports import read_json

PROBED_FILE = "probed.json"


def state_of(run_dir: Path) -> str:
    """``"finished"``, ``"to probe"``, ``"to resume (step N)"`` or ``"to run"``."""
    if is_trained(run_dir):
        return "finished" if (run_dir / PROBED_FILE).is_file() else "to probe"
    if (run_dir / "checkpoint.pth").is_file():
        step = read_json(run_dir / "run.json").get("steps") if (run_dir / "run.json").is_file() else None
        return "to resume" if step is None else f"to resume (step {step})"
    return "to run"


def is_trained(run_dir: Path) -> bool:
    """Whether training there has ended."""
    return (run_dir / "run.json").is_file() and bool(read_json(run_dir / "run.json").get("finished"))

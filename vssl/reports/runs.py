"""Read what a run wrote: run.json, metrics.jsonl, probe results, and the note of how a comparison made it.

A comparison's folder holds ``<arm>/seed<k>/`` (a run directory with its ``probes/``) for every arm and seed, and
``start/seed<k>/probes/`` for the start checkpoint, whose own training, if there was one, is in ``start/run/``.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from vssl.scores import described

START = "start"
ORIGIN_FILE = "origin.json"
PREDICTIONS_FILE = "predictions.npz"
CALIBRATION_FILE = "calibration.json"

# The seed is the run's, and the head's last training loss is a measurement.
_NOT_PROTOCOL = ("seed", "final_training_loss")

_PROBE_AGAIN = "remove the run's probed.json, and tools/compare.py with the same arguments probes it again"
_TRAIN_AGAIN = "remove this file to report without it, or the run's folder to train and probe it again"


@dataclass(frozen=True)
class Run:
    """One arm × seed as read from disk.

    why_missing: None when the run can be used, otherwise what is not there yet.
    info: run.json. metrics, policy, one_step: rows of metrics.jsonl, policy.jsonl and one_step.jsonl.
    probes: ``{probe name: result}``. origin: how a comparison made it.
    """

    path: Path
    why_missing: str | None = None
    info: dict = field(default_factory=dict)
    metrics: list[dict] = field(default_factory=list)
    probes: dict[str, dict] = field(default_factory=dict)
    origin: dict = field(default_factory=dict)
    policy: list[dict] = field(default_factory=list)
    one_step: list[dict] = field(default_factory=list)


def run_directory(work_dir: str | Path, arm: str, seed: int) -> Path:
    return Path(work_dir) / arm / f"seed{seed}"


def read_run(path: Path, trained: bool = True) -> Run:
    """The run in `path`. With ``trained=False`` (the start checkpoint) only the probe results are expected.

    A run that was never started, has not finished or has no probe results is returned with `why_missing`; a file that
    is there and cannot be read raises ValueError with its name.
    """
    if trained and not (path / "run.json").is_file():
        return Run(path, why_missing="not run")
    info = read_json(path / "run.json") if trained else {}
    if trained:
        _require(info, ("steps", "seconds", "finished"), path / "run.json", "a run's record")
        if not info["finished"]:
            return Run(path, why_missing=f"not finished (step {info['steps']})", info=info)
    metrics = read_metrics(path / "metrics.jsonl") if (path / "metrics.jsonl").is_file() else []
    probes = read_probes(path / "probes")
    origin = read_json(path / ORIGIN_FILE) if (path / ORIGIN_FILE).is_file() else {}
    records = [read_lines(path / f"{name}.jsonl") for name in ("policy", "one_step")]
    return Run(path, None if probes else "not probed", info, metrics, probes, origin, *records)


def read_probes(folder: Path) -> dict[str, dict]:
    """``{name: result}`` of every ``<name>.json`` in `folder`, in the order of the probe set.

    Scores come back as float, None where a score is not finite, and each with its ``score_info``.
    """
    probes = {}
    for path in sorted(folder.glob("*.json")):
        result = read_json(path)
        _require(result, ("task", "scores"), path, "a probe result")
        try:
            scores = {name: _finite_or_none(value) for name, value in result["scores"].items()}
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path}: the scores are not numbers: {result['scores']!r}") from error
        probes[path.stem] = _described({"name": path.stem, **result, "scores": scores}, path, _PROBE_AGAIN)
    return dict(sorted(probes.items(), key=lambda probe: probe[1].get("position", len(probes))))


def read_metrics(path: Path) -> list[dict]:
    """Rows of metrics.jsonl, in step order; of a step that was logged twice (before and after a resume) the later row.

    An unfinished last line, which a killed run leaves, is dropped. Any other broken line raises ValueError.
    """
    text = path.read_text(encoding="utf-8")
    lines, rows = text.splitlines(), {}
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            rows[row["step"]] = row
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            if number == len(lines) and not text.endswith("\n"):
                break
            raise ValueError(f"{path}, line {number}: not a log row with a step: {line[:80]!r}") from error
    return [rows[step] for step in sorted(rows)]


def read_online_probes(path: Path, cards: dict[str, dict]) -> list[dict]:
    """Rows of online_probes.jsonl as log rows: step, seconds, ``probe/<probe>/<score>``.

    A probe with another protocol than the final one of its name (`cards`) is another measurement; its scores come as
    ``online/<probe>/<score>``, and `score_info` says what they mean. An unfinished last line is dropped.
    """
    text, rows = path.read_text(encoding="utf-8"), []
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        row = json.loads(line)
        info = _described({"task": row["probe"], **row}, path, _TRAIN_AGAIN)["score_info"]
        kind = "probe" if protocol_of(row) == cards.get(row["probe"]) else "online"
        scores = {f"{kind}/{row['probe']}/{name}": value for name, value in row["scores"].items()}
        rows.append({"step": row["step"], "seconds": row["seconds"], "score_info": info, **scores})
    return rows


def read_lines(path: Path) -> list[dict]:
    """JSON objects, one a line; an unfinished last line, which a killed run leaves, is dropped."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    lines, rows = text.splitlines(), []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            row["step"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            if number == len(lines) and not text.endswith("\n"):
                break
            raise ValueError(f"{path}, line {number}: not a row with a step: {line[:80]!r}") from error
        rows.append(row)
    return rows


def read_json(path: Path) -> dict:
    """The JSON object in `path`; FileNotFoundError or ValueError with the file's name."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not readable JSON ({error}); delete it and run the comparison again") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, expected a JSON object")
    return content


def seconds_per_phase(metrics: list[dict]) -> dict[str, float]:
    """Mean seconds per learner step of every ``time/<phase>``, over the whole run.

    Each row is a mean over the steps since the row before it, so rows are weighted by their number of steps.
    """
    totals: dict[str, float] = {}
    previous = 0
    for row in metrics:
        weight, previous = row["step"] - previous, row["step"]
        for key, value in row.items():
            if key.startswith("time/") and math.isfinite(value):
                totals[key[5:]] = totals.get(key[5:], 0.0) + weight * value
    return {phase: total / previous for phase, total in totals.items()} if previous > 0 else {}


def protocol_of(result: dict) -> dict:
    """A probe result's protocol card without what legitimately differs between runs of one protocol."""
    return {key: value for key, value in result.get("card", {}).items() if key not in _NOT_PROTOCOL}


def _described(result: dict, path: Path, again: str) -> dict:
    try:
        return described(result)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; {again}") from error


def _require(content: dict, keys: tuple[str, ...], path: Path, what: str) -> None:
    missing = [key for key in keys if key not in content]
    if missing:
        raise ValueError(f"{path}: {what} without {', '.join(missing)} (it has: {', '.join(content) or 'nothing'})")


def _finite_or_none(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None

"""Rows of the store, made from what runs and probes wrote."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vssl.compat import file_digest
from vssl.config_files import read_config
from vssl.engine.run_directory import FREE
from vssl.engine.settings import flat_settings
from vssl.reports import CALIBRATION_FILE, ORIGIN_FILE, START, read_json
from vssl.reports.compare.matched_budgets import read_calibration
from vssl.results.rows import Entry, digest, portable_protocol
from vssl.scores import described
from vssl.whole_files import EXPORTED

# Of run.json: two clocks never agree, and the same steps to the same weights are the same result on any version.
_NOT_CONTENT = ("environment", "seconds", "warnings", "vssl_version")


def run_entry(folder: Path) -> Entry | None:
    """The run in `folder`; None if it has not finished.

    Raises:
        ValueError, FileNotFoundError: a file is missing or damaged; the message names it.
    """
    info = read_json(folder / "run.json")
    missing = [key for key in ("arm", "seed", "steps", "seconds", "finished") if key not in info]
    if missing:
        raise ValueError(f"{folder / 'run.json'}: not a run's record, it has no {', '.join(missing)}")
    if not info["finished"]:
        return None
    origin = read_json(folder / ORIGIN_FILE) if (folder / ORIGIN_FILE).is_file() else {}
    written = origin.get("settings") or _settings(folder)
    start = info.get("start_sha256") or origin.get("start_sha256")
    settings = _science(written, info.get("data", {}), start)
    environment = info.get("environment") or origin.get("environment") or {}
    backbone = folder / EXPORTED
    columns = {
        "arm": info["arm"],
        "seed": info["seed"],
        "objective": info.get("objective"),
        "designer": info.get("designer"),
        "steps": info["steps"],
        "seconds": info["seconds"],
        "config": digest(settings),
        "recipe": digest({key: value for key, value in settings.items() if not key.startswith("budget.")}),
        "start": start,
        "dataset": _stream(written, info.get("data", {})),
        "weights": file_digest(backbone) if backbone.is_file() else None,
        "git": environment.get("commit"),
        "path": str(folder.absolute()),
    }
    # `origin` has the budget as it was declared; empty means the steps of another arm.
    record = {
        "run": info, "settings": written, "budget": origin.get("budget", info.get("budget")), "environment": environment
    }  # fmt: skip
    content = digest({key: value for key, value in info.items() if key not in _NOT_CONTENT})
    identity = digest([columns["arm"], columns["config"], columns["seed"], start])
    return Entry("runs", identity, content, columns, record, _comparison(folder, columns["arm"]))


def probe_entries(file: Path, run_id: Callable[[Path], str | None]) -> list[Entry]:
    """The results in a file of ``vssl probe`` (a list) or of a comparison (one result).

    Args:
        run_id: the id of the finished run in a folder, or None; a result of another backbone belongs to no run.

    Raises:
        ValueError: the file holds something else; the message names it.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        results = content if isinstance(content, list) else [{"name": file.stem, **content}]
        return [_probe_entry(result, file, run_id) for result in results]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{file}: not a probe result ({why})") from error


def _probe_entry(result: dict, file: Path, run_id: Callable[[Path], str | None]) -> Entry:
    result = described(result)
    result["scores"] = {name: _finite_or_none(value) for name, value in result["scores"].items()}
    if not result["scores"]:
        raise ValueError("it has no scores")
    card, name = result.get("card", {}), result.get("name", result["task"])
    folder = _run_of(result.get("backbone"), file)
    run = None if folder is None else run_id(folder)
    protocol = portable_protocol(result)
    # A run's results stay its own where two arms end with the same weights.
    owner = run or result.get("weights") or result.get("protocol") or result.get("backbone")
    columns = {
        "run": run,
        "backbone": result.get("backbone") or str(file.absolute().parent.parent),
        "model": card.get("model"),
        "probe": name,
        "task": result["task"],
        "seed": card.get("seed", 0),
        "protocol": digest(protocol),
        "weights": result.get("weights"),
        "dataset": _dataset(card.get("data")),
        "seconds": result.get("seconds"),
        "path": str(file.absolute()),
    }
    said = {key: result.get(key) for key in ("scores", "per_class", "counts", "weights")}
    content = digest({**said, "versions": card.get("versions")})
    return Entry(
        "probes", digest([name, columns["protocol"], columns["seed"], owner]), content, columns, {"result": result}
    )


def _settings(folder: Path) -> dict[str, Any]:
    if not (folder / "config.py").is_file():
        raise FileNotFoundError(f"{folder} has a run.json but no config.py: the settings of the run are not known")
    return flat_settings(read_config(folder / "config.py"))


def _stream(settings: Mapping[str, Any], data: Mapping[str, str | None]) -> str | None:
    """What tells one stream of unlabeled images from another: of one folder its data set, of several all of it."""
    if "unlabeled.root" in settings:
        return data.get("unlabeled.root")
    said = {key: data.get(key) or value for key, value in settings.items() if key.startswith("unlabeled.")}
    return digest(said) if said else None


def _science(settings: Mapping[str, Any], data: Mapping[str, str | None], start: str | None) -> dict[str, Any]:
    """What decides the result: without the seed, what is only written, and where things lie."""
    kept = {key: value for key, value in settings.items() if key.split(".")[0] not in (*FREE, "seed")}
    if replayed := settings.get("designer_checkpoint"):  # arm, seed and file of the run whose designer it is
        kept["designer_checkpoint"] = "/".join(Path(replayed).parts[-3:])
    kept |= {key: f"dataset {known}" for key, known in data.items() if known}
    if start and kept.get("continue_run"):
        kept["continue_run"] = "the run of the start"
    return kept


def _comparison(folder: Path, arm: str) -> dict[str, Any]:
    """What the comparison that made the run says: title, the arm's label, the baseline, how the cost was matched."""
    work_dir = folder.absolute().parent.parent
    if not (folder / ORIGIN_FILE).is_file() or arm == START:
        return {}
    about: dict[str, Any] = {"title": work_dir.name, "label": arm, "baseline": None, "calibration": None}
    if (work_dir / "results.json").is_file():
        results = read_json(work_dir / "results.json")
        if arm in results.get("arms", {}):
            about |= {key: results.get(key) or about[key] for key in ("title", "baseline")}
            about["label"] = results["arms"][arm].get("label", arm)
    if (work_dir / arm / CALIBRATION_FILE).is_file():
        about["calibration"] = read_calibration(work_dir, arm)
    return about


def _run_of(label: str | None, file: Path) -> Path | None:
    """The folder of the run whose backbone was probed, as far as the result's label and place tell."""
    run, backbone = file.absolute().parent.parent, Path(label or EXPORTED)
    if backbone.name != EXPORTED:
        return None  # released or random weights, or one network of several in a file
    if backbone.parent.name in ("", run.name):
        return run
    if run.parent.name == START and backbone.parts[-3:-1] == (START, "run"):
        return run.parent / "run"
    return backbone.absolute().parent


def _finite_or_none(value: Any) -> float | None:
    number = math.nan if value is None else float(value)
    return number if math.isfinite(number) else None


def _dataset(data: Any) -> str | None:
    """Digest of what the card says of how the data was made; None where it says nothing."""
    made = {key: value for key, value in data.items() if key != "root"} if isinstance(data, Mapping) else {}
    return digest(made) if made else None

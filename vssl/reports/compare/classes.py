"""Scores per class (IoU and the like) of every arm, mean over seeds."""

from pathlib import Path

from vssl.reports.metrics import format_number
from vssl.reports.runs import read_probes


def per_class_tables(results: dict, work_dir: Path) -> list[dict]:
    """A table for each probe whose results have ``per_class``."""
    arms = [results["start"], *results["arms"].values()]
    by_arm = [_mean_per_class(arm, work_dir) for arm in arms]
    header, tables = ["class", *(arm["label"] for arm in arms)], []
    for probe in dict.fromkeys(probe for means in by_arm for probe in means):
        classes = dict.fromkeys(name for means in by_arm for name in means.get(probe, {}))
        rows = [[name, *(format_number(means.get(probe, {}).get(name), 2) for means in by_arm)] for name in classes]
        tables.append({"probe": probe, "header": header, "rows": rows})
    return tables


def _mean_per_class(arm: dict, work_dir: Path) -> dict[str, dict[str, float]]:
    """``{probe: {class: mean over seeds}}``. A class that a seed's result lacks (or has as null) is skipped there."""
    values: dict[str, dict[str, list[float]]] = {}
    for run in arm["runs"].values():
        for probe, result in read_probes(work_dir / run["run_dir"] / "probes").items():
            for name, score in _flat(result.get("per_class") or {}).items():
                if score is not None and score == score:
                    values.setdefault(probe, {}).setdefault(name, []).append(score)
    return {probe: {name: sum(v) / len(v) for name, v in classes.items()} for probe, classes in values.items()}


def _flat(per_class: dict) -> dict[str, float | None]:
    """``{"wall": 70.1}`` as it is, ``{"IoU": {"wall": 70.1}}`` as ``{"wall (IoU)": 70.1}``."""
    flat: dict[str, float | None] = {}
    for key, value in per_class.items():
        if isinstance(value, dict):
            flat |= {f"{name} ({key})": score for name, score in value.items()}
        else:
            flat[key] = value
    return flat

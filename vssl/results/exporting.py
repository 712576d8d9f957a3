"""The store's content as CSV, one line a score, or as JSON, everything."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from vssl.results.measurements import Measurement

COLUMNS = (
    "result", "run", "backbone", "arm", "seed", "probe_seed", "probe", "score", "value", "unit", "better", "protocol",
    "objective", "designer", "steps", "seconds", "probe_seconds", "config", "start", "dataset", "probe_dataset",
    "commit", "path",
)  # fmt: skip


def as_csv(found: Sequence[Measurement]) -> str:
    """One line per score, in the units of its probe; scores that are not finite have no value."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for one in found:
        for name, score in one.info.items():
            value = one.result["scores"].get(name)
            about = {"score": name, "value": value, "unit": score.unit, "better": score.better}
            writer.writerow({**_described(one), **about})
    return text.getvalue()


def as_json(found: Sequence[Measurement], runs: Sequence[Mapping[str, Any]]) -> str:
    """``{"runs": […], "probes": […]}``: every column and all that was written of each."""
    content = {"runs": list(runs), "probes": [one.row for one in found]}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _described(one: Measurement) -> dict[str, Any]:
    row, run = one.row, one.run or {}
    return {
        "result": row["id"],
        "run": row["run"],
        "backbone": one.backbone,
        "seed": one.seed,
        "probe_seed": row["seed"],
        "probe": row["probe"],
        "protocol": row["protocol"],
        "probe_seconds": row["seconds"],
        "probe_dataset": row["dataset"],
        "path": row["path"],
        "commit": run.get("git"),
        **{key: run.get(key) for key in ("arm", "objective", "designer", "steps", "seconds", "config", "start")},
        "dataset": run.get("dataset"),
    }

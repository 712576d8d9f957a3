"""The results as a plain-text table for the terminal."""

from vssl.reports.compare.matched_budgets import cost_lines, mean_of, mean_seconds
from vssl.reports.metrics import format_difference, format_number


def format_table(results: dict) -> str:
    """Start checkpoint and arms with mean ± std of every headline metric; under it the paired difference to the
    baseline, or to the arm that this one is set against, with its 95 % interval."""
    metrics = [metric for metric in results["metrics"] if metric["headline"]]
    header = ["", "seeds", "steps", "seconds", *map(_title, metrics)]
    rows = [header]
    for arm in (results["start"], *results["arms"].values()):
        rows += _rows(arm, metrics, set_against(results, arm))
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("─" * width for width in widths))
    baseline = results["arms"][results["baseline"]]["label"]
    other = " (or to the arm named there)" if any(set_against(results, arm) for arm in results["arms"].values()) else ""
    help_line = f"mean ± std over seeds; below it: difference to {baseline}{other}, paired over seeds [95 % interval]"
    verdict = results["verdict"]
    judged = [
        f"{verdict['compared']}, mean and paired 95 % interval:",
        *(f"  {line['text']}" for line in verdict["lines"]),
    ]
    if verdict["headroom"]:
        judged.append(verdict["headroom"])
    notes = [f"note: {note}" for note in results["notes"]]
    return "\n".join(
        [
            *lines,
            help_line,
            *cost_lines(results),
            "",
            verdict["headline"],
            *(judged if verdict["lines"] else []),
            *notes,
        ]
    )


def _title(metric: dict) -> str:
    unit = f" ({metric['unit']})" if metric["unit"] else ""
    return f"{metric['title']}{unit}{' ↓' if metric['lower_is_better'] else ''}"


def _rows(arm: dict, metrics: list[dict], reference: str) -> list[list[str]]:
    about = [arm["label"], str(len(arm["runs"])), mean_of(arm, "steps", 0), mean_seconds(arm)]
    scores = [format_summary(arm["aggregate"].get(metric["key"]), metric["digits"]) for metric in metrics]
    differences = [
        format_difference(arm["difference"][metric["key"]], metric["digits"])
        if metric["key"] in arm.get("difference", {})
        else ""
        for metric in metrics
    ]
    shown = [[reference and f"  − {reference}", "", "", "", *differences]] if any(differences) else []
    return [about + scores, *shown]


def set_against(results: dict, arm: dict) -> str:
    """The label of the arm that `arm` is compared with, where that is not the baseline; else an empty text."""
    other = arm.get("against", results["baseline"])
    return "" if other == results["baseline"] else results["arms"][other]["label"]


def format_summary(summary: dict | None, digits: int) -> str:
    """``41.20 ± 0.35``; the mean alone for a single seed; ``–`` without a score."""
    if summary is None:
        return "–"
    mean = format_number(summary["mean"], digits)
    return mean if summary["std"] is None else f"{mean} ± {format_number(summary['std'], digits)}"

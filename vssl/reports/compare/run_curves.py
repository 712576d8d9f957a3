"""What changed over a run: its log, and its probe scores, over the budget clock."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vssl.reports.compare.matched_budgets import time_unit
from vssl.reports.drawing import START_COLOUR, arm_colours, panels, with_unit
from vssl.reports.metrics import describe_metrics, scores_of

Logs = dict[str, dict[int, list[dict]]]  # arm → seed → rows of metrics.jsonl

FEEDBACK = "feedback_loss/"
# log key → panel title
CURVES = {
    "loss": "SSL loss",
    "value": "value V",
    "cosine": "cosine(g_down, g_pre)",
    FEEDBACK: "feedback loss",  # a panel for each task
    "g_pre_norm": "‖g_pre‖",
    "mask/mean": "mean of the mask",
    "rankme": "RankMe of the features",
}


def curves_figure(results: dict, logs: Logs) -> Figure | None:
    """Log curves over the budget clock: a thin line per seed, a thick one for the mean over seeds.

    Args:
        logs: rows of metrics.jsonl per arm and seed.
    """
    rows = [row for by_seed in logs.values() for log in by_seed.values() for row in log]
    titles = _titles(rows)
    keys = list(titles)
    return panels(
        "curves",
        results,
        len(keys),
        lambda index: titles[keys[index]],
        lambda axes, index: _curves(axes, results, logs, keys[index]),
    )


def _titles(rows: list[dict]) -> dict[str, str]:
    """Title of the panel of each log key that the rows hold, in the order of the panels."""
    logged = dict.fromkeys(key for row in rows for key in row)
    titles: dict[str, str] = {}
    for known, title in CURVES.items():
        if known == FEEDBACK:
            titles |= {key: f"{title}, {key.removeprefix(FEEDBACK)}" for key in logged if key.startswith(FEEDBACK)}
        elif known in logged:
            titles[known] = title
    return titles


def _curves(axes: Axes, results: dict, logs: Logs, key: str) -> None:
    colours = arm_colours(results)
    for name, by_seed in logs.items():
        curves = [curve for curve in (_series(log, key) for log in by_seed.values()) if len(curve[0])]
        for seconds, values in curves:
            axes.plot(seconds, values, color=colours[name], lw=0.7, alpha=0.35)
        if len(curves) > 1:
            axes.plot(*_mean_curve(curves), color=colours[name], lw=1.8)
        elif curves:
            axes.plot(*curves[0], color=colours[name], lw=1.8)
    if key == "cosine":
        axes.axhline(0, color="#333333", lw=0.8)
    axes.set_xlabel(time_unit(results))


def _series(log: list[dict], key: str) -> tuple[list[float], list[float]]:
    points = [(row["seconds"], row[key]) for row in log if key in row and "seconds" in row]
    points = [point for point in points if point[1] is not None and math.isfinite(point[1])]
    return [seconds for seconds, _ in points], [value for _, value in points]


def _mean_curve(curves: list[tuple[list[float], list[float]]]) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the curves where all of them have values, each interpolated onto one grid of seconds."""
    first, last = max(seconds[0] for seconds, _ in curves), min(seconds[-1] for seconds, _ in curves)
    grid = np.linspace(first, max(first, last), 100)
    return grid, np.mean([np.interp(grid, seconds, values) for seconds, values in curves], axis=0)


def probe_curves_figure(results: dict, logs: Logs) -> Figure | None:
    """Headline scores over the budget clock, from the start checkpoint (0 s) to each run's end.

    Points in between come from log rows with ``probe/<probe>/<score>``, where a run was probed on its way; rows with
    ``online/<probe>/<score>`` are of another protocol and have panels of their own.
    """
    metrics = [metric for metric in results["metrics"] if metric["headline"]]
    online = _online_metrics(logs)
    titles = [with_unit(metric["title"], metric) for metric in metrics]
    titles += [with_unit(f"{metric['title']}, online", metric) for metric in online]

    def draw(axes: Axes, index: int) -> None:
        if index < len(metrics):
            _probe_curve(axes, results, logs, metrics[index])
        else:
            _curves(axes, results, logs, f"online/{online[index - len(metrics)]['key']}")

    return panels("probe-curves", results, len(titles), titles.__getitem__, draw)


def _online_metrics(logs: Logs) -> list[dict]:
    """Headline metrics of the probes that only ran during training."""
    info: dict[str, dict[str, dict]] = {}
    for row in (row for by_seed in logs.values() for log in by_seed.values() for row in log):
        for key in (key for key in row if key.startswith("online/")):
            _, probe, name = key.split("/")
            info.setdefault(probe, {})[name] = row["score_info"][name]
    return [metric.as_dict() for metric in describe_metrics(info) if metric.headline]


def _probe_curve(axes: Axes, results: dict, logs: Logs, metric: dict) -> None:
    colours = arm_colours(results)
    start = results["start"]["aggregate"].get(metric["key"])
    start_scores = scores_of(results["start"], metric["key"])
    for name, arm in results["arms"].items():
        for seed, score in scores_of(arm, metric["key"]).items():
            run = arm["runs"][str(seed)]
            seconds, values = _series(logs.get(name, {}).get(seed, []), f"probe/{metric['key']}")
            begin = start_scores.get(seed, start["mean"] if start else None)
            if begin is not None and 0.0 not in seconds:
                seconds, values = [0.0, *seconds], [begin, *values]
            axes.plot(
                [*seconds, run["seconds"]], [*values, score], "o-", color=colours[name], lw=1.2, ms=3.5, alpha=0.7
            )
    if start:
        axes.axhline(start["mean"], color=START_COLOUR, ls="--", lw=1.2)
    axes.set_xlabel(time_unit(results))

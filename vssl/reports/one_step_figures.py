"""The one-step probe on a page: predicted against realised drop of the downstream loss."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vssl.reports.drawing import style
from vssl.reports.metrics import format_number
from vssl.reports.statistics import ENOUGH_PAIRS, PairedDifference, correlation, paired_difference

KINDS = {"designed": "#D55E00", "base": "#0072B2", "untrained": "#999999", "flipped": "#CC79A7"}
OPTIMIZERS = {"sgd": "SGD", "adamw": "AdamW"}
MILLI = 1e3


def select(rows: list[dict], **wanted: str) -> list[dict]:
    """Rows with these values."""
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def one_step_figure(rows: list[dict]) -> Figure | None:
    """A scatter per task and optimizer; the line is predicted = realised."""
    tasks, optimizers = (list(dict.fromkeys(row[key] for row in rows)) for key in ("task", "optimizer"))
    if not rows:
        return None
    with style("one-step"):
        figure = Figure(figsize=(11, 3.3 * len(tasks) + 0.4), layout="constrained")
        grid = figure.subplots(len(tasks), max(len(optimizers), 2), squeeze=False)
        for task, line in zip(tasks, grid, strict=True):
            for axes in line[len(optimizers) :]:
                axes.set_axis_off()
            for optimizer, axes in zip(optimizers, line, strict=False):
                _scatter(axes, select(rows, task=task, optimizer=optimizer))
                axes.set_title(f"{task}, {OPTIMIZERS.get(optimizer, optimizer)}", fontsize=9.5)
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=5, fontsize=8.5)
    return figure


def _scatter(axes: Axes, rows: list[dict]) -> None:
    for kind, colour in KINDS.items():
        chosen = select(rows, views=kind)
        x, y = ([MILLI * row[key] for row in chosen] for key in ("predicted", "realised"))
        # untrained views are those of the recipe for a policy: a ring leaves the base view's point visible
        ring = dict(mfc="none", mec=colour, ms=8, mew=1.0) if kind == "untrained" else dict(mec="white", ms=5, mew=0.6)
        axes.plot(x, y, "o", color=colour, label=f"{kind} views", alpha=0.85, **ring)
    values = [MILLI * row["predicted"] for row in rows]
    ends = [min(values), max(values)]
    axes.plot(ends, ends, color="#333333", lw=1, ls="--", label="predicted = realised")
    axes.axhline(0, color="#bbbbbb", lw=0.8)
    axes.axvline(0, color="#bbbbbb", lw=0.8)
    axes.set_xlabel("predicted drop of the loss, × 10⁻³", fontsize=8)
    axes.set_ylabel("realised drop, × 10⁻³", fontsize=8)
    designed = select(rows, views="designed")
    found = correlation(*([row[key] for row in designed] for key in ("predicted", "realised")))
    text = "too few one-step probes for a correlation" if found is None else f"designed views: {format_r(found)}"
    axes.set_title(f"{text}, n = {len(designed)}", loc="right", fontsize=8, weight="normal", color="#444444")
    axes.tick_params(labelsize=8)


def format_r(found: tuple[float, float, float]) -> str:
    """``r = 0.66 [0.41, 0.82]``."""
    r, low, high = (format_number(value, 2) for value in found)
    return f"r = {r} [{low}, {high}]"


def one_step_table(rows: list[dict]) -> dict | None:
    """r and mean drops per task, optimizer and kind of view, and the difference to base views step by step; None
    without a one-step probe."""
    if not rows:
        return None
    lines = []
    for task in dict.fromkeys(row["task"] for row in rows):
        for optimizer in dict.fromkeys(row["optimizer"] for row in rows):
            of_both = select(rows, task=task, optimizer=optimizer)
            base = select(of_both, views="base")
            for kind in (kind for kind in KINDS if select(of_both, views=kind)):
                first = f"{task}, {OPTIMIZERS.get(optimizer, optimizer)}" if kind == "designed" else ""
                chosen = select(of_both, views=kind)
                shown = dict.fromkeys(("difference", "outcome", "interval"), "")
                shown |= {} if kind == "base" else _difference(chosen, base)
                lines.append({"cells": [first, kind, *_cells(chosen)], **shown})
    return {"rows": lines, "probes": len({row["step"] for row in rows})}


def _cells(rows: list[dict]) -> list[str]:
    predicted = [row["predicted"] for row in rows]
    cells = []
    for key in ("realised", "realised_whole"):
        found = correlation(predicted, [row[key] for row in rows])
        cells.append("–" if found is None else format_r(found).removeprefix("r = "))
    means = [np.mean(predicted), np.mean([row["realised"] for row in rows])]
    return cells + [format_number(MILLI * float(mean), 3, signed=True) for mean in means]


def difference_to_base(rows: list[dict], base: list[dict]) -> PairedDifference | None:
    """Realised drop minus that of the base views, within each one-step probe; None where no two share one."""
    ours, theirs = ({row["step"]: row["realised"] for row in of} for of in (rows, base))
    return paired_difference(ours, theirs) if set(ours) & set(theirs) else None


def _difference(rows: list[dict], base: list[dict]) -> dict[str, str]:
    difference = difference_to_base(rows, base)
    if difference is None:
        return {"difference": "–"}
    if all(value == 0 for value in difference.per_seed):
        return {"difference": "0, the same views"}
    mean = format_number(MILLI * difference.mean, 3, signed=True)
    if difference.low is None:
        return {"difference": f"{mean} (one measurement)"}
    low, high = (format_number(MILLI * end, 3) for end in (difference.low, difference.high))
    unclear = difference.n < ENOUGH_PAIRS or difference.low <= 0 <= difference.high
    outcome = "" if unclear else "better" if difference.mean > 0 else "worse"
    return {"difference": mean, "outcome": outcome, "interval": f" [{low}, {high}]"}

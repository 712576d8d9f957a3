"""The value of the designer's steps over time, and ∂V/∂parameter with its standard error."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vssl.reports.drawing import style
from vssl.reports.statistics import moving_mean, whole_run

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#7A4FBF", "#8B4513")
_Z_SHOWN = 4.0  # colours of the heat map end here

# panel title → log keys or key prefixes (ending in "/": one line per task)
_PANELS = {
    "value V": ("value",),
    "cosine of g_down and g_pre": ("cosine", "cosine/"),
    "cosine between tasks' g_down": ("cosine_between/",),
    "‖g_down‖": ("g_down_norm/",),
    "‖g_pre‖": ("g_pre_norm",),
    "‖∂(penalty − V)/∂φ‖": ("designer_gradient_norm",),
    "feedback loss": ("feedback_loss/",),
    "credit: ∂V/∂weight of the loss's parts": ("credit/",),
    "weights of the loss's parts": ("weight/",),
    "the option that is taken": ("choice/",),
    "penalty": ("penalty",),
    "mean of the mask": ("mask/mean",),
}


def value_figure(metrics: list[dict]) -> Figure | None:
    """Log curves of the value and its parts over the steps; thin as logged, thick a moving mean."""
    found = {title: _series(metrics, keys) for title, keys in _PANELS.items()}
    found = {title: lines for title, lines in found.items() if lines}
    if "value V" not in found:
        return None
    with style("value"):
        rows = math.ceil(len(found) / 3)
        figure = Figure(figsize=(11, 2.1 * rows + 0.2), layout="constrained")
        grid = figure.subplots(rows, 3, squeeze=False).ravel()
        for axes in grid[len(found) :]:
            axes.set_axis_off()
        for axes, (title, lines) in zip(grid, found.items(), strict=False):
            axes.set_title(title, fontsize=9.5)
            for i, (label, (steps, values)) in enumerate(lines.items()):
                colour, single = _COLOURS[i % len(_COLOURS)], "o" if len(steps) == 1 else None
                axes.plot(steps, values, color=colour, lw=0.7, alpha=0.4)
                axes.plot(steps, moving_mean(values), color=colour, lw=1.8, marker=single, label=label)
            if "cosine" in title:
                axes.axhline(0, color="#333333", lw=0.8)
            if len(lines) > 1:
                axes.legend(fontsize=7.5, handlelength=1.2)
            axes.set_xlabel("step", fontsize=8)
            axes.tick_params(labelsize=7.5)
    return figure


def _series(metrics: list[dict], keys: tuple[str, ...]) -> dict[str, tuple[list[int], np.ndarray]]:
    lines = {}
    for key in sorted({name for row in metrics for name in row}):
        label = next((_label(key, wanted) for wanted in keys if _label(key, wanted)), None)
        if label is None:
            continue
        points = [(row["step"], row[key]) for row in metrics if isinstance(row.get(key), (int, float))]
        points = [(step, value) for step, value in points if math.isfinite(value)]
        if points:
            lines[label] = [step for step, _ in points], np.array([value for _, value in points])
    return lines


def _label(key: str, wanted: str) -> str | None:
    """What the line of a log key is called in a panel that wants it; None if it does not."""
    if key == wanted:
        return "all tasks combined" if key == "cosine" else key
    is_task = wanted.endswith("/") and key.startswith(wanted)
    return key.removeprefix(wanted).replace("/", " and ") if is_task else None


def gradient_figure(policy: list[dict]) -> Figure | None:
    """Left: mean over the run with a 95 % interval, in standard errors. Right: the same per interval, as colours."""
    rows = whole_run(policy)
    if not rows:
        return None
    steps = [row["step"] for row in policy if row.get("gradient", {}).get("parameters")]
    with style("gradient"):
        figure = Figure(figsize=(11, 0.9 + 0.2 * len(rows)), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        _intervals(left, rows)
        _over_time(right, rows, steps, figure)
    return figure


def _intervals(axes: Axes, rows: list[dict]) -> None:
    axes.axvspan(-1.96, 1.96, color="#eeeeee", zorder=0)
    axes.axvline(0, color="#333333", lw=1)
    for y, row in enumerate(rows):
        colour = "#999999" if abs(row["z"]) < 1.96 else _COLOURS[0] if row["z"] > 0 else _COLOURS[1]
        axes.plot([row["z"] - 1.96, row["z"] + 1.96], [y, y], color=colour, lw=1.6)
        axes.plot(row["z"], y, "o", color=colour, ms=4.5)
    axes.set_yticks(range(len(rows)), [row["label"] for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_title("∂V/∂offset over the run, in standard errors", fontsize=9.5)
    axes.set_xlabel("mean / SE, with 95 % interval; grey band: cannot be told from 0", fontsize=8)


def _over_time(axes: Axes, rows: list[dict], steps: list[int], figure: Figure) -> None:
    z = np.array([[np.nan if value is None else value for value in row["z_by_time"]] for row in rows])
    shown = axes.imshow(z, cmap="RdBu", vmin=-_Z_SHOWN, vmax=_Z_SHOWN, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(len(steps)), [str(step) for step in steps], fontsize=7.5)
    axes.set_yticks([])
    axes.grid(False)
    axes.set_title("per interval between snapshots", fontsize=9.5)
    axes.set_xlabel("up to step", fontsize=8)
    bar = figure.colorbar(shown, ax=axes, fraction=0.04, pad=0.02)
    bar.set_label("mean / SE", fontsize=8)
    bar.ax.tick_params(labelsize=7.5)

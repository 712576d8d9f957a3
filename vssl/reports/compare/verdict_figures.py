"""The verdict and the cost of a comparison as charts, drawn from its results."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vssl.reports.compare.matched_budgets import time_unit
from vssl.reports.compare.table import set_against
from vssl.reports.drawing import START_COLOUR, arm_colours, style, with_unit
from vssl.reports.metrics import scores_of

_PHASE_COLOURS = {
    "data": "#c9c9c9",
    "augment": "#8fb8d8",
    "learner": "#0072B2",
    "feedback": "#E69F00",
    "designer": "#D55E00",
    "rollout": "#CC79A7",
    "other": "#eeeeee",
}


def verdict_figure(results: dict, heading: bool = False) -> Figure | None:
    """Two panels per headline metric: every seed's score, and every seed's difference to the baseline.

    Axes of scores where lower is better are reversed, so right is better everywhere. The bar is the mean with the
    paired 95 % interval; the dashed line is the start checkpoint. None when there is nothing to draw.
    """
    metrics = [m for m in results["metrics"] if m["headline"]]
    if not metrics or not any(arm["aggregate"] for arm in results["arms"].values()):
        return None
    with style("verdict"):
        height = 1.0 + 0.3 * len(results["arms"])
        figure = Figure(figsize=(11, height * len(metrics) + 0.75 * heading), layout="constrained")
        grid = figure.subplots(len(metrics), 2, squeeze=False)
        if heading:
            figure.suptitle(
                textwrap.fill(results["verdict"]["headline"], 105), fontsize=11.5, weight="bold", x=0.01, ha="left"
            )
        for (scores, differences), metric in zip(grid, metrics, strict=True):
            _score_panel(scores, results, metric)
            _difference_panel(differences, results, metric)
    return figure


def _score_panel(axes: Axes, results: dict, metric: dict) -> None:
    colours = arm_colours(results)
    for row, (name, arm) in enumerate(results["arms"].items()):
        values = list(scores_of(arm, metric["key"]).values())
        axes.plot(values, [row] * len(values), "o", color=colours[name], alpha=0.65, ms=6, mec="white", mew=0.6)
        if values:
            axes.plot([np.mean(values)] * 2, [row - 0.3, row + 0.3], color=colours[name], lw=2.2)
    start = results["start"]["aggregate"].get(metric["key"])
    if start:
        axes.axvline(start["mean"], color=START_COLOUR, ls="--", lw=1.3)
        axes.annotate(
            "start", (start["mean"], 1), xycoords=("data", "axes fraction"), xytext=(3, -1), textcoords="offset points",
            color=START_COLOUR, fontsize=8, va="top",
        )  # fmt: skip
    _arm_rows(axes, results)
    _finish(axes, metric, with_unit(metric["title"], metric))


def _difference_panel(axes: Axes, results: dict, metric: dict) -> None:
    colours = arm_colours(results)
    axes.axvline(0, color="#333333", lw=1)
    for row, (name, arm) in enumerate(results["arms"].items()):
        difference = arm["difference"].get(metric["key"])
        if difference is None:
            continue
        if difference["low"] is not None:
            axes.plot([difference["low"], difference["high"]], [row, row], color=colours[name], lw=2.4, alpha=0.9)
        axes.plot([difference["mean"]] * 2, [row - 0.27, row + 0.27], color=colours[name], lw=2.4)
        seeds = difference["per_seed"]
        axes.plot(seeds, [row] * len(seeds), "o", color=colours[name], alpha=0.65, ms=5, mec="white", mew=0.6)
    _arm_rows(axes, results)
    axes.tick_params(axis="y", labelleft=False)
    own = any(set_against(results, arm) for arm in results["arms"].values())
    reference = "the arm compared with" if own else results["arms"][results["baseline"]]["label"]
    _finish(axes, metric, with_unit(f"Difference to {reference}, 95 % interval", metric))


def _arm_rows(axes: Axes, results: dict) -> None:
    labels = [arm["label"] for arm in results["arms"].values()]
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _finish(axes: Axes, metric: dict, title: str) -> None:
    axes.margins(x=0.08)
    axes.locator_params(axis="x", nbins=6)
    axes.set_title(title)
    if metric["lower_is_better"]:
        axes.invert_xaxis()
    if metric["lower_is_better"] is not None:
        reversed_axis = " (axis reversed)" if metric["lower_is_better"] else ""
        axes.set_xlabel(f"better →{reversed_axis}", loc="right", fontsize=8, color="#666666")


def phases_figure(results: dict) -> Figure | None:
    """Milliseconds per learner step by phase, one bar per arm, mean over its seeds."""
    phases = {name: mean_phases(arm) for name, arm in results["arms"].items()}
    if not any(phases.values()):
        return None
    with style("phases"):
        figure = Figure(figsize=(11, 0.9 + 0.42 * len(phases)), layout="constrained")
        axes = figure.subplots()
        names = [phase for phase in _PHASE_COLOURS if any(phase in by_phase for by_phase in phases.values())]
        names += sorted({phase for by_phase in phases.values() for phase in by_phase} - set(names))
        left = np.zeros(len(phases))
        for phase in names:
            widths = np.array([1e3 * by_phase.get(phase, 0.0) for by_phase in phases.values()])
            colour = _PHASE_COLOURS.get(phase, "#bbbbbb")
            axes.barh(range(len(phases)), widths, left=left, color=colour, label=phase, height=0.62, ec="white", lw=0.6)
            left += widths
        for row, total in enumerate(left):
            axes.annotate(
                f"{total:.0f} ms", (total, row), (4, 0), textcoords="offset points", va="center", fontsize=8.5
            )
        _arm_rows(axes, results)
        axes.margins(x=0.1)
        on_processor = " (processor time)" if time_unit(results) == "processor seconds" else ""
        axes.set_xlabel(f"milliseconds per learner step{on_processor}")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=len(names), fontsize=8.5)
    return figure


def mean_phases(arm: dict) -> dict[str, float]:
    """Seconds per step of every phase, mean over runs; ``other`` is what no phase claims of the budget clock."""
    runs = [run for run in arm["runs"].values() if run["seconds_per_phase"]]
    totals: dict[str, float] = {}
    for run in runs:
        phases = dict(run["seconds_per_phase"])
        if run["steps"]:
            phases["other"] = max(run["seconds"] / run["steps"] - sum(phases.values()), 0.0)
        for phase, seconds in phases.items():
            totals[phase] = totals.get(phase, 0.0) + seconds / len(runs)
    return totals

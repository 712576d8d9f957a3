"""The credit of each part of the loss over training time, with the interval of each stretch between two snapshots."""

import math
from itertools import pairwise
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from vssl.reports.drawing import style
from vssl.reports.policy.ingredients import bar_colour, weights_of
from vssl.reports.statistics import MeanInterval

_ROW = 3  # panels side by side
_BEYOND = 4.0  # intervals are shown up to so many times the highest bar


class Stretch(NamedTuple):
    """Between two snapshots: its steps, and mean credit; without an interval where one meta step was made."""

    first: int
    last: int
    mean: float
    interval: MeanInterval | None


def credit_over_time(policy: list[dict]) -> dict[str, list[Stretch]]:
    """By part of the loss, ∂V/∂weight from one snapshot to the next; stretches without meta steps are left out.

    Intervals are Student's at 95 %. The meta steps count as n·(1 − ρ)/(1 + ρ) independent ones, as in `mean_interval`.
    """
    found: dict[str, list[Stretch]] = {}
    for before, row in pairwise(policy):
        gradient = row.get("gradient", {})
        credit = gradient.get("credit")
        if credit is None:
            continue
        n, rho = gradient["meta_steps"], credit["autocorrelation"]
        t = float(stats.t.ppf(0.975, df=max(n * (1 - rho) / (1 + rho), 2.0) - 1))
        for name, of in credit["components"].items():
            mean, se = of["mean"], of["se"]
            interval = None if se is None else MeanInterval(mean, mean - t * se, mean + t * se, n)
            found.setdefault(name, []).append(Stretch(before["step"], row["step"], mean, interval))
    return found


def credit_over_time_figure(policy: list[dict], metrics: list[dict]) -> Figure | None:
    """A panel per part: a bar for each stretch, with its interval; grey: cannot be told from 0."""
    found, shares = credit_over_time(policy), weights_of(metrics)
    if not found:
        return None
    with style("credit-over-time"):
        columns = min(len(found), _ROW)
        rows = math.ceil(len(found) / columns)
        figure = Figure(figsize=(11, 2.2 * rows + 0.2), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid[len(found) :]:
            axes.set_axis_off()
        for axes, (name, stretches) in zip(grid, found.items(), strict=False):
            _bars(axes, stretches)
            axes.set_xlim(policy[0]["step"], policy[-1]["step"])
            axes.set_title(name)
            if name in shares:
                told = "share {:.2f} → {:.2f}".format(*shares[name])
                axes.set_title(told, fontsize=8, loc="right", weight="normal", color="#555555")
            axes.set_xlabel("step", fontsize=8)
            axes.tick_params(labelsize=7.5)
    return figure


def _bars(axes: Axes, stretches: list[Stretch]) -> None:
    for first, last, mean, interval in stretches:
        axes.bar((first + last) / 2, mean, width=0.8 * (last - first), color=bar_colour(interval))
        if interval is not None:
            axes.plot([(first + last) / 2] * 2, [interval.low, interval.high], color="#222222", lw=1.4)
    axes.axhline(0, color="#333333", lw=1)
    ends = [(s.mean, s.mean) if s.interval is None else (s.interval.low, s.interval.high) for s in stretches]
    highest = _BEYOND * max(abs(s.mean) for s in stretches)
    low, high = max(min(0.0, *(e[0] for e in ends)), -highest), min(max(0.0, *(e[1] for e in ends)), highest)
    room = 0.06 * (high - low) or 1.0
    axes.set_ylim(low - room, high + room)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))

"""What a policy draws from: trajectories of magnitudes and gates, and sweep strips with the present value marked."""

import math
import textwrap
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vssl.reports.drawing import START_COLOUR, style

_NOW, _GATE = "#0072B2", "#D55E00"
_ROW = 4  # panels side by side


def views_of(policy: list[dict]) -> list[str]:
    """Names of the kinds of views ("global crops", "local crops", …) that have a policy of their own."""
    return [view["name"] for view in policy[0].get("views", [])] if policy else []


def magnitudes_figure(policy: list[dict], view: int) -> Figure | None:
    """A panel per magnitude: the band from which it is drawn over the steps, most moved first."""
    rows = [row for row in policy if len(row.get("views", ())) > view]
    if not rows:
        return None
    steps = [row["step"] for row in rows]
    numbers = [list(one) for one in zip(*(row["views"][view]["numbers"] for row in rows), strict=True)]
    numbers.sort(key=_moved, reverse=True)
    return _panels(f"magnitudes-{view}", len(numbers), lambda axes, i: _magnitude(axes, steps, numbers[i]))


def gates_figure(policy: list[dict], view: int) -> Figure | None:
    """A panel per gate: its probability over the steps, most moved first."""
    rows = [row for row in policy if len(row.get("views", ())) > view]
    if not rows:
        return None
    steps = [row["step"] for row in rows]
    gates = [list(one) for one in zip(*(row["views"][view]["gates"] for row in rows), strict=True)]
    gates.sort(key=lambda gate: abs(gate[-1]["current"] - gate[-1]["initial"]), reverse=True)
    return _panels(f"gates-{view}", len(gates), lambda axes, i: _gate(axes, steps, gates[i]), height=1.5)


def strengths_figure(policy: list[dict]) -> Figure | None:
    """For a candidate search: the expected strength of each magnitude over the steps; 1 is the recipe."""
    rows = [row for row in policy if row.get("strengths")]
    if not rows:
        return None
    steps, names = [row["step"] for row in rows], [entry["name"] for entry in rows[0]["strengths"]]

    def draw(axes: Axes, i: int) -> None:
        axes.axhline(1.0, color=START_COLOUR, ls="--", lw=1)
        axes.plot(steps, [row["strengths"][i]["mean"] for row in rows], color=_NOW, lw=1.8)
        choices = rows[0]["strengths"][i]["choices"]
        axes.set_ylim(min(choices) - 0.05, max(choices) + 0.05)
        axes.set_title(names[i])

    return _panels("strengths", len(names), draw, height=1.5)


def sweeps_figure(sweeps: dict[str, tuple[np.ndarray, np.ndarray]], policy: list[dict], view: int) -> Figure | None:
    """A strip per magnitude: one image over its whole range, and below it where it was and is drawn from."""
    if not policy or len(policy[-1].get("views", ())) <= view:
        return None
    described = policy[-1]["views"][view]
    gates = {gate["name"]: gate for gate in described["gates"]}
    numbers = sorted((n for n in described["numbers"] if n["name"] in sweeps), key=lambda n: _moved([n]), reverse=True)
    if not numbers:
        return None
    with style(f"sweeps-{view}"):
        rows = math.ceil(len(numbers) / 2)
        figure = Figure(figsize=(11, 1.55 * rows + 0.1), layout="constrained")
        grid = figure.subplots(rows, 2, squeeze=False).ravel()
        for axes in grid[len(numbers) :]:
            axes.set_axis_off()
        for axes, number in zip(grid, numbers, strict=False):
            _sweep(axes, *sweeps[number["name"]], number, gates.get(number.get("gate")))
    return figure


def _sweep(axes: Axes, values: np.ndarray, images: np.ndarray, number: dict, gate: dict | None) -> None:
    half = (values[1] - values[0]) / 2
    left, right = values[0] - half, values[-1] + half
    axes.imshow(
        np.concatenate(list(images), axis=1), extent=(left, right, 1, 2.25), aspect="auto", interpolation="nearest"
    )
    for key, y, colour in (("initial", 0.78, START_COLOUR), ("current", 0.32, _NOW)):
        low, high = number[key]
        width = max(abs(high - low), 0.004 * (right - left))  # a single value stays visible
        axes.barh(y, width, left=min(low, high), height=0.34, color=colour)
    if left <= number["identity"] <= right:
        axes.plot([number["identity"]] * 2, [0.08, 1.0], color="#222222", lw=1.1, ls=":")
    axes.set_xlim(left, right)
    axes.set_xticks([tick for tick in axes.get_xticks() if values[0] <= tick <= values[-1]])  # half an image sticks out
    axes.set_ylim(0, 2.25)
    axes.set_yticks([])
    axes.grid(False)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="x", labelsize=7.5, pad=1.5)
    axes.set_title(f"{number['name']} ({number['unit']})", fontsize=9)
    if gate is not None:
        text = f"applied with p = {gate['initial']:.2f} → {gate['current']:.2f}"
        axes.set_title(text, fontsize=8, loc="right", weight="normal", color="#555555")


def _magnitude(axes: Axes, steps: list[int], number: list[dict]) -> None:
    first = number[0]
    low, high = (np.array([row["current"][end] for row in number]) for end in (0, 1))
    spread = [np.array([row["spread"][end] for row in number]) for end in (0, 1)]
    axes.fill_between(steps, low, high, color=_NOW, alpha=0.22, lw=0)
    for value, wide in ((low, spread[0]), (high, spread[1])):
        axes.plot(steps, value, color=_NOW, lw=1.5)
        if wide.any():
            axes.fill_between(steps, value - wide, value + wide, color=_NOW, alpha=0.3, lw=0)
    for value in first["initial"]:
        axes.axhline(value, color=START_COLOUR, ls="--", lw=0.9)
    axes.axhline(first["identity"], color="#222222", ls=":", lw=0.9)
    shown = [*first["initial"], *low, *high, first["identity"]]
    room = 0.12 * (max(shown) - min(shown) or first["range"][1] - first["range"][0])
    axes.set_ylim(max(min(shown) - room, first["range"][0] - room), min(max(shown) + room, first["range"][1] + room))
    axes.set_title(f"{first['name']}  [{first['range'][0]:.3g}, {first['range'][1]:.3g}]", fontsize=9)
    axes.set_ylabel(textwrap.fill(first["unit"].split(",")[0], 18), fontsize=7.5)


def _gate(axes: Axes, steps: list[int], gate: list[dict]) -> None:
    current = np.array([row["current"] for row in gate])
    spread = np.array([row["spread"] for row in gate])
    axes.axhline(gate[0]["initial"], color=START_COLOUR, ls="--", lw=0.9)
    axes.plot(steps, current, color=_GATE, lw=1.6)
    if spread.any():
        axes.fill_between(steps, current - spread, current + spread, color=_GATE, alpha=0.25, lw=0)
    axes.set_ylim(-0.03, 1.03)
    axes.set_title(gate[0]["name"], fontsize=9)


def _panels(name: str, count: int, draw: Callable[[Axes, int], None], height: float = 1.75) -> Figure:
    with style(name):
        rows = math.ceil(count / _ROW)
        figure = Figure(figsize=(11, height * rows + 0.2), layout="constrained")
        grid = figure.subplots(rows, _ROW, squeeze=False).ravel()
        for index, axes in enumerate(grid):
            if index >= count:
                axes.set_axis_off()
                continue
            draw(axes, index)
            axes.tick_params(labelsize=7.5)
            if index >= count - _ROW:
                axes.set_xlabel("step", fontsize=8)
    return figure


def _moved(number: list[dict]) -> float:
    """How far the ends are from where they started, as a share of the range."""
    last = number[-1]
    span = last["range"][1] - last["range"][0]
    return sum(abs(now - before) for now, before in zip(last["current"], last["initial"], strict=True)) / span


def largest_moves(policy: list[dict], view: int, count: int = 3) -> list[dict]:
    """The magnitudes and gates that are furthest from their start: name, before, after, moved (share of the range)."""
    described = policy[-1]["views"][view]
    moves = [
        {"name": n["name"], "before": n["initial"], "after": n["current"], "moved": _moved([n])}
        for n in described["numbers"]
    ]
    moves += [
        {
            "name": f"probability of {g['name']}",
            "before": [g["initial"]],
            "after": [g["current"]],
            "moved": abs(g["current"] - g["initial"]),
        }
        for g in described["gates"]
    ]
    return sorted(moves, key=lambda move: move["moved"], reverse=True)[:count]

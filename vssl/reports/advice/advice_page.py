"""What should my images be invariant to? One HTML file that needs nothing beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vssl.reports.advice.effects import LESS, MORE, UNKNOWN, Effect, effects
from vssl.reports.advice.words import doing, listed, title
from vssl.reports.drawing import style, to_svg
from vssl.reports.markup import render
from vssl.reports.metrics import format_number
from vssl.reports.policy.panel import tile
from vssl.whole_files import write_json, write_text

Strips = tuple[list[str], UInt8[np.ndarray, "images strip height width 3"]]

TITLE = "What should these images be invariant to?"
_COLOURS = {MORE: "#1a8a4a", LESS: "#c0392b", UNKNOWN: "#999999"}
_CLASSES = {MORE: "better", LESS: "worse", UNKNOWN: "soft"}
_BADGES = {MORE: "more of it helps", LESS: "less of it helps", UNKNOWN: "not known"}
_MILLI = 1000


def write_advice(
    page: Path,
    values: Float[np.ndarray, "draws columns without"],
    task_values: Float[np.ndarray, "draws columns tasks"],
    columns: Sequence[tuple[int, str]],
    changes: Sequence[dict[str, Any]],
    pictures: Sequence[Strips],
    about: dict[str, Any],
) -> list[Effect]:
    """Write the page, and beside it the same as numbers in a JSON file. The arguments are those of
    `vssl.engine.advice.Measured`; for `about`, ``seconds``, ``command`` and ``seed`` too."""
    found = effects(values, task_values, columns, len(changes))
    about = {**about, "value": float(values[:, 0, 0].mean())}
    write_text(page, render_advice(found, changes, pictures, about))
    rows = []
    for change, effect in zip(changes, found, strict=True):
        told = {key: change[key] for key in ("name", "by", "closed", "unit")}
        numbers = {side: change[side] for side in ("less", "now", "more")}
        rows.append({**told, "numbers": numbers, "verdict": effect.verdict, **vars(effect)})
    write_json(page.with_suffix(".json"), {**about, "operations": rows})
    return found


def render_advice(
    found: Sequence[Effect], changes: Sequence[dict[str, Any]], pictures: Sequence[Strips], about: dict[str, Any]
) -> str:
    order = sorted(range(len(found)), key=lambda i: (found[i].verdict == UNKNOWN, -abs(found[i].t)))
    known = [i for i in order if found[i].verdict != UNKNOWN]
    labels = [f"{count} images labeled for {task}" for task, count in about["labels"].items()]

    def operations(numbers: Sequence[int]) -> list[dict]:
        return [_operation(found[i], changes[i], pictures[i], about) for i in numbers]

    return render(
        "advice.html",
        title=TITLE,
        about=about,
        labels=listed(labels),
        helps={verdict: listed(names) for verdict, names in verdicts(found, changes).items()},
        glance=_figure(found, changes, order),
        known=operations(known),
        unknown=operations(order[len(known) :]),
        code=_code(found, changes, known),
        numbers=_numbers(found, changes, order, about),
        measured=_measured(found, about),
    )


def verdicts(found: Sequence[Effect], changes: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """What operations are called, by verdict, the surest first."""
    order = sorted(range(len(found)), key=lambda i: -abs(found[i].t))

    def named(i: int) -> str:
        return title(changes[i]["name"]) + " (as the recipe has it)" * found[i].stays

    return {v: [named(i) for i in order if found[i].verdict == v] for v in (MORE, LESS, UNKNOWN)}


def _operation(effect: Effect, change: dict[str, Any], strips: Strips, about: dict[str, Any]) -> dict:
    words, images = strips
    name = title(change["name"])
    return {
        "title": name,
        "tone": _CLASSES[effect.verdict],
        "badge": _BADGES[effect.verdict],
        "sentence": _sentence(effect, change, about),
        "words": words,
        "pictures": [
            [tile(picture, f"{name}, {word}") for word, picture in zip(words, row, strict=True)] for row in images
        ],
    }


def _sentence(effect: Effect, change: dict[str, Any], about: dict[str, Any]) -> str:
    more = f"More of it means that {doing(change['name'])} ({_amounts(change)})."
    if effect.verdict == UNKNOWN:
        return f"{more} Whether that helps cannot be told from this measurement."
    compared = about["views"] > 1
    more += _KEEP * effect.stays
    if effect.verdict == MORE:
        tried = "It is not in the recipe yet. " if change["closed"] else ""
        why = "Your task seems to do without what it changes: the features may ignore it." if compared else ""
        return f"{more} {tried}A step then agrees more with your labels. {why}".strip()
    start = (
        "It is not in the recipe: leave it out."
        if change["closed"]
        else "A step agrees more with your labels with less."
    )
    why = (
        "What it changes seems to tell your task something: do not train the features to ignore it." if compared else ""
    )
    return f"{more} {start} {why}".strip()


_KEEP = " The recipe did no worse than the better side: keep what it has."


def _amounts(change: dict[str, Any]) -> str:
    """From less to more of it, with what the recipe has."""
    if change["by"] == "chance":
        less, now, more = (format_number(change[side][0], 2) for side in ("less", "now", "more"))
        if change["closed"]:
            return f"in {100 * change['more'][0]:.0f} % of the views; now in none"
        return f"probability {less} against {more}; now {now}{_views(change)}"
    less, now, more = (f"{change[side][0]:.3g} to {change[side][1]:.3g}" for side in ("less", "now", "more"))
    return f"{less} against {more}; now {now}; {change['unit']}{_views(change)}".replace("-", "−")


def _views(change: dict[str, Any]) -> str:
    return "" if change.get("alike", True) else "; these are the first view's, others have their own"


def _figure(found: Sequence[Effect], changes: Sequence[dict[str, Any]], order: Sequence[int]) -> Markup:
    groups = [[i for i in order if not changes[i]["closed"]], [i for i in order if changes[i]["closed"]]]
    titles = ("in the recipe: more against less", "not in the recipe: a quarter of the views against none")
    shown = [(name, numbers) for name, numbers in zip(titles, groups, strict=True) if numbers]
    with style("advice"):
        drawn = Figure(figsize=(11, 1.0 + 0.27 * max(len(numbers) for _, numbers in shown)), layout="constrained")
        grid = drawn.subplots(1, len(shown), squeeze=False, sharex=True)[0]
        for axes, (name, numbers) in zip(grid, shown, strict=True):
            _intervals(axes, [found[i] for i in numbers], [title(changes[i]["name"]) for i in numbers])
            axes.set_title(name, fontsize=9.5)
    return to_svg(drawn, "advice")


def _intervals(axes: Axes, rows: Sequence[Effect], names: Sequence[str]) -> None:
    axes.axvline(0, color="#333333", lw=1)
    for y, effect in enumerate(rows):
        colour = _COLOURS[effect.verdict]
        axes.plot([_MILLI * effect.low, _MILLI * effect.high], [y, y], color=colour, lw=2.2, solid_capstyle="butt")
        axes.plot(_MILLI * effect.mean, y, "o", color=colour, ms=5)
    axes.set_yticks(range(len(names)), names, fontsize=8.5)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("← less helps     more helps →", fontsize=8.5)


def _code(found: Sequence[Effect], changes: Sequence[dict[str, Any]], known: Sequence[int]) -> str:
    """Lines of a config that make a policy learn what was told; empty where that is nothing of use."""
    learned = [i for i in known if not (changes[i]["closed"] and found[i].verdict == LESS)]
    if not learned:
        return ""
    names = ", ".join(f'"{changes[i]["name"]}"' for i in learned) + ("," if len(learned) == 1 else "")
    absent = [f'"{changes[i]["name"]}"' for i in learned if changes[i]["absent"]]
    extra = f'recipe.update(extra=(*recipe.get("extra", ()), {", ".join(absent)}))\n' if absent else ""
    return f'{extra}designer = dict(type=GlobalPolicy, centres=False, gates="straight_through", learn=({names}))'


def _numbers(
    found: Sequence[Effect], changes: Sequence[dict[str, Any]], order: Sequence[int], about: dict[str, Any]
) -> dict:
    tasks = list(about["labels"]) if len(about["labels"]) > 1 else []
    rows = [
        [
            title(changes[i]["name"]),
            f"{_signed(found[i].mean)} [{_signed(found[i].low)}, {_signed(found[i].high)}]",
            format_number(found[i].t, 1, signed=True),
            *("–" if side is None else _signed(side) for side in (found[i].less, found[i].more)),
            *map(_signed, found[i].tasks[: len(tasks)]),
            f"{100 * found[i].of_labels:.0f} %",
        ]
        for i in order
    ]
    return {
        "header": ["operation", "more − less, interval", "t", "with less", "with more", *tasks, "from labels"],
        "rows": rows,
        "recipe": _signed(about["value"]),
        "tasks": listed(tasks) if tasks else "",
    }


def _signed(value: float) -> str:
    return format_number(_MILLI * value, 1, signed=True)


def _measured(found: Sequence[Effect], about: dict[str, Any]) -> list[list[str]]:
    head = "its own, from the run; the intervals hold for it alone" if about["continued"] else "it has none"
    if about["heads"]:
        head = (
            f"a new one for each draw, which learns alone for {about['head_steps']} steps; the backbone stays as it is"
        )
    geometric = (
        "all"
        if about["geometric"]
        else f"all but those that move pixels: {about['objective']} needs to know where views lie"
    )
    return [
        ["value of a step", f"{about['rule']} of the step's gradient and that of the labeled loss, over the last "
                            f"{about['blocks']} blocks of {about['model']}"],
        ["head of the objective", head],
        ["direction of the labels", "from every label: heads fitted on three quarters of the images, the gradient "
                                    f"taken on the last quarter, by turns; {about['groups']} groups of images"],
        ["draws", f"{about['draws']} batches of {about['batch']} of {about['unlabeled']} unlabeled images; recipe and "
                  "changes with the same head, on the same images with the same random numbers"],
        ["intervals", f"Student's, over draws{' and their heads' * bool(about['heads'])} and (jackknife) over groups "
                      f"of labels, at 95 % for all {len(found)} operations together (Bonferroni)"],
        ["operations", geometric],
        ["seed", str(about["seed"])],
        ["time", f"{about['seconds']:.0f} s"],
        ["command", about["command"]],
        ["vssl", about["version"]],
    ]  # fmt: skip

"""What a designer learned about the ingredients of the loss: their weights, their credit, the option that was taken."""

from matplotlib.figure import Figure

from vssl.reports.drawing import style
from vssl.reports.statistics import MeanInterval, mean_interval

_CREDIT, _WEIGHT, _CHOICE = "credit/", "weight/", "choice/"
_MORE, _LESS, _UNCLEAR = "#0072B2", "#D55E00", "#999999"


def credits_of(metrics: list[dict]) -> dict[str, MeanInterval]:
    """By component of the loss, ∂V/∂weight over the logged meta steps; those that were logged twice or more."""
    series = {name: values for name, values in _series(metrics, _CREDIT).items() if len(values) > 1}
    return {name: mean_interval(values) for name, values in series.items()}


def weights_of(metrics: list[dict]) -> dict[str, tuple[float, float]]:
    """By component of the loss, its share of all weights at the first and the last logged step."""
    series = _series(metrics, _WEIGHT)
    ends = [{name: values[end] for name, values in series.items()} for end in (0, -1)]
    totals = [sum(end.values()) or 1.0 for end in ends]
    return {name: (ends[0][name] / totals[0], ends[1][name] / totals[1]) for name in series}


def choices_of(metrics: list[dict]) -> dict[str, float]:
    """By option of `Choice`, the share of the logged steps that it was taken in; {} for other designers."""
    return {name: sum(values) / len(values) for name, values in _series(metrics, _CHOICE).items()}


def worth_of(metrics: list[dict]) -> dict[str, float]:
    """By option of `Choice`, its value when it was last asked; {} where none was."""
    asked = [row for row in metrics if any(f"value/{name}" in row for name in choices_of(metrics))]
    return {name: asked[-1][f"value/{name}"] for name in choices_of(metrics) if asked and f"value/{name}" in asked[-1]}


def ingredient_findings(metrics: list[dict]) -> list[str]:
    """Sentences for the top of the page; none for designers that leave the loss as it is."""
    lines = []
    if weights := weights_of(metrics):
        moved = sorted(weights.items(), key=lambda entry: -abs(entry[1][1] - entry[1][0]))
        told = "; ".join(f"{name} {before:.2f} → {after:.2f}" for name, (before, after) in moved)
        lines.append(f"Shares of the loss: {told}.")
    if credits := credits_of(metrics):
        clear = {name: found for name, found in credits.items() if found.excludes_zero}
        told = ", ".join(f"{name} ({'more' if f.mean > 0 else 'less'} is worth more)" for name, f in clear.items())
        n = max(found.n for found in credits.values())
        lines.append(
            f"Credit differs from 0 (95 %) for {len(clear)} of {len(credits)} parts of the loss over {n} logged means"
            + (f": {told}." if told else ".")
        )
    if choices := choices_of(metrics):
        last = max(_series(metrics, _CHOICE).items(), key=lambda entry: entry[1][-1])
        chosen = last[0] if last[1][-1] else "none, the recipe's"
        told = ", ".join(f"{name} {100 * share:.0f} %" for name, share in choices.items() if share) or "none"
        lines.append(f"Option taken at the end: {chosen}. Share of the run: {told}.")
    return lines


def credit_figure(metrics: list[dict]) -> Figure | None:
    """A bar per part of the loss with its 95 % interval; grey: cannot be told from 0."""
    credits = credits_of(metrics)
    if not credits:
        return None
    ordered = sorted(credits.items(), key=lambda entry: entry[1].mean)
    with style("credit"):
        figure = Figure(figsize=(11, 0.9 + 0.32 * len(ordered)), layout="constrained")
        axes = figure.subplots()
        for y, (_, found) in enumerate(ordered):
            axes.barh(y, found.mean, height=0.6, color=bar_colour(found))
            axes.plot([found.low, found.high], [y, y], color="#222222", lw=1.4)
        axes.axvline(0, color="#333333", lw=1)
        axes.set_yticks(range(len(ordered)), [name for name, _ in ordered])
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("credit ∂V/∂weight, mean over the run with 95 % interval")
    return figure


def bar_colour(credit: MeanInterval | None) -> str:
    """Of a bar of credit: blue where more is worth more, orange where less is, grey where it cannot be told from 0."""
    if credit is None or not credit.excludes_zero:
        return _UNCLEAR
    return _MORE if credit.mean > 0 else _LESS


def _series(metrics: list[dict], prefix: str) -> dict[str, list[float]]:
    names = sorted({key for row in metrics for key in row if key.startswith(prefix)})
    return {name.removeprefix(prefix): [row[name] for row in metrics if row.get(name) is not None] for name in names}

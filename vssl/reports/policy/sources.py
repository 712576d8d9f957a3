"""The share of each source of the stream over training time, and what more of it was worth (`SourceWeights`)."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vssl.reports.drawing import style
from vssl.reports.statistics import whole_run

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#7A4FBF", "#8B4513")


def source_rows(policy: list[dict]) -> list[list[str]]:
    """Each source with its first and last share and what more of it was worth; none where no sources are weighed."""
    found, rows = {row["label"]: row for row in whole_run(policy)}, []
    for name, over_time in _shares(policy).items():
        label = f"weight of {name}"
        row = found.get(f"{label} (sources)") or found.get(label)  # in `Together` a label says whose number it is
        ends = "" if row is None else f"[{row['mean'] - 1.96 * row['se']:+.2e}, {row['mean'] + 1.96 * row['se']:+.2e}]"
        worth = "–" if row is None else f"{row['mean']:+.2e} {ends}"
        rows.append([name, f"{over_time[0]:.3f}", f"{over_time[-1]:.3f}", worth])
    return rows


def source_findings(policy: list[dict]) -> list[str]:
    """A sentence for the top of the page; none for designers that weigh no sources."""
    shares = _shares(policy)
    if not shares:
        return []
    moved = sorted(shares.items(), key=lambda entry: -abs(entry[1][-1] - entry[1][0]))
    return [f"Sources, share of the loss: {'; '.join(f'{name} {s[0]:.2f} → {s[-1]:.2f}' for name, s in moved)}."]


def sources_figure(policy: list[dict]) -> Figure | None:
    shares = _shares(policy)
    if not shares:
        return None
    with style("sources"):
        drawn = Figure(figsize=(11, 3.2), layout="constrained")
        left, right = drawn.subplots(1, 2)
        steps = [row["step"] for row in policy if row.get("sources")]
        for number, (name, over_time) in enumerate(shares.items()):
            colour = _COLOURS[number % len(_COLOURS)]
            left.plot(steps, over_time, color=colour, lw=1.8, label=name)
            left.axhline(over_time[0], color=colour, lw=0.8, ls="--")
            _worth(right, policy, name, colour, number - (len(shares) - 1) / 2)
        left.set_title("share of the loss")
        left.legend(fontsize=8)
        right.set_title("∂V/∂log weight")
        right.axhline(0, color="#333333", lw=1)
        for axes in (left, right):
            axes.set_xlabel("step", fontsize=8)
    return drawn


def _worth(axes: Axes, policy: list[dict], name: str, colour: str, place: float) -> None:
    """The gradient of one source's number between snapshots; `place` keeps sources beside each other."""
    apart = 0.006 * max(row["step"] for row in policy)
    for row in policy:
        for found in row.get("gradient", {}).get("parameters", ()):
            if found["group"] == "sources" and found["name"] == name and found["se"] is not None:
                x, half = row["step"] + place * apart, 1.96 * found["se"]
                axes.plot([x, x], [found["mean"] - half, found["mean"] + half], color=colour, lw=1.4)
                axes.plot(x, found["mean"], "o", color=colour, ms=4)


def _shares(policy: list[dict]) -> dict[str, list[float]]:
    rows = [row["sources"] for row in policy if row.get("sources")]
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}

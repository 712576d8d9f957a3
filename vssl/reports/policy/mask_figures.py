"""What the mask hides: per class, near depth edges, and how much of it depends on the image."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vssl.reports.drawing import style

_COLOUR = "#0072B2"
_SHARES = (
    ("between_images", "between images", "#D55E00"),
    ("position", "within: same pattern in every image", "#BBBBBB"),
    ("image_and_position", "within: depends on the image", "#0072B2"),
)


def mask_figure(analysis: dict) -> Figure | None:
    """Up to three panels: mean mask per class, against distance to a depth edge, and the shares of its variance."""
    panels = [
        (key, draw)
        for key, draw in (("classes", _classes), ("depth_edges", _edges), ("variance", _variance))
        if analysis.get(key) and (key == "variance" or analysis[key]["rows"])
    ]
    if not panels:
        return None
    height = 1.4 + 0.2 * len(analysis.get("classes", {}).get("rows", []))
    with style("mask"):
        figure = Figure(figsize=(11, max(height, 2.8)), layout="constrained")
        widths = [1.0 if key != "variance" else 0.75 for key, _ in panels]
        grid = figure.subplots(1, len(panels), squeeze=False, width_ratios=widths)[0]
        for axes, (key, draw) in zip(grid, panels, strict=True):
            draw(axes, analysis[key])
            axes.tick_params(labelsize=8)
    return figure


def _classes(axes: Axes, classes: dict) -> None:
    rows = sorted(classes["rows"], key=lambda row: row["mean"])
    axes.axvline(classes["overall"], color="#333333", lw=0.9, ls="--")
    for y, row in enumerate(rows):
        half = 1.96 * (row["se"] or 0.0)
        axes.plot([row["mean"] - half, row["mean"] + half], [y, y], color=_COLOUR, lw=1.6)
        axes.plot(row["mean"], y, "o", color=_COLOUR, ms=4.5)
    axes.set_yticks(range(len(rows)), [f"{row['name']} ({row['images']})" for row in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(axis="y", visible=False)
    axes.set_title("Mean mask per class (images)", fontsize=9.5)
    axes.set_xlabel("blurred ← mask → kept; dashed: all pixels", fontsize=8)


def _edges(axes: Axes, edges: dict) -> None:
    rows = edges["rows"]
    x = range(len(rows))
    half = [1.96 * (row["se"] or 0.0) for row in rows]
    axes.errorbar(x, [row["mean"] for row in rows], yerr=half, fmt="o-", color=_COLOUR, ms=4.5, lw=1.5, capsize=2)
    axes.axhline(edges["overall"], color="#333333", lw=0.9, ls="--")
    axes.set_xticks(x, [_distance(row) for row in rows])
    axes.set_title("Mean mask against distance to a depth edge", fontsize=9.5)
    axes.set_xlabel(f"pixels to the nearest edge (depth ratio above {edges['edge_ratio']:g})", fontsize=8)


def _distance(row: dict) -> str:
    if row["to"] is None:
        return f"≥ {row['from']}"
    return str(row["from"]) if row["to"] - row["from"] == 1 else f"{row['from']}–{row['to'] - 1}"


def _variance(axes: Axes, variance: dict) -> None:
    total, bottom = variance["total"] or 1.0, 0.0
    for key, label, colour in _SHARES:
        share = 100 * variance[key] / total
        axes.bar(0, share, bottom=bottom, color=colour, width=0.55, label=label, ec="white")
        if share > 4:
            axes.annotate(f"{share:.0f} %", (0, bottom + share / 2), ha="center", va="center", fontsize=8.5)
        bottom += share
    axes.set_xlim(-0.6, 0.6)
    axes.set_xticks([])
    axes.set_ylim(0, 100)
    axes.set_ylabel("% of the mask's variance", fontsize=8)
    axes.set_title("Where the variance lies", fontsize=9.5)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.03), fontsize=7.5)

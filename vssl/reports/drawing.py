"""What the charts share: style, a colour per arm, panels in a grid, and their way into SVG and PNG."""

import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

# Okabe and Ito's colours, which colour-blind readers can tell apart; the start checkpoint is grey.
START_COLOUR = "#6b6b6b"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#7A4FBF", "#8B4513")

_STYLE = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#999999",
    "axes.grid": True,
    "grid.color": "#e8e8e8",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "svg.fonttype": "none",
}


def arm_colours(results: dict) -> dict[str, str]:
    """A colour per arm: the baseline's and the candidate's are always the first two."""
    first = [results["baseline"], results["candidate"]]
    names = first + [name for name in results["arms"] if name not in first]
    return {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(names)}


def panels(
    name: str, results: dict, count: int, title: Callable[[int], str], draw: Callable[[Axes, int], None]
) -> Figure | None:
    """A grid of small charts, three in a row, with one legend of arms above."""
    if count == 0:
        return None
    with style(name):
        rows = math.ceil(count / 3)
        figure = Figure(figsize=(11, 2.3 * rows + 0.4), layout="constrained")
        grid = figure.subplots(rows, 3, squeeze=False).ravel()
        for index, axes in enumerate(grid):
            if index >= count:
                axes.set_axis_off()
                continue
            axes.set_title(title(index))
            draw(axes, index)
            axes.locator_params(nbins=6)
        colours = arm_colours(results)
        lines = [Line2D([], [], color=colours[arm], lw=2) for arm in results["arms"]]
        labels = [arm["label"] for arm in results["arms"].values()]
        figure.legend(lines, labels, loc="outside upper left", ncols=min(len(labels), 5), fontsize=8.5)
    return figure


def to_svg(figure: Figure, name: str) -> Markup:
    """The figure as an ``<svg>`` element. `name` keeps its ids apart from other figures' and its bytes reproducible."""
    buffer = io.StringIO()
    with style(name):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return Markup(text[text.index("<svg") :])


def to_png(figure: Figure, dpi: int = 160) -> bytes:
    buffer = io.BytesIO()
    with style("png"):
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


@contextmanager
def style(name: str) -> Iterator[None]:
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):  # type: ignore[dict-item]  # its keys are literals
        yield


def with_unit(title: str, metric: dict) -> str:
    return f"{title} ({metric['unit']})" if metric["unit"] else title

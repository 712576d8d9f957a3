"""A fixed panel of images over training time, and learned beside matched-random views."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Integer, UInt8
from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.figure import Figure

from vssl.reports.drawing import style
from vssl.reports.markup import image
from vssl.reports.policy.record import Record, Snapshot

_MASK_COLOURS = colormaps["viridis"]
_COLUMNS = 7  # points in time side by side
_OPEN = 3  # images shown without unfolding
_GAINS = (4, 2, 1)  # of differences: the largest that leaves nearly all of them in range


Cell = tuple[str, str]  # a picture, and what stands below it
Tiles = list[tuple[str, list[Cell]]]  # rows, each with a title


def panel(record: Record) -> dict:
    """Designed view, mask and difference of every panel image at up to seven points in time: tables that are shown
    `open` and `folded`, each a header and its rows, the `gain` of the differences, and the `scale` of the masks."""
    chosen, scale, gain = _in_time(record.snapshots), mask_scale(record), difference_gain(record)
    tables = [_over_time(record, index, chosen, scale, gain) for index in range(len(record.base))]
    return {"open": tables[:_OPEN], "folded": tables[_OPEN:], "gain": gain, "scale": _ramp(scale)}


def _over_time(
    record: Record, index: int, chosen: list[Snapshot], scale: tuple[float, float] | None, gain: int
) -> tuple[list[str], Tiles]:
    base, name = record.base[index], record.names[index]
    header = [name, "base view", *(f"step {snapshot.step}" for snapshot in chosen)]
    rows = [("designed", _row([base], "base view") + _row([s.designed[index] for s in chosen], "designed view"))]
    if scale is not None:
        rows.append(("mask", [("", ""), *(_mask_tile(mask[index], scale) for mask in _masks(chosen))]))
    changes = [difference(s.designed[index], base, gain) for s in chosen]
    rows.append(("difference", [("", ""), *_row(changes, "difference")]))
    return header, rows


def _row(pictures: Iterable[Integer[np.ndarray, "height width 3"]], alternative: str) -> list[Cell]:
    return [(tile(picture, alternative), "") for picture in pictures]


def _mask_tile(mask: Float[np.ndarray, "height width"], scale: tuple[float, float]) -> Cell:
    about = f"{mask.mean():.3f} ± {mask.std():.3f}"
    return tile(mask_colours(mask, scale), f"mask, {about}"), about


def matched_random(record: Record) -> dict | None:
    """Base, learned and matched-random view of each panel image at the last snapshot; None where there are none."""
    last, scale = record.last, mask_scale(record)
    if last.matched_random is None:
        return None
    shown = min(8, len(record.base))
    rows = [
        ("base", _row(record.base[:shown], "base view")),
        ("learned", _row(last.designed[:shown], "learned view")),
        ("matched random", _row(last.matched_random[:shown], "matched-random view")),
    ]
    if scale is not None and last.mask is not None and last.matched_random_mask is not None:
        rows.insert(2, ("its mask", [_mask_tile(mask, scale) for mask in last.mask[:shown]]))
        rows.append(("its mask", [_mask_tile(mask, scale) for mask in last.matched_random_mask[:shown]]))
    return {"rows": rows, "step": last.step, "by_image": varies_by_image(record)}


def varies_by_image(record: Record) -> bool:
    """Whether the designer chooses for each image: it has a mask, or its policy's numbers spread over the panel."""
    if record.last.mask is not None:
        return True
    views = record.policy[-1].get("views", []) if record.policy else []
    spreads = [s for view in views for number in view["numbers"] for s in number["spread"]]
    spreads += [gate["spread"] for view in views for gate in view["gates"]]
    return any(spread > 0 for spread in spreads)


def panel_figure(record: Record) -> Figure:
    """For papers: one row per panel image, the base view and the designed views over time, masks below them."""
    chosen = _in_time(record.snapshots)
    scale, shown = mask_scale(record), range(min(4, len(record.base)))
    titles = ["base", *(f"step {snapshot.step}" for snapshot in chosen)]
    rows = []
    for i in shown:
        rows.append([record.base[i], *(s.designed[i] for s in chosen)])
        if scale is not None:
            rows.append([None, *(mask_colours(mask[i], scale) for mask in _masks(chosen))])
    return _grid("panel", rows, titles)


def matched_random_figure(record: Record) -> Figure | None:
    """For papers: base, learned and matched-random views, one column per panel image."""
    last = record.last
    if last.matched_random is None:
        return None
    rows = [list(record.base[:8]), list(last.designed[:8]), list(last.matched_random[:8])]
    return _grid("matched-random", rows, None, ["base", "learned", "matched random"])


def _grid(name: str, rows: list[list], titles: Sequence[str] | None, labels: Sequence[str] = ()) -> Figure:
    with style(name):
        columns = len(rows[0])
        figure = Figure(figsize=(1.25 * columns + 0.4, 1.25 * len(rows) + 0.3), layout="constrained")
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for r, row in enumerate(rows):
            for c, pixels in enumerate(row):
                axes = grid[r][c]
                axes.set_xticks([])
                axes.set_yticks([])
                for spine in axes.spines.values():
                    spine.set_visible(False)
                if pixels is not None:
                    axes.imshow(pixels)
                if titles and r == 0:
                    axes.set_title(titles[c], fontsize=9, weight="normal", loc="center")
            if labels:
                grid[r][0].set_ylabel(labels[r], fontsize=9)
    return figure


def _masks(snapshots: list[Snapshot]) -> list[Float[np.ndarray, "images height width"]]:
    """One for each, where `mask_scale` gives a scale."""
    return [snapshot.mask for snapshot in snapshots if snapshot.mask is not None]


def mask_scale(record: Record) -> tuple[float, float] | None:
    """One scale for all masks of the record, from the smallest to the largest value; None where any has no mask."""
    masks = _masks(record.snapshots)
    if len(masks) < len(record.snapshots):
        return None
    low, high = min(float(m.min()) for m in masks), max(float(m.max()) for m in masks)
    return low, max(high, low + 0.02)


def mask_colours(
    mask: Float[np.ndarray, "height width"], scale: tuple[float, float]
) -> UInt8[np.ndarray, "height width 3"]:
    """Dark hides (blurs), bright keeps."""
    scaled = np.clip((mask - scale[0]) / (scale[1] - scale[0]), 0, 1)
    return (255 * _MASK_COLOURS(scaled)[..., :3]).round().astype(np.uint8)


def difference(
    designed: UInt8[np.ndarray, "height width 3"], base: UInt8[np.ndarray, "height width 3"], gain: int
) -> UInt8[np.ndarray, "height width 3"]:
    """designed − base, times `gain`, around mid grey."""
    change = designed.astype(np.int16) - base.astype(np.int16)
    return np.clip(128 + gain * change, 0, 255).astype(np.uint8)


def difference_gain(record: Record) -> int:
    """4, 2 or 1, so that 95 % of the last snapshot's differences stay in range."""
    change = np.abs(record.last.designed.astype(np.int16) - record.base.astype(np.int16))
    large = np.quantile(change, 0.95)
    return next((gain for gain in _GAINS if gain * large <= 127), 1)


def tile(pixels: Integer[np.ndarray, "height width 3"], alternative: str) -> Markup:
    """A small picture: at most 128 pixels a side, which is enough for the size at which tiles are shown."""
    stride = max(1, round(max(pixels.shape[:2]) / 128))
    return image(pixels[::stride, ::stride], alternative)


def _in_time(snapshots: list[Snapshot]) -> list[Snapshot]:
    """The first, the last, and evenly spaced ones between."""
    count = min(_COLUMNS, len(snapshots))
    return [snapshots[i] for i in np.linspace(0, len(snapshots) - 1, count).round().astype(int)]


def _ramp(scale: tuple[float, float] | None) -> dict | None:
    if scale is None:
        return None
    colours = ["rgb({},{},{})".format(*(int(255 * c) for c in _MASK_COLOURS(x)[:3])) for x in np.linspace(0, 1, 9)]
    return {"colours": colours, "low": f"{scale[0]:.2f}", "high": f"{scale[1]:.2f}"}

"""A fixed panel of images over training time, and learned beside matched-random views."""

from collections.abc import Sequence
from html import escape

import numpy as np
from jaxtyping import Float, Integer, UInt8
from matplotlib import colormaps
from matplotlib.figure import Figure

from vssl.reports.drawing import style
from vssl.reports.markup import absent, image, table
from vssl.reports.policy.record import Record, Snapshot

_MASK_COLOURS = colormaps["viridis"]
_COLUMNS = 7  # points in time side by side
_OPEN = 3  # images shown without unfolding
_GAINS = (4, 2, 1)  # of differences: the largest that leaves nearly all of them in range


def panel_section(record: Record) -> str:
    """Designed view, mask and difference of every panel image at up to seven points in time."""
    chosen, scale = _in_time(record.snapshots), mask_scale(record)
    gain = difference_gain(record)
    blocks = [_over_time(record, index, chosen, scale, gain) for index in range(len(record.base))]
    rest = "\n".join(blocks[_OPEN:])
    folded = f"<details><summary>{len(blocks) - _OPEN} more of the panel</summary>{rest}</details>" if rest else ""
    enlarged = f", {gain} times enlarged," if gain > 1 else ""
    notes = (
        "The same images and random numbers throughout: what changes along a row is the designer alone. Difference: "
        f"designed − base{enlarged} around grey; where the crop window moved, edges show twice."
    )
    return "\n".join([absent(notes), _ramp(scale), *blocks[:_OPEN], folded])


def _over_time(record: Record, index: int, chosen: list[Snapshot], scale: tuple[float, float] | None, gain: int) -> str:
    base, name = record.base[index], record.names[index]
    header = [escape(name), "base view", *(f"step {snapshot.step}" for snapshot in chosen)]
    rows = [["designed", tile(base, "base view"), *(tile(s.designed[index], "designed view") for s in chosen)]]
    if scale is not None:
        rows.append(["mask", "", *(_mask_tile(mask[index], scale) for mask in _masks(chosen))])
    rows.append(["difference", "", *(tile(difference(s.designed[index], base, gain), "difference") for s in chosen)])
    return table(header, rows, "tiles")


def _mask_tile(mask: Float[np.ndarray, "height width"], scale: tuple[float, float]) -> str:
    about = f"{mask.mean():.3f} ± {mask.std():.3f}"
    return f"{tile(mask_colours(mask, scale), f'mask, {about}')}<small>{about}</small>"


def matched_random_section(record: Record) -> str:
    """Base, learned and matched-random view of each panel image at the last snapshot."""
    last, scale = record.last, mask_scale(record)
    if last.matched_random is None:
        return absent("This designer makes no choices that could be dealt to other images.")
    shown = range(min(8, len(record.base)))
    rows = [
        ["base", *(tile(record.base[i], "base view") for i in shown)],
        ["learned", *(tile(last.designed[i], "learned view") for i in shown)],
        ["matched random", *(tile(last.matched_random[i], "matched-random view") for i in shown)],
    ]
    if scale is not None and last.mask is not None and last.matched_random_mask is not None:
        rows.insert(2, ["its mask", *(_mask_tile(last.mask[i], scale) for i in shown)])
        rows.append(["its mask", *(_mask_tile(last.matched_random_mask[i], scale) for i in shown)])
    notes = (
        f"Step {last.step}. Matched random: every image keeps its crop and gets the mask, or the magnitudes and gates, "
        "that were made for its neighbour. Means and spreads over the panel are the same by construction; only the "
        "fit between choice and image is gone."
    )
    if not varies_by_image(record):
        notes += (
            " This policy is one distribution for all images, so that learned and matched-random views differ by "
            "chance alone: there is no fit to lose."
        )
    return table([], rows, "tiles") + absent(notes)


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


def tile(pixels: Integer[np.ndarray, "height width 3"], alternative: str) -> str:
    """A small picture: at most 128 pixels a side, which is enough for the size at which tiles are shown."""
    stride = max(1, round(max(pixels.shape[:2]) / 128))
    return image(pixels[::stride, ::stride], alternative)


def _in_time(snapshots: list[Snapshot]) -> list[Snapshot]:
    """The first, the last, and evenly spaced ones between."""
    count = min(_COLUMNS, len(snapshots))
    return [snapshots[i] for i in np.linspace(0, len(snapshots) - 1, count).round().astype(int)]


def _ramp(scale: tuple[float, float] | None) -> str:
    if scale is None:
        return absent("This designer uses no mask.")
    stops = ",".join(f"rgb{tuple(int(255 * c) for c in _MASK_COLOURS(x)[:3])}" for x in np.linspace(0, 1, 9))
    ends = f"<span>{scale[0]:.2f} blurred most</span><span>kept most {scale[1]:.2f}</span>"
    return (
        absent("Masks: one colour scale for all tiles, from the smallest to the largest value; below each mean ± std.")
        + f'<div class="ramp" style="background:linear-gradient(90deg,{stops})"></div>'
        + f'<div class="ends soft">{ends}</div>'
    )

"""Which patches of the panel's images are worth hiding, and what `TokenMask` made of it."""

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import colormaps

from vssl.reports.policy.panel import Cell, tile

_ABOUT_0, _POSITIVE = colormaps["RdBu"], colormaps["viridis"]
_TITLES = {"credit": "credit", "odds": "odds of being hidden", "weight": "weight where hidden"}


def patch_maps(arrays: dict[str, np.ndarray]) -> dict | None:
    """Heat maps as a header and rows of a title, its scale, and pictures; None where none were recorded."""
    if not arrays:
        return None
    views = arrays["views"]
    header = ["", *(f"image {number}" for number in range(len(views)))]
    rows: list[tuple[str, list[Cell]]] = [("view", [(tile(view, "view"), "") for view in views])]
    for name, title in _TITLES.items():
        if name in arrays:
            maps = arrays[name]
            low, high = np.nanmin(maps), np.nanmax(maps)
            coloured = [(tile(_coloured(one, name, maps, views.shape[1:3]), title), "") for one in maps]
            rows.append((f"{title}, {_number(low)} to {_number(high)}", coloured))
    return {"header": header, "rows": rows}


def _number(value: float) -> str:
    return f"{value:+.1e}" if abs(value) < 0.01 else f"{value:.2f}"


def _coloured(
    one: Float[np.ndarray, "rows columns"],
    name: str,
    of_all: Float[np.ndarray, "images rows columns"],
    size: tuple[int, int],
) -> UInt8[np.ndarray, "height width 3"]:
    """As large as the view; one scale for all images."""
    if name == "credit":
        reach = np.nanmax(np.abs(of_all)) or 1.0
        colours = _ABOUT_0(0.5 + 0.5 * np.nan_to_num(one) / reach)[..., :3]
    else:
        low, high = of_all.min(), of_all.max()
        colours = _POSITIVE((one - low) / ((high - low) or 1.0))[..., :3]
    colours[np.isnan(one)] = 0.6
    cell = tuple(-(-side // n) for side, n in zip(size, one.shape, strict=True))
    large = np.kron(colours, np.ones((*cell, 1)))[: size[0], : size[1]]
    return (large * 255).round().astype(np.uint8)

"""A sample sheet: images above their labels and depth."""

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont

from vssl.datasets.scenes.families import DEFAULT_FAMILY
from vssl.datasets.scenes.furniture import CLASSES
from vssl.datasets.scenes.ray_casting import Rendering, render
from vssl.datasets.scenes.scene_files import LARGEST, SMALLEST

_GAP = 4  # pixels between pictures
_SHEET_STREAM = 100  # none of the splits'
_NEAREST, _FARTHEST = 0.5, 6.0  # metres, ends of the depth colours


def write_sheet(
    path: str | Path,
    columns: int = 9,
    rows: int = 2,
    size: int = 112,
    seed: int = 0,
    family: str = DEFAULT_FAMILY,
) -> Path:
    """Renders `rows` × `columns` scenes that are in no split, and writes a PNG of image, labels and depth of each."""
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"size {size} px: expected {SMALLEST}..{LARGEST}")
    path = Path(path)
    pitch = size + _GAP
    font = ImageFont.load_default(15)
    legend_rows = -(-len(CLASSES) // 7)
    height = 3 * rows * pitch + (rows - 1) * 2 * _GAP
    sheet = Image.new("RGB", (columns * pitch - _GAP, height + 24 * legend_rows + 8), "white")
    for number in range(rows * columns):
        row, column = divmod(number, columns)
        scene = render(seed, _SHEET_STREAM, number, size, family)
        for k, picture in enumerate(_pictures(scene)):
            sheet.paste(Image.fromarray(picture), (column * pitch, (3 * row + k) * pitch + row * 2 * _GAP))
    draw = ImageDraw.Draw(sheet)
    for k, name in enumerate(CLASSES):
        x, y = (k % 7) * (sheet.width // 7), height + 8 + 24 * (k // 7)
        draw.rectangle((x, y, x + 16, y + 16), fill=tuple(palette()[k + 1].tolist()))
        draw.text((x + 22, y - 1), name, fill="black", font=font)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
    return path


def palette() -> np.ndarray:
    """(1 + len(CLASSES), 3) uint8: black for unlabeled, then one colour for each class."""
    colours = colormaps["tab20"](np.arange(len(CLASSES)))[:, :3]
    return np.concatenate([np.zeros((1, 3)), colours * 255]).astype(np.uint8)


def _pictures(scene: Rendering) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    nearness = (_FARTHEST - scene.depth) / (_FARTHEST - _NEAREST)
    depth = colormaps["magma"](np.clip(nearness, 0, 1))[..., :3]
    return scene.image, palette()[scene.labels], (depth * 255).astype(np.uint8)

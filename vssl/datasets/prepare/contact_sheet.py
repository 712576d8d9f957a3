"""A picture of groups of images: for each a title and a row of small images, in two halves."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from vssl.datasets.files import read_image
from vssl.whole_files import whole

_TILE, _GAP, _TITLE, _BETWEEN = 72, 4, 22, 16  # pixels


def write_contact_sheet(path: Path, rows: Sequence[tuple[str, Sequence[Path], Sequence[Path]]], half: int) -> None:
    """Writes a PNG.

    Args:
        rows: (title, image files of the left half, of the right half).
        half: the most images in a half.
    """
    pitch, font = _TILE + _GAP, ImageFont.load_default(14)
    start = half * pitch + _BETWEEN
    sheet = Image.new("RGB", (start + half * pitch - _GAP, len(rows) * (_TITLE + pitch)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (title, *halves) in enumerate(rows):
        top = number * (_TITLE + pitch)
        draw.text((2, top + 2), title, fill="black", font=font)
        for left, files in zip((0, start), halves, strict=True):
            for column, file in enumerate(files):
                tile = Image.fromarray(read_image(file, _TILE))
                sheet.paste(tile, (left + column * pitch, top + _TITLE))
    with whole(path) as partial:
        sheet.save(partial, format="PNG")

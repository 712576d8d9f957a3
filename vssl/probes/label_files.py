"""Label files looked at before the work starts: corrupt ones, ones that were shifted, depth in another unit.

Every file is verified (checksums of its chunks, no decoding); a sample of them is decoded.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from vssl.datasets.files import UnreadableImage, read_labels, read_millimetres

SAMPLE = 64
NEXT_STEP = "Run tools/prepare_data.py, or write the files again (data/README.md shows the layouts)"


def check_class_files(paths: Sequence[str | Path], classes: int) -> None:
    """8-bit files in ADE20K's numbering: 0 = unlabeled, 1..`classes`.

    Raises:
        ValueError: a file is broken or of another kind, labels were shifted already, or a label is out of range.
    """
    verify(paths)
    found = _decoded(paths, read_labels)
    values = {path: np.unique(labels) for path, labels in found.items()}
    for path, here in values.items():
        if 255 in here and here[here < 255].max(initial=0) < classes:
            raise ValueError(
                f"{path} holds 255: the labels were shifted by one already (0..{classes - 1}, 255 = unlabeled). Files "
                f"must keep ADE20K's numbering, 0 = unlabeled and 1..{classes}; 1 is subtracted once, at loading. "
                + NEXT_STEP
            )
        if here.max() > classes:
            raise ValueError(f"{path} holds {here.max()}; 0 = unlabeled and 1..{classes} are expected. {NEXT_STEP}")
    if not any(here.any() for here in values.values()):
        raise ValueError(f"{paths[0]} and {len(values) - 1} more: no labeled pixel in any of them. {NEXT_STEP}")


def check_depth_files(paths: Sequence[str | Path]) -> None:
    """16-bit files in millimetres, 0 = invalid.

    Raises:
        ValueError: a file is broken or of another kind, there is no depth in a whole sample, or it is in another unit.
    """
    verify(paths)
    depths = [depth[depth > 0] for depth in _decoded(paths, read_millimetres).values()]
    values = np.concatenate(depths)
    if not len(values):
        raise ValueError(f"{paths[0]} and {len(depths) - 1} more: no valid depth (all 0) in any of them. {NEXT_STEP}")
    largest, median = int(values.max()), float(np.median(values))
    # No room ends within 10 cm, or within 1.5 m in every picture; half of what it shows is nearer than 15 m.
    unit = "metres" if largest <= 100 else "centimetres" if largest <= 1500 else None
    unit = "less than a millimetre" if median > 15_000 else unit
    if unit:
        raise ValueError(
            f"{paths[0]} and {len(depths) - 1} more: values up to {largest}, half of them below {median:.0f}, look "
            f"like {unit}; uint16 millimetres are expected (metres × 1000). {NEXT_STEP}"
        )


def verify(paths: Sequence[str | Path]) -> None:
    """UnreadableImage (a ValueError) that names the first file whose content is broken; files are not decoded."""

    def error_of(path: str | Path) -> str | None:
        try:
            with Image.open(path) as image:
                image.verify()
        except (OSError, SyntaxError, ValueError) as error:
            return str(error)
        return None

    with ThreadPoolExecutor(8) as pool:  # the time goes to the disk
        broken = [(p, error) for p, error in zip(paths, pool.map(error_of, paths), strict=True) if error]
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise UnreadableImage(f"{broken[0][0]}: not a readable image ({broken[0][1]}){more}. {NEXT_STEP}")


def _decoded(paths: Sequence[str | Path], read: Callable[[Path], np.ndarray]) -> dict[str | Path, np.ndarray]:
    """A sample of files, evenly spaced."""
    chosen = [paths[i * len(paths) // SAMPLE] for i in range(SAMPLE)] if len(paths) > SAMPLE else paths
    return {path: read(Path(path)) for path in chosen}

"""What the numbers in label files mean: a key of the config says it, or ``dataset.json``, or it is the layout's own.

| key | values | without it |
|---|---|---|
| `label_values` | what class labels stand for, see `LABEL_VALUES` | ``"1..C"`` |
| `depth_scale` | steps of a depth file's values in one metre, see `KNOWN_SCALES` | 1000, millimetres |
"""

import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from vssl.data_folders import next_step

IGNORE = 255  # label of pixels that count in no loss and no score

LABEL_VALUES = {
    "1..C": "0 = unlabeled, 1 to C = the classes, 255 = ignored (ADE20K)",
    "0..C-1": "0 to C-1 = the classes, 255 = ignored (Cityscapes' train ids, VOC)",
    "0/255": "a mask: 0 = the first class, 255 = the second",
}
KNOWN_SCALES = {1000: "millimetres", 5000: "TUM RGB-D", 256: "KITTI", 10000: "0.1 mm", 100: "centimetres", 1: "metres"}


class Convention(NamedTuple):
    """A value, and whether somebody stated it: then what the files hold is not guessed at."""

    value: str | float
    stated: bool


UNSTATED = {"label_values": Convention("1..C", stated=False), "depth_scale": Convention(1000, stated=False)}


def label_values(given: str | None, root: str | Path) -> Convention:
    """Which of `LABEL_VALUES` holds for the files below `root`.

    Args:
        given: the config's key, or None for what ``dataset.json`` in `root` or the folder above says.

    Raises:
        ValueError: another value; the message lists those that there are.
    """
    found, where = _stated("label_values", given, root)
    if found is not None and found not in list(LABEL_VALUES):
        known = "; ".join(f'"{name}": {meaning}' for name, meaning in LABEL_VALUES.items())
        raise ValueError(f"{where}={found!r} is unknown; give {known}")
    return UNSTATED["label_values"] if found is None else Convention(found, stated=True)


def depth_scale(given: float | None, root: str | Path) -> Convention:
    """Steps of the values in one metre for the depth files below `root`. Arguments: see `label_values`.

    Raises:
        ValueError: not a positive number.
    """
    found, where = _stated("depth_scale", given, root)
    number = isinstance(found, (int, float)) and not isinstance(found, bool)
    if found is not None and not (number and 0 < found < math.inf):
        raise ValueError(f"{where}={found!r}: give the steps of the files' values in one metre, e.g. 1000")
    return UNSTATED["depth_scale"] if found is None else Convention(found, stated=True)


def _stated(key: str, given: str | float | None, root: str | Path) -> tuple[str | float | None, str]:
    return (given, key) if given is not None else (read_dataset_json(root).get(key), f"dataset.json of {root}: {key}")


def to_classes(labels: UInt8[np.ndarray, "H W"], values: str) -> UInt8[np.ndarray, "H W"]:
    """Labels as a file holds them, turned into 0.. the classes and 255 = ignore."""
    if values == "1..C":
        # uint8 arithmetic takes 0 to 255; a 255 in the file is "ignore" already.
        return np.where(labels == IGNORE, np.uint8(IGNORE), labels - np.uint8(1))
    return labels if values == "0..C-1" else np.where(labels == IGNORE, np.uint8(1), labels)


def read_dataset_json(data_root: str | Path) -> dict:
    """What `dataset.json` in `data_root` or the folder above says about the data; {} when there is none."""
    for folder in (Path(data_root), Path(data_root).parent):
        file = folder / "dataset.json"
        if file.is_file():
            try:
                content = json.loads(file.read_text())
            except json.JSONDecodeError as error:
                raise ValueError(f"{file} is not valid JSON ({error}). {next_step(folder)}") from error
            if not isinstance(content, dict):
                raise ValueError(f'{file} holds no object, e.g. {{"classes": ["wall", "floor"]}}. {next_step(folder)}')
            return content
    return {}


def class_names(data_root: str | Path) -> tuple[str, ...]:
    """The classes that `dataset.json` lists, in the order of their numbers; () when it lists none."""
    names = read_dataset_json(data_root).get("classes") or ()
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"dataset.json of {data_root}: classes={names!r}; give a list of names")
    return tuple(names)

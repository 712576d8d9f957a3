"""Features of many images by a frozen backbone, a few unreadable images left out."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from vssl.datasets.files import DataWarning, UnreadableImage
from vssl.datasets.threads import in_threads
from vssl.progress import track

Item = TypeVar("Item")
Features = Callable[[UInt8[Tensor, "batch 3 size size"]], Float[Tensor, "batch dim"]]
"""One vector an image."""


def image_features(
    items: Sequence[Item],
    read: Callable[[Item], UInt8[np.ndarray, "size size 3"]],
    features: Features,
    batch_size: int,
    tolerated: int,
    label: str = "features",
) -> tuple[list[int], Float[np.ndarray, "images dim"]]:
    """(numbers of the items that could be read, their features).

    Args:
        read: the image of an item; raises UnreadableImage, FileNotFoundError or PermissionError.
        tolerated: how many may be unreadable. One warning counts them.
        label: what the progress line calls the work.

    Raises:
        UnreadableImage: more are unreadable.
    """
    kept: list[int] = []
    batch: list[np.ndarray] = []
    unreadable: list[Exception] = []
    found = np.empty((0, 0), np.float32)
    for number, image in enumerate(track(_decoded(items, read), label, "images", len(items))):
        if isinstance(image, np.ndarray):
            kept.append(number)
            batch.append(image)
        else:
            unreadable.append(image)
            if len(unreadable) > tolerated:
                raise UnreadableImage(
                    f"{image}. That is file {len(unreadable)} of {len(items)} that cannot be read, and {tolerated} are "
                    "tolerated. Remove or replace them"
                ) from image
        if len(batch) == batch_size or (batch and number == len(items) - 1):
            rows = features(torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2)).float().cpu().numpy()
            if not found.size:
                found = np.empty((len(items), rows.shape[1]), np.float32)
            found[len(kept) - len(batch) : len(kept)] = rows
            batch = []
    if unreadable:
        warnings.warn(f"{len(unreadable)} of {len(items)} images left out: {unreadable[0]}", DataWarning, stacklevel=3)
    return kept, found[: len(kept)]


def finite(features: Float[np.ndarray, "images dim"]) -> Float[np.ndarray, "images dim"]:
    """The same; ValueError where some are not finite."""
    if not np.isfinite(features).all():
        bad = int((~np.isfinite(features)).any(1).sum())
        raise ValueError(f"the features of {bad} of {len(features)} images are not finite; give another backbone")
    return features


def unit(rows: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows dim"]:
    """The rows' directions; a row of zeros stays."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(rows.dtype).tiny)


def _decoded(items: Sequence[Item], read: Callable) -> Iterator[UInt8[np.ndarray, "size size 3"] | Exception]:
    def one(item: Item) -> np.ndarray | Exception:
        try:
            return read(item)
        except (UnreadableImage, FileNotFoundError, PermissionError) as error:
            return error

    return in_threads(one, items)

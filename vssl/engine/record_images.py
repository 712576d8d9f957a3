"""The unlabeled images that records of a run are made of."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from vssl.datasets.stream import images_of


def panel_images(loop, count: int) -> tuple[Float[Tensor, "count 3 height width"], list[str]]:
    """Images in [0, 1] and their names, spread evenly over the unlabeled set (ImageNet's layout: over classes)."""
    dataset = loop.stream.dataset
    indices = panel_indices(dataset, count)
    images = images_of(dataset, indices, loop.device)
    return images, names_of(dataset, indices)


def names_of(dataset: Dataset, indices: Sequence[int]) -> list[str]:
    return [dataset.path(i).name if hasattr(dataset, "path") else f"image {i}" for i in indices]


def panel_indices(dataset: Dataset, count: int) -> list[int]:
    """Of the images that `panel_images` takes."""
    return np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int).tolist()

"""The unlabeled images that records of a run are made of."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vssl.datasets.stream import on_device


def panel_images(loop, count: int) -> tuple[Float[Tensor, "count 3 height width"], list[str]]:
    """Images in [0, 1] and their names, spread evenly over the unlabeled set (ImageNet's layout: over classes)."""
    dataset = loop.stream.dataset
    indices = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int).tolist()
    images = on_device(torch.stack([dataset[index, 0] for index in indices]), loop.device)
    names = [dataset.path(i).name if hasattr(dataset, "path") else f"image {i}" for i in indices]
    return images, names

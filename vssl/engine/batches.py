"""What can be known of a run's batches before the first step: whether they hold different images."""

import hashlib

import numpy as np
from mmengine.config import Config
from torch.utils.data import Dataset

from vssl.datasets import UnlabeledMixture
from vssl.engine.accumulation import Accumulation
from vssl.engine.config import ConfigError
from vssl.objectives.base import Objective

WHOLE, SAMPLE = 256, 64  # sets of up to WHOLE images are compared as a whole, of larger ones SAMPLE images


def check_batches(config: Config, objective: Objective, dataset: Dataset, world_size: int) -> None:
    """Raises ConfigError where an image would have no other image in its batch, or itself, and the loss compares them.

    So it does where all unlabeled images are one and the same picture.

    Args:
        dataset: the unlabeled images; some of them, spread evenly, are decoded.
    """
    looked_at, distinct = _distinct(dataset)
    where = f"unlabeled ({getattr(dataset, 'root', type(dataset).__name__)})"
    if distinct == 1 < looked_at:
        raise ConfigError(f"{where}: {looked_at} images of {len(dataset)} were looked at, and all are the same picture")
    if not objective.needs_other_images:
        return
    if isinstance(dataset, UnlabeledMixture) and (often := dataset.comes_twice(config.batch_size * world_size)):
        raise ConfigError(
            f"unlabeled: {often} is so small for its share that a batch of {config.batch_size} on {world_size} rank(s) "
            f"holds its images twice, and {type(objective).__name__} would compare an image with itself; give it a "
            "smaller share, more images, or a smaller batch_size"
        )
    kind, images = type(objective).__name__, distinct if looked_at == len(dataset) else len(dataset)
    sizes = {"batch_size": config.batch_size}
    if config.get("value"):
        sizes["value.batch_size"] = config["value"].get("batch_size", config.batch_size)
    parts = Accumulation.of(config).parts
    for key, size in sizes.items():
        if size // parts * world_size < 2:
            cut = f" in {parts} parts" if parts > 1 else ""
            raise ConfigError(f"{key}={size}{cut}: {kind} compares the images of a batch; give at least 2")
        if size * world_size > images:
            copies = f" ({len(dataset)} files, some of them copies)" if images < len(dataset) else ""
            raise ConfigError(
                f"{key}={size} on {world_size} rank(s), but unlabeled has {images} different image(s){copies}: {kind} "
                f"would compare an image with itself; give {key} <= {images // world_size}, or more images"
            )


def _distinct(dataset: Dataset) -> tuple[int, int]:
    """(images looked at, how many different pictures they are)."""
    count = len(dataset) if len(dataset) <= WHOLE else SAMPLE
    chosen = np.linspace(0, len(dataset) - 1, count).round().astype(int).tolist()
    return len(chosen), len({hashlib.sha256(dataset[index, 0].numpy().tobytes()).digest() for index in chosen})

"""What the unlabeled images and their sources are worth to `ImageWeights` and `SourceWeights` at the end of a run."""

import math
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vssl.datasets import UnlabeledMixture
from vssl.datasets.stream import images_of
from vssl.designers import ImageWeights, SourceWeights
from vssl.distributed import rank_and_size
from vssl.engine.designer_parts import part_of
from vssl.engine.image_credit import image_credits
from vssl.engine.record_files import pixels, save_arrays
from vssl.engine.record_images import names_of, panel_indices
from vssl.whole_files import write_json

FILE, PICTURES = "image_worth.json", "image_worth.npz"
ENDS = 8  # images shown at either end


def record_image_worth(loop, work_dir: Path, limit: int = 256) -> None:
    """Write both files at the end of a run whose designer is `ImageWeights` or `SourceWeights`; else nothing.

    All ranks call it, the first one writes. Of `ImageWeights` they hold the weights of images, whose mean is 1. Of
    `SourceWeights` the credit of images, whose mean is 0: all of a source have the same weight.

    Args:
        limit: of images, spread evenly over the unlabeled set.
    """
    dataset, indices = loop.stream.dataset, panel_indices(loop.stream.dataset, limit)
    if part_of(loop.designer, SourceWeights) is not None:
        found = image_credits(loop, indices)
        if found is None:
            return
        measure, (indices, worth) = "credit", found
    elif (designer := part_of(loop.designer, ImageWeights)) is not None:
        measure, worth = "weight", _weights(designer, loop, indices)
    else:
        return
    if rank_and_size()[0] != 0:
        return
    order = worth.argsort(descending=True, stable=True).tolist()
    ends = {"most": order[:ENDS], "least": order[::-1][:ENDS]}
    names = names_of(dataset, indices)
    told: dict[str, Any] = {"step": loop.step, "images": len(indices), "measure": measure, "sources": []}
    told |= {end: [{"name": names[i], measure: float(worth[i])} for i in chosen] for end, chosen in ends.items()}
    if isinstance(dataset, UnlabeledMixture):
        told["sources"] = _by_source(worth, [dataset.source_of((i, 0)) for i in indices])
    write_json(work_dir / FILE, told, indent=1)
    pictures = {end: images_of(dataset, [indices[i] for i in chosen], "cpu") for end, chosen in ends.items()}
    save_arrays(work_dir / PICTURES, {end: pixels(images) for end, images in pictures.items()})


def _weights(designer: ImageWeights, loop, indices: list[int]) -> Float[Tensor, " images"]:
    parts = [indices[first : first + 32] for first in range(0, len(indices), 32)]
    with torch.no_grad():
        answers = [designer.answers(images_of(loop.stream.dataset, part, loop.device)) for part in parts]
    return torch.cat(answers).softmax(0).cpu() * len(indices)


def _by_source(worth: Float[Tensor, " images"], sources: list[str]) -> list[dict[str, Any]]:
    """Mean of each source with its standard error, the largest first."""
    rows = []
    for source in sorted(set(sources)):
        own = worth[torch.tensor([name == source for name in sources])]
        error = float(own.std() / math.sqrt(len(own))) if len(own) > 1 else None
        rows.append({"name": source, "mean": float(own.mean()), "se": error, "images": len(own)})
    return sorted(rows, key=lambda row: -row["mean"])

"""What `ImageWeights` thinks of the unlabeled images: the weights of some hundreds of them, and of each source."""

import math
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vssl.designers import ImageWeights
from vssl.engine.record_files import pixels, save_arrays
from vssl.engine.record_images import panel_images, panel_indices
from vssl.whole_files import write_json

FILE, PICTURES = "image_worth.json", "image_worth.npz"
ENDS = 8  # images shown at either end


def record_image_worth(loop, work_dir: Path, limit: int = 256) -> None:
    """Write both files at the end of a run whose designer is `ImageWeights`; nothing otherwise.

    Args:
        limit: of images, spread evenly over the unlabeled set. Their weights have mean 1.
    """
    if not isinstance(loop.designer, ImageWeights):
        return
    dataset = loop.stream.dataset
    images, names = panel_images(loop, limit)
    with torch.no_grad():
        weights = torch.cat([loop.designer.answers(part) for part in images.split(32)]).softmax(0).cpu() * len(images)
    order = weights.argsort(descending=True, stable=True).tolist()
    ends = {"most": order[:ENDS], "least": order[::-1][:ENDS]}
    told: dict[str, Any] = {"step": loop.step, "images": len(images), "sources": []}
    told |= {end: [{"name": names[i], "weight": float(weights[i])} for i in chosen] for end, chosen in ends.items()}
    if hasattr(dataset, "source_of"):
        told["sources"] = _by_source(weights, [dataset.source_of((i, 0)) for i in panel_indices(dataset, limit)])
    write_json(work_dir / FILE, told, indent=1)
    save_arrays(work_dir / PICTURES, {end: pixels(images[chosen]) for end, chosen in ends.items()})


def _by_source(weights: Float[Tensor, " images"], sources: list[str]) -> list[dict[str, Any]]:
    """Mean weight of each source with its standard error, the largest first."""
    rows = []
    for source in sorted(set(sources)):
        own = weights[torch.tensor([name == source for name in sources])]
        error = float(own.std() / math.sqrt(len(own))) if len(own) > 1 else None
        rows.append({"name": source, "mean": float(own.mean()), "se": error, "images": len(own)})
    return sorted(rows, key=lambda row: -row["mean"])

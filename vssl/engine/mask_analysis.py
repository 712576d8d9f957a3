"""What a mask hides: its mean per class and near depth edges, and whether it looks at the image at all.

The designer sees images alone, as always. Labels are joined to its masks afterwards, for this record only.
"""

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Integer
from scipy import ndimage
from torch import Tensor

from vssl.datasets.conventions import IGNORE
from vssl.designers.base import Designer
from vssl.engine.designer_parts import mask_of
from vssl.views.crops import Views
from vssl.whole_files import write_json

FILE = "mask_analysis.json"
# A depth edge: neighbouring pixels whose depths differ by more than this ratio.
EDGE_RATIO = 1.1
# Bins of the distance to the nearest depth edge, in pixels of the image: [0, 1), [1, 2), ...
DISTANCES = (0, 1, 2, 4, 8, 16, math.inf)


def analyse_masks(designer: Designer, designer_update, limit: int = 256) -> dict[str, Any] | None:
    """The record of the mask on the labeled images of the feedback pools; None without a mask or
    without feedback whose labels are a map of classes or depth.

    Args:
        designer_update: the run's `DesignerUpdate`, whose pools hold the images; or None.
        limit: of images per task.
    """
    mask_designer = mask_of(designer)
    if mask_designer is None or designer_update is None:
        return None
    feedback = designer_update.feedback
    analysis: dict[str, Any] = {}
    for name, task in feedback.tasks.items():
        if task.label_kind is None:
            continue
        pool = feedback.pools[name]
        images, labels = _read(pool, limit)
        masks = _masks(mask_designer, images)
        analysis["images"] = analysis.get("images", 0) + len(masks)
        if task.label_kind == "classes":
            analysis["classes"] = mask_per_class(masks, labels, _class_names(pool.dataset))
            analysis["variance"] = variance_shares(masks)
        elif task.label_kind == "metres":
            analysis["depth_edges"] = mask_by_edge_distance(masks, labels)
            analysis.setdefault("variance", variance_shares(masks))
    return analysis or None


def write_mask_analysis(work_dir: Path, analysis: dict[str, Any]) -> None:
    write_json(work_dir / FILE, analysis, indent=1)


def mask_per_class(
    masks: Float[np.ndarray, "images height width"],
    labels: Integer[np.ndarray, "images height width"],
    names: list[str],
) -> dict[str, Any]:
    """Mean mask over each class's pixels in an image, then mean and standard error over the images that show it."""
    rows = []
    for number in sorted(set(np.unique(labels).tolist()) - {IGNORE}):
        means = [mask[label == number].mean() for mask, label in zip(masks, labels, strict=True) if number in label]
        name = names[number] if number < len(names) else f"class {number}"
        rows.append({"name": name, "pixels": int((labels == number).sum())} | _summary(means))
    return {"overall": float(masks[labels != IGNORE].mean()) if (labels != IGNORE).any() else None, "rows": rows}


def mask_by_edge_distance(
    masks: Float[np.ndarray, "images height width"], depth: Float[np.ndarray, "images height width"]
) -> dict[str, Any]:
    """Mean mask against the distance to the nearest depth edge; depth in metres, 0 (unknown) is left out."""
    by_bin: list[list[float]] = [[] for _ in DISTANCES[1:]]
    for mask, metres in zip(masks, depth, strict=True):
        edges = depth_edges(metres)
        if not edges.any():
            continue
        distance = ndimage.distance_transform_edt(~edges)
        for index, (low, high) in enumerate(pairwise(DISTANCES)):
            inside = (distance >= low) & (distance < high) & (metres > 0)
            if inside.any():
                by_bin[index].append(float(mask[inside].mean()))
    rows = [
        {"from": low, "to": None if math.isinf(high) else high} | _summary(means)
        for (low, high), means in zip(pairwise(DISTANCES), by_bin, strict=True)
        if means
    ]
    overall = float(masks[depth > 0].mean()) if (depth > 0).any() else None
    return {"edge_ratio": EDGE_RATIO, "overall": overall, "rows": rows}


def depth_edges(metres: Float[np.ndarray, "height width"]) -> np.ndarray:
    """(H, W) bool: pixels on either side of a jump in depth; jumps next to unknown depth do not count."""
    known = metres > 0
    log_depth = np.log(np.where(known, metres, 1.0))
    edges = np.zeros(metres.shape, dtype=bool)
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        jump = (np.abs(log_depth[one] - log_depth[other]) > math.log(EDGE_RATIO)) & known[one] & known[other]
        edges[one] |= jump
        edges[other] |= jump
    return edges


def variance_shares(masks: Float[np.ndarray, "images height width"]) -> dict[str, float]:
    """Where the variance of the mask lies: a two-way analysis of variance over images and pixel positions.

    ``between_images``: variance of the images' means. ``within_images``: the rest, of which ``position`` is the same
    pattern in every image and ``image_and_position`` depends on the image. The two within add up to within_images,
    all three to ``total``.
    """
    masks = masks.astype(np.float64)
    total = float(masks.var())
    between = float(masks.mean(axis=(1, 2)).var())
    position = float(masks.mean(axis=0).var())
    return {
        "total": total,
        "between_images": between,
        "within_images": total - between,
        "position": position,
        "image_and_position": total - between - position,
    }


def _read(pool, limit: int) -> tuple[Tensor, np.ndarray]:
    """Evenly spaced images of the pool with their labels, as they were given (also under shuffled-labels feedback)."""
    chosen = np.linspace(0, len(pool.indices) - 1, min(limit, len(pool.indices))).round().astype(int)
    pairs = [pool.dataset[pool.indices[i], 0] for i in chosen]
    return torch.stack([image for image, _ in pairs]).float() / 255, np.stack([label.numpy() for _, label in pairs])


@torch.no_grad()
def _masks(mask_designer, images: Tensor) -> np.ndarray:
    device = next(mask_designer.parameters()).device
    parts = [mask_designer.masked(Views(part.to(device).unsqueeze(0))).mask[0, :, 0].cpu() for part in images.split(32)]
    return torch.cat(parts).float().numpy()


def _class_names(dataset) -> list[str]:
    """From ``dataset.json`` in the dataset's folder or the one above, where prepared data lists its classes."""
    root = Path(getattr(dataset, "root", "."))
    for folder in (root, root.parent):
        if (folder / "dataset.json").is_file():
            return json.loads((folder / "dataset.json").read_text(encoding="utf-8")).get("classes", [])
    return []


def _summary(means: list[float]) -> dict[str, Any]:
    n = len(means)
    error = float(np.std(means, ddof=1) / math.sqrt(n)) if n > 1 else None
    return {"mean": float(np.mean(means)), "se": error, "images": n}

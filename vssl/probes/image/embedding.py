"""Embedding quality without labels: how many dimensions are used, how long features are, what patches look alike."""

from time import perf_counter

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from vssl.datasets import UnlabeledImages
from vssl.learner.rankme import rankme
from vssl.probes.base import Probe
from vssl.probes.decoded_images import ProbeData, source_card
from vssl.probes.frozen_backbone import FrozenBackbone
from vssl.probes.outcome import Outcome, ProbeRun
from vssl.scores import Score


class EmbeddingProbe(Probe):
    """RankMe, effective dimension and norms of the features of unlabeled images, and PCA maps of their patch tokens.

    Scores: ``rankme`` and ``effective_dimension`` of the pooled features, both in [1, min(images, dim)];
    ``pooled_norm``, ``patch_norm``: mean L2 norms; ``patch_norm_spread``: standard deviation over mean of the patch
    norms; ``patch_norm_outlier``: the largest over the median (artefact tokens of ViTs without registers: Darcet et al.
    2023, arXiv 2309.16588).

    Args:
        root: any folder tree of images.
        size: px, short side resized and the middle cropped.
        limit: so many images, evenly spaced over the sorted list. More images than dimensions say more.
        pool: ``"avg"`` of the patch tokens or ``"class"``.
        pictures: images whose patch tokens are drawn.
    """

    task = "embedding"

    def __init__(
        self,
        root: str,
        size: int,
        limit: int = 2048,
        pool: str = "avg",
        final_norm: bool = True,
        pictures: int = 8,
        batch_size: int = 64,
    ):
        if pool not in ("avg", "class"):
            raise ValueError(f"pool={pool!r}; 'avg' or 'class' is needed")
        if limit < 2:
            raise ValueError(f"limit={limit}; at least 2 images are needed")
        self.root, self.size, self.limit, self.pool = root, size, limit, pool
        self.final_norm, self.pictures, self.batch_size = final_norm, pictures, batch_size

    def score_info(self) -> dict[str, Score]:
        """None of them is better higher or lower by itself."""
        names = (
            "rankme",
            "effective_dimension",
            "pooled_norm",
            "patch_norm",
            "patch_norm_spread",
            "patch_norm_outlier",
        )
        return {name: Score(name, better=None) for name in names}

    def load(self, data: ProbeData) -> UnlabeledImages:
        return UnlabeledImages(self.root, self.size)

    @torch.no_grad()
    def run(self, run: ProbeRun) -> Outcome:
        dataset = self.load(run.data)
        start = perf_counter()
        frozen = FrozenBackbone(run.backbone, final_norm=self.final_norm).to(run.device)
        count = min(self.limit, len(dataset))
        rows = [i * len(dataset) // count for i in range(count)]
        shown = set(rows[:: max(count // max(self.pictures, 1), 1)][: self.pictures])
        pooled, norms, images, maps = [], [], [], []
        for first in range(0, count, self.batch_size):
            part = rows[first : first + self.batch_size]
            batch = torch.stack([dataset[i] for i in part])
            floats = batch.to(run.device).float() / 255
            patches = frozen(floats)[-1]
            pooled.append(patches.mean((2, 3)) if self.pool == "avg" else frozen.pooled(floats, "class"))
            norms.append(patches.norm(dim=1).flatten())
            drawn = [i for i, row in enumerate(part) if row in shown]
            images.append(batch[drawn])
            maps.append(patches[drawn].cpu())
        features, lengths = torch.cat(pooled), torch.cat(norms)
        scores = {
            "rankme": rankme(features),
            "effective_dimension": effective_dimension(features),
            "pooled_norm": features.norm(dim=1).mean().item(),
            "patch_norm": lengths.mean().item(),
            "patch_norm_spread": (lengths.std() / lengths.mean()).item(),
            "patch_norm_outlier": (lengths.max() / lengths.median()).item(),
        }
        card = {
            **source_card(self.root, 0, count),
            "input_size": self.size,
            "layers": "last",
            "final_norm": self.final_norm,
            "pool": self.pool,
            "head": "none: no labels",
            "dim": features.shape[1],
            **run.card(),
        }
        pictures, sheets = {}, {}
        if self.pictures:
            pictures["pca_image"] = torch.cat(images).permute(0, 2, 3, 1).numpy()
            pictures["pca_map"] = pca_maps(torch.cat(maps)).numpy()
            sheets["pca"] = pca_sheet(pictures["pca_image"], pictures["pca_map"])
        return self.outcome(scores, card, start, pictures, sheets)


def effective_dimension(features: Float[Tensor, "images dim"]) -> float:
    """Participation ratio (Σλ)² / Σλ² of the covariance's eigenvalues: d for d equal directions, 1 for a single one."""
    centred = features.double() - features.double().mean(dim=0)
    values = torch.linalg.svdvals(centred).square()
    return (values.sum().square() / values.square().sum()).item()


def pca_maps(patches: Float[Tensor, "images dim rows columns"]) -> UInt8[Tensor, "images rows columns 3"]:
    """The first three principal components of all patch tokens together, as red, green and blue.

    Each component runs from its 1 % to its 99 % quantile. Signs are fixed by the largest loading, so that the same
    features have the same colours. With fewer than three dimensions or patches the missing colours are grey.
    """
    count, dim, rows, columns = patches.shape
    tokens = patches.permute(0, 2, 3, 1).reshape(-1, dim).double()
    _, _, directions = torch.linalg.svd(tokens - tokens.mean(dim=0), full_matrices=False)
    directions = directions[:3]
    largest = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True))
    projected = (tokens - tokens.mean(dim=0)) @ (directions * largest.sign()).T
    low, high = np.quantile(projected.numpy(), (0.01, 0.99), axis=0)
    shown = ((projected - torch.from_numpy(low)) / torch.from_numpy(high - low).clamp_min(1e-12)).clamp(0, 1)
    colours = torch.full((len(tokens), 3), 0.5, dtype=torch.float64)
    colours[:, : shown.shape[1]] = shown
    return (colours * 255).round().byte().view(count, rows, columns, 3)


def pca_sheet(images: UInt8[np.ndarray, "N H W 3"], maps: UInt8[np.ndarray, "N rows columns 3"]) -> Image.Image:
    """Images in a row, their maps below at the same size."""
    height, width = images.shape[1:3]
    large = [np.asarray(Image.fromarray(m).resize((width, height), Image.Resampling.NEAREST)) for m in maps]
    return Image.fromarray(np.concatenate([np.concatenate(list(images), 1), np.concatenate(large, 1)], 0))

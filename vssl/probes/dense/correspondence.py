"""Correspondence of keypoints by nearest features, without training.

Followed: DIFT's evaluation on SPair-71k (Tang et al. 2023, arXiv 2306.03881; github.com/Tsingularity/dift,
eval_spair.py).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as T

from vssl.datasets.files import read_image
from vssl.datasets.keypoint_pairs import KeypointPair, KeypointPairs
from vssl.probes.base import Probe
from vssl.probes.decoded_images import ProbeData, source_card
from vssl.probes.frozen_backbone import FrozenBackbone
from vssl.probes.outcome import Outcome, ProbeRun
from vssl.scores import Score


class CorrespondenceProbe(Probe):
    """PCK: the share of keypoints that are found within alpha times the longer side of the target's box.

    Both images are resized to `size`. A keypoint's feature is compared with the features of every pixel of the target
    image (its own size; maps enlarged bilinearly) by cosine similarity; the best pixel is the answer. ``pck@alpha`` is
    the mean over pairs of a pair's share ("per image"), ``pck@alpha_point`` is over all keypoints.

    Args:
        dataset: config of the data, ``dict(type=KeypointPairs, root=…)``.
        size: (height, width) that the backbone sees, px.
        alphas: the first is the headline.
        layers, final_norm: see `FrozenBackbone`; several layers are concatenated.
    """

    task = "correspondence"

    def __init__(
        self,
        dataset: dict,
        size: tuple[int, int],
        alphas: Sequence[float] = (0.1, 0.05, 0.01),
        layers: str | Sequence[int] = "last",
        final_norm: bool = True,
        batch_size: int = 16,
    ):
        if not alphas or min(alphas) <= 0 or min(size) < 1:
            raise ValueError(f"alphas={alphas}, size={size}; positive numbers are needed")
        self.dataset, self.size, self.alphas = dict(dataset), tuple(size), list(alphas)
        self.look, self.batch_size = dict(layers=layers, final_norm=final_norm), batch_size

    def score_info(self) -> dict[str, Score]:
        info: dict[str, Score] = {}
        for alpha in self.alphas:
            info[f"pck@{alpha:g}"] = Score(f"PCK@{alpha:g}, per image", "%", digits=2)
            info[f"pck@{alpha:g}_point"] = Score(f"PCK@{alpha:g}, per point", "%", digits=2)
        return info

    def load(self, data: ProbeData) -> KeypointPairs:
        settings = dict(self.dataset)
        return settings.pop("type")(**settings)

    @torch.no_grad()
    def run(self, run: ProbeRun) -> Outcome:
        pairs = self.load(run.data).pairs
        start = perf_counter()
        paths = sorted({path for pair in pairs for path in (pair.source, pair.target)})
        place = {path: row for row, path in enumerate(paths)}
        maps = self.features(paths, run)
        errors = []  # of each pair's keypoints, as shares of the box
        for pair in pairs:
            source, target = (maps[place[p]].to(run.device, torch.float32) for p in (pair.source, pair.target))
            found = match(source, target, *pair.sizes, torch.from_numpy(pair.source_points)).cpu().numpy()
            errors.append(np.hypot(*(found - pair.target_points).T) / pair.target_box)
        scores = {}
        for alpha in self.alphas:
            scores[f"pck@{alpha:g}"] = 100 * float(np.mean([(e <= alpha).mean() for e in errors]))
            scores[f"pck@{alpha:g}_point"] = 100 * float((np.concatenate(errors) <= alpha).mean())
        counts = {"pairs": len(pairs), "keypoints": sum(map(len, errors)), "images": len(paths)}
        return self.outcome(
            scores, self.card(pairs, run), start, counts=counts, per_class=self.by_category(pairs, errors)
        )

    def features(self, paths: Sequence[Path], run: ProbeRun) -> Float[Tensor, "images dim rows columns"]:
        frozen = FrozenBackbone(run.backbone, **self.look).to(run.device)

        def batches() -> Iterator[list[Tensor]]:
            for first in range(0, len(paths), self.batch_size):
                images = [torch.from_numpy(read_image(p).copy()) for p in paths[first : first + self.batch_size]]
                resized = [T.resize(i.permute(2, 0, 1), list(self.size), antialias=True) for i in images]
                yield [torch.cat(frozen(torch.stack(resized).to(run.device).float() / 255), dim=1)]

        return run.features({"correspondence": self.size, **self.look}, paths, len(paths), batches())[0]

    def by_category(self, pairs: Sequence[KeypointPair], errors: Sequence[np.ndarray]) -> dict[str, float]:
        shares: dict[str, list[float]] = {}
        for pair, error in zip(pairs, errors, strict=True):
            shares.setdefault(pair.category, []).append((error <= self.alphas[0]).mean())
        return {category: 100 * float(np.mean(shares[category])) for category in sorted(shares)}

    def card(self, pairs: Sequence[KeypointPair], run: ProbeRun) -> dict[str, Any]:
        return {
            **source_card(self.dataset.get("root", ""), 0, len(pairs)),
            "split": self.dataset.get("split", "test"),
            "input_size": list(self.size),
            **self.look,
            "head": "none: cosine similarity, maps enlarged bilinearly to the target image",
            "alphas": self.alphas,
            "threshold": "alpha × longer side of the target's box",
            "averaging": "pck: mean over pairs; pck_point: over keypoints; per_class: per image, at the first alpha",
            "seed_matters": False,
            **run.card(),
        }


def match(
    source: Float[Tensor, "dim rows columns"],
    target: Float[Tensor, "dim rows columns"],
    source_size: tuple[int, int],
    target_size: tuple[int, int],
    points: Float[Tensor, "points 2"],
    channels: int = 64,
) -> Float[Tensor, "points 2"]:
    """x, y of the target's pixels that are most like the source's at `points`.

    Both maps are enlarged bilinearly to their images' (height, width). The products are enlarged in place of the
    features, which is the same, and the features' lengths are added up over some channels at a time: no map of all
    channels at the image's size is held.
    """
    height, width = source_size
    where = (points.to(source) + 0.5) * 2 / torch.tensor([width, height]).to(source) - 1
    vectors = F.grid_sample(source[None], where[None, None], padding_mode="border", align_corners=False)[0, :, 0]
    products = torch.einsum("dp,drc->prc", vectors, target)
    likeness = F.interpolate(products[None], size=target_size, mode="bilinear")[0]
    lengths = target.new_zeros(target_size)
    for part in target.split(channels):
        lengths += F.interpolate(part[None], size=target_size, mode="bilinear")[0].square().sum(0)
    best = (likeness / lengths.sqrt().clamp(min=1e-12)).flatten(1).argmax(dim=1)
    return torch.stack([best % target_size[1], best // target_size[1]], dim=1).double()

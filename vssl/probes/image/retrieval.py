"""Image retrieval by the revisited Oxford and Paris protocol (Radenović et al. 2018, arXiv 1803.11285)."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from vssl.datasets.files import read_image
from vssl.probes.base import Probe
from vssl.probes.decoded_images import ProbeData, source_card
from vssl.probes.frozen_backbone import FrozenBackbone
from vssl.probes.outcome import Outcome, ProbeRun
from vssl.scores import Score

# name → (positives, junk: taken out of the ranking as if it were not in the database)
PROTOCOLS = {
    "M": (("easy", "hard"), ("junk",)),
    "E": (("easy",), ("junk", "hard")),
    "H": (("hard",), ("junk", "easy")),
}
Box = tuple[float, float, float, float]


class RetrievalData(Protocol):
    """What `vssl.datasets.revisited.RevisitedRetrieval` gives.

    database: paths. queries: path and box (left, top, right, bottom; px) of what is searched for. ground_truth: for
    each query indices into the database by ``"easy"``, ``"hard"``, ``"junk"``.
    """

    database: Sequence[str | Path]
    queries: Sequence[tuple[str | Path, Box]]
    ground_truth: Sequence[dict[str, Int[np.ndarray, " images"]]]


class RetrievalProbe(Probe):
    """Mean average precision of ranking the database by cosine similarity, for the easy, medium and hard protocols.

    Args:
        dataset: config of the data, ``dict(type=RevisitedRetrieval, root=…)``.
        size: longer side that larger images and cropped queries are reduced to, px; smaller ones stay as they are.
        scales: the features at these scales of the image are added up before normalising; ``(1, 0.707, 0.5)`` is the
            usual multi-scale setting.
        pool: ``"class"``, ``"avg"`` of the patch tokens, or ``"avg+class"``.
        k: mP@k, the share of positives among the first k.
    """

    task = "retrieval"

    def __init__(
        self,
        dataset: dict,
        size: int = 224,
        scales: Sequence[float] = (1.0,),
        pool: str = "class",
        final_norm: bool = True,
        k: Sequence[int] = (1, 5, 10),
    ):
        if not scales or not all(0 < s <= 1 for s in scales) or size < 1 or min(k) < 1:
            raise ValueError(f"size={size}, scales={scales}, k={k}; positive sizes and k, scales in (0, 1] are needed")
        if pool not in ("avg", "class", "avg+class"):
            raise ValueError(f"pool={pool!r}; 'avg', 'class' or 'avg+class' is needed")
        self.dataset, self.size, self.scales, self.k = dict(dataset), size, tuple(scales), tuple(k)
        self.pool, self.final_norm = pool, final_norm

    def score_info(self) -> dict[str, Score]:
        names = {"M": "medium", "E": "easy", "H": "hard"}
        info = {f"mAP_{name}": Score(f"mAP, {title}") for name, title in names.items()}
        return info | {f"mP@{k}_{name}": Score(f"mP@{k}, {title}") for name, title in names.items() for k in self.k}

    def load(self, data: ProbeData) -> RetrievalData:
        settings = dict(self.dataset)
        return settings.pop("type")(**settings)

    def run(self, run: ProbeRun) -> Outcome:
        data = self.load(run.data)
        start = perf_counter()
        frozen = FrozenBackbone(run.backbone, final_norm=self.final_norm).to(run.device)
        images = [(path, None) for path in data.database]
        database, queries = (self.embed(entries, frozen, run) for entries in (images, list(data.queries)))
        ranking = (queries @ database.T).argsort(dim=1, descending=True, stable=True).cpu().numpy()
        scores, counts = evaluate(ranking, data.ground_truth, self.k)
        card = {
            **source_card(self.dataset.get("root", ""), 0, len(data.database)),
            "queries": f"{len(data.queries)}, cropped to their boxes; those without positives are left out",
            "input_size": f"longer side at most {self.size}, bicubic",
            "scales": list(self.scales),
            "layers": "last",
            "pool": self.pool,
            "final_norm": self.final_norm,
            "class_token": "class" in self.pool,
            "head": "none: cosine similarity",
            "averaging": "trapezoidal AP, mean over queries; junk taken out of the ranking",
            **run.card(),
        }
        return self.outcome(scores, card, start, counts=counts)

    def embed(
        self, entries: Sequence[tuple[str | Path, Box | None]], frozen: FrozenBackbone, run: ProbeRun
    ) -> Float[Tensor, "images dim"]:
        """L2-normalised features of images, or of their boxes."""
        protocol = {"size": self.size, "scales": self.scales, "pool": self.pool, "final_norm": self.final_norm}
        protocol |= {"boxes": [box for _, box in entries]}

        def looks() -> Iterator[list[Tensor]]:
            for path, box in entries:  # images have their own sizes, so that they come one by one
                image = reduced(torch.from_numpy(crop(read_image(Path(path)), box).copy()), self.size)
                yield [embed_image(image.to(run.device), self.scales, lambda x: frozen.pooled(x, self.pool))]

        (features,) = run.features(protocol, [path for path, _ in entries], len(entries), looks())
        return features.to(run.device, torch.float32)


def crop(image: UInt8[np.ndarray, "H W 3"], box: Box | None) -> UInt8[np.ndarray, "h w 3"]:
    """The part inside the box, edges rounded to whole pixels; everything without one."""
    if box is None:
        return image
    left, top, right, bottom = (max(round(edge), 0) for edge in box)
    return image[top:bottom, left:right]


def reduced(image: UInt8[Tensor, "H W 3"], size: int) -> Float[Tensor, "1 3 h w"]:
    """In [0, 1], the longer side at most `size` px, proportions kept."""
    floats = image.permute(2, 0, 1)[None].float() / 255
    return scaled(floats, min(1.0, size / max(floats.shape[2:])))


def scaled(image: Float[Tensor, "1 3 H W"], factor: float) -> Float[Tensor, "1 3 h w"]:
    if factor == 1:
        return image
    sides = [max(round(side * factor), 1) for side in image.shape[2:]]
    return F.interpolate(image, sides, mode="bicubic", antialias=True).clamp(0, 1)


def embed_image(
    image: Float[Tensor, "1 3 H W"], scales: Sequence[float], look: Callable[[Tensor], Float[Tensor, "1 dim"]]
) -> Float[Tensor, "1 dim"]:
    """The features at all scales added up, of length 1 (as DINO's eval_image_retrieval.py)."""
    return F.normalize(torch.stack([look(scaled(image, scale)) for scale in scales]).sum(dim=0), dim=1)


def evaluate(
    ranking: Int[np.ndarray, "queries database"], ground_truth: Sequence[dict], k: Sequence[int]
) -> tuple[dict[str, float | None], dict[str, int]]:
    """Scores ``mAP_M``, ``mP@k_M``, … (0..1; None where no query has positives), and how many queries they are over."""
    scores: dict[str, float | None] = {}
    counts: dict[str, int] = {}
    for name, (positive, junk) in PROTOCOLS.items():
        places = [
            places_of(ranked, *(np.concatenate([truth[grade] for grade in grades]) for grades in (positive, junk)))
            for ranked, truth in zip(ranking, ground_truth, strict=True)
        ]
        places = [found for found in places if len(found)]
        counts[f"queries_{name}"] = len(places)
        scores[f"mAP_{name}"] = _mean([average_precision(found) for found in places])
        for n in k:
            scores[f"mP@{n}_{name}"] = _mean([precision_at(found, n) for found in places])
    return scores, counts


def places_of(
    ranked: Int[np.ndarray, " database"], positive: Int[np.ndarray, " positives"], junk: Int[np.ndarray, " junk"]
) -> Int[np.ndarray, " positives"]:
    """Places of the positives in the ranking without junk, from 0, ascending."""
    kept = ranked[~np.isin(ranked, junk)]
    return np.flatnonzero(np.isin(kept, positive))


def average_precision(places: Int[np.ndarray, " positives"]) -> float:
    """Area under precision over recall by the trapezoidal rule: before and after each positive is found."""
    found = np.arange(len(places))
    before = np.where(places == 0, 1.0, found / np.maximum(places, 1))
    after = (found + 1) / (places + 1)
    return float(((before + after) / 2).mean())


def precision_at(places: Int[np.ndarray, " positives"], k: int) -> float:
    """Share of positives among the first k, or among the first up to the last positive where that comes before k."""
    k = min(k, int(places.max()) + 1)
    return float((places < k).sum() / k)


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None

"""Probes of one vector per image: a linear classifier and k nearest neighbours."""

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vssl.probes.base import Probe
from vssl.probes.decoded_images import FolderSplit, ProbeData, require_disjoint, source_card
from vssl.probes.fit import build_schedule
from vssl.probes.frozen_backbone import FrozenBackbone
from vssl.probes.outcome import Outcome, ProbeRun
from vssl.scores import Score

TOP1 = Score("top-1", "%", digits=2)


class FolderProbe(Probe):
    """What both share: an ImageNet folder's two splits and their pooled features.

    Args:
        train, val: folders in ImageNet's layout, with the same classes.
        data_root: where `dataset.json` lies, for the card.
        size: centre crop, px; resize: short side before it (None: `size`).
        interpolation: of the resizing, "bilinear" or "bicubic", antialiased.
        pool: ``"avg"`` of patch tokens, ``"class"`` token, or ``"avg+class"`` concatenated.
        final_norm: pool tokens after the backbone's final norm.
        limit: use so many training images, evenly spaced over the sorted list (the classes keep their shares).
        keep: hold the decoded images in memory (a data set like ImageNet is streamed instead).
    """

    def __init__(
        self,
        train: str,
        val: str,
        size: int,
        resize: int | None = None,
        interpolation: str = "bilinear",
        pool: str = "avg",
        final_norm: bool = True,
        batch_size: int = 64,
        data_root: str | None = None,
        limit: int | None = None,
        keep: bool = True,
        num_workers: int = 0,
    ):
        if pool not in ("avg", "class", "avg+class"):
            raise ValueError(f"pool={pool!r}; 'avg', 'class' or 'avg+class' is needed")
        self.roots, self.data_root = (train, val), data_root or train
        self.reading = dict(size=size, resize=resize or size, interpolation=interpolation)
        self.reading |= dict(keep=keep, num_workers=num_workers)
        self.limit = limit
        self.pool, self.final_norm, self.batch_size = pool, final_norm, batch_size

    def load(self, data: ProbeData) -> tuple[FolderSplit, FolderSplit]:
        limits = (self.limit, None)
        train, val = (data.folder(r, limit=n, **self.reading) for r, n in zip(self.roots, limits, strict=True))
        if train.classes != val.classes:
            odd = sorted(set(train.classes) ^ set(val.classes))
            raise ValueError(f"{self.roots[0]} and {self.roots[1]} differ in their class folders: {odd[:5]}")
        if len(train.classes) < 2:
            raise ValueError(f"{self.roots[0]}: one class alone ({train.classes[0]}): every answer would be right")
        require_disjoint(train, val)
        return train, val

    @torch.no_grad()
    def features(self, split: FolderSplit, run: ProbeRun) -> Float[Tensor, "images dim"]:
        """One vector per image, computed once per run for all probes that pool alike."""
        key = (split.root, len(split), *self.reading.values(), self.pool, self.final_norm)
        if key not in run.pooled:
            frozen = FrozenBackbone(run.backbone, final_norm=self.final_norm).to(run.device)
            protocol = {**self.look_at_images(), "pool": self.pool, "final_norm": self.final_norm}
            batches = (images.to(run.device).float() / 255 for images in split.batches(self.batch_size))
            looks = ([frozen.pooled(images, self.pool)] for images in batches)
            (found,) = run.features(protocol, split.files(), len(split), looks)
            run.pooled[key] = found.to(run.device, torch.float32)
        return run.pooled[key]

    def look_at_images(self) -> dict:
        return {name: self.reading[name] for name in ("size", "resize", "interpolation")}

    def card(self, train: FolderSplit, val: FolderSplit, run: ProbeRun) -> dict:
        return {
            **source_card(self.data_root, len(train), len(val)),
            "input_size": self.reading["size"],
            "train_pipeline": [
                f"resize short side {self.reading['resize']}, {self.reading['interpolation']}",
                f"centre crop {self.reading['size']}",
            ],
            "val_pipeline": "as train",
            "layers": "last",
            "pool": self.pool,
            "final_norm": self.final_norm,
            "class_token": "class" in self.pool,
            "inference": "whole image",
            "test_time_augmentation": None,
            "averaging": "over images",
            **run.card(),
        }


class LinearProbe(FolderProbe):
    """Top-1 of batch norm and a linear classifier on frozen features."""

    task = "classification"

    def __init__(self, schedule: dict | None = None, init_std: float = 0.01, **settings):
        super().__init__(**settings)
        self.schedule, self.init_std = build_schedule(schedule), init_std

    def score_info(self) -> dict[str, Score]:
        return {"top1": TOP1}

    def run(self, run: ProbeRun) -> Outcome:
        train, val = self.load(run.data)
        start = perf_counter()
        features, labels = self.features(train, run), train.targets.to(run.device)
        head = self.build(features.shape[1], len(train.classes), run.seed).to(run.device)
        loss = self.schedule.fit(head, lambda x, y: F.cross_entropy(head(x[0]), y), [features], labels, run.seed)
        with torch.no_grad():
            predicted = head(self.features(val, run)).argmax(dim=1).cpu()
        card = {
            **self.card(train, val, run),
            "head": "BatchNorm → linear",
            "loss": "cross-entropy",
            "final_training_loss": loss,
            **self.schedule.card(),
        }
        scores = {"top1": top1(predicted, val.targets)}
        return self.outcome(scores, card, start, per_class=accuracy_per_class(predicted, val))

    def build(self, dim: int, classes: int, seed: int) -> nn.Module:
        return nn.Sequential(nn.BatchNorm1d(dim, affine=False), linear_classifier(dim, classes, self.init_std, seed))


def linear_classifier(dim: int, classes: int, init_std: float, seed: int) -> nn.Linear:
    """Weights from N(0, init_std²) under `seed`, bias 0."""
    linear = nn.Linear(dim, classes)
    nn.init.normal_(linear.weight, std=init_std, generator=torch.Generator().manual_seed(seed))
    nn.init.zeros_(linear.bias)
    return linear


class KNNProbe(FolderProbe):
    """Top-1 of weighted k nearest neighbours, as in DINO: cosine similarity, votes weighted with exp(similarity / T).

    Args:
        k: numbers of neighbours; `knn_top1` is the score at the first.
        temperature: T.
    """

    task = "knn"

    def __init__(self, k: Sequence[int] = (20, 10), temperature: float = 0.07, **settings):
        super().__init__(**settings)
        self.k, self.temperature = list(k), temperature

    def score_info(self) -> dict[str, Score]:
        return {"knn_top1": TOP1, **{f"knn_top1@{k}": replace(TOP1, title=f"top-1, k = {k}") for k in self.k}}

    def load(self, data: ProbeData) -> tuple[FolderSplit, FolderSplit]:
        train, val = super().load(data)
        if not 1 <= min(self.k) <= max(self.k) <= len(train):
            raise ValueError(f"k={self.k}; every k must be in 1..{len(train)}, the number of training images")
        return train, val

    def run(self, run: ProbeRun) -> Outcome:
        train, val = self.load(run.data)
        start = perf_counter()
        votes = knn_votes(
            self.features(train, run),
            train.targets.to(run.device),
            self.features(val, run),
            len(train.classes),
            self.k,
            self.temperature,
        )
        accuracy = {f"knn_top1@{k}": top1(v.argmax(dim=1).cpu(), val.targets) for k, v in votes.items()}
        scores = {"knn_top1": accuracy[f"knn_top1@{self.k[0]}"], **accuracy}
        card = {**self.card(train, val, run), "head": "none", "k": self.k, "temperature": self.temperature}
        card |= {"features": "L2-normalised", "seed_matters": False}
        return self.outcome(scores, card, start)


def knn_votes(
    train: Float[Tensor, "images dim"],
    labels: Int[Tensor, " images"],
    queries: Float[Tensor, "queries dim"],
    classes: int,
    k: Sequence[int],
    temperature: float,
    chunk: int = 1024,
) -> dict[int, Float[Tensor, "queries classes"]]:
    """Summed votes of the k nearest training images for each k (`chunk` queries at a time bound the memory)."""
    train = F.normalize(train, dim=1)
    found: dict[int, list[Tensor]] = {n: [] for n in k}
    for part in F.normalize(queries, dim=1).split(chunk):
        similarity, nearest = (part @ train.T).topk(max(k), dim=1)
        weights = ((similarity - 1) / temperature).exp()  # − 1 keeps the exponent ≤ 0 and changes no ranking
        for n in k:
            votes = weights.new_zeros(len(part), classes)
            found[n].append(votes.scatter_add_(1, labels[nearest[:, :n]], weights[:, :n]))
    return {n: torch.cat(parts) for n, parts in found.items()}


def accuracy_per_class(predicted: Int[Tensor, " images"], split: FolderSplit) -> dict[str, float]:
    """Percent of each class' images that were found."""
    hits = predicted == split.targets
    return {name: float(100 * hits[split.targets == i].double().mean()) for i, name in enumerate(split.classes)}


def top1(predicted: Int[Tensor, " images"], labels: Int[Tensor, " images"]) -> float:
    """Percent of images whose class was found."""
    return float(100 * (predicted == labels).double().mean())

"""ImageNet's linear probe as DINOv2 and DINOv3 run it: many classifiers on one pass of the backbone.

Followed: dinov2/eval/linear.py and dinov3/eval/linear.py. Different here: the classifier is chosen on a held-out part
of train unless ``select="val"`` asks for the published "best on val".
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice, product
from time import perf_counter

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import InterpolationMode
from torchvision.transforms import v2 as T

from vssl.datasets import PositionSampler
from vssl.probes.decoded_images import FolderSplit, decode
from vssl.probes.fit import build_schedule
from vssl.probes.frozen_backbone import FrozenBackbone
from vssl.probes.head_grid import (
    Member,
    check_grid,
    choose,
    finite_or_none,
    fit_together,
    selection_card,
    split_off,
    with_learning_rate,
)
from vssl.probes.image.classification import TOP1, FolderProbe, accuracy_per_class, linear_classifier, top1
from vssl.probes.outcome import Outcome, ProbeRun
from vssl.scores import Score

POOLS = ("class", "class+avg", "avg")
Look = Callable[[UInt8[Tensor, "batch 3 size size"]], Float[Tensor, "batch dim"]]


class LinearGridProbe(FolderProbe):
    """Top-1 of the best of learning rates × layers × pooling, all trained side by side; every one is reported.

    Args:
        learning_rates: as the optimizer takes them (DINOv2's times batch / 256).
        last_layers: numbers n of last layers whose class tokens are concatenated.
        pools: ``"class"`` tokens, ``"class+avg"`` with the last layer's mean patch token beside them, ``"avg"`` alone.
        seeds: of the classifiers' initialisation, added to the run's; each makes a member.
        schedule: arguments of `Schedule`; its learning rate is replaced by each of the grid's.
        batch_norm: standardise features before the classifier (the V-Pretraining paper does, DINO does not).
        augment: train on random resized crops and flips (``crop_scale``: share of the area); else on centre crops.
        cached_epochs: with `augment`, compute the features of so many augmented epochs once and train on them in turn;
            None sees every image anew in every step. Centre crops are always computed once.
        select: ``"held-out"`` or ``"val"``; holdout: the share of the training images that is held out. With ``"val"``
            nothing is held out.
    """

    task = "classification"

    def __init__(
        self,
        learning_rates: Sequence[float],
        last_layers: Sequence[int] = (1,),
        pools: Sequence[str] = ("class",),
        seeds: Sequence[int] = (0,),
        schedule: dict | None = None,
        batch_norm: bool = False,
        init_std: float = 0.01,
        augment: bool = True,
        crop_scale: tuple[float, float] = (0.08, 1.0),
        cached_epochs: int | None = None,
        select: str = "held-out",
        holdout: float = 0.1,
        **settings,
    ):
        if "pool" in settings:
            raise ValueError("a grid takes pools=[…], not pool")
        super().__init__(**settings)
        self.schedule = build_schedule(schedule)
        check_grid(select, holdout, learning_rates, self.schedule)
        if not pools or not set(pools) <= set(POOLS) or not last_layers or min(last_layers) < 1:
            raise ValueError(f"pools={pools}, last_layers={last_layers}; pools are {POOLS}, layers are counted from 1")
        if cached_epochs is not None and (cached_epochs < 1 or not augment):
            raise ValueError(f"cached_epochs={cached_epochs} needs augment=True and at least one epoch")
        self.learning_rates, self.last_layers, self.pools = list(learning_rates), list(last_layers), list(pools)
        self.seeds, self.batch_norm, self.init_std = list(seeds), batch_norm, init_std
        self.augment, self.crop_scale, self.cached_epochs = augment, tuple(crop_scale), cached_epochs
        self.select, self.holdout = select, holdout

    def score_info(self) -> dict[str, Score]:
        return {"top1": TOP1}

    def run(self, run: ProbeRun) -> Outcome:
        train, val = self.load(run.data)
        start = perf_counter()
        kept, held = split_off(len(train), self.holdout) if self.select == "held-out" else (list(range(len(train))), [])
        members, look = self.build(run, len(train.classes)), self.looker(run)
        fit_together(members, self.batches(train, kept, look, run))
        on_val = predict(members, self.summaries(val, range(len(val)), look, run), run.device)
        accuracy = judged = [top1(p, val.targets) for p in on_val]
        if held:
            predicted = predict(members, self.summaries(train, held, look, run), run.device)
            judged = [top1(p, train.targets[held]) for p in predicted]
        best = choose(members, judged, TOP1.better)
        reported = [
            {**m.about, "top1": a, "final_training_loss": finite_or_none(m.final_loss)}
            | ({"held_out_top1": j} if held else {})
            for m, a, j in zip(members, accuracy, judged, strict=True)
        ]
        return self.outcome(
            {"top1": accuracy[best]},
            self.grid_card(train, val, run, len(kept), len(held)),
            start,
            chosen=reported[best],
            members=reported,
            per_class=accuracy_per_class(on_val[best], val),
        )

    def build(self, run: ProbeRun, classes: int) -> list[Member]:
        backbone = run.backbone
        if not backbone.has_class_token and set(self.pools) != {"avg"}:
            raise ValueError(f"{backbone.name} has no class token; set pools=['avg']")
        if max(self.last_layers) > backbone.depth:
            raise ValueError(f"last_layers={self.last_layers}, but {backbone.name} has {backbone.depth} layers")
        tokens = max(self.last_layers) if backbone.has_class_token else 0
        members = []
        for seed, layers, pool, lr in product(self.seeds, self.last_layers, self.pools, self.learning_rates):
            first = tokens if pool == "avg" else tokens - layers
            columns = slice(first * backbone.embed_dim, (tokens + ("avg" in pool)) * backbone.embed_dim)
            dim = columns.stop - columns.start
            linear = linear_classifier(dim, classes, self.init_std, run.seed + seed)
            norm = nn.BatchNorm1d(dim, affine=False) if self.batch_norm else nn.Identity()
            head = nn.Sequential(Columns(columns), norm, linear).to(run.device)
            about = {"lr": lr, "last_layers": layers, "pool": pool, "seed": run.seed + seed}
            members.append(Member(about, head, with_learning_rate(self.schedule, lr), _loss_of(head)))
        return members

    def looker(self, run: ProbeRun) -> Look:
        """Images to class tokens of the last layers, first to last, then the mean patch token of the last."""
        layers = list(range(run.backbone.depth - max(self.last_layers), run.backbone.depth))
        frozen = FrozenBackbone(run.backbone, layers, self.final_norm).to(run.device)

        def look(images: UInt8[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch dim"]:
            class_tokens, mean = frozen.summaries(images.to(run.device).float() / 255)
            return torch.cat([*class_tokens, mean], dim=1)

        return look

    def batches(
        self, train: FolderSplit, kept: list[int], look: Look, run: ProbeRun
    ) -> Iterator[tuple[list[Float[Tensor, "batch dim"]], Tensor]]:
        """Features and targets of each step; the same images and crops whether they are cached or not."""
        size, targets = min(self.schedule.batch_size or len(kept), len(kept)), train.targets[kept]
        order = PositionSampler(len(kept), run.seed)
        if self.augment and self.cached_epochs is None:
            views = RandomCrops(train, kept, self.reading["size"], self.crop_scale, run.seed)
            loader = DataLoader(views, size, sampler=order, num_workers=self.reading["num_workers"])
            for images, labels in islice(loader, self.schedule.steps):
                yield [look(images)], labels.to(run.device)
            return
        epochs = self.augmented(train, kept, look, run) if self.augment else [self.summaries(train, kept, look, run)]
        keys = iter(order)
        for _ in range(self.schedule.steps):
            index, position = map(torch.tensor, zip(*islice(keys, size), strict=True))
            epoch = position // len(kept) % len(epochs)
            rows = torch.empty(size, epochs[0].shape[1], device=epochs[0].device)  # float32
            for e in epoch.unique().tolist():
                rows[epoch == e] = epochs[e][index[epoch == e]].float()
            yield [rows.to(run.device)], targets[index].to(run.device)

    def summaries(
        self, split: FolderSplit, rows: Sequence[int], look: Look, run: ProbeRun
    ) -> Float[Tensor, "images dim"]:
        """`look` at the centre crops of some of a split's images."""
        files = split.files()
        looks = ([look(images)] for images in split.batches(self.batch_size, rows))
        return run.features(self._protocol(), [files[i] for i in rows], len(rows), looks)[0]

    def augmented(
        self, train: FolderSplit, kept: list[int], look: Look, run: ProbeRun
    ) -> list[Float[Tensor, "images dim"]]:
        """`look` at the crops of each cached epoch."""
        files, epochs = train.files(), []
        files = [files[i] for i in kept]
        for epoch in range(self.cached_epochs):
            views = RandomCrops(train, kept, self.reading["size"], self.crop_scale, run.seed, epoch)
            loader = DataLoader(views, self.batch_size, num_workers=self.reading["num_workers"])
            protocol = {**self._protocol(), "crops": list(self.crop_scale), "seed": run.seed, "epoch": epoch}
            looks = ([look(images)] for images, _ in loader)
            epochs += run.features(protocol, files, len(kept), looks)
        return epochs

    def grid_card(self, train: FolderSplit, val: FolderSplit, run: ProbeRun, kept: int, held: int) -> dict:
        crops = [f"random resized crop {self.reading['size']}, area {list(self.crop_scale)}, bicubic", "flip 0.5"]
        card = self.card(train, val, run) | {"pool": self.pools, "layers": f"last {self.last_layers}"}
        card |= {"class_token": any("class" in pool for pool in self.pools)}
        if self.augment:
            card |= {"val_pipeline": card["train_pipeline"], "train_pipeline": crops}
        streamed = self.augment and self.cached_epochs is None
        return {
            **card,
            "head": "BatchNorm → linear" if self.batch_norm else "linear",
            "loss": "cross-entropy",
            **self.schedule.card(),
            "learning_rates": self.learning_rates,
            "head_seeds": self.seeds,
            "features": "per step" if streamed else f"computed once, {self.cached_epochs or 1} epoch(s)",
            **selection_card(self.select, self.holdout, kept, held),
        }

    def _protocol(self) -> dict:
        return {**self.look_at_images(), "summaries": max(self.last_layers), "final_norm": self.final_norm}


class Columns(nn.Module):
    """Some columns of the image summaries."""

    def __init__(self, columns: slice):
        super().__init__()
        self.columns = columns

    def forward(self, features: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch some"]:
        return features[:, self.columns]


class RandomCrops(Dataset):
    """Random resized crops (bicubic) and flips of some of a split's images.

    A draw depends on (seed, epoch, index) alone: the epoch is that of the position in a key (index, position), or the
    one given.
    """

    def __init__(
        self,
        split: FolderSplit,
        kept: Sequence[int],
        size: int,
        scale: tuple[float, float],
        seed: int,
        epoch: int | None = None,
    ):
        self.samples, self.seed, self.epoch = [split.dataset.samples[i] for i in kept], seed, epoch
        crop = T.RandomResizedCrop(size, scale=scale, interpolation=InterpolationMode.BICUBIC, antialias=True)
        self.transform = T.Compose([crop, T.RandomHorizontalFlip()])

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[UInt8[Tensor, "3 size size"], int]:
        index, epoch = (key[0], key[1] // len(self)) if isinstance(key, tuple) else (key, self.epoch)
        path, target = self.samples[index]
        with torch.random.fork_rng(devices=[]):
            seed = np.random.SeedSequence((self.seed, epoch, index)).generate_state(1, np.uint64)
            torch.manual_seed(int(seed[0] >> np.uint64(1)))
            return self.transform(decode(path)), target


@torch.no_grad()
def predict(
    members: Sequence[Member], features: Float[Tensor, "images dim"], device: torch.device
) -> list[Int[Tensor, " images"]]:
    """Each member's classes, on the CPU."""
    found = [
        [m.head(part.to(device, torch.float32)).argmax(dim=1).cpu() for m in members] for part in features.split(4096)
    ]
    return [torch.cat(parts) for parts in zip(*found, strict=True)]


def _loss_of(head: nn.Module):
    return lambda features, targets: F.cross_entropy(head(features[0]), targets)

"""Several heads of one dense probe: learning rates × layers × seeds, trained and scored in one pass of the backbone."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn
from torch.utils.data import DataLoader

from vssl.probes.base import Probe
from vssl.probes.decoded_images import DenseSplit, ProbeData
from vssl.probes.dense.base import DenseProbe
from vssl.probes.dense.runner_fit import ScheduledBatches, SeededDraws
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
from vssl.probes.outcome import Outcome, ProbeRun
from vssl.probes.setting_checks import check_settings
from vssl.scores import Score


class DenseGrid(Probe):
    """The score of the best of several heads; every one is reported.

    A head ends where the same probe with this learning rate, these layers and this seed would end on the same
    batches. With ``path="cached"`` the backbone sees every training image once for all heads, with ``path="runner"``
    once a step.

    Args:
        probe: ``dict(type=SegmentationProbe or DepthProbe, …)``, its schedule a `Schedule`.
        learning_rates: in place of the schedule's.
        layers: settings of `layers` (see `FrozenBackbone`) to compare; None for the probe's own alone.
        seeds: of the heads' initialisation, added to the run's. Batches are the same for all.
        select: ``"held-out"``, a part of train, or ``"val"``; holdout: the share of train. With ``"val"`` nothing is
            held out.
    """

    def __init__(
        self,
        probe: dict,
        learning_rates: Sequence[float],
        layers: Sequence[str | Sequence[int]] | None = None,
        seeds: Sequence[int] = (0,),
        select: str = "held-out",
        holdout: float = 0.1,
    ):
        settings = dict(probe)
        kind = settings.pop("type", None)
        if not (isinstance(kind, type) and issubclass(kind, DenseProbe)):
            raise ValueError(f"probe of the grid: type={kind!r}; SegmentationProbe or DepthProbe is needed")
        check_settings(kind, settings, "probe of the grid")
        self.probe: DenseProbe = kind(**settings)
        check_grid(select, holdout, learning_rates, self.probe.schedule)
        if "indices" in self.probe.train:
            raise ValueError("probe of the grid: train has indices already; the grid holds out by them")
        self.layers = [self.probe.look["layers"]] if layers is None else list(layers)
        self.learning_rates, self.seeds = list(learning_rates), list(seeds)
        self.select, self.holdout, self.task = select, holdout, self.probe.task

    def score_info(self) -> dict[str, Score]:
        return self.probe.score_info()

    def left_out(self, counts: dict[str, int]) -> str:
        return self.probe.left_out(counts)

    def load(self, data: ProbeData) -> tuple[DenseSplit, DenseSplit, DenseSplit | None]:
        """Training images without the held-out ones, validation images, held-out images."""
        probe, whole = self._fitted(), data.dense(self.probe.train, keep=False)
        if self.select == "val":
            return *probe.load(data), None
        kept, held = split_off(len(whole), self.holdout)
        probe.train = {**self.probe.train, "indices": kept}
        judged = {**self.probe.train, "indices": held, "pipeline": self.probe.val["pipeline"]}
        return *probe.load(data), data.dense(judged, probe.path == "cached", probe.num_workers)

    def run(self, run: ProbeRun) -> Outcome:
        train, val, held = self.load(run.data)
        start = perf_counter()
        shared = SharedLook(FrozenBackbone(run.backbone, **{**self.probe.look, "layers": self._union(run)}))
        members, models = self.build(run, train, shared.to(run.device))
        fit_together(members, self.batches(models[0], shared, train, run))
        on_val = self.score(models, shared, val)
        main = next(iter(on_val[0].evaluated))
        judged = on_val if held is None else self.score(models, shared, held)
        found = [score.evaluated[main] for score in judged]
        best = choose(members, found, self.score_info()[main].better)
        reported = [
            {**m.about, **score.floats(), "final_training_loss": finite_or_none(m.final_loss)}
            | ({} if held is None else {f"held_out_{main}": f})
            for m, score, f in zip(members, on_val, found, strict=True)
        ]
        more: dict[str, Any] = {"counts": on_val[best].counts(), "chosen": reported[best], "members": reported}
        if on_val[best].per_class is not None:
            more["per_class"] = on_val[best].per_class
        pictures = self.pictures(models[best], shared, val)
        return self.outcome(on_val[best].floats(), self.card(train, val, held, run), start, pictures, **more)

    def build(self, run: ProbeRun, train: DenseSplit, shared: "SharedLook") -> tuple[list[Member], list[nn.Module]]:
        """A member and its segmentor for every combination; all segmentors look through `shared`."""
        members, models = [], []
        for seed, layers, lr in product(self.seeds, self.layers, self.learning_rates):
            probe = self._fitted(layers)
            model = probe.build(run.backbone, train, run.seed + seed)
            where = [shared.frozen.layers.index(i) for i in model.backbone.layers]
            model.backbone = SomeLayers(shared, where)
            model.to(run.device)
            about = {"lr": lr, "layers": layers, "seed": run.seed + seed}
            schedule = with_learning_rate(probe.schedule, lr)
            members.append(Member(about, model.decode_head, schedule, _loss_of(model.decode_head, where)))
            models.append(model)
        return members, models

    def batches(
        self, model: nn.Module, shared: "SharedLook", train: DenseSplit, run: ProbeRun
    ) -> Iterator[tuple[Sequence[Tensor], Tensor]]:
        """Features (all layers) and targets of each step."""
        probe, head = self._fitted(shared.frozen.layers), model.decode_head
        if probe.path == "cached":
            looking = SimpleNamespace(data_preprocessor=model.data_preprocessor, extract_feat=shared.frozen)
            features = probe.features(looking, train, run)
            targets = head.targets([item["data_samples"] for item in train.items])
            for rows in probe.schedule.rows(len(targets), run.seed):
                yield [f[rows].to(run.device, torch.float32) for f in features], targets[rows].to(run.device)
            return
        loader = DataLoader(
            SeededDraws(train.dataset, run.seed),
            batch_sampler=ScheduledBatches(probe.schedule, len(train), run.seed),
            collate_fn=pseudo_collate,
            num_workers=probe.num_workers,
        )
        for batch in loader:
            batch = model.data_preprocessor(batch, training=True)
            yield shared.frozen(batch["inputs"]), head.targets(batch["data_samples"])

    @torch.no_grad()
    def score(self, models: Sequence[nn.Module], shared: "SharedLook", split: DenseSplit) -> list["Scored"]:
        """Every member's metric over a split, images decoded and seen by the backbone once."""
        metrics = [self.probe.metric() for _ in models]
        for metric, model in zip(metrics, models, strict=True):
            metric.dataset_meta = dict(classes=split.classes)
            model.eval()
        for batch in split.batches(self.probe.batch_size):
            with shared.one_batch():
                for metric, model in zip(metrics, models, strict=True):
                    shared.turn = 0
                    samples = model.val_step(dict(inputs=batch.inputs, data_samples=batch.data_samples))
                    metric.process({}, [sample.to_dict() for sample in samples])
        return [Scored(metric, len(split)) for metric in metrics]

    def pictures(self, model: nn.Module, shared: "SharedLook", val: DenseSplit) -> dict[str, np.ndarray]:
        if not self.probe.pictures:
            return {}
        batch = next(val.batches(self.probe.pictures))
        with torch.no_grad(), shared.one_batch():
            samples = model.val_step(dict(inputs=batch.inputs, data_samples=batch.data_samples))
        shown = list(zip(batch.inputs, [sample.to_dict() for sample in samples], strict=True))
        return self.probe.draw(shown, val)

    def card(self, train: DenseSplit, val: DenseSplit, held: DenseSplit | None, run: ProbeRun) -> dict:
        card = self.probe.card(train, val, run)
        count = 0 if held is None else len(held)
        return {
            **card,
            "train_images": len(train) + count,
            "layers": self.layers,
            "optimizer": {**card["optimizer"], "lr": "grid"},
            "learning_rates": self.learning_rates,
            "head_seeds": self.seeds,
            "features": "once for all heads" if self.probe.path == "cached" else "per step, once for all heads",
            **selection_card(self.select, self.holdout, len(train), count),
        }

    def _fitted(self, layers: str | Sequence[int] | None = None) -> DenseProbe:
        probe = copy.copy(self.probe)
        probe.look = {**probe.look, "layers": probe.look["layers"] if layers is None else layers}
        return probe

    def _union(self, run: ProbeRun) -> list[int]:
        looks = [FrozenBackbone(run.backbone, **{**self.probe.look, "layers": layers}) for layers in self.layers]
        return sorted({i for look in looks for i in look.layers})


class Scored:
    """What a member's metric came to."""

    def __init__(self, metric, images: int):
        self.evaluated = metric.evaluate(images)
        self.per_class = getattr(metric, "per_class", None)

    def floats(self) -> dict[str, float]:
        return {name: value for name, value in self.evaluated.items() if isinstance(value, float)}

    def counts(self) -> dict[str, int]:
        return {name: value for name, value in self.evaluated.items() if isinstance(value, int)}


class SharedLook(nn.Module):
    """One frozen backbone for several segmentors that ask for the same images one after the other.

    Within `one_batch` the first segmentor's looks (one, or one for each window and flip) are kept, and the next are
    given them in the same order; `turn` counts, and is set back to 0 for each segmentor.
    """

    def __init__(self, frozen: FrozenBackbone):
        super().__init__()
        self.frozen, self.turn = frozen, 0
        self._kept: list[tuple[Tensor, ...]] | None = None

    @contextmanager
    def one_batch(self) -> Iterator[None]:
        self._kept, self.turn = [], 0
        try:
            yield
        finally:
            self._kept = None

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> tuple[Tensor, ...]:
        if self._kept is None:
            return self.frozen(images)
        if self.turn == len(self._kept):
            self._kept.append(self.frozen(images))
        self.turn += 1
        return self._kept[self.turn - 1]


class SomeLayers(nn.Module):
    """A segmentor's backbone: some of the layers that `shared` gives."""

    def __init__(self, shared: SharedLook, where: Sequence[int]):
        super().__init__()
        self.shared, self.where = shared, list(where)

    def init_weights(self) -> None:
        """mmengine calls this on every module of a segmentor; the weights are the point, so nothing happens."""

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> tuple[Tensor, ...]:
        maps = self.shared(images)
        return tuple(maps[i] for i in self.where)


def _loss_of(head: nn.Module, where: Sequence[int]):
    return lambda maps, labels: sum(head.loss_on(head.forward([maps[i] for i in where]), labels).values())

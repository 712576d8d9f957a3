"""What segmentation and depth share: an mmseg segmentor of a frozen backbone and a small head, fitted and scored."""

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from time import perf_counter

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.evaluator import BaseMetric
from torch import Tensor, nn

from vssl.learner import TimmBackbone
from vssl.probes.base import Probe
from vssl.probes.decoded_images import DenseSplit, ProbeData, require_disjoint, source_card, transform_names
from vssl.probes.dense.heads import DenseHead
from vssl.probes.dense.inference import DepthSegmentor, Segmentor, inference_settings
from vssl.probes.dense.padding import MeanPadding
from vssl.probes.dense.runner_fit import fit_runner
from vssl.probes.dense.split_loss import split_loss
from vssl.probes.fit import FullBatch, build_schedule
from vssl.probes.frozen_backbone import FrozenBackbone
from vssl.probes.outcome import Outcome, ProbeRun
from vssl.probes.setting_checks import check_settings


class DenseProbe(Probe):
    """Fit a small head on a frozen backbone's patch features, then score the whole validation split.

    With `path="cached"` the backbone sees every training image once and the head trains on the features in memory;
    the pipeline must then be free of random steps. With `path="runner"` mmengine's Runner trains the same segmentor,
    augmenting anew in every step. Scoring is the same for both: mmseg's `val_step`, image by image or in batches.

    Args:
        train, val: mmseg dataset configs with pipelines; `type` is the class.
        size: (height, width) of training inputs after the pipeline, px; the Runner pads smaller ones with the mean
            colour, their labels with what no loss looks at.
        head: arguments of the task's head (`LinearSegHead`; `LinearDepthHead`, or `BinDepthHead` as ``type``).
        schedule: arguments of `Schedule`, or of `FullBatch` with ``type=FullBatch``.
        layers, final_norm, class_token, precision: see `FrozenBackbone`.
        inference: whole or sliding, scales and flips; see `inference_settings`. Whole image, once, by default.
        batch_size: images per forward pass where nothing is trained; memory only, no effect on the score.
        pictures: how many of the first validation images to return for the report.
        checkpoint_interval: steps of the Runner between two checkpoints.
    """

    segmentor: type[Segmentor] | type[DepthSegmentor]
    head_type: type[DenseHead]
    label_fill: int  # padded label pixels: 255 is ignored as a class, but is a valid number of metres

    def __init__(
        self,
        train: dict,
        val: dict,
        size: tuple[int, int],
        head: dict | None = None,
        schedule: dict | None = None,
        layers: str | Sequence[int] = "last",
        final_norm: bool = True,
        class_token: bool = False,
        precision: str = "fp32",
        inference: dict | None = None,
        path: str = "cached",
        batch_size: int = 64,
        num_workers: int = 0,
        pictures: int = 8,
        checkpoint_interval: int = 500,
    ):
        if path not in ("cached", "runner"):
            raise ValueError(f"path={path!r}; 'cached' or 'runner' is needed")
        self.schedule = build_schedule(schedule)
        if path == "runner" and isinstance(self.schedule, FullBatch):
            raise ValueError("path='runner' takes a Schedule; FullBatch needs features computed once (path='cached')")
        flips = [n for n in transform_names(val) if n.startswith("Random")]
        if flips:  # mmseg un-flips the prediction but not the target
            raise ValueError(f"the validation pipeline has {flips}; scores need a fixed image")
        self.train, self.val, self.size = dict(train), dict(val), tuple(size)
        self.head = dict(head or {})
        self.head_type = self.head.pop("type", self.head_type)
        if isinstance(self.schedule, FullBatch) and self.head.get("hidden"):
            raise ValueError("FullBatch solves linear heads; a head with hidden layers needs a Schedule")
        check_settings(self.head_type, self.head, f"head of the {self.task} probe")
        self.look = dict(layers=layers, final_norm=final_norm, class_token=class_token, precision=precision)
        self.inference, self.path = inference_settings(inference), path
        self.batch_size, self.num_workers, self.pictures = batch_size, num_workers, pictures
        self.checkpoint_interval = checkpoint_interval

    def load(self, data: ProbeData) -> tuple[DenseSplit, DenseSplit]:
        """Read (and check) both splits; every error about data comes from here, before any training."""
        keep = self.path == "cached"
        splits = data.dense(self.train, keep, self.num_workers), data.dense(self.val, keep, self.num_workers)
        require_disjoint(*splits)
        sizes = {tuple(item["inputs"].shape[1:]) for item in splits[0].items or []} - {self.size}
        if sizes:
            raise ValueError(f"training images of {sizes.pop()} px after the pipeline; size={self.size} was configured")
        for item in splits[1].first(1):
            labels, on_disk = item["data_samples"].get(self.head_type.label_field).shape, item["data_samples"].ori_shape
            if labels != tuple(on_disk):
                raise ValueError(
                    f"validation labels of {labels} px after the pipeline, {tuple(on_disk)} on disk; a score is taken "
                    "at the size on disk: load labels after the steps that change it"
                )
        return splits

    def run(self, run: ProbeRun) -> Outcome:
        train, val = self.load(run.data)
        start = perf_counter()
        model = self.build(run.backbone, train, run.seed).to(run.device)
        if self.path == "cached":
            self.fit_cached(model, train, run)
        else:
            files = dict(checkpoint=run.checkpoint, interval=self.checkpoint_interval, resume=run.resume)
            fit_runner(model, train.dataset, self.schedule, run.seed, self.num_workers, **files)
        metric = self.metric()
        pictures = self.score(model, val, metric)
        values = metric.evaluate(len(val))
        scores = {name: value for name, value in values.items() if isinstance(value, float)}
        more = {"counts": {name: value for name, value in values.items() if isinstance(value, int)}}
        if hasattr(metric, "per_class"):
            more["per_class"] = metric.per_class
        return self.outcome(scores, self.card(train, val, run), start, pictures, **more)

    def build(self, backbone: TimmBackbone, train: DenseSplit, seed: int) -> nn.Module:
        """The mmseg segmentor, its head freshly initialised from `seed`."""
        frozen = FrozenBackbone(backbone, **self.look)
        head = dict(in_channels=frozen.out_channels, num_layers=len(frozen.layers), **self.head_settings(train))
        preprocessor = dict(
            type=MeanPadding,
            colour=frozen.mean,
            size=self.size,
            seg_pad_val=self.label_fill,
        )
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*build_loss")  # mmseg about its own call
            torch.manual_seed(seed)
            model = self.segmentor(
                backbone=dict(type=lambda: frozen),  # built above, the head needs its channels
                decode_head=dict(type=self.head_type, **head, **self.head),
                data_preprocessor=preprocessor,
                test_cfg=ConfigDict(self.inference),
            )
        return model

    @torch.no_grad()
    def feature_batches(self, model: nn.Module, split: DenseSplit) -> Iterator[tuple[Tensor, ...]]:
        """Feature maps of every image of a split in order, one tensor per layer."""
        for batch in split.batches(self.batch_size):
            yield model.extract_feat(model.data_preprocessor(dict(inputs=batch.inputs))["inputs"])

    def features(self, model: nn.Module, split: DenseSplit, run: ProbeRun) -> list[Tensor]:
        protocol = {"pipeline": repr(split.config["pipeline"]), "size": self.size, **self.look}
        return run.features(protocol, split.files(), len(split), self.feature_batches(model, split))

    def fit_cached(self, model: Segmentor | DepthSegmentor, train: DenseSplit, run: ProbeRun) -> None:
        head, features = model.decode_head, self.features(model, train, run)
        targets = head.targets([item["data_samples"] for item in train.items]).to(features[0].device)

        def loss(maps: Sequence[Tensor], labels: Tensor) -> Tensor:
            return sum(head.loss_on(head.forward(maps), labels).values())

        if isinstance(self.schedule, FullBatch):
            features = [f.to(run.device, torch.float32) for f in features]
            self.schedule.set_statistics(head, lambda: head.forward(features))
            whole = split_loss(head, features, targets)
            self.schedule.minimise(head, whole or (lambda: loss(features, targets)))
        else:
            self.schedule.fit(head, loss, features, targets, run.seed)

    @torch.no_grad()
    def score(self, model: nn.Module, val: DenseSplit, metric: BaseMetric) -> dict[str, np.ndarray]:
        """Feed the metric with every validation image; returns the first few for pictures."""
        metric.dataset_meta = dict(classes=val.classes)
        model.eval()
        shown: list[tuple[Tensor, dict]] = []
        for batch in val.batches(self.batch_size):
            samples = model.val_step(dict(inputs=batch.inputs, data_samples=batch.data_samples))
            dicts = [sample.to_dict() for sample in samples]
            metric.process({}, dicts)
            shown += list(zip(batch.inputs, dicts, strict=True))[: max(self.pictures - len(shown), 0)]
        shown = [entry for entry in shown if entry[0].shape == shown[0][0].shape]
        return self.draw(shown, val) if shown else {}

    def card(self, train: DenseSplit, val: DenseSplit, run: ProbeRun) -> dict:
        """The protocol: everything that a score needs beside it to mean something."""
        looks = {name: self.inference[name] for name in ("scales", "flip")}
        return {
            **source_card(self.train.get("data_root", ""), len(train), len(val)),
            "input_size": list(self.size),
            "train_pipeline": transform_names(self.train),
            "val_pipeline": transform_names(self.val),
            **self.look,
            "head": {"type": self.head_type.__name__, "norm_cfg": {"type": "BN", "affine": False}, **plain(self.head)},
            **self.schedule.card(),
            "features": "computed once" if self.path == "cached" else "per step (mmengine Runner)",
            "inference": {k: v for k, v in self.inference.items() if k not in looks},
            "test_time_augmentation": looks if self.inference["flip"] or self.inference["scales"] != [1.0] else None,
            "scored_at": "the label files' own resolution",
            **self.conventions(train),
            **run.card(),
            "precision": "fp32" if self.look["precision"] == "fp32" else "bf16 backbone, fp32 head and loss",
            **self.scoring(),
        }

    def head_settings(self, train: DenseSplit) -> dict:
        return {}

    def conventions(self, train: DenseSplit) -> dict:
        """The card's lines about what the numbers in the label files mean."""
        return {}

    @abstractmethod
    def metric(self) -> BaseMetric:
        """A fresh metric, fed image by image; its `evaluate` gives scores (float) and counts (int)."""

    @abstractmethod
    def scoring(self) -> dict:
        """The card's lines about loss and averaging."""

    @abstractmethod
    def draw(self, shown: list[tuple[Tensor, dict]], val: DenseSplit) -> dict[str, np.ndarray]:
        """Arrays for pictures, keyed as in the npz file, from images of one size and mmseg's samples of them."""


def rgb(shown: list[tuple[Tensor, dict]]) -> np.ndarray:
    return np.stack([image.flip(0).permute(1, 2, 0).cpu().numpy() for image, _ in shown])


def plain(value):
    """Configs with classes in them, for JSON."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return getattr(value, "__name__", value)

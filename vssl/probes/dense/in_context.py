"""Segmentation and depth without training: a memory of labeled patches answers for new ones.

Balažević et al. 2023, "Towards in-context scene understanding" (arXiv 2306.01667), which calls the model Hummingbird.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from mmseg.models.losses import CrossEntropyLoss
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.nn import functional as F

from vssl.probes.decoded_images import DETERMINISTIC, DenseSplit, ProbeData, transform_names
from vssl.probes.dense.base import DenseProbe
from vssl.probes.dense.depth import DepthProbe
from vssl.probes.dense.heads import LabeledHead
from vssl.probes.dense.inference import Segmentor
from vssl.probes.dense.memory import attend, choose_patches, class_shares, mean_values
from vssl.probes.dense.segmentation import SegmentationProbe
from vssl.probes.outcome import ProbeRun

FITTING = ("head", "schedule", "path", "losses", "checkpoint_interval")  # settings of probes that fit a head


class MemoryHead(LabeledHead):
    """Answers with the labels of the nearest patches in memory; has no weights.

    Args:
        in_channels: channels of one layer; the layers are concatenated.
        values: numbers in a label: classes, or 1 for depth.
    """

    def __init__(self, in_channels: int, num_layers: int, values: int, k: int, temperature: float):
        unused = dict(loss_decode=dict(type=CrossEntropyLoss, avg_non_ignore=True), dropout_ratio=0.0, init_cfg=None)
        numbers = dict(channels=1, num_classes=values, out_channels=values, threshold=0.0)
        super().__init__(in_channels * num_layers, **numbers, **unused)
        del self.conv_seg
        self.k, self.temperature = k, temperature
        self.register_buffer("keys", torch.empty(0), persistent=False)
        self.register_buffer("labels", torch.empty(0), persistent=False)

    def remember(self, features: Float[Tensor, "patches dim"], labels: Float[Tensor, "patches values"]) -> None:
        self.keys, self.labels = F.normalize(features, dim=1), labels.to(features.device)

    def forward(self, inputs: Sequence[Float[Tensor, "batch dim rows columns"]]) -> Tensor:
        maps = torch.cat(list(inputs), dim=1)
        answers = attend(patches_of(maps).flatten(0, 1), self.keys, self.labels, self.k, self.temperature)
        return answers.view(len(maps), *maps.shape[2:], -1).permute(0, 3, 1, 2)


class MemorySegHead(MemoryHead):
    label_field = "gt_sem_seg"


class MemoryDepthHead(MemoryHead):
    label_field = "gt_depth_map"


class SharesSegmentor(Segmentor):
    """Windows, scales and flips average shares of classes, which are no logits."""

    @staticmethod
    def averaged(output: Tensor) -> Tensor:
        return output


def patches_of(maps: Float[Tensor, "batch dim rows columns"]) -> Float[Tensor, "batch patches dim"]:
    return maps.flatten(2).transpose(1, 2)


class InContextProbe(DenseProbe):
    """What both tasks share. The memory holds patches of the training images with the labels of their pixels.

    A patch of a validation image asks its `k` nearest patches in the memory, weighted with softmax(cosine similarity /
    temperature). The answers are enlarged to pixels bilinearly and scored as every dense probe is.

    Args:
        k: neighbours of a patch.
        temperature: of the softmax over them.
        memory: so many patches at most, the same number from each training image, drawn under the run's seed; None
            for all.
        keep: hold the decoded images in memory, or read them as they are needed.
        settings: of `DenseProbe`, less those that fit a head.
    """

    by_class: bool  # rare classes first into a memory that does not hold all

    def __init__(
        self, *, k: int = 30, temperature: float = 0.02, memory: int | None = None, keep: bool = True, **settings
    ):
        if fitting := [name for name in FITTING if name in settings]:
            raise ValueError(f"in-context probes fit nothing; leave {', '.join(fitting)} away")
        super().__init__(**settings)
        if k < 1 or temperature <= 0 or (memory is not None and memory < 1):
            raise ValueError(f"k={k}, temperature={temperature}, memory={memory}; positive numbers are needed")
        if drawn := [n for n in transform_names(self.train) if n not in DETERMINISTIC]:
            raise ValueError(f"the training pipeline has {drawn}; what is remembered must not be left to chance")
        self.k, self.temperature, self.memory, self.keep = k, temperature, memory, keep

    def load(self, data: ProbeData) -> tuple[DenseSplit, DenseSplit]:
        train, val = super().load(data)
        if self.memory is not None and self.memory < len(train):
            raise ValueError(f"memory={self.memory} patches of {len(train)} training images; one of each is the least")
        return train, val

    def head_settings(self, train: DenseSplit) -> dict:
        return dict(values=self.values(train), k=self.k, temperature=self.temperature)

    @torch.no_grad()
    def fit_cached(self, model: nn.Module, train: DenseSplit, run: ProbeRun) -> None:
        """Fill the memory."""
        grid = (-(-self.size[0] // run.backbone.patch_size), -(-self.size[1] // run.backbone.patch_size))
        each, draws = grid[0] * grid[1], torch.Generator().manual_seed(run.seed)
        each = each if self.memory is None else min(self.memory // len(train), each)
        rows, kept = [], []
        for sample in self.samples(train):
            labels = self.patch_labels(sample, train, grid)
            rows.append(choose_patches(labels, each, self.by_class, draws))
            kept.append(labels[rows[-1].clamp(min=0)])
        chosen, labels = torch.stack(rows), torch.stack(kept)
        features = self.chosen_features(model, train, run, chosen)
        known = chosen >= 0
        if (count := int(known.sum())) < self.k:
            raise ValueError(f"k={self.k} neighbours, but only {count} patches of the training images have a label")
        model.decode_head.remember(features[known.to(features.device)].to(run.device, torch.float32), labels[known])

    def samples(self, train: DenseSplit) -> Iterator[SegDataSample]:
        for batch in train.batches(self.batch_size):
            if (size := tuple(batch.inputs[0].shape[1:])) != self.size:
                path = batch.data_samples[0].img_path
                raise ValueError(f"{path}: {size} px after the pipeline; size={self.size} was configured")
            yield from batch.data_samples

    def chosen_features(
        self, model: nn.Module, train: DenseSplit, run: ProbeRun, chosen: Int[Tensor, "images patches"]
    ) -> Float[Tensor, "images patches dim"]:
        """Of a memory that does not hold all patches a cache keeps the chosen ones alone."""
        if self.memory is None:
            every = patches_of(torch.cat([f.to(run.device) for f in self.features(model, train, run)], dim=1))
            return every.gather(1, chosen.clamp(min=0)[..., None].expand(-1, -1, every.shape[2]).to(every.device))

        def batches() -> Iterator[list[Tensor]]:
            first = 0
            for maps in self.feature_batches(model, train):
                patches = patches_of(torch.cat(maps, dim=1))
                rows = chosen[first : first + len(patches)].clamp(min=0).to(patches.device)
                first += len(patches)
                yield [patches.gather(1, rows[..., None].expand(-1, -1, patches.shape[2]))]

        protocol: dict[str, Any] = {"pipeline": repr(self.train["pipeline"]), "size": self.size, **self.look}
        protocol |= {"chosen": hashlib.sha256(chosen.numpy().tobytes()).hexdigest()}
        labels = [train.dataset.get_data_info(i)[train.dataset.label_key] for i in range(len(train))]
        return run.features(protocol, [*train.files(), *labels], len(train), batches())[0]

    def fitting_card(self) -> dict:
        limit = "all labeled patches" if self.memory is None else f"at most {self.memory} patches"
        return {
            "head": "none: labels of the nearest patches",
            "k": self.k,
            "temperature": self.temperature,
            "memory": f"{limit} of the training images",
            "features": "L2-normalised",
            "seed_matters": self.memory is not None,
        }

    @abstractmethod
    def values(self, train: DenseSplit) -> int:
        """Numbers in a patch's label."""

    @abstractmethod
    def patch_labels(
        self, sample: SegDataSample, train: DenseSplit, grid: tuple[int, int]
    ) -> Float[Tensor, "patches values"]:
        """What a training image's pixels say of each patch; NaN where none is labeled."""


def under_own_names(pictures: dict[str, np.ndarray], kind: str) -> dict[str, np.ndarray]:
    """Beside those of a probe with a head, in the same file."""
    named = {f"{kind}_{name}" if name in ("image", "classes") else name: array for name, array in pictures.items()}
    named[f"{kind}_title"] = np.array(f"{pictures[f'{kind}_title']}, in context")
    return {f"in_context_{name}": array for name, array in named.items()}


class InContextSegmentationProbe(InContextProbe, SegmentationProbe):
    """mIoU of classes that the nearest patches of the training images have, see `InContextProbe`."""

    task, segmentor, head_type, by_class = "in-context segmentation", SharesSegmentor, MemorySegHead, True

    def values(self, train: DenseSplit) -> int:
        return len(train.classes)

    def scoring(self) -> dict:
        return {**SegmentationProbe.scoring(self), "loss": None}

    def draw(self, shown: list[tuple[Tensor, dict]], val: DenseSplit) -> dict[str, np.ndarray]:
        return under_own_names(SegmentationProbe.draw(self, shown, val), "seg")

    def patch_labels(self, sample: SegDataSample, train: DenseSplit, grid: tuple[int, int]) -> Tensor:
        return class_shares(sample.gt_sem_seg.data[0].cpu(), len(train.classes), grid)


class InContextDepthProbe(InContextProbe, DepthProbe):
    """Depth errors of the mean depth that the nearest patches of the training images have, see `InContextProbe`."""

    task, head_type, by_class = "in-context depth", MemoryDepthHead, False

    def values(self, train: DenseSplit) -> int:
        return 1

    def scoring(self) -> dict:
        return {**DepthProbe.scoring(self), "loss": None}

    def draw(self, shown: list[tuple[Tensor, dict]], val: DenseSplit) -> dict[str, np.ndarray]:
        return under_own_names(DepthProbe.draw(self, shown, val), "depth")

    def patch_labels(self, sample: SegDataSample, train: DenseSplit, grid: tuple[int, int]) -> Tensor:
        depth = sample.gt_depth_map.data[0].cpu()
        return mean_values(depth, self.built_losses[0].valid(depth), grid)

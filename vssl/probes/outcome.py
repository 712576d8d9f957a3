"""What a probe is given and what it hands back."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vssl.learner import TimmBackbone
from vssl.probes.cache import FeatureCache, concatenated, files_digest, weights_digest
from vssl.probes.decoded_images import ProbeData


@dataclass
class ProbeRun:
    """One backbone under probe.

    Attributes:
        pooled: vectors of image folders, kept so that the linear classifier and kNN look at each image once.
        cache: where features are kept on disk; None keeps them in memory.
        checkpoint: where a probe that trains for long may save its state; None when nothing is written.
        resume: go on from `checkpoint` if it is there.
    """

    backbone: TimmBackbone
    data: ProbeData
    seed: int
    device: torch.device
    pooled: dict[tuple, Tensor] = field(default_factory=dict)
    cache: FeatureCache | None = None
    checkpoint: Path | None = None
    resume: bool = False

    def features(
        self, protocol: dict, files: Iterable[str | Path], images: int, batches: Iterator[Sequence[Tensor]]
    ) -> list[Tensor]:
        """Features of a split, one tensor per layer: from the cache (float16 when it keeps halves), or from `batches`.

        Args:
            protocol: all that the features depend on beside the backbone and the `files`.
            images: rows that come of them.
        """
        if self.cache is None:
            return concatenated(batches)
        key = {"protocol": protocol, "files": files_digest(files), "weights": self.weights, **self.card()}
        del key["seed"]  # of heads; features know no seed but those in `protocol`
        return self.cache.features(key, images, batches)

    @cached_property
    def weights(self) -> str:
        return weights_digest(self.backbone)

    def card(self) -> dict:
        """The lines of a protocol card that every probe of a run shares."""
        return {
            "model": self.backbone.name,
            "model_args": self.backbone.model_args,
            "seed": self.seed,
            "precision": "fp32",
            "device": self.device.type,
            **({"features_kept_as": "float16"} if self.cache and self.cache.half else {}),
            "versions": {name: version(name) for name in ("torch", "timm", "mmsegmentation", "mmengine")},
        }


class Outcome(NamedTuple):
    """What a probe hands back.

    result: docs/probes.md has its format. pictures: arrays for the reports, keyed as in the npz file. sheets: images by
    name, written beside the results as ``<results>.<name>.png``.
    """

    result: dict
    pictures: dict[str, np.ndarray]
    sheets: dict[str, Image.Image]

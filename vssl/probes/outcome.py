"""What a probe is given and what it hands back."""

from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vssl.learner import TimmBackbone
from vssl.probes.data import ProbeData


@dataclass
class ProbeRun:
    """One backbone under probe.

    Attributes:
        pooled: vectors of image folders, kept so that the linear classifier and kNN look at each image once.
        checkpoint: where a probe that trains for long may save its state; None when nothing is written.
        resume: go on from `checkpoint` if it is there.
    """

    backbone: TimmBackbone
    data: ProbeData
    seed: int
    device: torch.device
    pooled: dict[tuple, Tensor] = field(default_factory=dict)
    checkpoint: Path | None = None
    resume: bool = False

    def card(self) -> dict:
        """The lines of a protocol card that every probe of a run shares."""
        return {
            "model": self.backbone.name,
            "model_args": self.backbone.model_args,
            "seed": self.seed,
            "precision": "fp32",
            "device": self.device.type,
            "versions": {name: version(name) for name in ("torch", "timm", "mmsegmentation", "mmengine")},
        }


class Outcome(NamedTuple):
    """A probe's result (docs/probes.md has its format) and arrays for pictures, keyed as in the npz file."""

    result: dict
    pictures: dict[str, np.ndarray]

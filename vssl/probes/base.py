"""What every probe is: a measurement of a frozen backbone that says what its scores mean."""

from abc import ABC, abstractmethod
from dataclasses import asdict
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image

from vssl.probes.decoded_images import ProbeData
from vssl.probes.outcome import Outcome, ProbeRun
from vssl.scores import Score


class Probe(ABC):
    """Base class of probes. A config names a subclass, ``dict(type=MyProbe, …)``; its other keys are the arguments.

    Attributes:
        task: what is measured, e.g. ``"segmentation"``.
    """

    task: str

    @abstractmethod
    def score_info(self) -> dict[str, Score]:
        """The meaning of every score that `run` may give."""

    @abstractmethod
    def load(self, data: ProbeData) -> Any:
        """Read and check the data. Every error about data comes from here, before the first probe of a set runs."""

    @abstractmethod
    def run(self, run: ProbeRun) -> Outcome:
        """Measure one backbone; ends with `outcome`."""

    def left_out(self, counts: dict[str, int]) -> str:
        """What a reader must know that the scores are not about, e.g. classes that no label has; empty for nothing."""
        return ""

    def outcome(
        self,
        scores: dict[str, float | None],
        card: dict,
        start: float,
        pictures: dict[str, np.ndarray] | None = None,
        sheets: dict[str, Image.Image] | None = None,
        **more: Any,
    ) -> Outcome:
        """The result of a run.

        Args:
            scores: the first that has a direction is the one that reports put first.
            card: the protocol, with `ProbeRun.card` in it.
            start: `perf_counter` at the beginning of the measurement.
            pictures, sheets: see `Outcome`.
            more: further entries of the result: ``counts``, ``per_class``, ``members``, ``chosen``.

        Raises:
            ValueError: a score that `score_info` does not describe.
        """
        info = self.score_info()
        unknown = [name for name in scores if name not in info]
        if unknown:
            raise ValueError(f"{type(self).__name__}.score_info does not describe its scores {unknown}")
        result = {
            "task": self.task,
            "scores": scores,
            "score_info": {name: asdict(info[name]) for name in scores},
            **more,
            "card": card,
            "seconds": perf_counter() - start,
        }
        if left_out := self.left_out(more.get("counts", {})):
            result["left_out"] = left_out
        return Outcome(result, pictures or {}, sheets or {})

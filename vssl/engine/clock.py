"""Seconds per phase of a step: data, augment, learner, feedback, designer."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


class PhaseClock:
    """Adds up the time of named phases; a GPU is synchronised at each boundary, so time lands where it is spent.

    Args:
        now: the clock, in seconds.
    """

    def __init__(self, device: torch.device, now: Callable[[], float] = time.perf_counter):
        self._on_cuda, self._clock = device.type == "cuda", now
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        start = self._now()
        try:
            yield
        finally:
            self.seconds[phase] += self._now() - start

    def take(self) -> dict[str, float]:
        """Seconds per phase since the last call."""
        taken, self.seconds = dict(self.seconds), defaultdict(float)
        return taken

    def _now(self) -> float:
        if self._on_cuda:
            torch.cuda.synchronize()
        return self._clock()

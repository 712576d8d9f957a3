"""Seconds per phase of a step: data, augment, learner, feedback, designer."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


class PhaseClock:
    """Adds up the time of named phases. A GPU keeps its own time (events), so that no step waits for the clock.

    Args:
        now: the clock of a CPU, in seconds.
    """

    def __init__(self, device: torch.device, now: Callable[[], float] = time.perf_counter):
        self._on_cuda, self._now = device.type == "cuda", now
        self._seconds: dict[str, float] = defaultdict(float)
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        if self._on_cuda:
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            yield
            end.record()
            self._events.append((phase, start, end))
            return
        begun = self._now()
        try:
            yield
        finally:
            self._seconds[phase] += self._now() - begun

    def take(self) -> dict[str, float]:
        """Seconds per phase since the last call; on a GPU it waits for the last phase to end."""
        if self._events:
            self._events[-1][2].synchronize()
        for phase, start, end in self._events:
            self._seconds[phase] += start.elapsed_time(end) / 1000
        taken, self._seconds, self._events = dict(self._seconds), defaultdict(float), []
        return taken

"""Stopwatches: variants of some work take turns, and each phase of each gets a median and an interquartile range."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch

Name = TypeVar("Name")  # of a variant


class Quartiles(NamedTuple):
    """25 %, 50 % and 75 % of the repetitions."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Quartiles":
        return cls(*np.percentile(values, (25, 50, 75)).tolist())

    def __format__(self, spec: str) -> str:
        """The median, and the range in brackets."""
        return f"{self.median:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


@dataclass(frozen=True)
class Times:
    """Seconds of one phase of one variant, a number per repetition.

    elapsed: by the clock on the wall; processor: of all threads of this process.
    """

    elapsed: list[float]
    processor: list[float]

    def milliseconds(self) -> Quartiles:
        """Elapsed."""
        return Quartiles.of([1e3 * seconds for seconds in self.elapsed])

    def over(self, other: "Times") -> tuple[Quartiles, Quartiles]:
        """This one's time over the other's in the same repetition: (elapsed, processor)."""
        pairs = ((self.elapsed, other.elapsed), (self.processor, other.processor))
        elapsed, processor = (Quartiles.of([a / b for a, b in zip(*pair, strict=True)]) for pair in pairs)
        return elapsed, processor


class Stopwatch:
    """Times the phases of one run; waits for the device before and after each."""

    def __init__(self, device: torch.device):
        self.device = device
        self.phases: dict[str, tuple[float, float]] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self._wait()
        elapsed, processor = time.perf_counter(), time.process_time()
        yield
        self._wait()
        self.phases[name] = (time.perf_counter() - elapsed, time.process_time() - processor)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def take_turns(
    variants: Mapping[Name, Callable[[Stopwatch], None]], repeats: int, device: torch.device
) -> dict[Name, dict[str, Times]]:
    """Times per variant and phase. Each variant runs repeats + 1 times; the first run is a warm-up."""
    seconds: dict[Name, dict[str, list[tuple[float, float]]]] = {name: defaultdict(list) for name in variants}
    for repetition in range(repeats + 1):
        for name, run in variants.items():
            watch = Stopwatch(device)
            run(watch)
            if repetition:
                for phase, measured in watch.phases.items():
                    seconds[name][phase].append(measured)
    return {
        name: {phase: Times(*map(list, zip(*measured, strict=True))) for phase, measured in phases.items()}
        for name, phases in seconds.items()
    }

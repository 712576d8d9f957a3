"""What the steps of one run cost in steps of another, by timing the two by turns in one process.

A second of a machine's time is worth more or less from one minute to the next; what one step costs *beside* another is
not. So every timed step stands between two reference steps of the baseline and is divided by their mean.
"""

import copy
import itertools
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from scipy.stats import trim_mean

from vssl.engine.budget import CLOCKS
from vssl.engine.compiling import warm_up
from vssl.engine.training import build_runner
from vssl.learner.compiled import as_written

LEARNER, FIRST_META, META, META_WITH_G_DOWN = "learner", "first meta", "meta", "meta with g_down"

# Timed steps of the kind that a run mostly consists of, and the fewest of any kind.
MOST, FEWEST = 32, 4


def compare_cost(
    arm: Config,
    baseline: Config,
    baseline_steps: int,
    clock: str = "elapsed",
    seed: int = 0,
    steps: int | None = None,
) -> dict[str, Any]:
    """How many steps of `arm` take as long as the first `baseline_steps` of `baseline`, from step 0 of both.

    Both runs are built as `train` would build them, in a folder that is removed afterwards, and take real steps.
    Steps differ in kind: the learner's alone, with a meta step, with a meta step that takes g_down anew, and the first
    meta step, which fits fresh heads. The cost of a run is that of its schedule: each kind's cost times how often it
    comes. Needs memory for both runs.

    Args:
        clock: "elapsed" or "processor", as of `Budget`.
        steps: take these instead, and say what they cost.

    Returns:
        ``steps``; ``cost``, of these steps of the arm over that of the baseline's, 1.0 is as long; ``kinds``, for each
        of the arm ``count``, ``relative_cost`` (in reference steps: the commonest of the baseline) and its ``samples``;
        ``baseline_kinds`` in the same way; ``baseline_seconds``, what `baseline_steps` took while they were measured.

    Raises:
        What building either run raises; NonFiniteError when a step is not finite.
    """
    horizon = baseline_steps if steps is None else steps
    with (
        tempfile.TemporaryDirectory(prefix="vssl-step-cost-") as folder,
        stepped(baseline, Path(folder, "baseline"), seed, clock) as reference,
        stepped(arm, Path(folder, "arm"), seed, clock) as run,
    ):
        samples, seconds = _take_turns(reference, run, baseline_steps, horizon)
    costs = {who: {kind: midmean(values) for kind, values in kinds.items()} for who, kinds in samples.items()}
    target = schedule_cost(reference.kinds(), costs["baseline"], baseline_steps)
    if steps is None:
        steps = steps_within(run.kinds(), costs["arm"], target)

    def described(who: str, counts: Counter) -> dict:
        return {
            kind: {"count": counts[kind], "relative_cost": costs[who][kind], "samples": values}
            for kind, values in samples[who].items()
        }

    return {
        "steps": steps,
        "cost": schedule_cost(run.kinds(), costs["arm"], steps) / target,
        "kinds": described("arm", run.count(steps)),
        "baseline_kinds": described("baseline", reference.count(baseline_steps)),
        "baseline_seconds": midmean(seconds) * target,
    }


def midmean(values: list[float]) -> float:
    """The mean of the middle half: neither moved by a step that was disturbed, nor as coarse as the median."""
    return float(trim_mean(values, 0.25))


def schedule_cost(kinds: Iterator[str], costs: dict[str, float], steps: int) -> float:
    """Sum of `costs` over the first `steps` of `kinds`."""
    return sum(costs[kind] for kind in itertools.islice(kinds, steps))


def steps_within(kinds: Iterator[str], costs: dict[str, float], target: float) -> int:
    """The number of steps, at least 1, whose cost is nearest to `target`."""
    spent = 0.0
    for step, kind in enumerate(kinds):
        if spent + costs[kind] / 2 > target:
            return max(step, 1)
        spent += costs[kind]
    raise ValueError("the schedule ended before the budget did")


class SteppedRun:
    """A run whose steps are taken one by one, by kind."""

    def __init__(self, runner, clock: str, threads: int | None):
        self.runner, loop = runner, runner.train_loop
        self._loop, self._now, self._threads = loop, CLOCKS[clock], threads
        self._steps = {kind: itertools.cycle(steps) for kind, steps in self._by_kind().items()}
        update = loop.designer_update
        self._fresh = None if update is None else copy.deepcopy(update.state_dict())
        loop.learner.train()

    def kinds(self) -> Iterator[str]:
        """The kind of step 0, 1, 2, …"""
        update, met = self._loop.designer_update, False
        for step in itertools.count():
            if update is None or not update.due(step):
                yield LEARNER
            elif not met:
                met = True
                yield FIRST_META
            else:
                yield META_WITH_G_DOWN if update.renews_g_down(step) else META

    def count(self, steps: int) -> Counter:
        return Counter(itertools.islice(self.kinds(), steps))

    @property
    def known(self) -> list[str]:
        """Kinds that this run has, in the order in which they first come."""
        return list(self._steps)

    def take(self, kind: str) -> float:
        """Seconds of one step of this kind."""
        if self._threads:
            torch.set_num_threads(self._threads)
        self._loop.step = next(self._steps[kind])
        if kind == FIRST_META:  # once in a run, and dear: one sample would be too few
            self._loop.designer_update.load_state_dict(copy.deepcopy(self._fresh))
        begin = self._read()
        self._loop.run_iter(progress=0.5)
        seconds = self._read() - begin
        self._loop.recent.clear()
        return seconds

    def _by_kind(self, at_most: int = 64) -> dict[str, list[int]]:
        """Steps of each kind: several, for their random numbers differ, and with them what a view costs."""
        update, last = self._loop.designer_update, at_most
        if update is not None:  # far enough to meet every kind
            last += max(update.burn_in + 2 * update.period * update.g_down_every, update.freeze_after or 0)
        steps: dict[str, list[int]] = {}
        for step, kind in enumerate(itertools.islice(self.kinds(), last)):
            steps.setdefault(kind, []).append(step)
        return {kind: found[:at_most] for kind, found in steps.items()}

    def _read(self) -> float:
        if self._loop.device.type == "cuda":
            torch.cuda.synchronize(self._loop.device)
        return self._now()


@contextmanager
def stepped(config: Config, folder: Path, seed: int, clock: str = "elapsed") -> Iterator[SteppedRun]:
    """A run built in `folder` as `train` would build it, with as many threads."""
    if config.get("threads"):
        torch.set_num_threads(config.threads)
    runner = build_runner(config, folder, seed)
    try:
        run, compiled = SteppedRun(runner, clock, config.get("threads")), runner.train_loop.compiled
        with as_written() if compiled else nullcontext():
            if compiled:
                warm_up(runner.train_loop)
            yield run
    finally:
        runner.visualizer.close()


def _take_turns(
    reference: SteppedRun, run: SteppedRun, baseline_steps: int, horizon: int
) -> tuple[dict[str, dict[str, list[float]]], list[float]]:
    """Samples in reference steps, of ``baseline`` and ``arm`` by kind, and the seconds of the reference steps."""
    common = reference.count(baseline_steps).most_common(1)[0][0]
    known = {"baseline": reference.known, "arm": run.known}
    samples: dict[str, dict[str, list[float]]] = {who: {kind: [] for kind in kinds} for who, kinds in known.items()}
    for stepped in (reference, run):  # the first steps allocate, and choose kernels
        for kind in (*stepped.known[:2], stepped.known[0]):
            stepped.take(kind)
    plan = _spread(
        [("baseline", reference, kind, n) for kind, n in _samples(reference, baseline_steps).items() if kind != common]
        + [("arm", run, kind, n) for kind, n in _samples(run, horizon).items()]
    )
    seconds = [reference.take(common)]
    for who, stepped, kind in plan:
        spent = stepped.take(kind)
        seconds.append(reference.take(common))
        samples[who][kind].append(2 * spent / (seconds[-2] + seconds[-1]))
    samples["baseline"][common] = [1.0]
    return samples, seconds


def _samples(run: SteppedRun, horizon: int) -> dict[str, int]:
    """How many steps of each kind to time: the commoner, the more its error counts; dear ones are rare."""
    counts = run.count(horizon)
    return {kind: max(FEWEST, round(MOST * (counts[kind] / horizon) ** 0.5)) for kind in run.known}


def _spread(plan: list[tuple[str, SteppedRun, str, int]]) -> list[tuple[str, SteppedRun, str]]:
    """Each kind's steps spread evenly over the session."""
    placed = [((i + 0.5) / n, (who, run, kind)) for who, run, kind, n in plan for i in range(n)]
    return [entry for _, entry in sorted(placed, key=lambda pair: pair[0])]

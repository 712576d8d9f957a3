"""A comparison in pieces that processes of their own can do, on one machine or on several.

First the start, then each arm's timing, then the runs, then the check for drift. A piece goes on from what is on the
disk.
"""

from dataclasses import dataclass, field
from typing import Literal

from vssl.comparison.calibration import is_checked, is_timed, needs_calibration
from vssl.comparison.execute import Execution, start_is_there
from vssl.comparison.plan import Arm, Comparison, run_order
from vssl.comparison.state import PROBED_FILE, state_of
from vssl.comparison.workers import Workers
from vssl.reports import START, run_directory


@dataclass(frozen=True)
class Piece:
    """A part of the work on `comparison`.

    arms: one, or those that have to run in one process with this `seed`, one after the other.
    places: of each run among all that are wanted, from 1.
    """

    comparison: Comparison
    kind: Literal["start", "timing", "runs", "drift"]
    arms: tuple[str, ...] = ()
    seed: int | None = None
    places: dict[tuple[str, int], int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return "-".join([self.kind, *self.arms, *([] if self.seed is None else [f"seed{self.seed}"])])

    @property
    def is_done(self) -> bool:
        """By the files that there are."""
        work_dir = self.comparison.work_dir
        if self.kind == "start":
            start = self.comparison.start
            probed = [run_directory(work_dir, START, seed) / PROBED_FILE for seed in start.probe_seeds]
            return start_is_there(self.comparison) and all(file.is_file() for file in probed)
        if self.kind == "runs":
            return all(state_of(run_directory(work_dir, arm, self.seed)) == "finished" for arm in self.arms)
        check = is_timed if self.kind == "timing" else is_checked
        return all(check(self.comparison, arm) for arm in self.arms)

    def bring(self, workers: Workers) -> None:
        """Do what is left of it; where nothing is left, refuse what was made with other settings."""
        execution = Execution(self.comparison, workers, list(self.arms), None if self.seed is None else [self.seed])
        if self.kind == "start":
            execution.bring_start()
        elif self.kind == "runs":
            for arm, seed in execution.wanted:
                execution.bring_run(arm, seed, f"[{self.places[arm, seed]}/{len(self.places)}]")
        else:
            step = execution.calibrate if self.kind == "timing" else execution.check_calibration
            for arm in self.arms:
                step(arm)


def timings(comparison: Comparison, arms: list[str] | None, kind: Literal["timing", "drift"]) -> list[Piece]:
    """One for each arm whose steps are timed beside the baseline's."""
    names = dict.fromkeys(name for name, _ in run_order(comparison.arms, comparison.seeds, arms))
    return [Piece(comparison, kind, (name,)) for name in names if needs_calibration(comparison, name)]


def runs(comparison: Comparison, arms: list[str] | None) -> list[Piece]:
    """An arm and those that take their steps or designer from it are in one piece, for each seed."""
    places = {pair: place for place, pair in enumerate(run_order(comparison.arms, comparison.seeds, arms), start=1)}
    return [Piece(comparison, "runs", tuple(group), seed, places) for group, seed in shares(comparison, arms)]


def shares(comparison: Comparison, arms: list[str] | None = None) -> list[tuple[list[str], int]]:
    """(arms, seed) that have to run in one process, in the order in which they are begun."""
    asked = {name: arm for name, arm in comparison.arms.items() if arms is None or name in arms}
    found: dict[tuple[str, int], list[str]] = {}
    for name, seed in run_order(comparison.arms, comparison.seeds, asked):
        found.setdefault((_first(asked[name], asked), seed), []).append(name)
    return [(group, seed) for (_, seed), group in found.items()]


def _first(arm: Arm, asked: dict[str, Arm]) -> str:
    """The arm that this one waits for in the end; itself when it waits for none that is to be run."""
    for other in sorted(arm.follows):
        if other in asked:
            return _first(asked[other], asked)
    return arm.name


def refuse_elapsed(comparison: Comparison, instead: str) -> None:
    """Raises ValueError for a budget in elapsed seconds, which processes side by side would take from each other."""
    for arm in comparison.arms.values():
        if "seconds" in arm.budget and arm.budget.get("clock") != "processor":
            raise ValueError(
                f"arm {arm.name!r} has a budget in elapsed seconds, which runs side by side take from each other; use "
                f"budget=dict(baseline_steps=N), budget=dict(seconds=S, clock='processor') or {instead}"
            )

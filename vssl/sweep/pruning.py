"""A run that ends early when the probes on its way say that it is not worth going on."""

from collections.abc import Callable
from pathlib import Path

from mmengine.hooks import Hook

from vssl.engine.online_probes import FILE
from vssl.reports.runs import read_lines


class Pruned(Exception):
    """The trial was ended early; its run directory has a checkpoint and a backbone of that step."""


class PruningHook(Hook):
    """Asks `hopeless` after each share of the budget whose online probe has been written, the last one left out.

    Args:
        probe, score: of the online probe.
        count: even shares of the budget, as of the online probe.
        hopeless: (share from 1 to count − 1, score; NaN where it is not finite) → whether to end the run. It may be
            asked the same again when a run goes on.

    Raises:
        Pruned: inside the run, after it has saved a checkpoint, exported its backbone, and written its record.
    """

    priority = "VERY_LOW"  # after the online probes

    def __init__(self, probe: str, score: str, count: int, hopeless: Callable[[int, float], bool]):
        self._probe, self._score, self._count, self._hopeless = probe, score, count, hopeless

    def before_train(self, runner) -> None:
        self._ask(runner)  # a run that goes on may have been stopped between its probe and the question

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if self._share(runner, runner.train_loop.step) > self._asked:
            with runner.train_loop.budget.not_counted():
                self._ask(runner)

    def _ask(self, runner) -> None:
        """About the last probe that there is."""
        step, rows = runner.train_loop.step, read_lines(Path(runner.work_dir) / FILE)
        self._asked = self._share(runner, step)
        row: dict = next((row for row in reversed(rows) if row["probe"] == self._probe), {"step": 0})
        share = self._share(runner, row["step"])
        if not 0 < share < self._count:
            return
        value = row["scores"][self._score]
        if not self._hopeless(share, float("nan") if value is None else value):
            return
        runner.save()
        runner.export()
        runner.write_summary(finished=False)
        raise Pruned(f"ended after step {step}, share {share} of {self._count}")

    def _share(self, runner, step: int) -> int:
        return step * self._count // runner.train_loop.budget.steps

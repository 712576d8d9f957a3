"""How long a run trains: a number of steps, or seconds of training time."""

import time
from contextlib import contextmanager
from typing import Literal

import torch
import torch.distributed as dist

CLOCKS = {"elapsed": time.perf_counter, "processor": time.process_time}


class Budget:
    """A limit in learner steps or in elapsed seconds, and the clock that arms are matched on.

    The clock runs over everything that training needs (data, augmentation, learner, feedback, designer) and stands
    still inside `not_counted()`: evaluation, checkpoints, snapshots. Over ranks, rank 0's clock decides.

    Args:
        steps: stop after this many learner steps, or
        seconds: stop at the first step that ends after this much training time.
        clock: "elapsed" seconds, or those that the "processor" spent on this process, all threads together. On a CPU
            that others use too, processor seconds of one thread are what elapsed seconds would be on an idle one.
        baseline_steps: not for a single run; `vssl.comparison` turns it into steps.

    Raises:
        ValueError: both limits or none, one that is not positive, another clock, or `baseline_steps`.
    """

    def __init__(
        self,
        steps: int | None = None,
        seconds: float | None = None,
        clock: Literal["elapsed", "processor"] = "elapsed",
        baseline_steps: int | None = None,
    ):
        if baseline_steps is not None:
            raise ValueError(
                f"budget: baseline_steps={baseline_steps} needs a baseline, which a single run has not; give it to a "
                "comparison (tools/compare.py), or give this run steps or seconds"
            )
        if (steps is None) == (seconds is None):
            raise ValueError(f"budget: give steps or seconds, one of them (got steps={steps}, seconds={seconds})")
        limit = steps if seconds is None else seconds
        if limit <= 0:
            raise ValueError(f"budget: {'steps' if seconds is None else 'seconds'} must be positive, got {limit}")
        if clock not in CLOCKS:
            raise ValueError(f"budget: clock={clock!r}; choose one of {', '.join(CLOCKS)}")
        self.steps, self.seconds, self.now = steps, seconds, CLOCKS[clock]
        self._elapsed = 0.0
        self._since: float | None = None

    def start(self) -> None:
        self._since = self.now()

    def stop(self) -> None:
        self._elapsed, self._since = self.elapsed, None

    @property
    def elapsed(self) -> float:
        """Seconds of training time so far, earlier parts of a resumed run included."""
        running = 0.0 if self._since is None else self.now() - self._since
        return self._elapsed + running

    @contextmanager
    def not_counted(self):
        """Stop the clock for evaluation, checkpoints and pictures."""
        running = self._since is not None
        if running:
            self.stop()
        try:
            yield
        finally:
            if running:
                self.start()

    def progress(self, step: int) -> float:
        """Share of the budget used before `step`, in [0, 1]; learning rates are functions of it."""
        if self.steps is not None:
            return min(step / self.steps, 1.0)
        return min(self._agreed_elapsed() / self.seconds, 1.0)

    def state_dict(self) -> dict[str, float]:
        return {"elapsed": self.elapsed}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self._elapsed = state["elapsed"]

    def _agreed_elapsed(self) -> float:
        if not (dist.is_initialized() and dist.get_world_size() > 1):
            return self.elapsed
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        elapsed = torch.tensor(self.elapsed, dtype=torch.float64, device=device)
        dist.broadcast(elapsed, src=0)
        return elapsed.item()

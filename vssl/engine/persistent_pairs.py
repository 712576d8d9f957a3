"""The learners of antithetic pairs that go on from one meta step to the next (`vssl.value.horizon.Unroll`)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vssl.engine.rollout import Construct, Rollouts, Trial
from vssl.value.horizon import Unroll


class PersistentPairs:
    """A learner and an optimizer for each side of each pair; they are saved with the run, so that it resumes exactly.

    Args:
        unrolls: meta steps after which all begin anew from the run's learner.
    """

    def __init__(self, unrolls: int):
        self.unroll = Unroll(unrolls)
        self._trials: dict[tuple[int, int], Trial] = {}
        self._saved: dict[tuple[int, int], Mapping[str, Any]] = {}

    def value(self, rollouts: Rollouts, construct: Construct, horizon: int, key: tuple[int, int]) -> Tensor:
        """The drop of L_down, from the run's learner, where the learner under `key` comes to in `horizon` more steps.

        To be called for all pairs before `unroll.through`.
        """
        (course,) = rollouts.courses
        if self.unroll.begins:
            self._trials[key] = Trial(course, construct)
        elif key not in self._trials:
            self._trials[key] = Trial(course, construct).load_state_dict(self._saved.pop(key))
        return rollouts.value_of([self._trials[key].go_on(course, construct)], horizon)

    def state_dict(self) -> dict[str, Any]:
        going_on = {} if self.unroll.begins else self._trials
        trials = [[*key, trial.state_dict()] for key, trial in going_on.items()]
        not_yet = [[*key, state] for key, state in self._saved.items()]  # of a run that was resumed since
        return {"unroll": self.unroll.state_dict(), "trials": trials + not_yet}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.unroll.load_state_dict(state["unroll"])
        self._trials, self._saved = {}, {(pair, side): saved for pair, side, saved in state["trials"]}

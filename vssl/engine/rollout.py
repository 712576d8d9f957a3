"""What the next H learner steps with a construction would do to L_down, without doing them.

A `Trial` is a copy of the learner, its teacher and its optimizer that goes on with one construction. The run is never
touched: its weights, moments, schedules and buffers stay where they are, and the global random generators are put back
(`Rollouts.value`). All trials of a course take the same unlabeled batches with the same random numbers: equal
constructions have equal values, and most of what a batch does cancels in their difference.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vssl.datasets.stream import Stream
from vssl.designers.base import Construction
from vssl.draws import Draws
from vssl.engine.budget import Budget
from vssl.engine.checkpoint import same_random_state
from vssl.engine.learner_step import LearnerStep
from vssl.feedback import Feedback
from vssl.feedback.feedback import eval_mode
from vssl.learner.backbone import TimmBackbone
from vssl.value.horizon import weighted_mean

Images = Float[Tensor, "batch 3 height width"]
Construct = Callable[[Images, Draws], Construction]


class Ahead:
    """The next `count` batches of a stream, read when they are asked for, once and in their order."""

    def __init__(self, stream: Stream, count: int):
        self._stream, self._count, self._read = stream, count, 0

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Images:
        if not number == self._read < self._count:
            raise IndexError(f"batch {number} of {self._count}, of which {self._read} were read; each comes once")
        self._read += 1
        return self._stream.next()[0]

    def rest(self) -> None:
        self._stream.rest()


@dataclass(frozen=True)
class Course:
    """The way that all trials go, from where the run stands.

    Args:
        learner_step: the run's; trials take it on copies of their own.
        batches: the unlabeled images of each step.
        draws: (purpose, number of the step from 0) -> random numbers, the same at every call.
        step: the learner step at which the run stands.
        progress: share of the budget that will be spent at each step, see `progress_ahead`.
    """

    learner_step: LearnerStep
    batches: Sequence[Images] | Ahead
    draws: Callable[[str, int], Draws]
    step: int
    progress: Sequence[float]

    def rest(self) -> None:
        """End the processes that decode images; they come again when the next batch is asked for."""
        if isinstance(self.batches, Ahead):
            self.batches.rest()

    def take(self, learner_step: LearnerStep, construct: Construct, number: int) -> None:
        """Step `number` of the course, from 0."""
        # Drop-path and dropout draw from the global generator: they too are the same in every trial.
        torch.manual_seed(int(self.draws("generator", number).whole().uniform(1, high=2**31)))
        learner_step.follow_schedules(self.step + number, self.progress[number])
        with torch.no_grad():
            construction = construct(self.batches[number], self.draws("views", number))
        learner_step(construction, self.draws("objective", number), self.progress[number])


class Trial:
    """A learner that goes on with one construction, beside the run.

    Attributes:
        steps: how many it has taken.
        diverged: its loss or gradient was not finite, and it stopped there.
    """

    def __init__(self, course: Course, construct: Construct):
        self._course, self._construct, self._learner_step = course, construct, course.learner_step.copied()
        self.steps, self.diverged = 0, False
        self._learner_step.learner.train()

    @property
    def student(self) -> TimmBackbone:
        return self._learner_step.learner.student

    @property
    def learner_step(self) -> LearnerStep:
        """Of the copy, as it stands."""
        return self._learner_step

    def go_on(self, course: Course, construct: Construct) -> "Trial":
        """From where it stands, along another course with another construction."""
        self._course, self._construct, self.steps = course, construct, 0
        return self

    def state_dict(self) -> dict[str, Any]:
        return {**self._learner_step.state_dict(), "diverged": self.diverged}

    def load_state_dict(self, state: Mapping[str, Any]) -> "Trial":
        step, self.diverged = self._learner_step, state["diverged"]
        step.learner.load_state_dict(state["learner"])
        step.optimizer.load_state_dict(state["optimizer"])
        if step.anchor is not None:
            step.anchor.load_state_dict(state["anchor"])
        return self

    def advance(self, to: int) -> "Trial":
        """Go on until it has taken `to` steps; IndexError beyond the course's batches."""
        while self.steps < to and not self.diverged:
            try:
                self._course.take(self._learner_step, self._construct, self.steps)
                self.steps += 1
            except FloatingPointError:
                self.diverged = True
        self._course.rest()
        return self


class Valuation:
    """How far L_down falls from where a student stands; the same images for all learners.

    Args:
        feedback: with evaluator ``"ridge"``, after `fit_heads`: heads are solved on the train images that it drew.
        student: what L_down falls from.
        weights: by task, how much its drop counts.
        autocast: context of the forward passes.
        heldout: by task, the labeled batches on which losses are taken.

    Attributes:
        before: L_down of each task for `student`.
    """

    def __init__(
        self,
        feedback: Feedback,
        student: TimmBackbone,
        weights: Mapping[str, float],
        autocast: Callable,
        heldout: dict[str, list[tuple[Tensor, ...]]],
    ):
        self._feedback, self._weights, self._autocast, self._heldout = feedback, weights, autocast, heldout
        self.before = self.losses(student)

    def losses(self, student: TimmBackbone) -> dict[str, Float[Tensor, ""]]:
        """L_down by task."""
        with self._autocast():
            return self._feedback.heldout_losses(student, self._heldout)

    def gradient(self, student: TimmBackbone, step: int) -> list[Tensor]:
        """g_down of the weighted mean of L_down over the aligned parameters, under the feedback's control."""
        parameters = list(student.aligned_parameters().values())
        found = [torch.zeros_like(p) for p in parameters]
        with eval_mode(student), self._autocast(), torch.enable_grad():
            for task, weight in self._weights.items():
                _, gradient = self._feedback.gradient_on(student, task, self._heldout[task], parameters)
                gradient = self._feedback.controlled_gradient(gradient, task, step)
                torch._foreach_add_(found, gradient, alpha=weight / sum(self._weights.values()))
        return found

    def drops(self, trial: Trial) -> dict[str, Float[Tensor, ""]]:
        """By task. A learner that diverged explains nothing any more: its L_down is 1."""
        after = {} if trial.diverged else self.losses(trial.student)
        return {task: loss - after.get(task, 1.0) for task, loss in self.before.items()}

    def value(self, trial: Trial) -> Float[Tensor, ""]:
        """The weighted mean of its drops."""
        return weighted_mean(self.drops(trial), self._weights)


class Rollouts:
    """What constructions are worth after any number of steps, as a mean over courses.

    Args:
        courses: the same ones for every construction.
        valuation: of the learners at their ends.
    """

    def __init__(self, courses: Sequence[Course], valuation: Valuation):
        self.courses, self.valuation = courses, valuation
        self._halfway: dict[Hashable, list[Trial]] = {}

    def value(self, construct: Construct, horizon: int, key: Hashable = None, keep: bool = False) -> Float[Tensor, ""]:
        """The drop of L_down after `horizon` steps. Every global generator is afterwards where it was.

        Args:
            key: go on from the learners that were kept under this name.
            keep: keep the learners; the memory of a learner and its optimizer for each course.
        """
        with same_random_state():
            trials = self._halfway.pop(key, None) or [Trial(course, construct) for course in self.courses]
        if keep:
            self._halfway[key] = trials
        return self.value_of(trials, horizon)

    def value_of(self, trials: Sequence[Trial], horizon: int) -> Float[Tensor, ""]:
        """The mean drop of L_down when they have taken `horizon` steps of their courses."""
        with same_random_state():
            return torch.stack([self.valuation.value(trial.advance(horizon)) for trial in trials]).mean()


def progress_ahead(budget: Budget, step: int, count: int) -> list[float]:
    """Share of the budget spent before each of the next `count` steps; that of now, where the budget is in seconds."""
    if budget.steps is None:
        return [budget.progress(step)] * count
    return [budget.progress(step + number) for number in range(count)]

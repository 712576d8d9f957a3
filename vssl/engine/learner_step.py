"""One ordinary SSL step: the only way in which θ moves, in the run itself and in what it tries out (rollout.py)."""

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from vssl.designers.base import Construction
from vssl.distributed import average
from vssl.draws import Draws
from vssl.engine.accumulation import WHOLE, Accumulation
from vssl.learner.anchor import Anchor
from vssl.learner.learner import Learner
from vssl.learner.sharded_trunks import gathered
from vssl.objectives.base import State, joined, observed

if TYPE_CHECKING:
    from vssl.engine.sharding import Shards


class StepTaken(NamedTuple):
    """What a step leaves behind, detached; `targets` are the teacher's, where the objective has any."""

    loss: Float[Tensor, ""]
    gradient_norm: Float[Tensor, ""]
    targets: Float[Tensor, "rows prototypes"] | None


@dataclass(frozen=True)
class LearnerStep:
    """A learner, its optimizer, and how a step is taken.

    Args:
        learner: what is trained.
        optimizer: over the learner; its groups carry ``peak_lr`` and ``part`` ("backbone" or "head").
        learning_rate: progress in [0, 1] -> factor on every group's ``peak_lr``.
        head_share: share of the budget, in [0, 1), in which only the SSL head learns: what a fresh head asks for would
            cost a trained backbone more than it brings. The backbone's schedule covers the rest.
        clip_grad: largest gradient norm of the learner, or None.
        autocast: context of the forward pass.
        accumulation: how the batch is cut into parts, one forward and backward pass each.
        anchor: what the backbone is pulled back to, or None.
        shards: of the trunks, where they are spread over ranks (sharding.py), or None.
    """

    learner: Learner
    optimizer: torch.optim.Optimizer
    learning_rate: Callable[[float], float]
    head_share: float = 0.0
    clip_grad: float | None = None
    autocast: Callable = nullcontext
    accumulation: Accumulation = WHOLE
    anchor: Anchor | None = None
    shards: "Shards | None" = None

    def __post_init__(self):
        if not 0 <= self.head_share < 1:
            raise ValueError(f"schedule.head_share={self.head_share} must be in [0, 1)")

    def follow_schedules(self, step: int, progress: float) -> None:
        """Set all that depends on the learner step and on the share of the budget that is spent."""
        done = (progress - self.head_share) / (1 - self.head_share)
        factors = {"head": self.learning_rate(progress), "backbone": self.learning_rate(done) if done >= 0 else 0.0}
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factors[group["part"]]
        self.learner.objective.on_step(step, progress)

    def __call__(
        self, construction: Construction, draws: Draws, progress: float, model: Callable | None = None
    ) -> StepTaken:
        """Step θ on a construction, and its teacher.

        Args:
            model: what stands for the learner in the forward pass: DDP around it, which averages gradients over ranks.
                Without, they are averaged here.

        Raises:
            FloatingPointError: the loss or the gradient is not finite, on this rank or another: all raise it together.
                The learner is as it was.
        """
        learner, optimizer = self.learner, self.optimizer
        learner.objective.adopt(**construction.for_objective)
        optimizer.zero_grad(set_to_none=True)
        loss, state, targets = self._backward(construction, draws, learner if model is None else model)
        learner.objective.before_optimizer_step()
        parameters = self._with_gradient()
        if model is None:
            average([p.grad for p in parameters if p.grad is not None])
        if self.anchor is not None:
            self.anchor.add_gradient(learner.student)
        gradient_norm = self._gradient_norm(parameters)
        if self.clip_grad:
            clip_grads_with_norm_(parameters, self.clip_grad, gradient_norm)
        (of_all,) = average([loss.float().clone()])  # a rank that went on alone would wait for the others for ever
        # the step's one device synchronisation: weights are never moved by a gradient that is not finite
        if not torch.isfinite(of_all + gradient_norm):
            raise FloatingPointError(f"loss {of_all.item():.4g}, gradient norm {gradient_norm.item():.4g}")
        if self.anchor is not None:
            self.anchor.pull(learner.student, optimizer)
        optimizer.step()
        if self.anchor is not None:
            self.anchor.follow(learner.student)
        learner.update_teacher(state, progress)
        return StepTaken(loss, gradient_norm, targets)

    def _with_gradient(self) -> list[Tensor]:
        """What the optimizer will step."""
        if self.shards is None:
            return [p for p in self.learner.parameters() if p.grad is not None]
        self.shards.take_gradients()
        return [p for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]

    def _gradient_norm(self, parameters: list[Tensor]) -> Float[Tensor, ""]:
        if self.shards is None:
            return get_total_norm([p.grad for p in parameters if p.grad is not None])
        return self.shards.norm(parameters)

    def _backward(
        self, construction: Construction, draws: Draws, model: Callable
    ) -> tuple[Float[Tensor, ""], State, Float[Tensor, "rows prototypes"] | None]:
        """The gradient of all parts into ``.grad``; returns the batch's loss, the state that `update` reads, and the
        teacher's targets."""
        losses, states, targets = [], [], []
        for number, part in enumerate(self.accumulation.cut(construction, draws), start=1):
            unsynced = number < self.accumulation.parts and isinstance(model, DistributedDataParallel)
            with model.no_sync() if unsynced else nullcontext():  # type: ignore[attr-defined]  # DDP has it
                with self.autocast():
                    loss, state = model(part.views, part.draws, part.image_weights)
                loss = part.share * loss
                loss.backward()
            losses.append(loss.detach())
            targets.append(self.learner.objective.targets_of(state))
            states.append(state if number == self.accumulation.parts else observed(state))
        of_all = None if targets[0] is None else torch.cat(targets)
        return torch.stack(losses).sum(), joined(states), of_all

    def state_dict(self) -> dict[str, Any]:
        """Of learner, optimizer and anchor, whole. With shards it is collective, and complete on rank 0 alone."""
        learner, anchor = self.learner.state_dict(), None if self.anchor is None else self.anchor.state_dict()
        if self.shards is None:
            return {"learner": learner, "optimizer": self.optimizer.state_dict(), "anchor": anchor}
        if anchor is not None:
            anchor = self.shards.of_anchor(anchor, self.learner.student)
        return gathered({"learner": learner, "optimizer": self.shards.of_optimizer(self.optimizer), "anchor": anchor})

    def copied(self) -> "LearnerStep":
        """The same step of a copy of learner, teacher and optimizer: nothing that it does reaches this one."""
        learner, optimizer = copy.deepcopy((self.learner, self.optimizer))  # together, so that weights stay shared
        anchor = None if self.anchor is None else self.anchor.copied()
        return replace(self, learner=learner, optimizer=optimizer, anchor=anchor)

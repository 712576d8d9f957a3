"""New SSL heads, one after another, on one backbone that stays where it is."""

import torch

from vssl.engine.learner_building import build_learner_step
from vssl.learner.learner import Learner


def renew_head(loop, seed: int, steps: int) -> None:
    """Everything of the learner but its backbone begins anew, and the SSL head then learns alone.

    That is: objective, teacher, and the optimizer with its moments. The next `steps` batches of the loop's stream teach
    the head; the loop's schedule must leave them all to it (``head_share``).

    Args:
        loop: a `PretrainLoop` whose config neither continues a run nor compiles.
        seed: of the head's first weights and of the random numbers of its steps.
    """
    torch.manual_seed(seed)
    loop.learner_step = build_learner_step(loop.runner.cfg, loop.learner.student, loop.device)
    loop.runner.model = loop.learner_step.learner.train()
    loop.seed, loop.step = seed, 0
    if has_head(loop.learner):
        for step in range(steps):
            loop.run_iter(loop.budget.progress(step))
            loop.step += 1


def has_head(learner: Learner) -> bool:
    return next(learner.objective.parameters(), None) is not None

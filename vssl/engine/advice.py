"""What one learner step is worth with less and with more of each operation: the measurement behind `vssl advise`.

Every draw is a batch of unlabeled images with its random numbers, and a new SSL head that has learned alone on the
backbone; a run that is continued brings its head, which all draws share. The step's value is taken for the recipe and
then, on the same images with the same numbers and head, for each change of it (`vssl.views.changes`). Nothing is
differentiated through the views, so that a closed gate, a rounding and a rotation are all valued as what they are.
g_down comes from every label (`vssl.feedback.folds`), in groups, and each value is taken once more without each group:
that says how much of the answer depends on which images happened to be labeled.
"""

import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from mmengine.config import Config
from torch import Tensor

from vssl.counts import counted
from vssl.datasets.stream import Stream
from vssl.designers.base import Construction
from vssl.distributed import rank_and_size
from vssl.draws import Draws
from vssl.engine.change_strips import change_strips
from vssl.engine.config import ConfigError, build, check_training_config
from vssl.engine.designer_building import build_feedback
from vssl.engine.designer_update import DesignerUpdate
from vssl.engine.new_heads import has_head, renew_head
from vssl.engine.record_images import panel_images
from vssl.engine.training import build_runner, data_warnings
from vssl.feedback import Feedback
from vssl.feedback.folds import grouped_gradients
from vssl.feedback.pool import SHUFFLED
from vssl.progress import say, track
from vssl.value import Bound
from vssl.value.products import mean_gradient
from vssl.views.changes import Change, changes, opened
from vssl.views.recipes import Recipe

PICTURES = 2  # images that each change is shown on
ENOUGH = 4  # draws that make a page after Ctrl-C


@dataclass(frozen=True)
class Measured:
    """Values of a step, and what they were taken of.

    values: by draw and column, with all labels and without each group of them. task_values: with all labels of one task
    alone. The first column is the recipe itself, the others are those of `columns`: (number of the change, side).
    changes: name, by, closed, unit and the numbers of each, as they are in the first view that has them; whether all
    views have the same (alike); whether the config's recipe does not have the operation, at no probability (absent).
    pictures: by change, (what is shown, images as strips).
    """

    values: Float[np.ndarray, "draws columns without"]
    task_values: Float[np.ndarray, "draws columns tasks"]
    columns: list[tuple[int, str]]
    changes: list[dict[str, Any]]
    pictures: list[tuple[list[str], UInt8[np.ndarray, "images strip height width 3"]]]
    about: dict[str, Any]


def measure(
    config: Config, draws: int, head_steps: int, seed: int = 0, only: Collection[str] | None = None
) -> Measured:
    """Value the recipe of a training config and every change of it, where the config's backbone stands.

    Args:
        config: a training config with ``feedback`` and ``value``; its designer is left out.
        draws: batches of unlabeled images, 2 or more. Ctrl-C after some of them ends with what is there.
        head_steps: steps in which each draw's SSL head learns alone, where heads are new; the backbone never moves.
        only: names of the operations to ask for; None for all.

    Raises:
        ConfigError, ValueError, FileNotFoundError: the message names the file or key, and the fix.
        FloatingPointError: a value was not finite.
    """
    if draws < 2 or head_steps < 0:
        raise ValueError(f"draws={draws} must be 2 or more, head_steps={head_steps} 0 or more")
    config = _bare(config)
    with _run_of(config, head_steps, seed) as loop, torch.random.fork_rng():
        placement = dict(rank=0, world_size=1, num_workers=0, device=loop.device)
        feedback = build_feedback(config.feedback, loop.learner.student.embed_dim, seed, placement)
        for name, line in feedback.check_pools().items():
            say(f"{name}: {line}")
        recipe = _opened(loop)
        tried = _asked_for(changes(recipe), only)
        columns = [(number, side) for number, change in enumerate(tried) for side in change.sides(recipe)]
        say("the direction that the labels ask for ...")
        downstream = grouped_gradients(feedback, loop.learner.student, seed=seed, autocast=loop.autocast)
        size = config["value"].get("batch_size", config.batch_size)
        stream = Stream(loop.stream.dataset, size, seed + 7919, **placement)
        valued = _Valued(loop, feedback, recipe, downstream, seed)
        asked = [None, *((tried[number], side) for number, side in columns)]
        head_seeds = np.random.SeedSequence(seed).generate_state(draws).tolist()
        new_heads = not config.get("continue_run") and has_head(loop.learner)
        rows = []
        try:
            for draw in track(range(draws), f"changes on new images{', with new heads' * new_heads}", "draws"):
                if new_heads:
                    renew_head(loop, head_seeds[draw], head_steps)
                rows.append(valued.row(stream.next()[0], asked, draw))
        except KeyboardInterrupt:
            if len(rows) < ENOUGH:
                raise
            say(f"stopped by Ctrl-C after {counted(len(rows), 'draw')}; the page is made of these")
        images, _ = panel_images(loop, PICTURES)
        return Measured(
            values=np.array([of_all for of_all, _ in rows]),
            task_values=np.array([of_tasks for _, of_tasks in rows]),
            columns=columns,
            changes=[_described(change, recipe, loop.designer.recipe) for change in tried],
            pictures=[change_strips(change, recipe, images) for change in tried],
            about={
                **_about(loop, config, feedback),
                "batch": size,
                "draws": len(rows),
                "heads": len(rows) if new_heads else 0,
                "head_steps": head_steps if new_heads else 0,
                "groups": valued.groups,
                "geometric": any(gated.op.geometric for plan in recipe.plans for gated in plan.ops),
            },
        )


class _Valued:
    """The value of a step on any views, where the learner stands."""

    def __init__(
        self, loop, feedback: Feedback, recipe: Recipe, downstream: Mapping[str, list[list[Tensor]]], seed: int
    ):
        self._loop, self._feedback, self._recipe, self._seed = loop, feedback, recipe, seed
        self.groups = len(next(iter(downstream.values())))
        whole = {task: mean_gradient(of_task) for task, of_task in downstream.items()}
        self._g_down = [self._combined(whole)]
        for left_out in range(self.groups):
            some = {
                task: mean_gradient(g for i, g in enumerate(of) if i != left_out) for task, of in downstream.items()
            }
            self._g_down.append(self._combined(some))
        self._of_tasks = whole

    def row(
        self, images: Tensor, tried: list[tuple[Change, str] | None], draw: int
    ) -> tuple[list[list[float]], list[list[float]]]:
        """Of the recipe (None) and each change: values under every g_down, and under that of each task."""
        seed, device, update = self._seed, self._loop.device, self._update()
        views = Draws(seed, "advice views", draw, device=device)
        numbers = [plan.draw(len(images), views) for plan in self._recipe.plans]
        of_all: list[list[float]] = []
        of_tasks: list[list[float]] = []
        for change in tried:
            distributions = [
                plan.distribution(device) if change is None else change[0].distribution(plan, change[1], device)
                for plan in self._recipe.plans
            ]
            with torch.no_grad():
                made = self._recipe.make(images, numbers, distributions)
            construction = Construction(made, images.new_zeros(()))
            objective = Draws(seed, "advice objective", draw, device=device)
            g_pre = update.step_gradient(construction, objective, self._loop.autocast)
            of_all.append(_values(update, self._g_down, g_pre))
            of_tasks.append(_values(update, self._of_tasks.values(), g_pre))
        if not np.isfinite(of_all).all():
            raise FloatingPointError("the value of a step is not finite; try --cfg-options precision=fp32")
        return of_all, of_tasks

    def _update(self) -> DesignerUpdate:
        """What values a step of the present learner, whose head may be new."""
        settings, optimizer = self._loop.runner.cfg["value"], self._loop.learner_step.optimizer
        rule, combine = build(settings.rule), build(settings.combine)
        if isinstance(rule, Bound):
            rule.learning_rate = optimizer.param_groups[0]["peak_lr"]
        return DesignerUpdate(self._loop.learner, self._loop.designer, self._feedback, None, optimizer, rule, combine)

    def _combined(self, per_task: Mapping[str, list[Tensor]]) -> list[Tensor]:
        """By a combiner that remembers no other gradients."""
        return build(self._loop.runner.cfg["value"].combine)(per_task)


def _values(update: DesignerUpdate, downstream: Iterable[list[Tensor]], g_pre: list[Tensor]) -> list[float]:
    return torch.stack([update.rule(g_down, g_pre, update.preconditioner).value for g_down in downstream]).tolist()


@contextmanager
def _run_of(config: Config, head_steps: int, seed: int) -> Iterator[Any]:
    """The loop of a run without feedback, whose head alone would learn; in a folder that is removed afterwards."""
    config = config.copy()
    config.budget = dict(steps=max(head_steps, 1))
    config.schedule = dict(warmup_share=0.1, final_ratio=0.01, head_share=0.999)
    check_training_config(config)
    config.feedback = None
    with tempfile.TemporaryDirectory(prefix="vssl-advise-") as folder:
        with data_warnings() as said:
            runner = build_runner(config, Path(folder), seed)
        for text in said:
            say(f"warning: {text}")
        with runner.claim:
            try:
                runner.train_loop.learner.train()
                yield runner.train_loop
            finally:
                runner.visualizer.close()


def _bare(config: Config) -> Config:
    """The config without its designer and without what a run records."""
    for key in ("feedback", "value"):
        if not config.get(key):
            raise ConfigError(
                f"{config.filename}: no {key}: without labels nothing says what helps. Give the config with a designer "
                "(`vssl new` calls it mine.py, not mine_fixed.py)"
            )
    if config.feedback.get("control") not in (None, SHUFFLED):
        raise ConfigError(f"feedback.control={config.feedback.control!r}: give None or {SHUFFLED!r} here")
    if rank_and_size()[1] > 1:
        raise ConfigError("one process is enough for this; start it without torchrun")
    bare = config.copy()
    bare.designer = dict(type="vssl.designers.Identity")
    for key in ("designer_optimizer", "designer_learning_rates", "designer_checkpoint", "probes", "one_step_probe"):
        bare[key] = None
    bare["anchor"] = None  # nothing moves that could be pulled back
    bare["compile"] = False  # it would be done for each head
    return bare


def _opened(loop) -> Recipe:
    """The run's recipe with all ops of the space; without those that move pixels where the objective needs boxes."""
    learner, recipe = loop.learner, loop.designer.recipe
    if learner.student.reads != "images" or not isinstance(recipe, Recipe):
        raise ConfigError(f"{type(recipe).__name__} is no recipe of image views: there is nothing to change")
    images, _ = panel_images(loop, 2)
    whole = opened(recipe)
    with torch.random.fork_rng(), torch.no_grad():
        views = whole(images, Draws(0, "trial", device=loop.device))
        try:
            learner.objective.begin(learner.student, learner.teacher, views, Draws(0, "trial", device=loop.device))
        except ValueError:
            if views.global_boxes is not None:
                raise
            return opened(recipe, geometric=False)
    return whole


def _asked_for(tried: list[Change], only: Collection[str] | None) -> list[Change]:
    names = dict.fromkeys(change.name for change in tried)
    if unknown := [name for name in only or () if name not in names]:
        raise ConfigError(f"there is no operation {unknown[0]!r} to change; there are {', '.join(names)}")
    return [change for change in tried if only is None or change.name in only]


def _described(change: Change, recipe: Recipe, own: Recipe) -> dict[str, Any]:
    plan = next(plan for plan in recipe.plans if change.has(plan))
    unit = next((m.unit for m in plan.magnitudes if m.name == change.name), "")
    alike = len({change.numbers(plan, "now") for plan in recipe.plans if change.has(plan)}) == 1
    absent = not any(change.has(plan) for plan in own.plans)
    about = {"name": change.name, "by": change.by, "closed": change.closed, "absent": absent, "unit": unit}
    return about | {side: list(change.numbers(plan, side)) for side in ("less", "now", "more")} | {"alike": alike}


def _about(loop, config: Config, feedback: Feedback) -> dict[str, Any]:
    recipe: Recipe = loop.designer.recipe
    return {
        "objective": type(loop.learner.objective).__name__,
        "views": len(recipe.plans),
        "rule": type(build(config["value"].rule)).__name__,
        "backbone": config.get("continue_run") or config.backbone.get("checkpoint") or config.backbone.get("name"),
        "model": config.backbone.get("name"),
        "blocks": config.backbone.get("aligned_blocks"),
        "continued": bool(config.get("continue_run")),
        "unlabeled": len(loop.stream.dataset),
        "labels": {name: len(pool.indices) for name, pool in feedback.pools.items()},
        "control": feedback.control,
    }

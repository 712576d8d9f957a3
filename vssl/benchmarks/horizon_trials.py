"""Where a config's first meta step comes, and what constructions are worth from there: now, in H steps, in the end."""

import argparse
import copy
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from mmengine.config import Config
from torch import Tensor

from vssl.datasets.stream import Stream
from vssl.designers import CandidateDesigner
from vssl.designers.base import Designer
from vssl.draws import Draws
from vssl.engine import load_config
from vssl.engine.config import check_training_config
from vssl.engine.rollout import Ahead, Construct, Course, Trial, Valuation, progress_ahead
from vssl.engine.training import build_runner
from vssl.feedback import Pool
from vssl.probes.decoded_images import ProbeData
from vssl.probes.run import run_probes

ONE_STEP_BATCHES = 4
"""Meta batches over which the value of one step is averaged."""


class Standpoint:
    """A run that stands at its first meta step.

    Args:
        loop: the run's; it has not taken a step.
        constructions: names -> what is made of a batch.
        probes: config of the probes that score outcomes, or None.
        longest: the longest horizon that will be asked for.
    """

    def __init__(self, loop, constructions: Mapping[str, Construct], probes: Config | None, longest: int):
        self._loop, self.constructions, self._probes = loop, constructions, probes
        self._data, self._autocast = ProbeData(), loop.autocast
        self._advance()
        feedback, student = loop.designer_update.feedback, loop.learner.student
        feedback.fit_heads(student, loop.autocast)
        of = partial(Valuation, feedback, student, dict.fromkeys(feedback.tasks, 1.0), loop.autocast)
        self._valuation = of(feedback.next_heldout())
        self._apart = of(_third_parts(feedback.pools)) if probes is None else None
        self._shares = _shares(loop.designer)
        batches: dict[str, Sequence[Tensor] | Ahead]
        if self._shares:
            batches = {name: Ahead(loop.meta_stream.ahead(shares=of), longest) for name, of in self._shares.items()}
            loop.meta_stream.skip(longest)
        else:
            same = [loop.meta_stream.next()[0] for _ in range(longest)]
            batches = {name: same for name in constructions}
        self._course = partial(
            Course,
            loop.learner_step,
            draws=lambda purpose, number: loop.draws(f"horizon {purpose} {number}"),
            step=loop.step,
            progress=progress_ahead(loop.budget, loop.step, longest),
        )
        self._batches = batches
        with loop.autocast():
            self._g_down, _ = feedback.gradients(student, loop.step)
        self._images = [loop.meta_stream.next()[0] for _ in range(ONE_STEP_BATCHES)]

    @classmethod
    @contextmanager
    def of(cls, arguments: argparse.Namespace, path: Path, seed: int) -> Iterator["Standpoint"]:
        """The run of a config, in a folder that is removed afterwards.

        Raises:
            ValueError: it has no feedback, no budget in steps, or nothing to compare.
        """
        options = dict(arguments.cfg_options)
        if arguments.start:
            options["backbone.checkpoint"] = str(arguments.start)
        config = load_config(path, options)
        if not config.get("feedback") or "steps" not in config.budget:
            raise ValueError(f"{path}: a horizon needs feedback, and a budget in steps (--cfg-options budget.steps=N)")
        if config.feedback.get("evaluator") != "ridge":
            raise ValueError(f"{path}: values after a step need --cfg-options feedback.evaluator=ridge")
        config["value"].horizon, config.device = 0, str(arguments.device)
        if arguments.probes is None:
            for name, pool in config.feedback.pools.items():
                if not pool.get("heldout"):
                    raise ValueError(
                        f"{path}: outcomes are read on held-out labels; give feedback.pools.{name}.heldout=N, "
                        "or --probes"
                    )
        check_training_config(config)
        probes = Config.fromfile(str(arguments.probes)) if arguments.probes else None
        with tempfile.TemporaryDirectory(prefix="vssl-horizon-") as folder:
            runner = build_runner(config, Path(folder), seed)
            try:
                loop = runner.train_loop
                made = constructions(loop.designer, arguments.constructions, arguments.sigma, seed)
                yield cls(loop, made, probes, max(arguments.horizons))
            finally:
                runner.visualizer.close()

    @property
    def about(self) -> dict[str, str]:
        kinds = {"objective": self._loop.learner.objective, "surface": self._loop.designer}
        return {key: type(part).__name__ for key, part in kinds.items()}

    def values(self, name: str, horizons: list[int]) -> dict[str, dict[str, float]]:
        """By horizon and task: the value of one step at 0, the drop of L_down above."""
        construct, values = self.constructions[name], {}
        trial = Trial(self._course(self._batches[name]), construct)
        for horizon in sorted(horizons):
            drops = self._one_step(construct) if horizon == 0 else self._valuation.drops(trial.advance(horizon))
            values[str(horizon)] = {task: float(value) for task, value in drops.items()}
        return values

    def outcome(self, name: str) -> dict[str, float]:
        """By task, after the rest of the run: more is better, so that errors have their sign changed."""
        loop = self._loop
        start, left = loop.step, loop.budget.steps - loop.step

        def draws(purpose: str, number: int) -> Draws:
            return Draws(loop.seed, purpose, start + number, device=loop.device)

        progress = progress_ahead(loop.budget, start, left)
        batches = Ahead(loop.stream.ahead(shares=self._shares.get(name)), left)
        course = Course(loop.learner_step, batches, draws, start, progress)
        trial = Trial(course, self.constructions[name]).advance(left)
        if self._probes is None:
            return {task: float(drop) for task, drop in self._apart.drops(trial).items()}
        tasks = list(self._valuation.before)
        results = run_probes(trial.student, self._probes, seed=loop.seed, data=self._data, only=tasks)
        return {result["name"]: _headline(result) for result in results}

    def _one_step(self, construct: Construct) -> dict[str, Tensor]:
        """The rule's value of the step's gradient, for each task's g_down alone."""
        update, loop = self._loop.designer_update, self._loop
        values: dict[str, list[Tensor]] = {task: [] for task in self._g_down}
        for number, images in enumerate(self._images):
            with torch.no_grad():
                construction = construct(images, loop.draws(f"horizon views {number}"))
            g_pre = update.step_gradient(construction, loop.draws(f"horizon objective {number}"), self._autocast)
            for task, g_down in self._g_down.items():
                values[task].append(update.rule(g_down, g_pre, update.preconditioner).value)
        return {task: torch.stack(of_task).mean() for task, of_task in values.items()}

    def _advance(self) -> None:
        """Take the run's steps up to its first meta step."""
        loop = self._loop
        loop.learner.train()
        update, loop.designer_update = loop.designer_update, None
        while not update.due(loop.step):
            loop.run_iter(loop.budget.progress(loop.step))
            loop.step += 1
        loop.recent.clear()
        loop.designer_update = update


def constructions(designer: Designer, count: int, sigma: float, seed: int) -> Mapping[str, Construct]:
    """What is compared, by name: a designer's candidates, or φ as it starts and `count` − 1 times perturbed.

    Raises:
        ValueError: the designer makes one construction only.
    """
    if designer.learns_from_values:
        return _candidates(designer, count)
    if next(designer.parameters(), None) is None:
        raise ValueError(f"designer {type(designer).__name__} makes one construction; there is nothing to compare")
    made, draws = {"start": designer}, Draws(seed, "horizon directions")
    for number in range(1, count):
        other = made[f"perturbed {number}"] = copy.deepcopy(designer)
        with torch.no_grad():
            for p in other.parameters():
                p.add_(sigma * draws.normal(*p.shape).to(p))
        other.project()
    return made


def _candidates(designer: CandidateDesigner, count: int) -> Mapping[str, Construct]:
    designer.begin_search(count)
    return {name: partial(designer.candidate, i) for i, name in enumerate(designer.names_of_candidates())}


def _shares(designer: Designer) -> dict[str, Mapping[str, float]]:
    """By candidate, the shares in which sources come in its rollouts; empty where they come as they do in the run."""
    if not isinstance(designer, CandidateDesigner):
        return {}
    of = {name: designer.shares_of(number) for number, name in enumerate(designer.names_of_candidates())}
    return {name: shares for name, shares in of.items() if shares is not None}


def _third_parts(pools: dict[str, Pool]) -> dict[str, list[tuple[Tensor, ...]]]:
    """All images that neither fitted a head nor gave a value."""
    return {
        name: [Stream(pool.heldout, len(pool.heldout), seed=0, device=pool.meta.device).next()]
        for name, pool in pools.items()
    }


def _headline(result: dict) -> float:
    """The score that reports put first, its sign such that more is better."""
    score = next(name for name, info in result["score_info"].items() if info["better"])
    return result["scores"][score] * (1 if result["score_info"][score]["better"] == "higher" else -1)

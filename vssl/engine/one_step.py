"""The one-step probe: does the predicted drop of the downstream loss happen?

Now and then, on a copy of the learner: take the pretraining gradient of the same images for several constructions,
make the update that SGD and the learner's own optimizer would make of it, predict the drop of each downstream loss
from g_down on the meta pool, and measure it on a third labeled batch, which neither fitted the heads nor gave g_down.
The run itself is left as it was, to the last bit.

An arm without a designer to train is measured all the same: the config's feedback is then this probe's own, and no
part of the training loop knows of it.
"""

import copy
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.hooks import Hook
from torch import Tensor, nn

from vssl.datasets.stream import Stream
from vssl.designers.base import Construction, Designer, Identity
from vssl.distributed import average, rank_and_size
from vssl.draws import Draws
from vssl.engine.config import ConfigError
from vssl.engine.record_files import append_line, forget_lines_after
from vssl.engine.snapshots import undisturbed
from vssl.feedback import Feedback
from vssl.learner.teacher import frozen_copy
from vssl.value.prediction import adam_update, predicted_drop, sgd_update
from vssl.value.products import cosine, norm
from vssl.whole_files import whole

FILE, START = "one_step.jsonl", "designer_start.pth"


class OneStepHook(Hook):
    """Rows of ``one_step.jsonl`` every `interval` learner steps. Not counted in the budget, but it takes real time.

    A row: step, views (designed, base, untrained, flipped), optimizer (sgd, adamw), task, predicted, realised (only S
    moves, which is what the prediction speaks of), realised_whole (the whole backbone moves), loss before the step,
    cosine of g_down and g_pre, update_norm over S. Drops are positive where the loss falls.

    Untrained views: φ as it was when this run began. Flipped views: φ reflected about it, 2φ₀ − φ. A recipe without φ
    has all four alike, and only designed views are probed. An anchor's pull is left out, and a batch is one piece.

    Args:
        interval: learner steps between one-step probes.
        batch_size: unlabeled images per one-step probe and rank; None for as many as a learner step has.
        batches: labeled batches for g_down, and as many for the realised drop; None for so many that every image of
            either part is in them. Few images make the drops noise (docs/benchmark.md, "Does the predicted drop
            happen?").
        feedback: for measuring alone, in a run that has no designer update; its heads are fitted anew each time.
    """

    priority = "LOW"

    def __init__(
        self,
        interval: int,
        batch_size: int | None = None,
        batches: int | None = None,
        feedback: Feedback | None = None,
    ):
        if interval < 1 or any(given is not None and given < 1 for given in (batches, batch_size)):
            raise ConfigError(
                f"one_step_probe: interval={interval}, batch_size={batch_size}, batches={batches} must be at least 1"
            )
        self.interval, self.batch_size, self.batches = interval, batch_size, batches
        self.own = None if feedback is None else _OwnFeedback(feedback)

    def before_run(self, runner) -> None:
        update = runner.train_loop.designer_update
        if update is None and self.own is None:
            raise ConfigError("one_step_probe needs feedback in the config: without it nothing is predicted")
        feedback = self.own.feedback if update is None else update.feedback
        without = [name for name, pool in feedback.pools.items() if pool.heldout is None]
        if without:
            raise ConfigError(
                f"one_step_probe needs held-out labeled images: give feedback.pools.{without[0]} heldout=N, e.g. "
                "as many as meta"
            )

    def before_train(self, runner) -> None:
        loop = runner.train_loop
        self.file = Path(runner.work_dir) / FILE
        self.start = None
        if loop.designer.state_dict():
            self.start = self._start_of(loop.designer, Path(runner.work_dir) / START, fresh=loop.step == 0)
        if rank_and_size()[0] == 0:
            forget_lines_after(self.file, loop.step)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        loop = runner.train_loop
        update = loop.designer_update
        if loop.step % self.interval or (update is not None and not update.feedback.can_measure):  # burn-in
            return
        optimizer = runner.optim_wrapper.optimizer
        with undisturbed(loop):
            self._probe(loop, optimizer, self.own.fitted(loop) if update is None else update.feedback)

    def _probe(self, loop, optimizer: torch.optim.Optimizer, feedback: Feedback) -> None:
        with _evaluating(feedback):
            for row in self._rows(loop, optimizer, feedback):
                if rank_and_size()[0] == 0:
                    append_line(self.file, {"step": loop.step, "seconds": loop.budget.elapsed, **row})

    def _rows(self, loop, optimizer: torch.optim.Optimizer, feedback: Feedback) -> Iterator[dict[str, Any]]:
        batches = _Batches.of(loop, feedback, self.batch_size or loop.stream.batch_size, self.batches)
        probed = _Probed(loop, optimizer, batches, feedback)
        for name, construction in self._constructions(loop, batches.images):
            g_pre, updates = probed.updates(construction)
            for taken_by, update in updates.items():
                for task, result in probed.outcome(update, g_pre).items():
                    yield {"views": name, "optimizer": taken_by, "task": task, **result}

    def _constructions(self, loop, images: Tensor) -> Iterator[tuple[str, Construction]]:
        """The same images and random numbers, constructed in each way. Base views come first: they set SGD's rate."""
        designer: Designer = loop.designer
        variants = {"designed": designer}
        if designer.state_dict():
            variants = {"base": Identity(designer.recipe), **variants}
        if self.start is not None:
            untrained, flipped = copy.deepcopy(designer), copy.deepcopy(designer)
            untrained.load_state_dict(self.start)
            with torch.no_grad():
                for name, p in flipped.named_parameters():
                    p.copy_(2 * self.start[name].to(p) - p)
            variants |= {"untrained": untrained, "flipped": flipped}
        for name, make in variants.items():
            with torch.no_grad():
                yield name, make(images, Draws(loop.seed, "one-step views", loop.step, *rank_and_size(), loop.device))

    def _start_of(self, designer: Designer, path: Path, fresh: bool) -> dict[str, Tensor] | None:
        if fresh:
            state = {name: value.detach().cpu().clone() for name, value in designer.state_dict().items()}
            if rank_and_size()[0] == 0:
                with whole(path) as partial:
                    torch.save(state, partial)
            return state
        if not path.is_file():
            warnings.warn(f"{path} is missing: no untrained and no flipped views in the one-step probe", stacklevel=2)
            return None
        return torch.load(path, map_location="cpu", weights_only=True)


def one_step_hooks(settings: dict[str, Any] | None, feedback: Feedback | None = None) -> list[OneStepHook]:
    """The hook of the config's ``one_step_probe``, or none; ConfigError for an argument it does not take."""
    if not settings:
        return []
    try:
        return [OneStepHook(**settings, feedback=feedback)]
    except TypeError as error:
        given = dict(settings)
        raise ConfigError(f"one_step_probe={given}: {error}; it takes interval, batch_size, batches") from error


class _OwnFeedback:
    """Feedback that only measures.

    Each fit begins from the same heads, on images placed by the step: it does not depend on earlier ones, and a
    resumed run measures what the uninterrupted one would have.
    """

    def __init__(self, feedback: Feedback):
        self.feedback = feedback
        self.beginning = copy.deepcopy((feedback.state_dict(), feedback.extra_state()))

    def fitted(self, loop) -> Feedback:
        heads, rest = copy.deepcopy(self.beginning)
        self.feedback.load_state_dict(heads)
        self.feedback.load_extra_state(rest)
        for pool in self.feedback.pools.values():
            if (train := pool.streams.get("train")) is not None:  # text has none: no head is fitted
                train.load_state_dict({"position": loop.step * train.batch_size * rank_and_size()[1]})
        torch.manual_seed(loop.seed)  # a head's dropout; put back by `undisturbed`
        self.feedback.fit_heads(loop.learner.student, loop.autocast)
        return self.feedback


class _Batches(NamedTuple):
    """What a one-step probe looks at: unlabeled images, and labeled ones per task for g_down and the realised drop."""

    images: Tensor
    meta: dict[str, list[tuple[Tensor, ...]]]
    heldout: dict[str, list[tuple[Tensor, ...]]]

    @classmethod
    def of(cls, loop, feedback: Feedback, batch_size: int, count: int | None) -> "_Batches":
        rank, world_size = rank_and_size()
        place = dict(rank=rank, world_size=world_size, device=loop.device)

        def draw(dataset, size: int, stream: int, count: int | None) -> list[tuple[Tensor, ...]]:
            # Streams of its own, placed by the step: those of the run stay where they are, and a resumed run agrees.
            position = loop.step
            if count is None:
                size, position = min(size, math.ceil(len(dataset) / world_size)), 0
                count = math.ceil(len(dataset) / (size * world_size))
            source = Stream(dataset, size, seed=loop.seed + stream, **place)
            source.load_state_dict({"position": position * size * count * world_size})
            return [source.next() for _ in range(count)]

        pools = feedback.pools
        return cls(
            draw(loop.stream.dataset, batch_size, 104_729, 1)[0][0],
            {name: draw(p.meta.dataset, p.meta.batch_size, 15_485_863, count) for name, p in pools.items()},
            {name: draw(p.heldout, p.meta.batch_size, 32_452_843, count) for name, p in pools.items()},
        )


class _Probed:
    """The learner at one step. Nothing here changes it: updates are tried on a copy of its backbone, in fp32."""

    def __init__(self, loop, optimizer: torch.optim.Optimizer, batches: _Batches, feedback: Feedback):
        self.loop, self.optimizer, self.batches = loop, optimizer, batches
        self.learner, self.feedback = loop.learner, feedback
        self.weights = {n: p for n, p in self.learner.student.named_parameters() if p.requires_grad}
        self.aligned = self.learner.student.aligned_parameters()
        self.copy = frozen_copy(self.learner.student)
        self.before = {task: self._losses(task) for task in self.feedback.tasks}
        self.g_down = self._g_down()
        self.sgd_rate: float | None = None

    def updates(self, construction: Construction) -> tuple[list[Tensor], dict[str, dict[str, Tensor]]]:
        """g_pre over S, and θ_new − θ of the backbone by parameter name, for SGD and for the learner's optimizer."""
        gradient = self._ssl_gradient(construction)
        g_pre = [g for n, g in zip(self.weights, gradient, strict=True) if n in self.aligned]
        own = None
        if isinstance(self.optimizer, torch.optim.AdamW):
            own = dict(zip(self.weights, adam_update(self.optimizer, self.weights, gradient), strict=True))
        if self.sgd_rate is None:
            # plain SGD at AdamW's rate would hardly move: give it the length of AdamW's step for the base views
            rate = self.optimizer.param_groups[0]["lr"]
            length = norm(g_pre)
            self.sgd_rate = rate if own is None or length == 0 else float(norm(self._over_s(own)) / length)
        sgd = dict(zip(self.weights, sgd_update(gradient, self.sgd_rate), strict=True))
        return g_pre, {"sgd": sgd} if own is None else {"sgd": sgd, "adamw": own}

    @torch.no_grad()
    def outcome(self, update: dict[str, Tensor], g_pre: list[Tensor]) -> dict[str, dict[str, float]]:
        """Per task what was predicted of an update, made from g_pre, and what it did."""
        over_s, outcome = self._over_s(update), {}
        moved = self._drops({name: change for name, change in update.items() if name in self.aligned})
        whole = self._drops(update)
        for task, g_down in self.g_down.items():
            outcome[task] = {
                "predicted": float(predicted_drop(g_down, over_s)),
                "realised": moved[task],
                "realised_whole": whole[task],
                "loss": self.before[task],
                "cosine": float(cosine(g_down, g_pre)),
                "update_norm": float(norm(over_s)),
            }
        return outcome

    def _drops(self, update: dict[str, Tensor]) -> dict[str, float]:
        moving = dict(self.copy.named_parameters())
        for name, p in self.weights.items():
            moving[name].copy_(p + update[name] if name in update else p)
        return {task: self.before[task] - self._losses(task) for task in self.feedback.tasks}

    @torch.no_grad()
    def _losses(self, name: str) -> float:
        losses = [self.feedback.loss(self.copy, name, images, labels) for images, labels in self.batches.heldout[name]]
        (mean,) = average([torch.stack(losses).double().mean()])
        return float(mean)

    def _g_down(self) -> dict[str, list[Tensor]]:
        student, training = self.learner.student, self.learner.student.training
        student.eval()
        try:
            parameters = list(self.aligned.values())
            return {n: self.feedback.gradient_on(student, n, b, parameters)[1] for n, b in self.batches.meta.items()}
        finally:
            student.train(training)

    def _ssl_gradient(self, construction: Construction) -> list[Tensor]:
        """∇L_pre over the backbone's parameters as the learner's step would take it, clipping included."""
        loop = self.loop
        parameters = [p for p in self.learner.parameters() if p.requires_grad]
        torch.manual_seed(loop.seed)  # drop-path alike for every construction; put back by `undisturbed`
        draws = Draws(loop.seed, "one-step objective", loop.step, *rank_and_size(), loop.device)
        self.learner.objective.adopt(**construction.for_objective)  # the next step adopts its own
        with torch.enable_grad(), loop.autocast():
            loss, _ = self.learner(construction.views.detach(), draws, construction.image_weights)
        gradient = average(list(torch.autograd.grad(loss, parameters, materialize_grads=True)))
        if loop.clip_grad:
            factor = (loop.clip_grad / norm(gradient).clamp_min(1e-12)).clamp(max=1)
            gradient = [g * factor for g in gradient]
        of = {id(p): g for p, g in zip(parameters, gradient, strict=True)}
        return [of[id(p)] for p in self.weights.values()]

    def _over_s(self, update: dict[str, Tensor]) -> list[Tensor]:
        return [update[name] for name in self.aligned]


@contextmanager
def _evaluating(feedback: nn.Module) -> Iterator[None]:
    """The heads in eval mode: no statistics move, and no image influences another."""
    training = feedback.tasks.training
    feedback.tasks.eval()
    try:
        yield
    finally:
        feedback.tasks.train(training)

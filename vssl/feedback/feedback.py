"""Downstream feedback: the only room at training time that sees labels. g_down is all that leaves it.

Algorithm steps 2a and 2b of V-Pretraining (arXiv 2601.22108, appendix A).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vssl.datasets.stream import Stream
from vssl.distributed import average
from vssl.draws import Draws
from vssl.feedback.base import FeedbackTask
from vssl.feedback.pool import SHUFFLED, Pool
from vssl.feedback.ridge import rows_of, unexplained
from vssl.learner.backbone import TimmBackbone

CONTROLS = ("random", "negated", SHUFFLED)
EVALUATORS = ("heads", "ridge")


class Feedback(nn.Module):
    """The evaluator: a head per task fitted on frozen features, and the downstream gradient over S.

    Args:
        tasks: name -> `FeedbackTask`, with its head.
        pools: name -> its labeled images.
        head_lr: AdamW learning rate of the heads (paper probes: 5e-4 to 1e-3).
        head_steps: batches on which the heads are updated before each gradient (2a).
        first_head_steps: such batches before the very first gradient, so that it does not come from an untrained head.
        head_updates: updates on each of these batches, whose features are computed once. Heads must stay close to their
            optimum: whatever a better head could still make up for, g_down asks of the backbone instead.
        head_weight_decay: of AdamW.
        evaluator: ``"heads"``, fitted step by step as above and frozen while g_down is taken (the paper); or
            ``"ridge"``, solved anew for each g_down on `head_steps` train batches and differentiated through.
            With several ranks each solves its own and the gradients are averaged.
        ridge_l2: penalty of the ridge head.
        meta_batches: batches of the meta pool averaged into one gradient (2b).
        control: None, or one of the controls: ``"random"`` (a Gaussian direction with the norm of the true gradient),
            ``"negated"`` (the opposite gradient), ``"shuffled_labels"`` (set by the pools; recorded here).
    """

    def __init__(
        self,
        tasks: dict[str, FeedbackTask],
        pools: dict[str, Pool],
        head_lr: float = 1e-3,
        head_steps: int = 1,
        first_head_steps: int = 100,
        head_updates: int = 1,
        head_weight_decay: float = 0.05,
        evaluator: str = "heads",
        ridge_l2: float = 1e-3,
        meta_batches: int = 1,
        control: str | None = None,
        seed: int = 0,
    ):
        super().__init__()
        if control is not None and control not in CONTROLS:
            raise ValueError(f"feedback control {control!r} is unknown; choose None or one of {', '.join(CONTROLS)}")
        if not tasks:
            raise ValueError("feedback has no tasks; give at least one, e.g. segmentation or depth")
        # Sorted: a saved config comes back with its keys sorted, and a resumed optimizer goes by position.
        self.tasks, self.pools = nn.ModuleDict(dict(sorted(tasks.items()))), pools
        if head_updates < 1:
            raise ValueError(f"feedback head_updates={head_updates} must be 1 or more")
        self.head_steps, self.first_head_steps, self.meta_batches = head_steps, first_head_steps, meta_batches
        if evaluator not in EVALUATORS:
            raise ValueError(f"feedback evaluator {evaluator!r} is unknown; choose one of {', '.join(EVALUATORS)}")
        without = [name for name, task in tasks.items() if not task.has_targets]
        if evaluator == "ridge" and without:
            raise ValueError(f"feedback evaluator 'ridge': task {without[0]!r} has no targets; use evaluator='heads'")
        self.head_updates, self.evaluator, self.ridge_l2 = head_updates, evaluator, ridge_l2
        self._support: dict[str, list[tuple[Tensor, ...]]] = {}
        self.control, self.seed, self.fitted_steps = control, seed, 0
        heads = list(self.tasks.parameters())  # none where the backbone itself answers
        self.optimizer = torch.optim.AdamW(heads, lr=head_lr, weight_decay=head_weight_decay) if heads else None

    def check_pools(self) -> dict[str, str]:
        """Read every labeled image once: a bad file or label is named here and not after an hour of training.

        Returns: for each task a line for the log about its labels, where there is something to say.
        """
        found = {}
        for name, task in self.tasks.items():
            pool = self.pools[name]
            found[name] = task.check_files(pool.label_files(), pool.dataset)
            for label, path in pool.labels():
                task.check(label, str(path))
        return {name: line for name, line in found.items() if line}

    def try_out(self, backbone: TimmBackbone) -> None:
        """The first labeled input of each pool through the backbone; ValueError when it does not take it."""
        for pool in self.pools.values():
            backbone.grid(pool.train.dataset[0, 0][0][None])

    @property
    def can_measure(self) -> bool:
        """Whether L_down can be asked for: its heads have been fitted."""
        return self.fitted_steps > 0

    def fit_heads(self, backbone: TimmBackbone, autocast: Callable = nullcontext) -> dict[str, Tensor]:
        """2a: update the heads on the train pools, features frozen. Returns the last loss per task.

        No gradient reaches the backbone: features are computed without a graph, the backbone in eval mode. `autocast`
        is entered anew for every step, since it keeps low-precision copies of the weights that a step has changed.
        """
        if self.evaluator == "ridge":
            self._support = {n: [pool.train.next() for _ in range(self.head_steps)] for n, pool in self.pools.items()}
            self.fitted_steps += self.head_steps
            return {}
        steps = self.head_steps if self.fitted_steps else self.first_head_steps + self.head_steps
        self.tasks.train()
        losses = {}
        with eval_mode(backbone):
            for _ in range(steps):
                batches = {name: self.pools[name].train.next() for name in self.tasks}
                with autocast(), torch.no_grad():
                    frozen = {
                        n: patch_grid(backbone, images, backbone.trunk(images)) for n, (images, _) in batches.items()
                    }
                for _ in range(self.head_updates):
                    with autocast():
                        losses = {n: task.loss(frozen[n], batches[n][1]) for n, task in self.tasks.items()}
                    self.optimizer.zero_grad()
                    sum(losses.values()).backward()
                    average([p.grad for p in self.tasks.parameters()])  # type: ignore[type-var]  # each has one
                    self.optimizer.step()
                self.fitted_steps += 1
        return {f"feedback_head_loss/{name}": loss.detach() for name, loss in losses.items()}

    def gradients(self, backbone: TimmBackbone, step: int) -> tuple[dict[str, list[Tensor]], dict[str, Tensor]]:
        """2b: g_down per task over S, detached, averaged over ranks; and the feedback losses for the log."""
        self.tasks.eval()
        parameters = list(backbone.aligned_parameters().values())
        gradients, losses = {}, {}
        with eval_mode(backbone):
            for name in self.tasks:
                batches = [self.pools[name].meta.next() for _ in range(self.meta_batches)]
                loss, gradient = self.gradient_on(backbone, name, batches, parameters)
                gradients[name], losses[f"feedback_loss/{name}"] = self.controlled_gradient(gradient, name, step), loss
        return gradients, losses

    def gradient_on(
        self, backbone: TimmBackbone, name: str, batches: Sequence[tuple[Tensor, ...]], parameters: Sequence[Tensor]
    ) -> tuple[Float[Tensor, ""], list[Tensor]]:
        """Mean loss of task `name` over `batches` and its gradient over `parameters`, averaged over ranks."""
        total: Tensor = 0.0  # type: ignore[assignment]  # a Tensor from the first batch on
        gradient = [torch.zeros_like(p) for p in parameters]
        for images, labels in batches:
            loss = self.loss(backbone, name, images, labels)
            torch._foreach_add_(gradient, torch.autograd.grad(loss, parameters), alpha=1 / len(batches))
            total = total + loss.detach() / len(batches)
        average([*gradient, total])
        return total, gradient

    def loss(self, backbone: TimmBackbone, name: str, images: Tensor, labels: Tensor) -> Float[Tensor, ""]:
        """L_down of task `name` on a batch, with a graph to the aligned parameters.

        Args:
            images: (B, 3, H, W) in [0, 1].
            labels: (B, …), as the task's dataset gives them.

        Raises:
            RuntimeError: ``evaluator="ridge"``, and `fit_heads` was not called yet.
        """
        task, features = self.tasks[name], _features(backbone, images)
        if self.evaluator == "heads":
            return task.loss(features, labels)
        if name not in self._support:
            raise RuntimeError("evaluator 'ridge': call fit_heads first, it draws the images to solve on")
        features = task.regressed(features)
        grid = features.shape[-2:]
        support = [
            rows_of(task.regressed(_features(backbone, x)), *task.targets(y, grid)) for x, y in self._support[name]
        ]
        solved_on = tuple(torch.cat(parts) for parts in zip(*support, strict=True))
        return unexplained(solved_on, rows_of(features, *task.targets(labels, grid)), self.ridge_l2)

    def next_heldout(self) -> dict[str, list[tuple[Tensor, ...]]]:
        """The next batches of each task's meta pool, as many as a gradient is taken on."""
        return {name: [pool.meta.next() for _ in range(self.meta_batches)] for name, pool in self.pools.items()}

    @torch.no_grad()
    def heldout_losses(
        self, backbone: TimmBackbone, batches: dict[str, list[tuple[Tensor, ...]]]
    ) -> dict[str, Float[Tensor, ""]]:
        """L_down of each task for any backbone, heads solved on the same train images, averaged over ranks.

        Raises:
            RuntimeError: under evaluator ``"heads"``, whose heads belong to the backbone that they were fitted on.
        """
        if self.evaluator != "ridge":
            raise RuntimeError("evaluator 'heads' fits heads to one backbone; use evaluator='ridge'")
        with eval_mode(backbone):
            losses = [
                torch.stack([self.loss(backbone, name, *batch) for batch in batches[name]]).mean()
                for name in self.tasks
            ]
        return dict(zip(self.tasks, average(losses), strict=True))

    @torch.no_grad()
    def score(self, backbone: TimmBackbone, name: str, images: Tensor, labels: Tensor) -> Float[Tensor, ""]:
        """The fitted head's score on a batch, in the task's `score_unit`.

        Raises:
            RuntimeError: under evaluator ``"ridge"``, which fits no head.
        """
        if self.evaluator != "heads":
            raise RuntimeError("evaluator 'ridge' fits no head that could be scored; use evaluator='heads'")
        task = self.tasks[name]
        with eval_mode(backbone), eval_mode(task):
            return task.score(_features(backbone, images), labels)

    def controlled_values(self, values: Float[Tensor, " n"], step: int, name: str) -> Float[Tensor, " n"]:
        """Values of constructions under the control: as they are, negated, or random with their spread.

        Args:
            name: of these values among those of one step; other values are other random numbers.
        """
        if self.control == "negated":
            return -values
        if self.control == "random":
            spread = values.std() if len(values) > 1 else values.abs().mean()
            return Draws(self.seed, f"random values {name}", step).normal(len(values)).to(values) * spread
        return values

    def controlled_gradient(self, gradient: list[Tensor], name: str, step: int) -> list[Tensor]:
        """The gradient of task `name` under the control: as it is, negated, or a random direction of its length."""
        if self.control == "negated":
            return [-g for g in gradient]
        if self.control == "random":
            # all ranks draw the same direction: it stands for the gradient of the whole batch
            draws = Draws(self.seed, f"random feedback {name}", step, device=gradient[0].device)
            direction = [draws.normal(*g.shape) for g in gradient]
            scale = torch._foreach_norm(gradient), torch._foreach_norm(direction)
            length, random_length = (torch.stack(norms).norm() for norms in scale)
            return [d * (length / random_length) for d in direction]
        return gradient

    def extra_state(self) -> dict:
        """What a checkpoint needs beside the heads' weights."""
        pools = {name: pool.state_dict() for name, pool in self.pools.items()}
        optimizer = None if self.optimizer is None else self.optimizer.state_dict()
        return {"optimizer": optimizer, "pools": pools, "fitted_steps": self.fitted_steps}

    def load_extra_state(self, state: dict) -> None:
        """Takes what `extra_state` gave. The labeled images that ridge heads are solved on are read again."""
        if self.optimizer is not None:
            self.optimizer.load_state_dict(state["optimizer"])
        self.fitted_steps = state["fitted_steps"]
        for name, pool in self.pools.items():
            pool.load_state_dict(state["pools"][name])
        if self.evaluator == "ridge":  # `loss` may be asked for before the next meta step: the one-step probe does
            count = min(self.head_steps, self.fitted_steps)
            self._support = {name: _last_batches(pool.train, count) for name, pool in self.pools.items() if count}


def _last_batches(stream: Stream, count: int) -> list[tuple[Tensor, ...]]:
    """The last `count` batches that a stream gave; it stands where it stood afterwards."""
    stream.load_state_dict({"position": stream.position - count * stream.batch_size * stream.world_size})
    return [stream.next() for _ in range(count)]


def _features(backbone: TimmBackbone, images: Tensor) -> Float[Tensor, "batch dim rows columns"]:
    with torch.no_grad():
        trunk = backbone.trunk(images)
    return patch_grid(backbone, images, trunk)


def patch_grid(backbone: TimmBackbone, images: Tensor, trunk) -> Float[Tensor, "batch dim rows columns"]:
    """Patch tokens after the final norm as a map: the F_θ that heads and probes see."""
    rows, columns = backbone.grid(images)
    tokens = backbone.patch_tokens(backbone.tail(trunk))
    return tokens.transpose(1, 2).unflatten(2, (rows, columns))


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)

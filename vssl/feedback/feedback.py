"""Downstream feedback: the only room at training time that sees labels. g_down is all that leaves it.

Algorithm steps 2a and 2b of V-Pretraining (arXiv 2601.22108, appendix A).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vssl.distributed import average
from vssl.draws import Draws
from vssl.feedback.pool import Pool
from vssl.learner.backbone import TimmBackbone

CONTROLS = ("random", "negated", "shuffled_labels")


class Feedback(nn.Module):
    """The evaluator: a head per task fitted on frozen features, and the downstream gradient over S.

    Args:
        tasks: name -> task (`Segmentation`, `Depth`), with its head.
        pools: name -> its labeled images.
        head_lr: AdamW learning rate of the heads (paper probes: 5e-4 to 1e-3).
        head_steps: head updates before each gradient (2a).
        first_head_steps: head updates before the very first gradient, so that it does not come from an untrained head.
        meta_batches: batches of the meta pool averaged into one gradient (2b).
        control: None, or one of the controls: ``"random"`` (a Gaussian direction with the norm of the true gradient),
            ``"negated"`` (the opposite gradient), ``"shuffled_labels"`` (set by the pools; recorded here).
    """

    def __init__(
        self,
        tasks: dict[str, nn.Module],
        pools: dict[str, Pool],
        head_lr: float = 1e-3,
        head_steps: int = 1,
        first_head_steps: int = 100,
        meta_batches: int = 1,
        control: str | None = None,
        seed: int = 0,
    ):
        super().__init__()
        if control is not None and control not in CONTROLS:
            raise ValueError(f"feedback control {control!r} is unknown; choose None or one of {', '.join(CONTROLS)}")
        if not tasks:
            raise ValueError("feedback has no tasks; give at least one of segmentation, depth")
        self.tasks, self.pools = nn.ModuleDict(tasks), pools
        self.head_steps, self.first_head_steps, self.meta_batches = head_steps, first_head_steps, meta_batches
        self.control, self.seed, self.fitted_steps = control, seed, 0
        self.optimizer = torch.optim.AdamW(self.tasks.parameters(), lr=head_lr, weight_decay=0.05)

    def check_pools(self) -> None:
        """Read every labeled image once: a bad file or label is named here and not after an hour of training."""
        for name, task in self.tasks.items():
            task.check_files(self.pools[name].label_files())
            for label, path in self.pools[name].labels():
                task.check(label, str(path))

    def fit_heads(self, backbone: TimmBackbone, autocast: Callable = nullcontext) -> dict[str, Tensor]:
        """2a: update the heads on the train pools, features frozen. Returns the last loss per task.

        No gradient reaches the backbone: features are computed without a graph, the backbone in eval mode. `autocast`
        is entered anew for every step, since it keeps low-precision copies of the weights that a step has changed.
        """
        steps = self.head_steps if self.fitted_steps else self.first_head_steps + self.head_steps
        self.tasks.train()
        losses = {}
        with _eval_mode(backbone):
            for _ in range(steps):
                for name, task in self.tasks.items():
                    images, labels = self.pools[name].train.next()
                    with autocast():
                        with torch.no_grad():
                            features = patch_grid(backbone, images, backbone.trunk(images))
                        losses[name] = task.loss(features, labels)
                self.optimizer.zero_grad()
                sum(losses.values()).backward()
                average([p.grad for p in self.tasks.parameters()])
                self.optimizer.step()
                self.fitted_steps += 1
        return {f"feedback_head_loss/{name}": loss.detach() for name, loss in losses.items()}

    def gradients(self, backbone: TimmBackbone, step: int) -> tuple[dict[str, list[Tensor]], dict[str, Tensor]]:
        """2b: g_down per task over S, detached, averaged over ranks; and the feedback losses for the log."""
        self.tasks.eval()
        parameters = list(backbone.aligned_parameters().values())
        gradients, losses = {}, {}
        with _eval_mode(backbone):
            for name in self.tasks:
                batches = [self.pools[name].meta.next() for _ in range(self.meta_batches)]
                loss, gradient = self.gradient_on(backbone, name, batches, parameters)
                gradients[name], losses[f"feedback_loss/{name}"] = self._controlled(gradient, name, step), loss
        return gradients, losses

    def gradient_on(
        self, backbone: TimmBackbone, name: str, batches: Sequence[tuple[Tensor, ...]], parameters: Sequence[Tensor]
    ) -> tuple[Float[Tensor, ""], list[Tensor]]:
        """Mean loss of task `name` over `batches` and its gradient over `parameters`, averaged over ranks."""
        task, total = self.tasks[name], 0.0
        gradient = [torch.zeros_like(p) for p in parameters]
        for images, labels in batches:
            with torch.no_grad():
                trunk = backbone.trunk(images)
            loss = task.loss(patch_grid(backbone, images, trunk), labels)
            torch._foreach_add_(gradient, torch.autograd.grad(loss, parameters), alpha=1 / len(batches))
            total = total + loss.detach() / len(batches)
        average([*gradient, total])
        return total, gradient

    def _controlled(self, gradient: list[Tensor], name: str, step: int) -> list[Tensor]:
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
        return {"optimizer": self.optimizer.state_dict(), "pools": pools, "fitted_steps": self.fitted_steps}

    def load_extra_state(self, state: dict) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self.fitted_steps = state["fitted_steps"]
        for name, pool in self.pools.items():
            pool.load_state_dict(state["pools"][name])


def patch_grid(backbone: TimmBackbone, images: Tensor, trunk) -> Float[Tensor, "batch dim rows columns"]:
    """Patch tokens after the final norm as a map: the F_θ that heads and probes see."""
    rows, columns = backbone.grid(images)
    tokens = backbone.patch_tokens(backbone.tail(trunk))
    return tokens.transpose(1, 2).unflatten(2, (rows, columns))


@contextmanager
def _eval_mode(module: nn.Module) -> Iterator[None]:
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)

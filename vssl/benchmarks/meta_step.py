"""What `metagradient` and `difference-step` measure: the meta step of one learner, designer and batch."""

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vssl.designers import UNetMask
from vssl.draws import Draws
from vssl.learner import TimmBackbone
from vssl.learner.teacher import EMATeacher
from vssl.objectives import OBJECTIVES as REGISTERED
from vssl.objectives import Objective
from vssl.value import (
    Adam,
    AdamPreconditioner,
    Bound,
    Cosine,
    Dot,
    central_difference,
    cosine,
    double_backward,
    forward_difference,
    functional_tail,
    norm,
)
from vssl.views.recipes import MultiCrop

ESTIMATORS = {
    "central_difference": central_difference,
    "forward_difference": forward_difference,
    "double_backward": double_backward,
}
RULES = {"dot": Dot(), "cosine": Cosine(), "bound": Bound(learning_rate=5e-4, smoothness=10.0), "adam": Adam()}
OBJECTIVES = {name.lower(): objective for name, objective in REGISTERED.items()}
# Columns of both tables, and the format of their cells.
WHICH = {"objective": "", "aligned_blocks": "", "estimator": "", "rule": ""}
ACCURACY = {"cosine_to_exact": ".7f", "relative_error": ".0e"}


def add_setting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=["simclr", "mae"])
    parser.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES))
    parser.add_argument("--aligned-blocks", nargs="+", type=int, default=[1, 2, 4], metavar="K")
    parser.add_argument("--size", type=int, default=64, help="side of the images and crops, pixels")
    parser.add_argument("--patch", type=int, default=8, help="side of a patch, pixels")
    parser.add_argument("--dim", type=int, default=128, help="width of the ViT")
    parser.add_argument("--depth", type=int, default=6, help="blocks of the ViT")
    parser.add_argument("--heads", type=int, default=4, help="attention heads of the ViT")
    parser.add_argument("--batch", type=int, default=64, help="images in the meta batch")
    parser.add_argument("--unet-width", type=int, default=8, help="channels of the designer's U-Net")
    parser.add_argument("--relu-head", action="store_true", help="ReLU in place of every GELU of the SSL head")
    parser.add_argument("--learner-steps", type=int, default=20, help="SSL steps before measuring, to leave the start")


def about(arguments: argparse.Namespace) -> str:
    return (
        f"ViT width {arguments.dim}, depth {arguments.depth}, {arguments.size} px, patch {arguments.patch}, batch "
        f"{arguments.batch}, U-Net width {arguments.unet_width}"
    )


def settings(arguments: argparse.Namespace) -> Iterator[tuple[dict, "MetaStep"]]:
    """A meta step for every objective and number of aligned blocks."""
    for name, k in product(arguments.objectives, arguments.aligned_blocks):
        print(f"measuring {name}, K={k} ...", flush=True)
        yield {"objective": name, "aligned_blocks": k}, MetaStep(arguments, OBJECTIVES[name], k)


class MetaStep:
    """One learner, one designer and one meta batch, on which every estimator and rule is timed."""

    def __init__(self, arguments: argparse.Namespace, objective: type[Objective], aligned_blocks: int):
        torch.manual_seed(arguments.seed)
        self.arguments, self.device = arguments, arguments.device
        self.student = TimmBackbone(
            "vit_tiny_patch16_224",
            img_size=arguments.size,
            patch_size=arguments.patch,
            embed_dim=arguments.dim,
            depth=arguments.depth,
            num_heads=arguments.heads,
            aligned_blocks=aligned_blocks,
        ).to(self.device)
        self.objective = objective(self.student, **sizes(objective, arguments.dim)).to(self.device)
        self.teacher = None
        if self.objective.uses_teacher:
            self.teacher = EMATeacher(self.student, self.objective.teacher_modules()).to(self.device)
        if arguments.relu_head:
            with_relus(self.objective)
        recipe = MultiCrop(arguments.size, n_global=self.objective.n_global_crops)
        self.designer = UNetMask(recipe, width=arguments.unet_width).to(self.device)
        images = torch.rand(arguments.batch, 3, arguments.size // 8, arguments.size // 8, device=self.device)
        self.images = F.interpolate(images, scale_factor=8, mode="bicubic").clamp(0, 1)
        self.learner = [*self.student.parameters(), *self.objective.parameters()]
        self.optimizer = torch.optim.AdamW(self.learner, lr=5e-4)
        for step in range(arguments.learner_steps):
            self.ssl_step(step)
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.aligned = self.student.aligned_parameters()
        self.preconditioner = AdamPreconditioner(self.optimizer, self.aligned)
        self.g_down = self.downstream_gradient()

    def draws(self, stream: str, step: int = 0) -> Draws:
        return Draws(self.arguments.seed, stream, step, device=self.device)

    def downstream_gradient(self) -> list[Tensor]:
        """Gradient over S of a random linear segmentation head: no labels are needed to time what follows."""
        with torch.no_grad():
            features = self.student(self.images)
        weight = torch.randn(features.shape[-1], 10, device=self.device) / features.shape[-1] ** 0.5
        labels = (self.student.patch_tokens(features) @ weight).roll(1, 0).argmax(-1)
        logits = self.student.patch_tokens(self.student(self.images)) @ weight
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return [g.detach() for g in torch.autograd.grad(loss, list(self.aligned.values()))]

    def ssl_step(self, step: int = 0) -> None:
        """The learner's forward and backward on views that the designer built, without the optimizer."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            views = self.designer(self.images, self.draws("views", step)).views
        self.objective(self.student, self.teacher, views.detach(), self.draws("objective", step)).backward()

    def meta_step(self, estimator: Callable, rule: Callable) -> list[Tensor]:
        """Views with a graph to φ, value, and −∂value/∂φ (without the feedback gradient and the optimizer)."""
        self.designer.zero_grad(set_to_none=True)
        construction = self.designer(self.images, self.draws("views"))
        state = self.objective.begin(self.student, self.teacher, construction.views, self.draws("objective"))
        bound_rule = partial(rule, self.g_down, preconditioner=self.preconditioner)
        meta = estimator(state, functional_tail(self.objective, self.student), self.aligned, bound_rule)
        meta.backward(state, self.designer.parameters())
        return [p.grad for p in self.designer.parameters()]  # type: ignore[misc]  # each has one

    def accuracy(self, estimator: Callable, rule: str) -> dict[str, float]:
        """The estimator's gradient of φ against double backward's."""
        gradient, exact = ([g.double() for g in self.meta_step(e, RULES[rule])] for e in (estimator, double_backward))
        difference = [a - b for a, b in zip(gradient, exact, strict=True)]
        return {
            "cosine_to_exact": float(cosine(gradient, exact)),
            "relative_error": float(norm(difference) / norm(exact)),
        }


def sizes(objective: type[Objective], dim: int) -> dict:
    """Heads in proportion to a small backbone, and no local crops."""
    return objective.small(dim) | ({"n_local_crops": 0} if objective.takes_local_crops else {})


def with_relus(objective: Objective) -> None:
    for module in list(objective.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.GELU):
                setattr(module, name, nn.ReLU())

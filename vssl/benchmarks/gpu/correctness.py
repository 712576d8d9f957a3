"""The device against the CPU, bf16 against fp32, compiled against as written, on one small learner."""

import copy
from argparse import Namespace
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from itertools import product
from math import isfinite

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from vssl.benchmarks.gpu.session import Section
from vssl.benchmarks.learner_step_time import TimedLearnerStep
from vssl.benchmarks.meta_step import ESTIMATORS, OBJECTIVES, RULES, MetaStep
from vssl.benchmarks.ten_ops import policy
from vssl.designers import UNetMask
from vssl.draws import Draws
from vssl.learner.compiled import as_written, compiled_code
from vssl.value import AdamPreconditioner, norm
from vssl.views.recipes import MultiCrop

# Largest relative errors: fp32 sums in another order (TF32 is off here); a difference of two fp32 gradients over a step
# of 5e-4; bf16 has 8 bits.
FP32, DIFFERENCE, BF16 = 1e-3, 5e-2, 5e-2


def run(arguments: Namespace, section: Section) -> None:
    """Raises at its end when an error is larger than allowed; every row is in the report by then."""
    tf32 = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        _estimators(arguments, section)
        _attention(arguments, section)
        _views(arguments, section)
        for objective in ("simclr", "mae", "dino"):
            _learner(arguments, section, objective)
    finally:
        torch.backends.cudnn.allow_tf32 = tf32
    if wrong := [row for rows in section.tables.values() for row in rows if row.get("ok") is False]:
        raise ArithmeticError(f"{len(wrong)} errors larger than allowed, the first: {wrong[0]}")


def compare(ours: list[Tensor], reference: list[Tensor], allowed: float) -> dict:
    """Relative error over all tensors, on the CPU in float64."""
    ours, reference = ([t.detach().cpu().double() for t in tensors] for tensors in (ours, reference))
    error = float(norm([a - b for a, b in zip(ours, reference, strict=True)]) / norm(reference))
    held = allowed if isfinite(allowed) else "reported only"
    return {"relative_error": error, "allowed": held, "ok": error <= allowed}


def small(arguments: Namespace, **changes) -> Namespace:
    sizes = dict(size=32, patch=8, dim=64, depth=3, heads=2, batch=8, unet_width=4, relu_head=False, learner_steps=2)
    return Namespace(**{"seed": arguments.seed, "device": torch.device("cpu"), **sizes, **changes})


def moved(step: MetaStep, device: torch.device) -> MetaStep:
    """The same weights, moments, images and g_down on another device."""
    other = copy.copy(step)
    student, objective, designer = copy.deepcopy((step.student, step.objective, step.designer))
    other.student, other.objective, other.designer = student.to(device), objective.to(device), designer.to(device)
    other.device, other.images, other.g_down = device, step.images.to(device), [g.to(device) for g in step.g_down]
    other.learner = [*other.student.parameters(), *other.objective.parameters()]
    other.optimizer = torch.optim.AdamW(other.learner, lr=5e-4)
    other.optimizer.load_state_dict(copy.deepcopy(step.optimizer.state_dict()))
    other.aligned = other.student.aligned_parameters()
    other.preconditioner = AdamPreconditioner(other.optimizer, other.aligned)
    return other


def _gradients_compared(there: MetaStep, here: MetaStep, estimator: Callable, rule: Callable, allowed: float) -> dict:
    return compare(there.meta_step(estimator, rule), here.meta_step(estimator, rule), allowed)


def _views_compared(made: Callable, part: slice, device: torch.device) -> dict:
    return compare(made(device)[part], made(torch.device("cpu"))[part], FP32)


def _estimators(arguments: Namespace, section: Section) -> None:
    rules = ["cosine"] if arguments.tiny else list(RULES)
    for name in OBJECTIVES:
        here = MetaStep(small(arguments), OBJECTIVES[name], 2)
        there = moved(here, arguments.device)
        for estimator, rule in product(ESTIMATORS, rules):
            allowed = FP32 if estimator == "double_backward" else DIFFERENCE
            section.attempt(
                "gradient of the designer, device against CPU, fp32",
                {"objective": name, "estimator": estimator, "rule": rule},
                partial(_gradients_compared, there, here, ESTIMATORS[estimator], RULES[rule], allowed),
            )


def _attention(arguments: Namespace, section: Section) -> None:
    """The trunk under flash or memory-efficient attention alone, which have no second derivatives."""
    step = moved(MetaStep(small(arguments), OBJECTIVES["simclr"], 2), arguments.device)
    reference = step.meta_step(ESTIMATORS["double_backward"], RULES["cosine"])

    def fused() -> dict:
        with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]):
            return compare(step.meta_step(ESTIMATORS["double_backward"], RULES["cosine"]), reference, FP32)

    section.attempt(
        "double backward with fused attention outside, math inside the tail", {"objective": "simclr"}, fused
    )


def _views(arguments: Namespace, section: Section) -> None:
    setting = Namespace(seed=arguments.seed, size=32)
    images = torch.rand(4, 3, 40, 40, generator=torch.Generator().manual_seed(arguments.seed))

    def unet(device: torch.device) -> list[Tensor]:
        torch.manual_seed(arguments.seed)
        designer = UNetMask(MultiCrop(32, n_global=2), width=4).to(device)
        out = designer(images.to(device), Draws(arguments.seed, "views", device=device)).views.global_crops
        return [out, *torch.autograd.grad((out**2).mean(), list(designer.parameters()), materialize_grads=True)]

    def ten_ops(device: torch.device) -> list[Tensor]:
        make, tracked = policy(Namespace(**vars(setting), device=device)), images.to(device).requires_grad_()
        out = make(tracked)
        return [out, *torch.autograd.grad((out**2).mean(), tracked)]

    for (kind, made), (what, part) in product(
        {"policy": ten_ops, "U-Net": unet}.items(), {"views": slice(1), "gradient": slice(1, None)}.items()
    ):
        section.attempt(
            "designers' views, device against CPU, fp32",
            {"designer": kind, "what": what},
            partial(_views_compared, made, part, arguments.device),
        )


def _learner(arguments: Namespace, section: Section, objective: str) -> None:
    setting = small(arguments, model="vit_small_patch16_224", objective=objective, backend=arguments.backend)
    torch.manual_seed(arguments.seed)
    here = TimedLearnerStep(setting)
    torch.manual_seed(arguments.seed)
    there = TimedLearnerStep(Namespace(**vars(setting) | {"device": arguments.device}))
    there.views.global_crops.copy_(here.views.global_crops)
    there.learner.load_state_dict(here.learner.state_dict())
    variants = {
        "device against CPU, fp32": ((there, "fp32", False), (here, "fp32", False), FP32),
        "compiled against as written, fp32": ((there, "fp32", True), (there, "fp32", False), FP32),
        "bf16 against fp32": ((there, "bf16", False), (there, "fp32", False), BF16),
    }
    for what, (ours, reference, allowed) in variants.items():
        for kind, index in (("loss", 0), ("gradient", 1)):
            # a gradient of a fresh learner is a small difference of large numbers: bf16 is held to the loss alone
            limit = float("inf") if kind == "gradient" and allowed == BF16 else allowed
            section.attempt(
                "learner's step",
                {"objective": objective, "what": what, "of": kind},
                partial(lambda o, r, i, a: compare(_step(*o)[i], _step(*r)[i], a), ours, reference, index, limit),
            )


def _step(step: TimedLearnerStep, precision: str, compiled: bool) -> tuple[list[Tensor], list[Tensor]]:
    low = torch.autocast(step.device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
    step.optimizer.zero_grad(set_to_none=True)
    with compiled_code() if compiled else as_written():
        with low:
            loss = step.loss()
        loss.backward()
    return [loss], [p.grad.clone() for p in step.learner.parameters() if p.grad is not None]

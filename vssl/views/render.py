"""Images, a plan, random numbers and a distribution in; one view out."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from vssl.views.chunks import clamp
from vssl.views.gates import Gates, sample_gates
from vssl.views.ops import straight_through, warp
from vssl.views.view_plan import Distribution, GatedOp, Numbers, ViewPlan
from vssl.views.window import Window, resample

Images = Float[Tensor, "batch 3 height width"]


def render(
    images: Images, plan: ViewPlan, numbers: Numbers, distribution: Distribution, temperature: float | None = None
) -> Float[Tensor, "batch 3 size size"]:
    """One view of each image, differentiable in the distribution and in the images; fp32 also under autocast.

    Args:
        images: (B, 3, H, W) in [0, 1].
        plan: the size of the view, and its ops in their order.
        numbers: the random numbers of `plan.draw`, one row an image.
        distribution: turns them into magnitudes and gates; one row for all images, or one an image.
        temperature: of relaxed gates, see `sample_gates`; None: no gradient to the gates' probabilities.
    """
    with torch.autocast(images.device.type, enabled=False):
        magnitudes = distribution.magnitudes(numbers)
        gates = sample_gates(numbers.gates, distribution.probability, temperature)
        views = _crop(images.float(), plan, Window(*magnitudes[:, :4].unbind(1)), gates.columns(0))
        for run in _runs(plan.ops):
            views = _apply(
                views,
                [plan.ops[i] for i in run],
                magnitudes[:, [4 + i for i in run]],
                [numbers.noise[i] for i in run],
                gates.columns(*(plan.gate_columns[i] for i in run)),
            )
        return views


def box(
    plan: ViewPlan, numbers: Numbers, distribution: Distribution, height: int, width: int
) -> Float[Tensor, "batch 4"] | None:
    """Where the view lies in images of this size, as in `Views`, differentiable in the distribution.

    None where the plan has an op that moves pixels: a box would not say where they come from.
    """
    if any(gated.op.geometric for gated in plan.ops):
        return None
    window = Window(*distribution.magnitudes(numbers)[:, :4].unbind(1))
    left, top, across, down = window.edges(height, width).unbind(1)
    left, right, top, bottom = left / width, (left + across) / width, top / height, (top + down) / height
    mirrored = sample_gates(numbers.gates, distribution.probability).open[:, 0]
    return torch.stack([torch.where(mirrored, right, left), top, torch.where(mirrored, left, right), bottom], dim=1)


@torch.no_grad()
def follow(
    maps: Float[Tensor, "batch channels height width"], plan: ViewPlan, numbers: Numbers, distribution: Distribution
) -> Float[Tensor, "batch channels size size"]:
    """Moves maps that belong to the images (masks, depth, one-hot labels) as `render` moves the pixels."""
    magnitudes = distribution.magnitudes(numbers)
    gates = sample_gates(numbers.gates, distribution.probability)
    smooth = replace(plan, interpolation="bilinear")  # masks must not overshoot
    moved = _crop(maps.float(), smooth, Window(*magnitudes[:, :4].unbind(1)), gates.columns(0))
    for run in _runs(plan.ops):
        if plan.ops[run[0]].op.geometric:
            columns, noise = [4 + i for i in run], [numbers.noise[i] for i in run]
            chosen = gates.columns(*(plan.gate_columns[i] for i in run))
            moved = _apply(moved, [plan.ops[i] for i in run], magnitudes[:, columns], noise, chosen)
    return moved


def _runs(ops: tuple[GatedOp, ...]) -> list[list[int]]:
    """Positions of the ops, neighbouring geometric ops together: they cost one resample."""
    runs: list[list[int]] = []
    for i, gated in enumerate(ops):
        if runs and gated.op.geometric and ops[i - 1].op.geometric:
            runs[-1].append(i)
        else:
            runs.append([i])
    return runs


def _crop(images: Images, plan: ViewPlan, window: Window, flip: Gates) -> Images:
    is_open = flip.open[:, 0]
    views = resample(images, window, plan.size, is_open, plan.interpolation)
    if plan.interpolation == "bicubic":  # as PIL, which keeps bytes in their range
        views = clamp(views)
    step = flip.step()
    if step is None:
        return views
    other = views.detach().flip(3)
    change = torch.where(is_open.view(-1, 1, 1, 1), views.detach() - other, other - views.detach())
    return views + step.view(-1, 1, 1, 1) * change


def _apply(views: Images, run: list[GatedOp], magnitudes: Tensor, noise: list[Tensor | None], gates: Gates) -> Images:
    """One op, or several geometric ops as one warp, on the images whose gates are open."""
    is_open = gates.open.any(dim=1)
    if _tracked(views, magnitudes, gates.relaxed):
        changed = _changed(views, run, magnitudes, noise, gates)
        if run[0].op.geometric:  # the gates act on the matrices, and closed ones need the gradient as well
            return torch.where(is_open.view(-1, 1, 1, 1), changed, straight_through(views, changed))
        return gates.choose(views, changed)
    if views.device.type != "cpu":  # choosing rows would wait for the device
        return torch.where(is_open.view(-1, 1, 1, 1), _changed(views, run, magnitudes, noise, gates), views)
    rows = is_open.nonzero().squeeze(1)
    if len(rows) == 0:
        return views
    if len(rows) == len(views):
        return _changed(views, run, magnitudes, noise, gates)
    some = [None if n is None else n[rows] for n in noise]
    # In place: the crop made this tensor, and nobody else holds it.
    return views.index_copy_(0, rows, _changed(views[rows], run, magnitudes[rows], some, Gates(gates.open[rows], None)))


def _changed(views: Images, run: list[GatedOp], magnitudes: Tensor, noise: list[Tensor | None], gates: Gates) -> Images:
    if not run[0].op.geometric:
        return run[0].op(views, magnitudes[:, 0], noise[0])
    total = identity = torch.eye(3, device=views.device).expand(len(views), 3, 3)
    step = gates.step()
    for i, gated in enumerate(run):
        matrix = gated.op.matrix(magnitudes[:, i], views.shape[-2:], noise[i])
        chosen = torch.where(gates.open[:, i].view(-1, 1, 1), matrix, identity)
        if step is not None:
            chosen = chosen + step[:, i].view(-1, 1, 1) * (matrix - identity).detach()
        total = chosen @ total
    return warp(views, total)


def _tracked(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)

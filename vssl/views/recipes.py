"""Fixed recipes: the augmentations of DINO, SimCLR and MAE on the device, the baseline's construction.

DINO, two global crops of which the second is sometimes solarized, and small local crops::

    MultiCrop(224, local_size=96, n_global=2, n_local=6, jitter=dict(brightness=0.4, contrast=0.4, saturation=0.2,
              hue=0.1, p=0.8), grayscale=0.2, blur=dict(sigma=(0.1, 2.0), p=(1.0, 0.1, 0.5)),
              solarize=dict(threshold=0.5, p=(0.0, 0.2, 0.0)))

MAE, one crop and a flip: ``MultiCrop(224, n_global=1, global_scale=(0.2, 1.0), jitter=None, grayscale=0, blur=None)``.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vssl.draws import Draws
from vssl.known_keys import refuse_unknown
from vssl.views.crops import Views
from vssl.views.ops import Op
from vssl.views.ops.filtering import BLUR
from vssl.views.ops.photometric import BRIGHTNESS, CONTRAST, GRAYSCALE, HUE, SATURATION
from vssl.views.ops.relaxed import SOLARIZE
from vssl.views.render import box, render
from vssl.views.space import SPACE, op_named
from vssl.views.view_plan import Distribution, GatedOp, Numbers, ViewPlan

# DINO's and torchvision's values.
JITTER = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.2, "hue": 0.1, "p": 0.8}
BLURRING = {"sigma": (0.1, 2.0), "p": 0.5}
PerView = float | Sequence[float]


class Recipe(nn.Module):
    """Views from plans, one per view: first the global crops, then the local ones.

    Args:
        global_plans: one per global crop, all of one size.
        local_plans: one per local crop, all of one size; may be empty.

    Raises:
        ValueError: no global crop, or crops of one kind with several sizes.
    """

    def __init__(self, global_plans: Sequence[ViewPlan], local_plans: Sequence[ViewPlan] = ()):
        super().__init__()
        self.global_plans, self.local_plans = tuple(global_plans), tuple(local_plans)
        if not self.global_plans:
            raise ValueError("a recipe needs at least one global crop")
        for plans in (self.global_plans, self.local_plans):
            if len({plan.size for plan in plans}) > 1:
                raise ValueError(f"crops of one kind must have one size, got {[plan.size for plan in plans]}")

    @property
    def plans(self) -> tuple[ViewPlan, ...]:
        """Of all views: the global crops first."""
        return self.global_plans + self.local_plans

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Views:
        """The views of a batch; the same for the same draws."""
        numbers = [plan.draw(len(images), draws) for plan in self.plans]
        return self.make(images, numbers, [plan.distribution(images.device) for plan in self.plans])

    def make(
        self,
        images: Float[Tensor, "batch 3 height width"],
        numbers: Sequence[Numbers],
        distributions: Sequence[Distribution],
        temperature: float | None = None,
    ) -> Views:
        """Views from the random numbers and the distribution of each plan, in the order of `plans`; see `render`."""
        made, boxes = [], []
        for plan, drawn, distribution in zip(self.plans, numbers, distributions, strict=True):
            made.append(render(images, plan, drawn, distribution, temperature))
            boxes.append(box(plan, drawn, distribution, *images.shape[-2:]))
        split = len(self.global_plans)
        return Views(_stack(made[:split]), _stack(made[split:]), _stack(boxes[:split]), _stack(boxes[split:]))


class MultiCrop(Recipe):
    """Random resized crops, flips and colour: DINO's multi-crop, with SimCLR's and MAE's recipes as special cases.

    Probabilities are one number, or one per global crop followed by one for all local crops.

    Args:
        global_size, local_size: side of the crops, pixels.
        n_global, n_local: how many crops of each kind.
        global_scale, local_scale: range of a crop's share of the image's area.
        ratio: range of a crop's width / height.
        flip: probability of mirroring left to right.
        interpolation, redraw: of the crops, see `ViewPlan`. DINO's own code: "bicubic", True.
        jitter: brightness b, contrast, saturation: factors are uniform in [max(0, 1 − b), 1 + b]; hue h: uniform in
            ±h turns of the colour circle; p: probability of all four, in this order. Missing keys are 0, missing p is
            1; None for no jitter.
        grayscale: probability.
        blur: sigma, its range in pixels; p, probability. None for no blur.
        solarize: threshold, in image values; p, probability. None for no solarizing.
        extra: further ops after these, in every view. A policy can learn to use ops that have probability 0 here.
            A name stands for the op of the space with probability 0, "space" for all that are not in the recipe; see
            `closed_ops`.

    Raises:
        ValueError: a number outside its range, an unknown key, a wrong number of probabilities.

    Example::

        >>> import torch
        >>> from vssl.draws import Draws
        >>> recipe = MultiCrop(global_size=16, local_size=8, n_global=2, n_local=3)
        >>> views = recipe(torch.rand(4, 3, 32, 32), Draws(0, "views"))
        >>> tuple(views.global_crops.shape), tuple(views.local_crops.shape)  # views, batch, channels, height, width
        ((2, 4, 3, 16, 16), (3, 4, 3, 8, 8))
    """

    def __init__(
        self,
        global_size: int,
        local_size: int | None = None,
        n_global: int = 2,
        n_local: int = 0,
        global_scale: tuple[float, float] = (0.32, 1.0),
        local_scale: tuple[float, float] = (0.05, 0.32),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip: PerView = 0.5,
        jitter: Mapping | None = JITTER,
        grayscale: PerView = 0.2,
        blur: Mapping | None = BLURRING,
        solarize: Mapping | None = None,
        extra: Sequence[GatedOp | str] | Literal["space"] = (),
        interpolation: str = "bilinear",
        redraw: bool = False,
    ):
        if n_local and local_size is None:
            raise ValueError(f"n_local={n_local} local crops need a local_size (pixels)")

        shapes = (math.log(ratio[0]), math.log(ratio[1]))

        def plan(view: int, size: int, scale: tuple[float, float]) -> ViewPlan:
            def chance(p: PerView, what: str) -> float:
                return _probability(p, view, n_global, n_local, what)

            ops = [
                *_jitter(jitter, chance),
                *_always(GRAYSCALE, chance(grayscale, "grayscale")),
                *_blur(blur, chance),
                *_solarize(solarize, chance),
            ]
            if extra == "space":
                ops += closed_ops({gated.op.name for gated in ops})
            else:
                ops += [closed_op(op_named(op)) if isinstance(op, str) else op for op in extra]
            crop = dict(area=tuple(scale), log_ratio=shapes, interpolation=interpolation, redraw=redraw)
            return ViewPlan(size, tuple(ops), flip=chance(flip, "flip"), **crop)

        super().__init__(
            [plan(view, global_size, global_scale) for view in range(n_global)],
            [plan(n_global, local_size, local_scale) for _ in range(n_local)],
        )


def closed_ops(but: Collection[str] = ()) -> list[GatedOp]:
    """Every op of the space but those named, with probability 0: what a policy may open."""
    return [closed_op(op) for op in SPACE if op.name not in but]


def closed_op(op: Op) -> GatedOp:
    """With probability 0. One rule gives all ops a range to begin with: a quarter of the way from the identity to each
    end of the op's own range, rotations of ±45° for example."""
    low, high = (op.identity + (end - op.identity) / 4 for end in (op.low, op.high))
    return GatedOp(op, low, high, 0.0)


def _stack(tensors: Sequence[Tensor | None]) -> Tensor | None:
    """None where there are none, or one is missing."""
    return torch.stack(list(tensors)) if tensors and all(t is not None for t in tensors) else None


def _probability(p: PerView, view: int, n_global: int, n_local: int, what: str) -> float:
    if isinstance(p, (int, float)):
        return float(p)
    expected = n_global + (1 if n_local else 0)
    if len(p) < expected:
        raise ValueError(
            f"{what} has {len(p)} probabilities; {n_global} global crops"
            f"{' and one for the local crops' if n_local else ''} need {expected}"
        )
    return float(p[view])


def _jitter(jitter: Mapping | None, chance) -> list[GatedOp]:
    if jitter is None:
        return []
    refuse_unknown(jitter, {"brightness", "contrast", "saturation", "hue", "p"}, "jitter")
    p = chance(jitter.get("p", 1.0), "jitter")
    ops = []
    for op in (BRIGHTNESS, CONTRAST, SATURATION):
        if strength := jitter.get(op.name, 0):
            ops.append(GatedOp(op, max(0.0, 1 - strength), 1 + strength, p, gate="jitter"))
    if turns := jitter.get("hue", 0):
        ops.append(GatedOp(HUE, -turns, turns, p, gate="jitter"))
    return ops


def _blur(blur: Mapping | None, chance) -> list[GatedOp]:
    if blur is None:
        return []
    refuse_unknown(blur, {"sigma", "p"}, "blur")
    low, high = blur.get("sigma", BLURRING["sigma"])
    return [GatedOp(BLUR, low, high, chance(blur.get("p", BLURRING["p"]), "blur"))]


def _solarize(solarize: Mapping | None, chance) -> list[GatedOp]:
    if solarize is None:
        return []
    refuse_unknown(solarize, {"threshold", "p"}, "solarize")
    threshold = solarize.get("threshold", 0.5)
    return [GatedOp(SOLARIZE, threshold, threshold, chance(solarize.get("p", 0.2), "solarize"))]


def _always(op, probability: float) -> list[GatedOp]:
    """An op without a choice of strength: its highest."""
    return [GatedOp(op, op.high, op.high, probability)]

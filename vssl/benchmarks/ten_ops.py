"""`views`: ten ops after a random resized crop, a policy against kornia's AugmentationSequential of the same ops.

kornia's parameters are fixed, the policy's magnitudes are learned. Every op is applied to every image in both. Forward
without a graph is what the learner's views cost; forward and backward with a graph are what a designer step costs. The
policy's backward also reaches its offsets, kornia's reaches the images only.
"""

import argparse
import inspect
from collections.abc import Callable

import kornia.augmentation as K
import torch
from torch import Tensor

from vssl.benchmarks.result_table import add_parser, prepare, publish
from vssl.benchmarks.timing import Stopwatch, take_turns
from vssl.designers import GlobalPolicy
from vssl.draws import Draws
from vssl.views.ops.filtering import BLUR, MAX_SIGMA, SHARPNESS, blur_radius
from vssl.views.ops.geometric import ROTATE, TRANSLATE_X
from vssl.views.ops.photometric import BRIGHTNESS, CONTRAST, GAMMA, HUE, SATURATION
from vssl.views.ops.relaxed import SOLARIZE
from vssl.views.recipes import Recipe
from vssl.views.view_plan import GatedOp, ViewPlan


class _JitterInOrder(K.ColorJitter):
    """Brightness, contrast, saturation, hue: what ``order=(0, 1, 2, 3)`` asks for from kornia 0.9 on."""

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> dict[str, Tensor]:
        return super().generate_parameters(batch_shape) | {"order": torch.arange(4)}


def _jitter(*ranges: tuple[float, float]) -> K.ColorJitter:
    if "order" in inspect.signature(K.ColorJitter).parameters:
        brightness, contrast, saturation, hue = ranges
        return K.ColorJitter(brightness, contrast, saturation, hue, order=(0, 1, 2, 3))
    return _JitterInOrder(*ranges)


# Ops with their fixed magnitudes, and kornia's augmentation that does the same. The four of the jitter are one
# augmentation there: RandomBrightness and its like have other formulas.
TEN_OPS = (
    (((ROTATE, 15.0),), K.RandomRotation((15.0, 15.0), p=1.0)),
    (((TRANSLATE_X, 0.1),), K.RandomTranslate(translate_x=(0.1, 0.1), p=1.0, align_corners=True)),
    (
        ((BRIGHTNESS, 1.2), (CONTRAST, 1.2), (SATURATION, 1.2), (HUE, 0.1)),
        _jitter((1.2, 1.2), (1.2, 1.2), (1.2, 1.2), (0.1, 0.1)),
    ),
    (((GAMMA, 1.2),), K.RandomGamma((1.2, 1.2), p=1.0)),
    (((SHARPNESS, 1.5),), K.RandomSharpness((1.5, 1.5), p=1.0)),
    (((BLUR, 1.0),), K.RandomGaussianBlur(2 * blur_radius(MAX_SIGMA) + 1, (1.0, 1.0), p=1.0)),
    (((SOLARIZE, 0.5),), K.RandomSolarize((0.5, 0.5), (0.0, 0.0), p=1.0)),
)
AREA = (0.32, 1.0)
NO_GRAPH, FORWARD, BACKWARD = PHASES = ("no graph", "forward", "backward")
COLUMNS = {"phase": "", "policy_ms": ".0f", "kornia_ms": ".0f", "ratio": ".2f", "processor_ratio": ".2f"}


def add_command(commands) -> None:
    parser = add_parser(commands, "views", "ten ops after a crop: a policy against kornia's AugmentationSequential", 5)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--size", type=int, default=224, help="side of the views, pixels")
    parser.add_argument("--source-size", type=int, default=256, help="side of the images, pixels")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    prepare(arguments)
    images = torch.rand(arguments.batch, 3, arguments.source_size, arguments.source_size, device=arguments.device)
    makers = {"policy": policy(arguments), "kornia": pipeline(arguments)}
    variants = {name: phases_of(make, images) for name, make in makers.items()}
    times = take_turns(variants, arguments.repeats, arguments.device)
    rows = []
    for phase in PHASES:
        ours, theirs = times["policy"][phase], times["kornia"][phase]
        ratio, processor_ratio = ours.over(theirs)
        row = {"phase": phase, "policy_ms": ours.milliseconds(), "kornia_ms": theirs.milliseconds()}
        rows.append(row | {"ratio": ratio, "processor_ratio": processor_ratio})
    publish(arguments, f"batch {arguments.batch}, {arguments.size} px", rows, COLUMNS)


def policy(arguments: argparse.Namespace) -> Callable[[Tensor], Tensor]:
    ops = tuple(GatedOp(op, magnitude, magnitude) for ops, _ in TEN_OPS for op, magnitude in ops)
    designer = GlobalPolicy(Recipe([ViewPlan(arguments.size, ops, area=AREA)])).to(arguments.device)
    draws = Draws(arguments.seed, "views", device=arguments.device)
    return lambda images: designer(images, draws).views.global_crops


def pipeline(arguments: argparse.Namespace) -> Callable[[Tensor], Tensor]:
    crop = K.RandomResizedCrop((arguments.size, arguments.size), scale=AREA)
    return K.AugmentationSequential(crop, *(augmentation for _, augmentation in TEN_OPS)).to(arguments.device)


def phases_of(make: Callable[[Tensor], Tensor], images: Tensor) -> Callable[[Stopwatch], None]:
    """Makes views without a graph, then with one from the images, and goes back through it."""

    def run(watch: Stopwatch) -> None:
        with torch.no_grad(), watch.phase(NO_GRAPH):
            make(images)
        tracked = images.clone().requires_grad_()
        with watch.phase(FORWARD):
            out = make(tracked)
        gradient = torch.ones_like(out)
        with watch.phase(BACKWARD):
            out.backward(gradient)

    return run

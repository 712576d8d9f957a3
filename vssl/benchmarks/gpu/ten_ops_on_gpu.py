"""The policy's ten ops against kornia's and torchvision's on the device."""

from argparse import Namespace
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms import v2

from vssl.benchmarks.gpu.session import Section
from vssl.benchmarks.ten_ops import AREA, NO_GRAPH, PHASES, phases_of, pipeline, policy
from vssl.benchmarks.timing import take_turns


def run(arguments: Namespace, section: Section) -> None:
    batch, size, source = (4, 32, 40) if arguments.tiny else (256, 224, 256)
    setting = Namespace(seed=arguments.seed, size=size, device=arguments.device)
    images = torch.rand(batch, 3, source, source, device=arguments.device)
    ours = {name: phases_of(make(setting), images) for name, make in (("policy", policy), ("kornia", pipeline))}
    made = _torchvision(size)

    def theirs(watch) -> None:
        with torch.no_grad(), watch.phase(NO_GRAPH):
            made(images)

    times = take_turns(ours | {"torchvision": theirs}, arguments.repeats, arguments.device)
    for phase in PHASES:
        row = {"phase": phase} | {f"{n}_ms": t[phase].milliseconds() for n, t in times.items() if phase in t}
        section.add(f"ten ops after a crop, {batch} images, {size} px (torchvision: one draw a batch)", row)


def _torchvision(size: int) -> Callable[[Tensor], Tensor]:
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=AREA, antialias=True),
            v2.RandomRotation((15, 15), interpolation=v2.InterpolationMode.BILINEAR),
            v2.RandomAffine(0, translate=(0.1, 0), interpolation=v2.InterpolationMode.BILINEAR),
            v2.ColorJitter((1.2, 1.2), (1.2, 1.2), (1.2, 1.2), (0.1, 0.1)),
            v2.Lambda(lambda x: v2.functional.adjust_gamma(x, 1.2)),
            v2.RandomAdjustSharpness(1.5, p=1.0),
            v2.GaussianBlur(9, 1.0),
            v2.RandomSolarize(0.5, p=1.0),
        ]
    )

"""`ops`: what each op of the space costs alone, without a graph and with one to the images and magnitudes."""

import argparse
from functools import partial

import torch

from vssl.benchmarks.result_table import add_parser, prepare, publish
from vssl.benchmarks.ten_ops import PHASES, phases_of
from vssl.benchmarks.timing import take_turns
from vssl.draws import Draws
from vssl.views.ops.relaxed import SOLARIZE
from vssl.views.space import SPACE

COLUMNS = {"op": ""} | {phase: ".1f" for phase in PHASES}


def add_command(commands) -> None:
    parser = add_parser(commands, "ops", "each op of the space alone, milliseconds", 5)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--size", type=int, default=224, help="side of the images, pixels")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    prepare(arguments)
    images = torch.rand(arguments.batch, 3, arguments.size, arguments.size, device=arguments.device)
    rows = []
    for op in SPACE:
        # Half of the way to its identity a solarize would leave most pixels alone.
        magnitude = 0.5 if op is SOLARIZE else 0.5 * (op.identity + op.high)
        magnitudes = torch.full((arguments.batch,), magnitude, device=arguments.device, requires_grad=True)
        draws = Draws(arguments.seed, "noise", device=arguments.device)
        noise = op.noise(draws, arguments.batch, images.shape[-2:]) if op.noise else None
        work = phases_of(partial(op, magnitude=magnitudes, noise=noise), images)
        times = take_turns({op.name: work}, arguments.repeats, arguments.device)[op.name]
        rows.append({"op": op.name} | {phase: times[phase].milliseconds() for phase in PHASES})
    publish(arguments, f"batch {arguments.batch}, {arguments.size} px", rows, COLUMNS)

"""`learner-step`: the learner's own step as written, compiled, and by lightly, in fp32 and bf16 (docs/training.md)."""

import argparse
from collections.abc import Callable
from contextlib import nullcontext
from itertools import product

import torch
from torch import Tensor

from vssl.benchmarks.lightly_step import lightly_step
from vssl.benchmarks.result_table import add_parser, prepare, publish
from vssl.benchmarks.timing import Stopwatch, take_turns
from vssl.draws import Draws
from vssl.learner import TimmBackbone
from vssl.learner.compiled import as_written, compile_blocks, compiled_code
from vssl.learner.learner import Learner
from vssl.objectives import OBJECTIVES
from vssl.objectives.base import State
from vssl.objectives.dino import DINO
from vssl.views.crops import Views

CHOICES = {name.lower(): objective for name, objective in OBJECTIVES.items()}
COLUMNS = {
    "precision": "", "blocks": "", "step_ms": ".1f", "images_per_second": ".0f", "speed": ".2f",
    "processor_speed": ".2f", "peak_memory_mb": "",
}  # fmt: skip
BLOCKS, LIGHTLY = ("as written", "compiled"), "lightly's"
BASE = ("fp32", "as written")


def add_command(commands) -> None:
    parser = add_parser(commands, "learner-step", "the learner's step as written and compiled, in fp32 and bf16", 20)
    parser.add_argument("--objective", choices=CHOICES, default="simclr")
    parser.add_argument("--model", default="vit_small_patch16_224", help="timm name of the backbone")
    parser.add_argument("--size", type=int, default=224, help="side of the views, pixels")
    parser.add_argument("--dim", type=int, help="another width of the backbone")
    parser.add_argument("--depth", type=int, help="another depth of the backbone")
    parser.add_argument("--heads", type=int, help="another number of attention heads")
    parser.add_argument("--batch", type=int, default=64, help="images; most objectives make two views of each")
    parser.add_argument("--local-crops", type=int, default=0, help="of 96 px, for each image, where taken")
    parser.add_argument("--prototypes", type=int, help="another output width of DINO's kind of heads")
    parser.add_argument("--precisions", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"])
    parser.add_argument("--blocks", nargs="+", choices=BLOCKS, default=list(BLOCKS), help="how blocks are run")
    parser.add_argument("--lightly", action="store_true", help="the same step by lightly's modules too")
    parser.add_argument("--backend", default="inductor", help="of torch.compile")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    prepare(arguments)
    setting = [arguments.objective, arguments.model, f"{arguments.size} px", f"batch {arguments.batch}"]
    about = ", ".join([*setting, f"compiled by {arguments.backend}"])
    publish(arguments, about, measure(TimedLearnerStep(arguments)), COLUMNS)


class TimedLearnerStep:
    """One learner and one batch of views; forward, backward, optimizer and teacher in each variant."""

    def __init__(self, arguments: argparse.Namespace):
        self.arguments, self.device = arguments, arguments.device
        sizes = {"embed_dim": arguments.dim, "depth": arguments.depth, "num_heads": arguments.heads}
        sizes = {key: value for key, value in sizes.items() if value is not None}
        backbone = TimmBackbone(arguments.model, aligned_blocks=1, **sizes)
        objective = CHOICES[arguments.objective]
        n_local = getattr(arguments, "local_crops", 0) if objective.takes_local_crops else 0
        settings = {"n_local_crops": n_local} if objective.takes_local_crops else {}
        if getattr(arguments, "prototypes", None):
            if not issubclass(objective, DINO):
                raise SystemExit(f"--prototypes is for DINO's kind of heads; {arguments.objective} has none")
            settings["out_dim"] = arguments.prototypes
        self.learner = Learner(backbone, objective(backbone, **settings)).to(self.device).train()
        compile_blocks(self.learner, backend=arguments.backend)
        self.optimizer = torch.optim.AdamW([p for p in self.learner.parameters() if p.requires_grad], lr=1e-4)
        shape = (self.learner.objective.n_global_crops, arguments.batch, 3, arguments.size, arguments.size)
        small = (n_local, arguments.batch, 3, 96, 96)
        self.views = Views(
            torch.rand(shape, device=self.device),
            torch.rand(small, device=self.device) if n_local else None,
            *(
                torch.tensor([0.0, 0.0, 1.0, 1.0], device=self.device).expand(n, arguments.batch, 4)
                for n in (shape[0], n_local)
            ),
        )
        wanted = getattr(arguments, "lightly", False)
        self.lightly = lightly_step(arguments, sizes, self.views, self.learner.objective) if wanted else None
        self.state: State = {}

    def loss(self) -> Tensor:
        """Of the batch, with the same random numbers at each call."""
        draws = Draws(self.arguments.seed, "objective", device=self.device)
        loss, self.state = self.learner(self.views, draws)
        return loss

    def update_teacher(self) -> None:
        self.learner.update_teacher(self.state, progress=0.0)

    def variant(self, precision: str, blocks: str, memory: dict) -> Callable[[Stopwatch], None]:
        """A timed step that leaves its peak of GPU memory in `memory`."""
        work = self.lightly if blocks == LIGHTLY else self
        code = compiled_code if blocks == "compiled" else as_written
        low = torch.autocast(self.device.type, torch.bfloat16) if precision == "bf16" else nullcontext()

        def step(watch: Stopwatch) -> None:
            if self.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(self.device)
            with watch.phase("step"), code():
                work.optimizer.zero_grad(set_to_none=True)
                with low:
                    loss = work.loss()
                loss.backward()
                work.optimizer.step()
                work.update_teacher()
            if self.device.type == "cuda":
                memory[precision, blocks] = torch.cuda.max_memory_allocated(self.device) / 2**20

        return step


def measure(step: TimedLearnerStep) -> list[dict]:
    """A row per variant; speeds are over fp32 as written (or the first variant), in the same repetition."""
    arguments = step.arguments
    memory: dict[tuple[str, str], float | str] = {}
    kinds = list(product(arguments.precisions, [*arguments.blocks, *([LIGHTLY] if arguments.lightly else [])]))
    work = {kind: step.variant(*kind, memory) for kind in kinds}
    times = {kind: phases["step"] for kind, phases in take_turns(work, arguments.repeats, step.device).items()}
    base, rows = times[BASE if BASE in times else kinds[0]], []
    for precision, blocks in kinds:
        measured = times[precision, blocks]
        speed, processor_speed = base.over(measured)
        milliseconds, peak = measured.milliseconds(), memory.get((precision, blocks))
        row = {"precision": precision, "blocks": blocks, "step_ms": milliseconds}
        row |= {"images_per_second": 1e3 * arguments.batch / milliseconds.median}
        row |= {"speed": speed, "processor_speed": processor_speed}
        rows.append(row | {"peak_memory_mb": "not measured on a CPU" if peak is None else f"{peak:.0f}"})
    return rows

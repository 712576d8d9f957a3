"""What the method costs: python tools/benchmark.py metagradient (see docs/value.md).

Times are medians over repetitions in one process; the variants take turns within each repetition, so that a slow moment
of the machine falls on all of them. The ratio of processor seconds stands beside that of elapsed seconds: on a machine
that others use too, it is the one to read (with one thread; several threads also spend it on waiting).
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vssl.benchmarks import probes
from vssl.designers import UNetMask
from vssl.draws import Draws
from vssl.learner import TimmBackbone
from vssl.objectives import MAE, SimCLR
from vssl.objectives.base import Objective
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
OBJECTIVES = {"simclr": SimCLR, "mae": MAE}

# The columns of the tables and the format of their cells.
WHICH = {"objective": "", "aligned_blocks": "", "estimator": "", "rule": ""}
ACCURACY = {"cosine_to_exact": ".7f", "relative_error": ".0e"}
TIMES = WHICH | {"ssl_ms": ".0f", "meta_ms": ".0f", "ratio": ".2f", "processor_ratio": ".2f"} | ACCURACY
STEPS = WHICH | {"step": "g"} | ACCURACY


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    add_metagradient(commands)
    add_difference_step(commands)
    probes.add_command(commands)
    arguments = parser.parse_args()
    arguments.run(arguments)


def add_metagradient(commands) -> None:
    parser = commands.add_parser(
        "metagradient",
        help="time of the meta-gradient over one SSL forward and backward of the same batch, and its accuracy",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_setting(parser)
    parser.add_argument("--estimators", nargs="+", choices=ESTIMATORS, default=list(ESTIMATORS))
    parser.add_argument("--repeats", type=int, default=8)
    parser.set_defaults(run=lambda arguments: measure(arguments, Bench.times, TIMES))


def add_difference_step(commands) -> None:
    parser = commands.add_parser(
        "difference-step",
        help="accuracy of the difference estimators against their relative step",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_setting(parser)
    parser.add_argument("--steps", nargs="+", type=float, default=[1e-2, 3e-3, 1e-3, 5e-4, 2e-4, 1e-4])
    parser.set_defaults(run=lambda arguments: measure(arguments, Bench.step_errors, STEPS))


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
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the rows and the machine as JSON")


def measure(arguments: argparse.Namespace, rows_of: Callable[["Bench"], list[dict]], columns: dict[str, str]) -> None:
    """Rows for every objective and K, printed as a Markdown table and written as JSON."""
    torch.set_num_threads(arguments.threads)
    rows = []
    for objective, k in product(arguments.objectives, arguments.aligned_blocks):
        print(f"measuring {objective}, K={k} ...", flush=True)
        about = {"objective": objective, "aligned_blocks": k}
        rows += [about | row for row in rows_of(Bench(arguments, OBJECTIVES[objective], k))]
    print(f"\n{describe(arguments)}\n\n{markdown(rows, columns)}")
    if arguments.out:
        settings = {name: value for name, value in vars(arguments).items() if name not in ("run", "out")}
        result = {"machine": describe(arguments), "settings": settings, "rows": rows}
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


class Bench:
    """One learner, one designer and one meta batch, on which every estimator and rule is timed."""

    def __init__(self, arguments: argparse.Namespace, objective: type[Objective], aligned_blocks: int):
        torch.manual_seed(arguments.seed)
        self.arguments, self.device = arguments, torch.device(arguments.device)
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
        self.objective(self.student, None, views.detach(), self.draws("objective", step)).backward()

    def meta_step(self, estimator: Callable, rule: Callable) -> list[Tensor]:
        """Views with a graph to φ, value, and −∂value/∂φ (without the feedback gradient and the optimizer)."""
        self.designer.zero_grad(set_to_none=True)
        construction = self.designer(self.images, self.draws("views"))
        state = self.objective.begin(self.student, None, construction.views, self.draws("objective"))
        bound_rule = partial(rule, self.g_down, preconditioner=self.preconditioner)
        meta = estimator(state, functional_tail(self.objective, self.student), self.aligned, bound_rule)
        meta.backward(state, self.designer.parameters())
        return [p.grad for p in self.designer.parameters()]

    def times(self) -> list[dict]:
        variants = list(product(self.arguments.estimators, self.arguments.rules))
        work = {"ssl": self.ssl_step} | {(e, r): partial(self.meta_step, ESTIMATORS[e], RULES[r]) for e, r in variants}
        elapsed, processor = self.time(work)
        return [
            {
                "estimator": estimator,
                "rule": rule,
                "ssl_ms": 1e3 * elapsed["ssl"],
                "meta_ms": 1e3 * elapsed[estimator, rule],
                "ratio": elapsed[estimator, rule] / elapsed["ssl"],
                "processor_ratio": processor[estimator, rule] / processor["ssl"],
                **self.accuracy(ESTIMATORS[estimator], rule),
            }
            for estimator, rule in variants
        ]

    def step_errors(self) -> list[dict]:
        return [
            {"estimator": estimator.__name__, "rule": rule, "step": step}
            | self.accuracy(partial(estimator, relative_step=step), rule)
            for estimator, rule, step in product(
                (central_difference, forward_difference), self.arguments.rules, self.arguments.steps
            )
        ]

    def accuracy(self, estimator: Callable, rule: str) -> dict[str, float]:
        """The estimator's gradient of φ against double backward's."""
        gradient, exact = ([g.double() for g in self.meta_step(e, RULES[rule])] for e in (estimator, double_backward))
        difference = [a - b for a, b in zip(gradient, exact, strict=True)]
        return {
            "cosine_to_exact": float(cosine(gradient, exact)),
            "relative_error": float(norm(difference) / norm(exact)),
        }

    def time(self, work: dict) -> tuple[dict, dict]:
        """Median elapsed and processor seconds of each piece of work; the first round is not counted."""
        elapsed, processor = ({name: [] for name in work} for _ in range(2))
        for _ in range(self.arguments.repeats + 1):
            for name, run in work.items():
                self.synchronize()
                start = time.perf_counter(), time.process_time()
                run()
                self.synchronize()
                elapsed[name].append(time.perf_counter() - start[0])
                processor[name].append(time.process_time() - start[1])
        return tuple({n: statistics.median(v[1:]) for n, v in measured.items()} for measured in (elapsed, processor))

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def sizes(objective: type[Objective], dim: int) -> dict:
    """Heads in proportion to a small backbone."""
    if objective is MAE:
        return {"decoder_dim": dim // 2, "decoder_depth": 1, "decoder_heads": 2}
    return {"hidden_dim": 4 * dim}


def with_relus(objective: Objective) -> None:
    for module in list(objective.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.GELU):
                setattr(module, name, nn.ReLU())


def describe(arguments: argparse.Namespace) -> str:
    machine = torch.cuda.get_device_name() if arguments.device.startswith("cuda") else platform.machine()
    return (
        f"{machine}, {arguments.threads} threads, torch {torch.__version__}, fp32; ViT width {arguments.dim}, depth "
        f"{arguments.depth}, {arguments.size} px, patch {arguments.patch}, batch {arguments.batch}, U-Net width "
        f"{arguments.unet_width}"
        + (f"; medians of {arguments.repeats} in one process" if "repeats" in arguments else "")
    )


def markdown(rows: list[dict], columns: dict[str, str]) -> str:
    """The rows as a Markdown table; `columns` gives each cell's format."""
    lines = ["| " + " | ".join(c.replace("_", " ") for c in columns) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(format(row[c], spec) for c, spec in columns.items()) + " |" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

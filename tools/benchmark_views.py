"""What views cost: python tools/benchmark_views.py (see docs/views.md).

`policy` compares a policy of ten ops after a random resized crop with kornia's AugmentationSequential of the same ops,
whose parameters are fixed; every op is applied to every image in both. Forward without a graph is what the learner's
views cost; forward and backward with a graph are what a designer step costs. The policy's backward also reaches its
offsets, kornia's reaches the images only. `ops` times each op of the space alone.

Times are medians over repetitions in one process; the variants take turns within each repetition.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import kornia.augmentation as K
import torch
from torch import Tensor

from vssl.designers import GlobalPolicy
from vssl.draws import Draws
from vssl.views.filtering import BLUR, MAX_SIGMA, SHARPNESS, blur_radius
from vssl.views.geometric import ROTATE, TRANSLATE_X
from vssl.views.photometric import BRIGHTNESS, CONTRAST, GAMMA, HUE, SATURATION
from vssl.views.plan import GatedOp, ViewPlan
from vssl.views.recipes import Recipe
from vssl.views.relaxed import SOLARIZE
from vssl.views.space import SPACE

# Op, fixed magnitude, and kornia's augmentation of the same magnitude.
TEN_OPS = (
    (ROTATE, 15.0, K.RandomRotation((15.0, 15.0), p=1.0)),
    (TRANSLATE_X, 0.1, K.RandomTranslate(translate_x=(0.1, 0.1), p=1.0)),
    (BRIGHTNESS, 1.2, K.RandomBrightness((1.2, 1.2), p=1.0)),
    (CONTRAST, 1.2, K.RandomContrast((1.2, 1.2), p=1.0)),
    (SATURATION, 1.2, K.RandomSaturation((1.2, 1.2), p=1.0)),
    (HUE, 0.1, K.RandomHue((0.1, 0.1), p=1.0)),
    (GAMMA, 1.2, K.RandomGamma((1.2, 1.2), p=1.0)),
    (SHARPNESS, 1.5, K.RandomSharpness((1.5, 1.5), p=1.0)),
    (BLUR, 1.0, K.RandomGaussianBlur(2 * blur_radius(MAX_SIGMA) + 1, (1.0, 1.0), p=1.0)),
    (SOLARIZE, 0.5, K.RandomSolarize((0.5, 0.5), (0.0, 0.0), p=1.0)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_views(parser.add_subparsers(dest="command", required=True))
    arguments = parser.parse_args()
    arguments.run(arguments)


def add_views(commands) -> None:
    """Adds the commands `policy` and `ops`."""
    for name, run, summary in (
        ("policy", compare_policy, "ten ops after a crop: a policy against kornia's AugmentationSequential"),
        ("ops", time_ops, "each op of the space alone"),
    ):
        parser = commands.add_parser(name, help=summary, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        parser.add_argument("--batch", type=int, default=128)
        parser.add_argument("--size", type=int, default=224, help="side of the views, pixels")
        parser.add_argument("--source-size", type=int, default=256, help="side of the images, pixels (policy only)")
        parser.add_argument("--repetitions", type=int, default=9)
        parser.add_argument("--threads", type=int, help="CPU threads; torch's choice if not given")
        parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
        parser.add_argument("--out", type=Path, help="also write the results to this JSON file")
        parser.set_defaults(run=run)


def compare_policy(arguments: argparse.Namespace) -> None:
    _prepare(arguments)
    ops = tuple(GatedOp(op, magnitude, magnitude) for op, magnitude, _ in TEN_OPS)
    policy = GlobalPolicy(Recipe([ViewPlan(arguments.size, ops)])).to(arguments.device)
    size = (arguments.size, arguments.size)
    pipeline = K.AugmentationSequential(K.RandomResizedCrop(size, scale=(0.32, 1.0)), *(aug for *_, aug in TEN_OPS))
    images = torch.rand(arguments.batch, 3, arguments.source_size, arguments.source_size, device=arguments.device)
    makers = {
        "policy": lambda x: policy(x, Draws(0, "views", device=arguments.device)).views.global_crops,
        "kornia": pipeline.to(arguments.device),
    }
    times = _take_turns(makers, images, arguments)
    print(f"{'ms':>8} {'no graph':>10} {'forward':>10} {'backward':>10}   ({_machine(arguments)})")
    for name, row in times.items():
        print(f"{name:>8} " + " ".join(f"{row[phase]:10.1f}" for phase in ("no graph", "forward", "backward")))
    ratio = {phase: times["policy"][phase] / times["kornia"][phase] for phase in times["policy"]}
    print(f"{'ratio':>8} " + " ".join(f"{ratio[phase]:10.2f}" for phase in ("no graph", "forward", "backward")))
    _write(arguments, {"times_ms": times, "ratio": ratio})


def time_ops(arguments: argparse.Namespace) -> None:
    _prepare(arguments)
    images = torch.rand(arguments.batch, 3, arguments.size, arguments.size, device=arguments.device)
    times = {}
    print(f"{'ms':>12} {'no graph':>10} {'forward':>10} {'backward':>10}   ({_machine(arguments)})")
    for op in SPACE:
        middle = torch.full((arguments.batch,), 0.5 * (op.identity + op.high), device=arguments.device)
        if op is SOLARIZE:
            middle.fill_(0.5)  # half of the way to its identity would leave most pixels alone
        middle.requires_grad_()
        draws = Draws(0, "noise", device=arguments.device)
        noise = op.noise(draws, arguments.batch, images.shape[-2:]) if op.noise else None
        row = _take_turns({op.name: lambda x, op=op, m=middle, n=noise: op(x, m, n)}, images, arguments)[op.name]
        times[op.name] = row
        print(f"{op.name:>12} " + " ".join(f"{row[phase]:10.2f}" for phase in ("no graph", "forward", "backward")))
    _write(arguments, {"times_ms": times})


def _take_turns(
    makers: dict[str, Callable[[Tensor], Tensor]], images: Tensor, arguments: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Median milliseconds per variant and phase; the first repetition is a warm-up."""
    times: dict[str, dict[str, list[float]]] = {n: {"no graph": [], "forward": [], "backward": []} for n in makers}
    for repetition in range(arguments.repetitions + 1):
        for name, make in makers.items():
            measured = {}
            with torch.no_grad():
                measured["no graph"], _ = _timed(lambda: make(images), images.device)  # noqa: B023
            tracked = images.clone().requires_grad_()
            measured["forward"], views = _timed(lambda: make(tracked), images.device)  # noqa: B023
            weights = torch.ones_like(views)
            measured["backward"], _ = _timed(lambda: views.backward(weights), images.device)  # noqa: B023
            if repetition:
                for phase, milliseconds in measured.items():
                    times[name][phase].append(milliseconds)
    return {name: {p: statistics.median(values) for p, values in row.items()} for name, row in times.items()}


def _timed(function: Callable[[], Tensor | None], device: torch.device) -> tuple[float, Tensor | None]:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    result = function()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start), result


def _prepare(arguments: argparse.Namespace) -> None:
    torch.manual_seed(0)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)


def _machine(arguments: argparse.Namespace) -> str:
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else f"{torch.get_num_threads()} CPU threads"
    return f"batch {arguments.batch}, {arguments.size} px, {device}, torch {torch.__version__}"


def _write(arguments: argparse.Namespace, results: dict) -> None:
    if arguments.out:
        settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(arguments).items() if k != "run"}
        record = {
            "machine": platform.processor() or platform.machine(),
            "torch": torch.__version__,
            **settings,
            **results,
        }
        arguments.out.write_text(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()

"""Images per second and memory of the learner's step, at the batch that fills the device."""

from argparse import Namespace
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from importlib.util import find_spec
from itertools import product

import torch

from vssl.benchmarks.gpu.session import Section
from vssl.benchmarks.learner_step_time import TimedLearnerStep
from vssl.benchmarks.timing import Stopwatch, take_turns

MODELS = ("vit_small_patch16_224", "vit_base_patch16_224")
OBJECTIVES = ("dino", "mae", "simclr")
VARIANTS = (("bf16", "compiled"), ("bf16", "as written"), ("fp32", "as written"), ("fp32", "compiled"))
HEADROOM, LARGEST = 0.85, 1024


def run(arguments: Namespace, section: Section) -> None:
    models = MODELS[:1] if arguments.tiny else MODELS
    for model, objective in product(models, OBJECTIVES):
        which = {"model": model, "objective": objective}
        for precision, blocks in VARIANTS:
            section.attempt(
                "learner's step",
                which | {"precision": precision, "blocks": blocks},
                partial(throughput, arguments, model, objective, precision, blocks),
            )
        if objective == "simclr":
            section.attempt("lightly's SimCLR, bf16, as written", which, partial(_lightly, arguments, model))


def throughput(arguments: Namespace, model: str, objective: str, precision: str, blocks: str) -> dict:
    def build(batch: int) -> Callable[[Stopwatch], None]:
        small = dict(dim=32, depth=2, heads=2, size=32) if arguments.tiny else dict(dim=None, depth=None, heads=None)
        setting = Namespace(
            **{"size": 224, **small}, model=model, objective=objective, batch=batch, backend=arguments.backend,
            device=arguments.device, seed=arguments.seed, local_crops=6 if objective == "dino" else 0,
        )  # fmt: skip
        return TimedLearnerStep(setting).variant(precision, blocks, {})

    return measure(build, arguments)


def measure(build: Callable[[int], Callable[[Stopwatch], None]], arguments: Namespace) -> dict:
    """A row at the largest batch, a power of two, that leaves headroom."""
    batch = fitting_batch(build, arguments)
    step = build(batch)
    times = take_turns({"step": step}, arguments.repeats, arguments.device)["step"]["step"].milliseconds()
    row = {"batch": batch, "step_ms": times, "images_per_second": 1e3 * batch / times.median}
    return row | {"peak_memory_mb": peak_mb(partial(step, Stopwatch(arguments.device)), arguments.device)}


def fitting_batch(build: Callable[[int], Callable[[Stopwatch], None]], arguments: Namespace) -> int:
    """Doubles while twice the peak leaves headroom, so that memory never runs out on the way."""
    if arguments.device.type != "cuda":
        return 4
    batch, room = 32, HEADROOM * torch.cuda.get_device_properties(arguments.device).total_memory / 2**20
    while batch < LARGEST and 2 * peak_mb(partial(build(batch), Stopwatch(arguments.device)), arguments.device) < room:
        batch *= 2
    return batch


def peak_mb(work: Callable[[], object], device: torch.device) -> float | str:
    """MiB allocated at the most while `work` runs."""
    if device.type != "cuda":
        return "not measured on a CPU"
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    work()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) / 2**20


def _lightly(arguments: Namespace, model: str) -> dict:
    if find_spec("lightly") is None:
        return {"step_ms": "lightly is not installed"}
    import timm
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead

    sizes = dict(embed_dim=32, depth=2, num_heads=2, img_size=32) if arguments.tiny else {}
    low = partial(torch.autocast, arguments.device.type, torch.bfloat16) if not arguments.tiny else nullcontext

    def build(batch: int) -> Callable[[Stopwatch], None]:
        vit = timm.create_model(model, num_classes=0, **sizes)
        learner = torch.nn.Sequential(vit, SimCLRProjectionHead(vit.num_features, 2048, 128)).to(arguments.device)
        loss, optimizer = NTXentLoss(), torch.optim.AdamW(learner.parameters(), lr=1e-4)
        side = 32 if arguments.tiny else 224
        views = torch.rand(2 * batch, 3, side, side, device=arguments.device)

        def step(watch: Stopwatch) -> None:
            with watch.phase("step"):
                optimizer.zero_grad(set_to_none=True)
                with low():
                    first, second = learner(views).chunk(2)
                loss(first.float(), second.float()).backward()
                optimizer.step()

        return step

    return measure(build, arguments)

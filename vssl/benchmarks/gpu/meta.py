"""Time and memory of the meta step over the learner's own, and what that is of a run at the paper's schedule."""

import copy
from argparse import Namespace
from functools import partial

import torch

from vssl.benchmarks.gpu.correctness import small
from vssl.benchmarks.gpu.learner_throughput import peak_mb
from vssl.benchmarks.gpu.session import Section
from vssl.benchmarks.meta_step import ESTIMATORS, OBJECTIVES, RULES, MetaStep
from vssl.benchmarks.metagradient_cost import _timed
from vssl.benchmarks.timing import Quartiles, take_turns

PERIOD, BATCH, META_BATCH = 4, 256, 32


def run(arguments: Namespace, section: Section) -> None:
    large = dict(size=224, patch=16, dim=384, depth=12, heads=6, batch=BATCH, unet_width=8)
    sizes = dict(batch=8) if arguments.tiny else large
    share = META_BATCH / BATCH
    for k in (2, 4):
        setting = small(arguments, **sizes | {"device": arguments.device, "depth": max(4, sizes.get("depth", 0))})
        learner = MetaStep(setting, OBJECTIVES["simclr"], k)
        meta = copy.copy(learner)
        meta.images = learner.images[: max(2, round(share * setting.batch))]
        for name in ESTIMATORS:
            section.attempt(
                f"ViT-S/16, SimCLR, fp32, r = {PERIOD}, meta batch 1/8 of the batch (asked: 5 % of time and of memory)",
                {"aligned_blocks": k, "estimator": name},
                partial(_overhead, arguments, learner, meta, name),
            )
        del learner, meta


def _overhead(arguments: Namespace, learner: MetaStep, meta: MetaStep, estimator: str) -> dict:
    """The meta step with the feedback's gradient, without fitting heads; the learner's without its optimizer."""

    def meta_step() -> None:
        meta.downstream_gradient()
        meta.meta_step(ESTIMATORS[estimator], RULES["cosine"])

    work = {"learner": _timed(learner.ssl_step), "meta": _timed(meta_step)}
    times = {name: phases["step"] for name, phases in take_turns(work, arguments.repeats, arguments.device).items()}
    ratio, _ = times["meta"].over(times["learner"])
    row: dict[str, Quartiles | float | str] = {
        "learner_ms": times["learner"].milliseconds(),
        "meta_ms": times["meta"].milliseconds(),
        "ratio": ratio,
    }
    row["time_overhead_percent"] = 100 * ratio.median / PERIOD
    if arguments.device.type == "cuda":
        torch.cuda.empty_cache()
        peaks = [peak_mb(step, arguments.device) for step in (learner.ssl_step, meta_step)]
        row |= {"learner_peak_mb": peaks[0], "meta_peak_mb": peaks[1]}
        row["memory_overhead_percent"] = max(0.0, 100 * (peaks[1] / peaks[0] - 1))
    return row

"""The range of every number that a config can hold, by the name of the argument.

A name means the same in every class, so it has one range. Where another is needed, the entry has its parent key too:
``jitter.hue``.
A new number needs an entry here: in RANGES, or in ANY_NUMBER with the reason why every number will do.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, the ends included unless they are `open`.

    Args:
        whole: only int.
        ordered: a list is a pair (low, high), and low must not exceed high.
    """

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    open_low: bool = False
    open_high: bool = False
    ordered: bool = False

    def __contains__(self, value: Any) -> bool:
        if isinstance(value, (list, tuple)):
            if self.ordered and (len(value) != 2 or not all(v in self for v in value)):
                return False
            return all(v in self for v in value) and (not self.ordered or value[0] <= value[1])
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below and math.isfinite(value)

    def __str__(self) -> str:
        ends = []
        if self.low > -math.inf:
            ends.append(f"{'>' if self.open_low else '>='} {self.low:g}")
        if self.high < math.inf:
            ends.append(f"{'<' if self.open_high else '<='} {self.high:g}")
        kind = "a whole number" if self.whole else "a number"
        kind = f"a pair (low, high), low <= high, each {kind}" if self.ordered else kind
        return " ".join([kind, " and ".join(ends)]).strip()


COUNT = Range(1, whole=True)
COUNT_OR_0 = Range(0, whole=True)
POSITIVE = Range(0, open_low=True)
NOT_NEGATIVE = Range(0)
SHARE = Range(0, 1)
POSITIVE_SHARE = Range(0, 1, open_low=True)
BELOW_1 = Range(0, 1, open_high=True)
INSIDE = Range(0, 1, open_low=True, open_high=True)
FINITE = Range()


def _all(names: str, allowed: Range) -> dict[str, Range]:
    return dict.fromkeys(names.split(), allowed)


RANGES: dict[str, Range] = {
    # top level
    **_all("batch_size log_interval checkpoint_interval checkpoint_keep threads budget.steps", COUNT),
    **_all("accumulate accumulate.parts", COUNT),
    **_all("num_workers seed rankme_interval sample_views snapshots snapshot_images", COUNT_OR_0),
    **_all("clip_grad budget.seconds", POSITIVE),
    **_all("schedule.warmup_share schedule.final_ratio schedule.head_share", SHARE),
    "layer_decay": POSITIVE_SHARE,
    "anchor.momentum": SHARE,
    "lora.rank": COUNT,
    "lora.alpha": POSITIVE,
    "lora.dropout": BELOW_1,
    **_all("value.period value.g_down_every one_step_probe.interval one_step_probe.batches", COUNT),
    **_all("value.burn_in value.warmup value.horizon value.halvings", COUNT_OR_0),
    **_all("value.rollouts value.pairs value.unrolls", COUNT),
    "value.sigma": POSITIVE,
    "candidates": COUNT,
    "most": POSITIVE_SHARE,
    "mass": INSIDE,
    "words": COUNT,
    **_all("max_new_tokens Difficulty.names Difficulty.things Difficulty.largest Difficulty.steps", COUNT),
    "bound": Range(1, open_low=True),
    "entropy": NOT_NEGATIVE,
    # optimizers of torch
    "optimizer.lr": POSITIVE,
    **_all("designer_optimizer.lr weight_decay lr_decay", NOT_NEGATIVE),
    **_all("betas alpha dampening rho", BELOW_1),
    "eps": POSITIVE,
    "lr": POSITIVE,
    "memory": Range(0.8, 1, open_high=True),
    "level": INSIDE,
    # sizes
    **_all("size img_size global_size local_size input_size patch_size width dim embed_dim hidden_dim out_dim", COUNT),
    **_all("bottleneck_dim decoder_dim decoder_depth decoder_heads depth heads num_heads levels stem", COUNT),
    **_all("aligned_blocks label_stride num_classes n_global limit", COUNT),
    **_all("n_local n_local_crops first_head_steps freeze_last_layer_steps", COUNT_OR_0),
    **_all("head_steps head_updates", COUNT_OR_0),
    **_all("train meta meta_batch_size meta_batches length world_size", COUNT),
    **_all("heldout rank start subset", COUNT_OR_0),
    # views
    **_all("global_scale local_scale scale area", Range(0, 1, open_low=True, ordered=True)),
    "ratio": Range(0, open_low=True, ordered=True),
    **_all("x y", Range(0, 1, ordered=True)),
    **_all("flip grayscale probability p threshold", SHARE),
    **_all("jitter.brightness jitter.contrast jitter.saturation", NOT_NEGATIVE),
    "jitter.hue": Range(0, 0.5),
    "blur.sigma": Range(0, open_low=True, ordered=True),
    # objectives and designers
    **_all("student_temperature teacher_temperature warmup_temperature temperature mlp_ratio", POSITIVE),
    **_all("warmup_share center_momentum teacher_momentum_start teacher_momentum_end", SHARE),
    **_all("mask_ratio start", INSIDE),
    "bounds": Range(0, 1, ordered=True),
    "designer.scale": POSITIVE,
    **_all("patch_out_dim iterations gram_every gram_scale", COUNT),
    **_all("mask_min_patches gram_start gram_updates", COUNT_OR_0),
    **_all("koleo_weight gram_weight patch_weight", NOT_NEGATIVE),
    "patch_temperature": POSITIVE,
    **_all("context_scale target_scale", Range(0, 1, open_low=True, ordered=True)),
    "target_aspect": Range(0, open_low=True, ordered=True),
    **_all("predictor_dim predictor_depth predictor_heads n_targets target_layers references", COUNT),
    **_all("min_keep teacher_crops", COUNT_OR_0),
    "cells": Range(2, whole=True),
    "min_overlap": BELOW_1,
    "bins": Range(2, whole=True),
    "cell": COUNT,
    **_all("student_steepness teacher_steepness", POSITIVE),
    "mask_probability": SHARE,
    "keep_ratio": POSITIVE_SHARE,
    **_all("sparsity smoothness blur_sigma divergence entropy strengths learning_rate", NOT_NEGATIVE),
    # feedback and value
    "head_lr": POSITIVE,
    "depth_scale": POSITIVE,
    "skip_corrupt": NOT_NEGATIVE,
    **_all("buffer_shards tries", COUNT),
    "cache_gb": POSITIVE,
    **_all("head_weight_decay ridge_l2 min_depth weight", NOT_NEGATIVE),
    **_all("max_depth relative_step", POSITIVE),
    "momentum": BELOW_1,
    "confidence": INSIDE,
}
ANY_NUMBER = {
    "low": "the scale of an op's magnitude is the op's own",
    "high": "the scale of an op's magnitude is the op's own",
    "log_ratio": "the logarithm of a ratio has either sign",
    "reference": "measured by the run, not set in a config",
    "weights": "a task may count against another",
    "loss_weights": "by component; the objective checks them",
    "components": "by component; the designer checks them against the objective",
    "shares": "by source; the dataset checks them",
    "sources": "by source; the designer checks them against the stream",
}
# Pairs of arguments of one node, where the first must stay below the second.
_BELOW = (("min_depth", "max_depth"),)
_DIVIDES = (
    ("embed_dim", "num_heads"),
    ("dim", "heads"),
    ("decoder_dim", "decoder_heads"),
    ("predictor_dim", "predictor_heads"),
)
_NOT_OURS = ("probes", "visualizer", "compile")  # they check their own


def range_of(name: str, parent: str = "") -> Range | None:
    """What is allowed for an argument; None when nothing is said about it."""
    return RANGES.get(f"{parent}.{name}", RANGES.get(name))


def mistakes(config: Mapping[str, Any], resolve: Callable[[Any, str], Any]) -> list[str]:
    """One line for each number of a config that is outside its range: dotted key, value, what is allowed.

    Args:
        resolve: from what a config holds as ``type`` and its key to the class.
    """
    return list(_mistakes({k: v for k, v in config.items() if k not in _NOT_OURS}, "", resolve))


def _mistakes(node: Any, where: str, resolve: Callable) -> Iterator[str]:
    if isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _mistakes(value, f"{where}.{index}", resolve)
    if not isinstance(node, Mapping):
        return
    if "type" in node and not _known(resolve(node["type"], where)):
        return
    parent = where.rpartition(".")[2]
    for name, value in node.items():
        key = f"{where}.{name}".lstrip(".")
        allowed = range_of(name, parent)
        nested = isinstance(value, Mapping) or (
            isinstance(value, (list, tuple)) and any(isinstance(v, Mapping) for v in value)
        )
        if nested:
            if name not in ANY_NUMBER:
                yield from _mistakes(value, key, resolve)
        elif allowed is not None and value is not None and _is_setting(value) and value not in allowed:
            yield f"{key}={value!r}: give {allowed}"
    yield from _against_each_other(node, where)


def _is_setting(value: Any) -> bool:
    """Not an object or a module that a pure-Python config imported under this name."""
    return isinstance(value, (bool, int, float, str, list, tuple))


def _known(kind: Any) -> bool:
    return getattr(kind, "__module__", "").startswith(("vssl", "torch.optim"))


def _against_each_other(node: Mapping[str, Any], where: str) -> Iterator[str]:
    prefix = f"{where}." if where else ""
    for low, high in _BELOW:
        if node.get(low) in FINITE and node.get(high) in FINITE and node[low] >= node[high]:
            yield f"{prefix}{low}={node[low]!r}: give a number below {high}={node[high]!r}"
    for whole, parts in _DIVIDES:
        if node.get(whole) in COUNT and node.get(parts) in COUNT and node[whole] % node[parts]:
            yield f"{prefix}{parts}={node[parts]!r}: give a divisor of {whole}={node[whole]!r}"

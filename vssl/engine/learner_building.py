"""From a config: the learner around a backbone, and what steps it."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from vssl.engine.accumulation import Accumulation
from vssl.engine.config import build
from vssl.engine.learner_step import LearnerStep
from vssl.engine.optimizer import continue_run, parameter_groups
from vssl.learner.anchor import Anchor
from vssl.learner.backbone import TimmBackbone
from vssl.learner.learner import Learner
from vssl.learner.schedules import warmup_cosine


def build_learner_step(config: Config, backbone: TimmBackbone, device: torch.device) -> LearnerStep:
    """The step of a learner around `backbone`. SSL head, teacher and optimizer are new, or those of ``continue_run``,
    which then gives the backbone's weights too. Draws torch's random numbers for a new head."""
    learner = Learner(backbone, build(config.objective, backbone)).to(device)
    decay_tokens, layer_decay = config.get("decay_tokens", False), config.get("layer_decay", 1.0)
    groups = parameter_groups(learner, config.optimizer, decay_tokens, layer_decay)
    optimizer = build(_optimizer_settings(config.optimizer), groups)
    for group in optimizer.param_groups:
        group["peak_lr"] = group["lr"]
    if config.get("continue_run"):
        continue_run(Path(config.continue_run), learner, optimizer)
    schedule = dict(warmup_share=0.0, final_ratio=1.0) | dict(config.get("schedule", {}))
    head_share = schedule.pop("head_share", 0.0)
    return LearnerStep(
        learner,
        optimizer,
        learning_rate=partial(warmup_cosine, **schedule),
        head_share=head_share,
        clip_grad=config.get("clip_grad"),
        autocast=_autocast(config, device),
        accumulation=Accumulation.of(config),
        anchor=Anchor(learner.student, **config.anchor) if config.get("anchor") else None,
    )


def _autocast(config: Config, device: torch.device) -> Callable:
    return (
        nullcontext
        if config.get("precision", "fp32") == "fp32"
        else partial(torch.autocast, device.type, torch.bfloat16)
    )


def _optimizer_settings(node: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key != "weight_decay"}

"""The EMA teacher θ̄: a slow copy of the student that no optimizer touches."""

from collections.abc import Mapping
from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn

from vssl.learner.backbone import TimmBackbone
from vssl.learner.own_parts import own_part

Module = TypeVar("Module", bound=nn.Module)


class EMATeacher(nn.Module):
    """Copies of the backbone and of the objective's modules (DINO's head), averaged over the student's steps.

    Built equal to the student. It has no gradients and stays in eval mode, whatever `train` is called with, so that
    drop-path and dropout never disturb a target.

    Args:
        backbone: the student's backbone; `teacher.backbone` is its copy.
        modules: what else must be mirrored, ``objective.teacher_modules()``; `teacher.heads[name]` are the copies.
    """

    def __init__(self, backbone: TimmBackbone, modules: Mapping[str, nn.Module] | None = None):
        super().__init__()
        self.backbone = frozen_copy(backbone)
        self.heads = nn.ModuleDict({name: frozen_copy(module) for name, module in (modules or {}).items()})
        self.train(False)

    def update(self, backbone: nn.Module, modules: Mapping[str, nn.Module] | None, momentum: float) -> None:
        """θ̄ ← momentum·θ̄ + (1 − momentum)·θ; called once after a learner step, with what the teacher was built from."""
        modules = modules or {}
        if modules.keys() != self.heads.keys():
            raise ValueError(f"the teacher mirrors {sorted(self.heads)}, but was given {sorted(modules)} to follow")
        ema_update(self.backbone, backbone, momentum)
        for name, head in self.heads.items():
            ema_update(head, modules[name], momentum)

    def train(self, mode: bool = True) -> "EMATeacher":
        """Stays in eval mode, whatever `mode` is: the teacher has neither dropout nor drop-path."""
        return super().train(False)


def frozen_copy(module: Module) -> Module:
    """A deep copy without gradients, in eval mode."""
    return deepcopy(module).requires_grad_(False).eval()


@torch.no_grad()
def ema_update(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """teacher ← momentum·teacher + (1 − momentum)·student, in place, a few kernels for all parameters together.

    Buffers are copied: they are constants or already running averages (batch-norm statistics, step counters).

    Raises:
        ValueError: `momentum` is not in [0, 1], or the two modules do not have the same parameters.
    """
    if not 0.0 <= momentum <= 1.0:
        raise ValueError(f"EMA momentum {momentum} must be in [0, 1]; DINO rises from 0.996 to 1")
    ours, theirs = dict(teacher.named_parameters()), dict(student.named_parameters())
    if ours.keys() != theirs.keys():
        odd = sorted(ours.keys() ^ theirs.keys())[:3]
        raise ValueError(f"teacher and student differ in parameters, e.g. {odd}; build the teacher from this student")
    if ours:
        followed = [own_part(theirs[name]) for name in ours]
        torch._foreach_lerp_([own_part(p) for p in ours.values()], followed, 1.0 - momentum)
    buffers, sources = list(teacher.buffers()), list(student.buffers())
    if buffers:
        torch._foreach_copy_(buffers, sources)

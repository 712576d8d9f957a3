"""The key ``sharding``: trunks over ranks by FSDP2 (vssl/learner/sharded_trunks.py), as the rest of a run sees them.

The optimizer and the anchor hold this rank's rows; what is saved is whole. So a checkpoint does not tell whether the
run was sharded, and a run may go on with sharding or without.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from mmengine.config import Config
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from vssl.engine.config import ConfigError, resolve
from vssl.engine.learner_step import LearnerStep
from vssl.learner.backbone import TimmBackbone
from vssl.learner.own_parts import own_part
from vssl.learner.sharded_trunks import as_shard, rows_of, shard_trunks

# They treat each number of a weight by itself, so that its rows may be stepped apart.
_BY_ELEMENT = (
    "SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop", "Rprop", "ASGD",
)  # fmt: skip


def check_sharding(config: Config, world_size: int | None = None) -> None:
    """Raises ConfigError where ``sharding="fsdp2"`` stands beside something that needs whole weights.

    Args:
        world_size: processes that train the run; None where that is not known yet.
    """
    if config.get("sharding", "none") == "none":
        return
    optimizer = resolve(config.optimizer.type, "optimizer.type")
    backbone = resolve(config.backbone.type, "backbone.type")
    by_element = optimizer in [getattr(torch.optim, name) for name in _BY_ELEMENT]
    refused = {
        f"backbone.type={backbone.__name__}: only the ViTs of timm are sharded": backbone is not TimmBackbone,
        "backbone.lora: what is trained is small already": config.backbone.get("lora"),
        f"optimizer.type={optimizer.__name__}: it may look at a weight as a whole; give one of torch.optim's "
        f"{', '.join(_BY_ELEMENT)}": not by_element,
        "compile: blocks are gathered by hooks, which compiled code does not have": config.get("compile"),
        "one_step_probe: it tries steps on a copy of the backbone": config.get("one_step_probe"),
        "value.horizon: rollouts copy the learner": (config.get("value") or {}).get("horizon"),
    }
    if found := [why for why, holds in refused.items() if holds]:
        raise ConfigError(
            f"sharding='fsdp2' cannot be combined with {'; nor with '.join(found)}. Leave one of them out"
        )
    if world_size == 1:
        raise ConfigError(
            "sharding='fsdp2' needs several processes (torchrun --nproc-per-node N tools/train.py CONFIG --launcher "
            "pytorch), this is one; give sharding='none'"
        )


def check_trunk(student: TimmBackbone) -> None:
    """Raises ConfigError where nothing could be sharded."""
    if not len(student.trunk_blocks):
        raise ConfigError(
            f"sharding='fsdp2': backbone.aligned_blocks={student.aligned_blocks} are all blocks, and those stay whole; "
            "give fewer, or sharding='none'"
        )


def shard(learner_step: LearnerStep, device: torch.device) -> LearnerStep:
    """The same step of the same learner, whose trunks are sharded from now on. Collective.

    Learner, optimizer and anchor have the weights and states that they had, this rank's rows of them.

    Raises:
        ConfigError: the process group cannot do it, or there is no trunk.
    """
    learner, optimizer, anchor = learner_step.learner, learner_step.optimizer, learner_step.anchor
    check_trunk(learner.student)
    names = {id(p): name for name, p in learner.named_parameters()}
    try:
        parameters = shard_trunks(learner, device)
    except RuntimeError as error:
        raise ConfigError(
            f"sharding='fsdp2' does not work with the process group's {dist.get_backend()} and torch "
            f"{torch.__version__}: {error}"
        ) from error
    now = dict(learner.named_parameters())
    for group in optimizer.param_groups:
        before, group["params"] = group["params"], []
        for p in before:
            sharded = now[names[id(p)]]
            group["params"].append(own_part(sharded))
            if isinstance(sharded, DTensor) and p in optimizer.state:
                state = optimizer.state.pop(p)
                optimizer.state[own_part(sharded)] = {
                    key: rows_of(value, sharded) if isinstance(value, Tensor) and value.shape == p.shape else value
                    for key, value in state.items()
                }
    if anchor is not None:
        of_student = dict(learner.student.named_parameters())
        for name, place in anchor.places.items():
            if isinstance(p := of_student[name], DTensor):
                anchor.places[name] = rows_of(place, p)
    return replace(learner_step, shards=Shards(parameters))


class Shards:
    """What a learner step does about the sharded parameters beside the whole ones.

    Args:
        parameters: all that are sharded, trained or not.
    """

    def __init__(self, parameters: Sequence[DTensor]):
        self.parameters = list(parameters)
        self._of_own = {id(own_part(p)): p for p in self.parameters}

    @torch.no_grad()
    def take_gradients(self) -> None:
        """Move the gradients, which FSDP has averaged over ranks, to what the optimizer steps."""
        for p in self.parameters:
            own = own_part(p)
            if p.to_local().data_ptr() != own.data_ptr():
                raise RuntimeError("a sharded weight has moved in memory, so that the optimizer would step a dead copy")
            own.grad, p.grad = p.grad.to_local() if isinstance(p.grad, DTensor) else None, None

    def norm(self, parameters: Sequence[Tensor]) -> Float[Tensor, ""]:
        """`torch.nn.utils.get_total_norm` of the gradients of whole parameters and own parts of sharded ones."""
        sharded = [p.grad for p in parameters if id(p) in self._of_own]
        whole = [p.grad for p in parameters if id(p) not in self._of_own]
        squares = get_total_norm(sharded).square().to(parameters[0].device)  # of no gradient: on the CPU
        dist.all_reduce(squares)
        return (squares + get_total_norm(whole).square()).sqrt()

    def of_optimizer(self, optimizer: Optimizer) -> dict[str, Any]:
        """Its `state_dict`, with shards in the place of this rank's rows."""
        state = optimizer.state_dict()
        stepped = [p for group in optimizer.param_groups for p in group["params"]]  # in the order of their numbers
        for number, own in enumerate(stepped):
            if (p := self._of_own.get(id(own))) is not None and number in state["state"]:
                state["state"][number] = {
                    key: as_shard(value, p) if isinstance(value, Tensor) and value.shape == own.shape else value
                    for key, value in state["state"][number].items()
                }
        return state

    def of_anchor(self, places: dict[str, Tensor], student: TimmBackbone) -> dict[str, Tensor]:
        """Its `state_dict`, likewise."""
        of = dict(student.named_parameters())
        return {n: as_shard(place, of[n]) if isinstance(of[n], DTensor) else place for n, place in places.items()}


def shardable_mb(learner_step: LearnerStep) -> float:
    """MiB of what would be sharded, in a process that holds it whole and has taken a step: weights, and of those that
    are trained the gradients and the optimizer's states."""
    backbones = [module for module in learner_step.learner.modules() if isinstance(module, TimmBackbone)]
    weights = [p for backbone in backbones for p in backbone.trunk_blocks.parameters()]
    state = learner_step.optimizer.state
    kept = [value for p in weights for value in state.get(p, {}).values() if isinstance(value, Tensor)]
    return sum(t.nbytes for t in (*weights, *(p for p in weights if p.requires_grad), *kept)) / 2**20

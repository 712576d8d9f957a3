"""The trunks of a learner's ViTs, over ranks by PyTorch's FSDP2 (`torch.distributed.fsdp.fully_shard`), block by block.

Each rank keeps the rows of a sharded weight that are its own, their gradient, and what an optimizer makes of them. A
block is whole only while it works. The tail (S), the embedding and the SSL head stay whole on every rank: values and
meta-gradients are taken over S alone, and see tensors as ever.

A sharded parameter is a `DTensor`. Around it everything works on `own_part`, a plain tensor in the same memory, so that
sharded and whole weights can be stepped, averaged and clipped together, in the kernels that take lists of tensors.
"""

from copy import copy
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from vssl.learner.backbone import TimmBackbone, Tokens
from vssl.learner.own_parts import set_own_part


def shard_trunks(learner: nn.Module, device: torch.device) -> list[DTensor]:
    """Shard the trunk of every ViT of the learner (student, teacher, a Gram teacher, …); collective.

    Every rank has the same weights before.

    Returns:
        The sharded parameters, which took the place of those that `learner` had.

    Raises:
        RuntimeError: the process group's backend cannot average in a reduce-scatter, as gloo of older versions.
    """
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    dist.reduce_scatter_tensor(
        torch.zeros(1, device=device), torch.zeros(mesh.size(), device=device), dist.ReduceOp.AVG
    )
    for module in list(learner.modules()):
        if isinstance(module, TimmBackbone) and module.depth > module.aligned_blocks:
            _shard_trunk(module, mesh)
    sharded: list[DTensor] = [p for p in learner.parameters() if isinstance(p, DTensor)]
    with torch.no_grad():
        for p in sharded:
            set_own_part(p, p.to_local())
    return sharded


def rows_of(value: Tensor, p: DTensor) -> Tensor:
    """This rank's rows of a whole tensor of the parameter's shape, in memory of their own."""
    chunks = value.chunk(p.device_mesh.size())
    rank = p.device_mesh.get_local_rank()
    return (chunks[rank] if rank < len(chunks) else value[:0]).clone()


def as_shard(value: Tensor, p: DTensor) -> DTensor:
    """What an optimizer or an anchor keeps of `own_part` of a parameter, as the shard that it is."""
    return DTensor.from_local(value, p.device_mesh, p.placements, run_check=False, shape=p.shape, stride=p.stride())


@torch.no_grad()
def gathered(state: Any) -> Any:
    """Nested dicts and lists with every shard in them made whole, on the CPU; None in its place but on rank 0.

    Collective: every rank gives the same structure. One tensor at a time is whole on the device.
    """
    if isinstance(state, DTensor):
        whole = state.full_tensor()
        return whole.cpu() if dist.get_rank() == 0 else None
    if isinstance(state, dict):
        found = copy(state)
        for key, value in state.items():
            found[key] = gathered(value)
        return found
    if isinstance(state, list | tuple):
        return type(state)(gathered(value) for value in state)
    return state


def whole_copy(backbone: TimmBackbone) -> TimmBackbone | None:
    """A backbone with all the weights of a sharded one, on rank 0; None elsewhere. Collective."""
    weights = gathered(backbone.vit.state_dict())
    if dist.get_rank() != 0:
        return None
    with torch.random.fork_rng():
        whole = TimmBackbone(backbone.name, aligned_blocks=backbone.aligned_blocks, **backbone.model_args)
    whole.vit.load_state_dict(weights)
    return whole.to(backbone.mean.device).train(backbone.training)


class _Trunk(nn.Module):
    """The blocks of a trunk as one module: FSDP prefetches among what one forward pass of a module reaches."""

    def __init__(self, blocks: nn.Sequential | nn.ModuleList):
        super().__init__()
        self.blocks = blocks

    def forward(self, run, x: Float[Tensor, "batch tokens dim"], rope: Tensor | None) -> Float[Tensor, "batch t dim"]:
        return run(Tokens(x, rope), self.blocks).x


def _shard_trunk(backbone: TimmBackbone, mesh: DeviceMesh) -> None:
    blocks = backbone.trunk_blocks
    for block in blocks:
        fully_shard(block, mesh=mesh)
    trunk = fully_shard(_Trunk(blocks), mesh=mesh)
    backbone.sharded_trunk = lambda tokens, run: Tokens(trunk(run, tokens.x, tokens.rope), tokens.rope)
    # FSDP settles where a shard lies in its first forward pass
    image = torch.zeros(1, 3, *backbone.vit.patch_embed.img_size, device=backbone.mean.device)
    with torch.random.fork_rng(), torch.no_grad():
        backbone.trunk(image)

"""A transformer block whose output is read at some tokens alone."""

from jaxtyping import Float
from timm.models.eva import EvaBlock
from timm.models.vision_transformer import Block
from torch import Tensor, nn


def block_at(
    block: nn.Module, some: slice, x: Float[Tensor, "batch tokens dim"], **extra: Tensor
) -> Float[Tensor, "batch some dim"]:
    """``block(x, **extra)[:, some]``, to rounding: attention sees all tokens, the MLP is run for these alone.

    The MLP is half of a block or more, and in objectives on the class token the last block's other outputs are not
    read. Compiled blocks, and blocks of other kinds than timm's two plain ones, are run whole.
    """
    if block._compiled_call_impl is not None:
        return block(x, **extra)[:, some]
    if type(block) is Block:
        x = (x + block.drop_path1(block.ls1(block.attn(block.norm1(x), **extra))))[:, some]
        return x + block.drop_path2(block.ls2(block.mlp(block.norm2(x))))
    if type(block) is EvaBlock:
        seen, gamma_1, gamma_2 = block.attn(block.norm1(x), **extra), block.gamma_1, block.gamma_2
        x = (x + block.drop_path1(seen if gamma_1 is None else gamma_1 * seen))[:, some]
        out = block.mlp(block.norm2(x))
        return x + block.drop_path2(out if gamma_2 is None else gamma_2 * out)
    return block(x, **extra)[:, some]

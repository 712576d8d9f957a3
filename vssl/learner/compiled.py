"""torch.compile for the learner's own step, one transformer block at a time.

Blocks are most of a step and all alike: one is compiled, and its code serves the others and every run of views of the
same size. What is around them (crops, masks, random numbers, the loss) stays as it is written. `nn.Module.compile`
changes neither the names of the weights nor the module's class, and copies of a module (the EMA teacher of a resumed
run, what probes look at) are not compiled.

The blocks serve more than the learner's step: the meta-gradient perturbs their weights and asks for second derivatives,
probes and RankMe call them in other modes and sizes. All of that runs as written: code is compiled in `compiled_code`
alone, which must not be left between a forward pass and its backward.
"""

import inspect
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from vssl.learner.learner import Learner


def transformer_blocks(learner: Learner) -> list[nn.Module]:
    """The blocks of the student, of the teacher, and of the objective."""
    blocks = [*learner.student.vit.blocks, *learner.objective.transformer_blocks()]
    return blocks if learner.teacher is None else [*blocks, *learner.teacher.backbone.vit.blocks]


def compile_blocks(learner: Learner, **options: Any) -> None:
    """Have the learner's blocks compiled when they are first called inside `compiled_code`.

    Args:
        options: of `torch.compile`. By default sizes are constants (a run has one or two sizes of views, and each gets
            the faster code), and a block that cannot be compiled whole is an error rather than slow.
    """
    blocks = transformer_blocks(learner)
    # What other runs of this process compiled would count against the limit, beyond which torch goes on uncompiled.
    torch.compiler.reset()
    # torch keeps one list of versions for all blocks. Each block may need its own for each mode and size, since the
    # rate of drop-path is a constant in the code.
    settings = {"dynamic": False, "fullgraph": True, "recompile_limit": 8 * len(blocks)} | options
    arguments = torch_compile_arguments(settings)
    for block in blocks:
        block.compile(**arguments)


def torch_compile_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """`options` as this version's ``torch.compile`` takes them.

    ``recompile_limit`` is an argument of torch 2.15, for what is compiled with it, and not of torch 2.11. There the
    limit is set for everything that the process compiles from now on.
    """
    if "recompile_limit" in inspect.signature(torch.compile).parameters or "recompile_limit" not in options:
        return options
    options = dict(options)
    # Called recompile_limit from torch 2.7 on, where the name that torch 2.6 has still works.
    torch._dynamo.config.cache_size_limit = options.pop("recompile_limit")
    return options


def compiled_code() -> AbstractContextManager:
    """Inside: compiled blocks run compiled."""
    return torch.compiler.set_stance("default")


def as_written() -> AbstractContextManager:
    """Inside: compiled blocks run as written, until `compiled_code`."""
    return torch.compiler.set_stance("force_eager")

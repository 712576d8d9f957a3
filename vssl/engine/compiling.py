"""The ``compile`` key of a training config: checked, tried on this machine, and done before the clock starts."""

from typing import Any

import torch
from mmengine.config import Config

from vssl.datasets.stream import images_of
from vssl.engine.config import ConfigError
from vssl.engine.snapshots import undisturbed
from vssl.known_keys import refuse_unknown
from vssl.learner.compiled import compile_blocks, compiled_code, torch_compile_arguments
from vssl.learner.learner import Learner

# What torch.compile takes, less what cannot be written in a config.
_OPTIONS = ("backend", "mode", "options", "dynamic", "fullgraph", "recompile_limit")
# The other two replay CUDA graphs, which own their outputs: a block's next call (the next crop size, the next block's
# call of the same graph) may overwrite what the backward pass still needs. Not tried here, so not offered.
_MODES = ("default", "max-autotune-no-cudagraphs")


def compile_options(config: Config) -> dict[str, Any] | None:
    """Options of `torch.compile`, or None for a run without.

    Raises:
        ConfigError: ``compile`` is neither a bool nor a dict of such options, or they contradict each other.
    """
    wanted = config.get("compile", False)
    if isinstance(wanted, bool):
        return {} if wanted else None
    if not isinstance(wanted, dict):
        raise ConfigError(f"compile={wanted!r}; True, False or a dict of torch.compile's {', '.join(_OPTIONS)}")
    options = config.to_dict()["compile"]
    refuse_unknown(options, _OPTIONS, "compile", ConfigError)
    if options.get("mode") not in (None, *_MODES):
        raise ConfigError(f"compile.mode={options['mode']!r}; choose one of {', '.join(_MODES)}")
    if options.get("mode") is not None and options.get("options"):
        raise ConfigError("compile has mode and options; torch.compile takes one of them")
    known = torch.compiler.list_backends(exclude_tags=())
    if options.get("backend", "inductor") not in known:
        raise ConfigError(f"compile.backend={options['backend']!r}; this torch has {', '.join(known)}")
    return options


def compile_learner(learner: Learner, options: dict[str, Any], device: torch.device) -> None:
    """Compile the learner's blocks, after one small function has shown that this machine can.

    Raises:
        ConfigError: it cannot, e.g. for want of a C++ compiler (CPU) or of Triton (GPU).
    """
    if learner.student.reads != "images":
        raise ConfigError("compile: only timm's blocks are compiled, not those of a language model; give compile=False")
    with compiled_code():
        try:
            tried = torch.compile(lambda x: (2 * x).sin(), **torch_compile_arguments(options))
            tried(torch.ones(2, device=device, requires_grad=True))
        except Exception as error:  # each backend raises its own classes
            said = str(error).partition("\n\n")[0]  # advice on torch's own logs follows
            raise ConfigError(
                f"compile: torch.compile with {options or 'its defaults'} does not work on this machine's "
                f"{device.type} ({said}). Give compile=False, or compile=dict(backend='aot_eager')"
            ) from error
    compile_blocks(learner, **options)


def warm_up(loop) -> None:
    """One SSL step's forward and backward on one image repeated, so that compiling is in no run's budget.

    Weights, streams and random numbers are afterwards what they were.
    """
    count = loop.stream.batch_size // loop.learner_step.accumulation.parts
    images = images_of(loop.stream.dataset, [0] * count, loop.device)
    with undisturbed(loop), compiled_code():
        with torch.no_grad():
            views = loop.designer(images, loop.draws("views")).views
        with loop.autocast():
            loss, _ = loop.runner.model(views.detach(), loop.draws("objective"))
        loss.backward()
    loop.learner.zero_grad(set_to_none=True)

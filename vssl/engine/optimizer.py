"""The learner's parameters as groups of an optimizer, and an optimizer and a learner that go on from another run."""

from pathlib import Path
from typing import Any

from timm.optim._param_groups import param_groups_layer_decay
from torch import nn
from torch.optim import Optimizer

from vssl.engine import checkpoint
from vssl.learner.learner import Learner

TOKENS = ("cls_token", "reg_token", "pos_embed", "mask_token")


def parameter_groups(
    learner: Learner, optimizer: dict[str, Any], decay_tokens: bool = False, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Of backbone and SSL head: weight decay for matrices; none for biases, norms, tokens and position embeddings.

    Args:
        optimizer: its settings; ``lr`` and ``weight_decay`` are read.
        decay_tokens: weight decay on tokens and position embeddings too, as in DINO's code.
        layer_decay: factor of the learning rate from each layer of the backbone to the one below it, in (0, 1], as in
            BEiT's and MAE's fine-tuning. Layers are timm's: the embeddings, then each block. The last block with the
            norm after it, and the SSL head, have the whole rate.
    """
    if layer_decay < 1 and learner.student.reads != "images":
        raise ValueError(f"layer_decay={layer_decay} needs timm's layers; a language model takes layer_decay=1.0")
    scales = _scales(learner.student.vit, layer_decay) if layer_decay < 1 else {}
    groups = []
    for part, module in (("backbone", learner.student), ("head", learner.objective)):
        by_kind: dict[tuple[float, bool], list[nn.Parameter]] = {(1.0, True): [], (1.0, False): []}
        for name, p in module.named_parameters():
            if p.requires_grad:
                decayed = p.ndim > 1 and (decay_tokens or not name.endswith(TOKENS))
                by_kind.setdefault((scales.get(id(p), 1.0), decayed), []).append(p)
        for (scale, decayed), params in by_kind.items():
            group: dict[str, Any] = {"part": part, "params": params}
            group["weight_decay"] = optimizer.get("weight_decay", 0.0) if decayed else 0.0
            groups.append(group if scale == 1 else {**group, "lr": scale * optimizer["lr"]})
    return groups


def _scales(vit: nn.Module, layer_decay: float) -> dict[int, float]:
    """Share of the learning rate by the parameter's id."""
    groups = param_groups_layer_decay(vit, layer_decay=layer_decay)
    return {id(p): group["lr_scale"] for group in groups for p in group["params"]}


def continue_run(run: Path, learner: Learner, optimizer: Optimizer) -> None:
    """Give `learner` and `optimizer` the weights and moments of a run's last checkpoint: backbone, SSL head or decoder,
    teacher, centres. Learning rates and weight decays stay those that `optimizer` was built with.

    Raises:
        FileNotFoundError, ValueError: no checkpoint there, or one of another backbone or objective.
    """
    file = run / "checkpoint.pth"
    if not file.is_file():
        raise FileNotFoundError(f"continue_run: there is no {file}; give the folder of a finished run")
    content = checkpoint.load(file)
    own = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    try:
        learner.load_state_dict(content["learner"])
        optimizer.load_state_dict(content["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise ValueError(
            f"continue_run: {file} is a run of another backbone or objective, or with other parameter groups: {error}. "
            "backbone.checkpoint takes its backbone alone (an arm of a comparison: continues='backbone')"
        ) from error
    for group, settings in zip(optimizer.param_groups, own, strict=True):
        group.update(settings)

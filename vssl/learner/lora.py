"""LoRA: of a backbone only low-rank additions to some of its layers are trained (Hu et al. 2022, arXiv 2106.09685).

A layer W becomes W + (alpha / rank) · B·A with B = 0 at the start; W and all else in the backbone stay. The layers are
those of the package peft. What is exported is merged: the backbone's own names and shapes.
"""

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vssl.learner.weights import ViT
from vssl.parts import optional_package

ADAPTER = "default"  # peft's own name of the first


def add_lora(
    vit: ViT,
    rank: int = 8,
    alpha: float | None = None,
    dropout: float = 0.0,
    layers: Sequence[str] = ("attn.qkv", "attn.proj"),
) -> None:
    """Put adapters beside `layers` of every block, and freeze everything else.

    Args:
        rank: of the additions.
        alpha: the additions count alpha / rank; None for twice the rank.
        dropout: of what enters them, in [0, 1).
        layers: names of linear layers inside a block.

    Raises:
        ImportError: peft is not installed.
        ValueError: a number outside its range, or a layer that blocks don't have or that they do not call.
    """
    if rank < 1 or not (alpha is None or alpha > 0) or not 0 <= dropout < 1:
        raise ValueError(
            f"backbone.lora: rank={rank} must be 1 or more, alpha={alpha} positive, dropout={dropout} in [0, 1)"
        )
    linear = [name for name, module in vit.blocks[0].named_modules() if isinstance(module, nn.Linear)]
    if not layers or isinstance(layers, str) or set(layers) - set(linear):
        raise ValueError(f"backbone.lora: layers={layers!r}; the linear layers of a block are {', '.join(linear)}")
    peft = optional_package("peft", "backbone.lora")
    names = "|".join(map(re.escape, layers))
    settings = peft.LoraConfig(
        r=rank,
        lora_alpha=2 * rank if alpha is None else alpha,
        lora_dropout=dropout,
        target_modules=rf"blocks\.\d+\.({names})",
    )
    peft.inject_adapter_in_model(settings, vit, ADAPTER)
    _check_called(vit)


def merged_weights(vit: ViT) -> dict[str, Tensor]:
    """The weights by the names of a ViT without adapters, with what they add; the ViT is left as it is."""
    added = {
        name: module.get_delta_weight(ADAPTER)
        for name, module in vit.named_modules()
        if hasattr(module, "get_delta_weight")
    }
    merged = {}
    for name, value in vit.state_dict().items():
        layer, _, entry = name.partition(".base_layer.")
        if entry:
            merged[f"{layer}.{entry}"] = value + added[layer].to(value) if entry == "weight" else value
        elif ".lora_" not in name:
            merged[name] = value
    return merged


@torch.enable_grad()
def _check_called(vit: ViT) -> None:
    """Some models use a layer's weight without calling the layer (`Eva` with biases of its own)."""
    adapters = {name: p for name, p in vit.named_parameters() if p.requires_grad}
    like = vit.patch_embed.proj.weight
    training, images = vit.training, torch.zeros(1, 3, *vit.patch_embed.img_size).to(like)
    with torch.random.fork_rng():
        answer = vit.eval().forward_features(images).square().sum()
    gradients = torch.autograd.grad(answer, list(adapters.values()), allow_unused=True)
    vit.train(training)
    if idle := [name for name, gradient in zip(adapters, gradients, strict=True) if gradient is None]:
        raise ValueError(
            f"backbone.lora: the model does not call the layer of {idle[0]}, so an adapter there would do nothing; "
            "leave it out of layers"
        )

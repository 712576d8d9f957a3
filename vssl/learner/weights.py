"""Checkpoints into a timm ViT: of this project, of timm, and of the authors of a method (docs/checkpoints.md).

timm's own `checkpoint_filter_fn` renames. Around it every tensor of the network is accounted for: it is loaded, or it
is known to serve pretraining alone, or the file is refused.
"""

import re
import warnings
from collections import Counter
from math import isqrt
from pathlib import Path

import torch
from timm.models import Eva, VisionTransformer, eva, vision_transformer
from torch import Tensor

from vssl.counts import counted
from vssl.learner.networks import choose_network, read_tensors

# What a network has for its pretraining or its classifier, and a backbone not.
_LEFT_OUT = re.compile(
    r"(mask_token|masked_embed|proj|local_cls_norm\.\w+"  # DINOv2/v3, MAE; iBOT; CLIP's projection
    r"|(head|heads|head_dist|fc|attn_pool|decoder|predictor|projectors)\..+|decoder_\w+(\..+)?)"
)

ViT = VisionTransformer | Eva


def load_weights(vit: ViT, path: str | Path, key: str | None = None) -> list[str]:
    """Load a checkpoint into `vit`: all of its weights, or none and an error that lists what does not match.

    Position embeddings of another grid are resized by timm's ``resample_abs_pos_embed`` (bicubic, antialiased), which a
    warning says.

    Args:
        vit: a timm `VisionTransformer` or `Eva` without head and pooling.
        path: ``.safetensors``, or what ``torch.save`` wrote (docs/checkpoints.md lists what was tested).
        key: which of several networks in the file, e.g. ``"teacher"``.

    Returns:
        Names of the network's tensors that a backbone has no use for and that were left out, such as ``mask_token``.

    Raises:
        FileNotFoundError, ValueError: see `read_tensors` and `choose_network`; or weights are missing, surplus, of
            another shape, or not finite.
    """
    found = choose_network(read_tensors(path), path, key)
    patches, own_patches = found.get("patch_embed.proj.weight"), vit.patch_embed.proj.weight
    if patches is not None and patches.ndim == 4 and patches.shape[2:] != own_patches.shape[2:]:  # timm would resize
        raise ValueError(_other_architecture(path, [_shapes("patch_embed.proj.weight", patches, own_patches)]))
    found, left_out = _without_pretraining(vit, found, path)
    own, weights = vit.state_dict(), _renamed(vit, found, path)
    surplus = sorted(set(_unused(found, weights)) | (weights.keys() - own.keys()))
    missing = sorted(own.keys() - weights.keys())
    misshapen = sorted(n for n in own.keys() & weights.keys() if own[n].shape != weights[n].shape)
    if missing or surplus or misshapen:
        lists = [_listed("missing", missing), _listed("not in the model", surplus)]
        shapes = [_shapes(n, weights[n], own[n]) for n in misshapen[:3]]
        shapes += [f"and {counted(len(misshapen) - 3, 'other shape')}"] if len(misshapen) > 3 else []
        raise ValueError(_other_architecture(path, [part for part in lists + shapes if part]))
    broken = [name for name, value in weights.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise ValueError(f"checkpoint {path} holds weights that are not finite: {', '.join(broken[:3])}; it diverged")
    vit.load_state_dict(weights)
    return left_out


def _without_pretraining(vit: ViT, found: dict[str, Tensor], path: str | Path) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors without those that a backbone has no use for, and the names of these."""
    own = vit.state_dict()
    left_out = {name for name in found if name not in own and _LEFT_OUT.fullmatch(name)}
    if isinstance(vit, Eva) and hasattr(vit.rope, "periods") and "rope_embed.periods" in found:
        _check_periods(found["rope_embed.periods"], vit.rope.periods, path)
        left_out.add("rope_embed.periods")
    for name in [n for n in found if n.endswith("attn.qkv.bias") and isinstance(vit, Eva)]:
        left_out |= _check_key_bias(vit, found, name, path)
    return {name: value for name, value in found.items() if name not in left_out}, sorted(left_out)


def _check_periods(theirs: Tensor, own: Tensor, path: str | Path) -> None:
    """DINOv3's rotary periods are constants of the architecture, kept in bfloat16: 8 bits of mantissa."""
    if theirs.shape != own.shape or not torch.allclose(theirs.float(), own.float(), rtol=2**-7):
        raise ValueError(
            _other_architecture(path, ["rope_embed.periods are others than the model's (num_heads, rope_temperature)"])
        )


def _check_key_bias(vit: ViT, found: dict[str, Tensor], name: str, path: str | Path) -> set[str]:
    """DINOv3 masks the bias of keys; timm has none. Names that may be left out after that was looked at."""
    mask = found.get(name + "_mask")
    bias = found[name] if mask is None else torch.where(mask == 0, 0, found[name])
    if bias.chunk(3)[1].any():
        raise ValueError(_other_architecture(path, [f"{name} has a bias of keys, which the model has not"]))
    without = name.replace("qkv.bias", "q_bias") not in vit.state_dict()
    if without and bias.any():
        raise ValueError(_other_architecture(path, [f"{name} is not zero and the model has none: timm's *_qkvb have"]))
    return {name + "_mask"} & found.keys() | ({name} if without else set())


def _renamed(vit: ViT, found: dict[str, Tensor], path: str | Path) -> dict[str, Tensor]:
    """timm's names and layouts; the position embedding resized to the model's grid."""
    weights = dict(found)
    if not isinstance(vit, Eva):
        if "class_embedding" in weights:  # CLIP: timm looks for the tower's prefix
            weights = {f"visual.{name}": value for name, value in weights.items()}
        elif "register_tokens" in weights or any(".mlp.w12." in name for name in weights):
            weights["mask_token"] = torch.zeros(1)  # what timm tells DINOv2 by
    try:
        if isinstance(vit, Eva):
            weights = eva.checkpoint_filter_fn(weights, vit)
        else:
            weights = vision_transformer.checkpoint_filter_fn(weights, vit, adapt_layer_scale=True)
    except (RuntimeError, KeyError) as error:  # a grid that is not square, another width, a part that is missing
        raise ValueError(_other_architecture(path, [f"timm cannot convert it ({error})"])) from error
    before = found.get("pos_embed", found.get("positional_embedding"))
    side = None if before is None else _side(before.shape[-2], vit.num_prefix_tokens)
    rows, columns = vit.patch_embed.grid_size
    if side is not None and side * side != rows * columns and "pos_embed" in weights:
        warnings.warn(
            f"checkpoint {path}: pos_embed resized from a grid of {side} × {side} to {rows} × {columns}", stacklevel=3
        )
    return weights


def _side(tokens: int, prefix_tokens: int) -> int | None:
    """Rows of the square grid that a position embedding of so many tokens is for."""
    grids = (tokens - prefix for prefix in range(prefix_tokens + 1))
    return next((isqrt(grid) for grid in grids if isqrt(grid) ** 2 == grid), None)


def _unused(found: dict[str, Tensor], weights: dict[str, Tensor]) -> list[str]:
    """Names of tensors that timm's renaming dropped: neither their memory nor their name is in the result."""
    spans = [(value.data_ptr(), value.data_ptr() + value.nbytes) for value in weights.values()]
    made = {"cls_token", "pos_embed", "positional_embedding"}  # computed or resized, not renamed

    def kept(name: str, value: Tensor) -> bool:
        begin, end = value.data_ptr(), value.data_ptr() + value.nbytes
        return name in weights or name in made or any(begin <= low and high <= end for low, high in spans)

    return [name for name, value in found.items() if not kept(name, value)]


def _listed(what: str, names: list[str]) -> str:
    """All of the names, those of a block or those that every block has drawn together: what makes the shorter list."""
    if not names:
        return ""
    by_block = Counter(re.sub(r"^(blocks\.\d+)\..*", r"\1.*", name) for name in names)
    by_name = Counter(re.sub(r"^blocks\.\d+\.", "blocks.*.", name) for name in names)
    return f"{what} ({len(names)}): {', '.join(min(by_block, by_name, key=len))}"


def _shapes(name: str, theirs: Tensor, own: Tensor) -> str:
    return f"{name}: {tuple(theirs.shape)} in the file, {tuple(own.shape)} in the model"


def _other_architecture(path: str | Path, details: list[str]) -> str:
    return (
        f"checkpoint {path} is of another architecture: {'; '.join(details)}. "
        "Give the model name and arguments that the checkpoint was trained with"
    )

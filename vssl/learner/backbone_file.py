"""Backbones in and out of safetensors files with timm's own key names."""

import json
from pathlib import Path
from pkgutil import resolve_name

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vssl.learner.backbone import TimmBackbone
from vssl.learner.lora import merged_weights
from vssl.whole_files import exported_file, whole

METADATA_KEY = "vssl"
OTHER_KINDS = {"causal_lm": "vssl.language.causal_lm:load_causal_lm"}
"""By what a file's metadata calls its kind, the function that loads it; timm's backbones have no kind."""


def export_backbone(backbone: TimmBackbone, path: str | Path, card: dict | None = None) -> None:
    """Write the backbone's weights; the model name, its arguments and `card` go into the file's metadata.

    The same weights and card make the same bytes, in every process.

    ``timm.create_model(name, num_classes=0, global_pool="", checkpoint_path=path, **model_args)`` loads the file.
    The file appears under its final name only when it is complete.
    """
    path = Path(path)
    about = {"name": backbone.name, "model_args": backbone.model_args, "card": card or {}}
    with whole(path) as partial:
        save_file(weights_of(backbone), partial, metadata={"format": "pt", METADATA_KEY: json.dumps(about)})
        sort_metadata(partial)


def weights_of(backbone: TimmBackbone) -> dict[str, Tensor]:
    """The weights by timm's names, adapters merged in, each in memory of its own, on the CPU."""
    return {name: value.detach().contiguous().cpu() for name, value in merged_weights(backbone.vit).items()}


def sort_metadata(path: Path) -> None:
    """Put the metadata's keys in order: safetensors writes them in another order in every process.

    The header (its length as 8 bytes, then JSON, padded with blanks) keeps its length, so that no weight moves.
    """
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        file.seek(8)
        file.write(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(length))


def read_card(path: str | Path) -> dict:
    """``{"name", "model_args", "card"}`` of an exported backbone; ValueError if the file is not one of ours."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"backbone {path} does not exist; give a backbone.safetensors that a run wrote")
    unnamed = (
        f"backbone {path} does not say which timm model it holds; give the model name beside it "
        "(e.g. --model vit_base_patch16_224)"
    )
    if path.suffix != ".safetensors":
        own = path.with_name("backbone.safetensors")
        raise ValueError(unnamed + (f", or give {own}, which says it" if own.is_file() else ""))
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except Exception as error:  # safetensors raises its own class for every kind of damage
        raise ValueError(f"backbone {path} is not a readable safetensors file: {error}") from error
    if METADATA_KEY not in metadata:
        raise ValueError(unnamed)
    return json.loads(metadata[METADATA_KEY])


def load_backbone(path: str | Path, **overrides) -> TimmBackbone:
    """The backbone that a run wrote to `path`: a `TimmBackbone`, or one of `OTHER_KINDS`."""
    about = read_card(path)
    if kind := about.get("kind"):
        if kind not in OTHER_KINDS:
            raise ValueError(f"backbone {path} is of kind {kind!r}, which this version of vssl does not know")
        return resolve_name(OTHER_KINDS[kind])(path, **overrides)
    return TimmBackbone(about["name"], checkpoint=str(path), **{**about["model_args"], **overrides})


def open_backbone(
    source: str | Path | TimmBackbone | None,
    model: str | None = None,
    random_seed: int | None = None,
    checkpoint_key: str | None = None,
    **model_args,
) -> TimmBackbone:
    """A backbone from our export, from a checkpoint of others (docs/checkpoints.md), from timm's releases, or random.

    Args:
        source: a file, a run directory, a backbone in memory, or None (then `model` is needed).
        model: timm model name. With `source`, the architecture of a file that does not name its own; without,
            timm's released weights (from its cache or the network).
        random_seed: keep the architecture, draw fresh weights with this seed: the row that says what a probe's head
            alone can do.
        checkpoint_key: which of several networks in the file, e.g. ``"teacher"``.
        **model_args: what `timm.create_model` takes, e.g. ``img_size=64``; only together with `model`.

    Raises:
        FileNotFoundError: `source` is no file, or a folder without a backbone.
        ValueError: neither source nor model, arguments without a model, weights of another architecture, or several
            networks in the file and no key.
    """
    if checkpoint_key and (source is None or model is None):
        raise ValueError(
            f"checkpoint_key={checkpoint_key!r} is of a file that a model name stands beside (--model NAME)"
        )
    if model_args and not model:
        raise ValueError(f"model arguments {sorted(model_args)} need a model name beside them (--model NAME)")
    if source is None and model is None:
        raise ValueError("no backbone: give a backbone.safetensors that a run wrote, or a timm model name")
    if isinstance(source, str | Path):
        source = exported_file(source)
    if isinstance(source, nn.Module):
        backbone = source
    elif model is None:
        backbone = load_backbone(source)
    else:
        checkpoint = None if source is None else str(source)
        weights = {
            "pretrained": checkpoint is None and random_seed is None,
            "checkpoint": checkpoint,
            "checkpoint_key": checkpoint_key,
        }
        backbone = TimmBackbone(model, aligned_blocks=1, **weights, **model_args)
    if random_seed is None:
        return backbone
    with torch.random.fork_rng():
        torch.manual_seed(random_seed)
        if backbone.reads != "images":
            return type(backbone)(aligned_blocks=1, **backbone.model_args)
        return TimmBackbone(backbone.name, aligned_blocks=1, **backbone.model_args)

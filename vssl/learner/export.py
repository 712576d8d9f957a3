"""Backbones in and out of safetensors files with timm's own key names."""

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from vssl.learner.backbone import TimmBackbone

METADATA_KEY = "vssl"


def export_backbone(backbone: TimmBackbone, path: str | Path, card: dict | None = None) -> None:
    """Write the backbone's weights; the model name, its arguments and `card` go into the file's metadata.

    The same weights and card make the same bytes, in every process.

    ``timm.create_model(name, num_classes=0, global_pool="", checkpoint_path=path, **model_args)`` loads the file.
    The file appears under its final name only when it is complete.
    """
    path = Path(path)
    about = {"name": backbone.name, "model_args": backbone.model_args, "card": card or {}}
    weights = {name: value.detach().contiguous().cpu() for name, value in backbone.vit.state_dict().items()}
    partial = path.with_name(path.name + ".partial")
    save_file(weights, partial, metadata={"format": "pt", METADATA_KEY: json.dumps(about)})
    _sort_metadata(partial)
    partial.replace(path)


def _sort_metadata(path: Path) -> None:
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
    """The `TimmBackbone` that `export_backbone` wrote to `path`."""
    about = read_card(path)
    return TimmBackbone(about["name"], checkpoint=str(path), **{**about["model_args"], **overrides})

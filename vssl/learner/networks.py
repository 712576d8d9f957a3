"""What a checkpoint file holds: tensors by dotted name, and the vision transformers among them."""

import argparse
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

# Every ViT of timm's and the original files' names has one patch embedding, so its name says where a network begins.
_PATCHES = "patch_embed.proj.weight"
_WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")  # of torch, anywhere in a name


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Every tensor of a ``.safetensors`` file or of a file that ``torch.save`` wrote, by its dotted path.

    Nested dicts are flattened: ``{"teacher": {"backbone.cls_token": …}}`` gives ``teacher.backbone.cls_token``. No code
    of the file is run: ``torch.load(weights_only=True)``, which `argparse.Namespace` alone is added to.

    Raises:
        FileNotFoundError: `path` is not a file. ValueError: it cannot be read, holds objects that only unsafe
            unpickling would build, or is no dict.
    """
    path = Path(path)
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix in (".safetensors", ".pth", ".pt", ".bin"))
        raise FileNotFoundError(
            f"checkpoint {path} is a folder; give a file" + (f" in it: {', '.join(inside)}" if inside else "")
        )
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            with torch.serialization.safe_globals([argparse.Namespace]):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(_refused(path, error)) from error
    except Exception as error:  # torch and safetensors raise many classes for damaged files
        raise ValueError(f"checkpoint {path} cannot be read ({type(error).__name__}: {error})") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"checkpoint {path} holds a {type(content).__name__}, a dict of weights by name is needed")
    tensors: dict[str, Tensor] = {}
    _flatten("", content, tensors)
    return tensors


def choose_network(tensors: Mapping[str, Tensor], path: str | Path, key: str | None = None) -> dict[str, Tensor]:
    """The tensors of one vision transformer of a file, by their names within it.

    Args:
        tensors: what `read_tensors` gave for `path`.
        key: which network, when there are several: its whole path (``"student.module.backbone"``) or a part of it
            (``"student"``).

    Raises:
        ValueError: there is no network, there are several and no key, or the key fits none or several.
    """
    tensors = {_unwrapped(name): value for name, value in tensors.items()}
    prefixes = sorted(name.removesuffix(_PATCHES) for name in tensors if f".{name}".endswith(f".{_PATCHES}"))
    clip = [name.removesuffix("class_embedding") for name in tensors if f".{name}".endswith(".class_embedding")]
    prefixes += [prefix for prefix in clip if f"{prefix}conv1.weight" in tensors]
    if not prefixes:
        some = ", ".join(list(tensors)[:3]) or "nothing"
        hint = ""
        if any(name.endswith("embeddings.patch_embeddings.projection.weight") for name in tensors):
            hint = ". These are names of Hugging Face transformers; give the file of the authors or of timm"
        raise ValueError(
            f"checkpoint {path} is of another architecture: no vision transformer is among its {len(tensors)} tensors "
            f"({some}, …){hint}"
        )
    chosen = [prefix for prefix in prefixes if key is None or f".{key}." in f".{prefix}"]
    if len(chosen) != 1:
        names = ", ".join(prefix.rstrip(".") or "(the file itself)" for prefix in (chosen or prefixes))
        if key is None:
            example = prefixes[-1].split(".")[0]
            raise ValueError(
                f"checkpoint {path} holds {len(prefixes)} networks: {names}. Say which one by checkpoint_key, e.g. "
                f"checkpoint_key={example!r}"
            )
        raise ValueError(
            f"checkpoint {path}: checkpoint_key={key!r} names {len(chosen)} of its networks; there "
            f"{'is' if len(chosen or prefixes) == 1 else 'are'}: {names}"
        )
    (prefix,) = chosen
    inner = [other for other in prefixes if other != prefix and other.startswith(prefix)]
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix) and not name.startswith(tuple(inner))
    }


def _unwrapped(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.replace(wrapper, "")
    # DINOv2 trains in chunks: blocks.CHUNK.BLOCK, where BLOCK counts from the first block of all
    return re.sub(r"(^|\.)blocks\.\d+\.(\d+)\.", r"\1blocks.\2.", name)


def _flatten(prefix: str, node: Any, tensors: dict[str, Tensor]) -> None:
    if isinstance(node, Tensor):
        tensors[prefix] = node
    elif isinstance(node, Mapping):
        for name, inner in node.items():
            _flatten(f"{prefix}.{name}" if prefix else str(name), inner, tensors)


def _refused(path: Path, error: Exception) -> str:
    try:
        objects = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # not a zip archive of torch, or damaged
        objects = []
    if not objects:
        return f"checkpoint {path} cannot be read ({type(error).__name__}: {str(error).splitlines()[0]})"
    return (
        f"checkpoint {path} cannot be read: it holds objects besides tensors and plain values "
        f"({', '.join(sorted(objects)[:3])}), which could run code when they are loaded. If you trust its source, "
        "write the weights alone into another file: python -c 'import torch; "
        f'c = torch.load("{path}", weights_only=False); torch.save(c["state_dict"], "weights.pth")\''
    )

"""Local checkpoints with timm key names into a timm model."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn


def load_weights(vit: nn.Module, path: str | Path) -> None:
    """Load a local checkpoint with timm key names into `vit`, refusing missing, surplus or misshapen weights.

    Classifier weights in the file (``head.*``) are ignored; the backbone has none.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    try:
        if path.suffix == ".safetensors":
            weights = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many classes for damaged files
        raise ValueError(f"checkpoint {path} cannot be read ({type(error).__name__}: {error})") from error
    if isinstance(weights, dict):
        weights = weights.get("state_dict", weights)
    if not isinstance(weights, dict):
        raise ValueError(f"checkpoint {path} holds a {type(weights).__name__}, a dict of weights by name is needed")
    own = vit.state_dict()
    weights = {name: value for name, value in weights.items() if not name.startswith("head.")}
    missing, surplus = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    misshapen = sorted(n for n in own.keys() & weights.keys() if own[n].shape != weights[n].shape)
    if missing or surplus or misshapen:
        detail = [f"missing {missing[:3]}" if missing else "", f"not in the model {surplus[:3]}" if surplus else ""]
        detail += [
            f"{n}: {tuple(weights[n].shape)} in the file, {tuple(own[n].shape)} in the model" for n in misshapen[:3]
        ]
        raise ValueError(
            f"checkpoint {path} is of another architecture: {'; '.join(d for d in detail if d)}. "
            "Give the model name and arguments that the checkpoint was trained with"
        )
    vit.load_state_dict(weights)

"""What was measured already, and how: the basis of ``tools/probe.py --resume``."""

import hashlib
import json

import torch
from torch import nn

# Settings that change how fast a score is found, not which.
EFFICIENCY = {"num_workers", "batch_size", "pictures", "checkpoint_interval"}


def protocol_digest(config: dict, seed: int, weights: str) -> str:
    """Names one measurement: a probe's config, less what only matters for speed, a seed, and a backbone's weights."""
    science = {key: value for key, value in config.items() if key not in EFFICIENCY}
    text = json.dumps([science, seed, weights], sort_keys=True, default=_name)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _name(value) -> str:
    """A class by its full name; of anything else JSON does not know, what it says of itself."""
    return f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else repr(value)


def weights_digest(module: nn.Module) -> str:
    """sha256 over the names, types, shapes and values of a module's state."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        value = value.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()

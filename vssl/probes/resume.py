"""What was measured already, and how: the basis of ``tools/probe.py --resume``."""

import hashlib
import json

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

"""The engine: configs, the training loop, budgets and what a run writes."""

from vssl.compat import import_mmengine_without_transformers

import_mmengine_without_transformers()

from vssl.engine.config import ConfigError, load_config  # noqa: E402
from vssl.engine.training import load_designer, train  # noqa: E402

__all__ = ["ConfigError", "load_config", "load_designer", "train"]

"""The engine: configs, the training loop, budgets and what a run writes."""

from vssl.engine.config import ConfigError, load_config
from vssl.engine.training import load_designer, train

__all__ = ["ConfigError", "load_config", "load_designer", "train"]

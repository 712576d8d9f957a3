"""Search over the settings of a training config: what to try (`plan`, `space`), trying it (`execute`, `pruning`), what
Optuna remembers of it (`study`), and what came out (`results`)."""

from vssl.sweep.execute import execute
from vssl.sweep.plan import Sweep, read_sweep

__all__ = ["Sweep", "execute", "read_sweep"]

"""Search over the settings of a training config: what to try (`sweep_plan`, `search_space`), trying it (`trials`,
`pruning`), what Optuna remembers of it (`study`), and what came out (`trial_results`, `sweep_files`)."""

from vssl.sweep.sweep_plan import Sweep, read_sweep
from vssl.sweep.trials import execute

__all__ = ["Sweep", "execute", "read_sweep"]

"""Arms × seeds at matched budgets: what to run (`plan`), running it (`execute`), and where it ran (`environment`)."""

from vssl.comparison.execute import execute
from vssl.comparison.plan import Comparison, read_comparison
from vssl.comparison.workers import Workers, default_workers

__all__ = ["Comparison", "Workers", "default_workers", "execute", "read_comparison"]

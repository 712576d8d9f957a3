"""How long each arm of a comparison trains: what its config may say of it."""

from collections.abc import Mapping

from vssl.engine.budget import CLOCKS, Budget
from vssl.engine.config import ConfigError


def check_budget(budget: Mapping | None, where: str) -> dict:
    """The budget as a dict; ValueError names `where` and what is wrong with it."""
    budget = dict(budget or {})
    if "baseline_steps" in budget:
        return _check_steps_of_baseline(budget, where)
    try:
        Budget(**budget)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{where}: budget is {budget or None}; expected dict(baseline_steps=N), dict(seconds=S) or dict(steps=N), "
            f"positive, and if wanted clock='elapsed' or 'processor' ({error})"
        ) from error
    return budget


def _check_steps_of_baseline(budget: dict, where: str) -> dict:
    steps = budget["baseline_steps"]
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise ConfigError(f"{where}: budget: baseline_steps={steps!r}; expected a whole number ≥ 1")
    if stray := sorted(budget.keys() - {"baseline_steps", "clock"}):
        raise ConfigError(f"{where}: budget: baseline_steps excludes {', '.join(stray)}; keep one")
    if budget.get("clock", "elapsed") not in CLOCKS:
        raise ConfigError(f"{where}: budget: clock={budget['clock']!r}; choose one of {', '.join(CLOCKS)}")
    return budget


def check_baseline_steps(budgets: Mapping[str, dict], baseline: str, source: str) -> None:
    """Steps of the baseline are a measure only where the baseline itself is given a number of them.

    Args:
        budgets: of every arm; empty for one that takes its steps from another.
    """
    own = budgets[baseline]
    if "baseline_steps" in own:
        return
    for name, budget in budgets.items():
        if "baseline_steps" in budget:
            raise ConfigError(
                f"{source}: arm {name!r} has budget={budget}, but the baseline {baseline!r} has "
                f"{f'budget={own}' if own else 'steps_of'}; give the baseline a budget in baseline_steps too, "
                "or name another baseline"
            )


def check_start_budget(budget: Mapping, where: str) -> dict:
    """As `check_budget`, for the start checkpoint, which there is no baseline beside."""
    if "baseline_steps" in budget:
        raise ConfigError(f"{where}: budget={dict(budget)}; the start comes before the baseline: give steps or seconds")
    return check_budget(budget, where)

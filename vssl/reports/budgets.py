"""What arms are matched on, on which clock, and whether their runs kept to it."""

# Arms on one budget may differ by the length of one step and the clock's grain; more than this is said.
TIME_TOLERANCE = 0.02

# What seconds of a clock are called: elapsed ones are those of the clock on the wall.
CLOCKS = {"elapsed": "wall-clock", "processor": "processor time"}


def clock_of(budget: dict | None) -> str:
    """The clock on which a run with this budget is timed: "elapsed" or "processor"."""
    return (budget or {}).get("clock", "elapsed")


def matched_on(results: dict) -> tuple[str, bool]:
    """What the two arms' budgets have in common, in words, and whether that is a matched comparison."""
    ours, theirs = (results["arms"][results[role]].get("budget") or {} for role in ("candidate", "baseline"))
    if "steps" in ours and ours["steps"] == theirs.get("steps"):
        return "at matched steps", True
    if "seconds" not in ours or ours["seconds"] != theirs.get("seconds") or clock_of(ours) != clock_of(theirs):
        return "at budgets that are not matched", False
    name = CLOCKS[clock_of(ours)]
    if all(share <= TIME_TOLERANCE for share in time_mismatch(results).values()):
        return f"at matched {name}", True
    return f"at a {name.replace(' ', '-')} budget that was not kept", False


def time_mismatch(results: dict) -> dict[int, float]:
    """Per seed |candidate − baseline| / baseline of the budget clock's seconds, for seeds that both arms have."""
    baseline = results["arms"][results["baseline"]]["runs"]
    candidate = results["arms"][results["candidate"]]["runs"]
    return {
        int(seed): abs(candidate[seed]["seconds"] - run["seconds"]) / run["seconds"]
        for seed, run in baseline.items()
        if seed in candidate and run["seconds"]
    }


def time_unit(results: dict) -> str:
    """What the runs' seconds are: "processor seconds", "seconds" (elapsed), or that arms differ in it."""
    clocks = {run.get("clock", "elapsed") for arm in results["arms"].values() for run in arm["runs"].values()}
    if len(clocks) > 1:
        return "seconds (of each arm's own clock)"
    return "processor seconds" if clocks == {"processor"} else "seconds"


def mean_seconds(arm: dict) -> str:
    """``60.0``, or ``60.0 (processor)``: an arm's mean seconds and the clock they are of, unless that is the wall's."""
    seconds = mean_of(arm, "seconds", 1)
    on_processor = any(run.get("clock") == "processor" for run in arm["runs"].values())
    return f"{seconds} (processor)" if on_processor and seconds != "–" else seconds


def mean_of(arm: dict, key: str, digits: int, factor: float = 1) -> str:
    """Mean over an arm's runs of ``steps``, ``seconds`` and the like, times `factor`; ``–`` where they lack it."""
    values = [run[key] for run in arm["runs"].values() if run.get(key) is not None]
    return f"{factor * sum(values) / len(values):.{digits}f}" if values else "–"

"""What arms are matched on, on which clock, and whether their runs kept to it.

A budget ``{"baseline_steps": N}`` is the time that N steps of the baseline take: each arm has a fixed number of steps
that was measured to take as long (``calibration.json``), and a drift, by how much longer they took when they were
measured again at the end.
"""

from pathlib import Path

from vssl.reports.runs import CALIBRATION_FILE, read_json

# Arms on one budget may differ by the length of one step and the clock's grain; more than this is said.
TIME_TOLERANCE = 0.02

# The same for a cost in baseline steps, which is measured twice, each time to within a few per cent.
COST_TOLERANCE = 0.05

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
    if "baseline_steps" in ours and ours["baseline_steps"] == theirs.get("baseline_steps"):
        return _matched_cost(results["arms"][results["candidate"]].get("calibration"))
    if "seconds" not in ours or ours["seconds"] != theirs.get("seconds") or clock_of(ours) != clock_of(theirs):
        return "at budgets that are not matched", False
    name = CLOCKS[clock_of(ours)]
    if all(share <= TIME_TOLERANCE for share in time_mismatch(results).values()):
        return f"at matched {name}", True
    return f"at a {name.replace(' ', '-')} budget that was not kept", False


def _matched_cost(calibration: dict | None) -> tuple[str, bool]:
    if calibration is None or calibration["drift"] is None:
        return "at matched cost that has not been checked at the end", False
    if abs(calibration["drift"]) > COST_TOLERANCE:
        return "at a cost budget that was not kept", False
    return "at matched cost", True


def read_calibration(work_dir: Path, arm: str) -> dict | None:
    """``steps``, ``baseline_steps``, ``baseline``, ``clock``, ``baseline_seconds`` (what they took when they were
    measured), ``drift`` (share; None before the check at the end); None for an arm that was not calibrated."""
    file = work_dir / arm / CALIBRATION_FILE
    if not file.is_file():
        return None
    made = read_json(file)
    kept = {key: made[key] for key in ("steps", "baseline_steps", "baseline", "clock")}
    drift = made["end"]["drift"] if made["end"] else None
    return {**kept, "baseline_seconds": made["begin"]["baseline_seconds"], "drift": drift}


def own_clock_drift(results: dict, arm: dict) -> float | None:
    """Share by which the arm's runs took longer than the baseline's of the same seeds, mean over seeds, by their own
    clocks; None without a shared seed. Runs that are not made at the same time also differ by what the machine does."""
    theirs = results["arms"][results["baseline"]]["runs"]
    shares = [run["seconds"] / theirs[seed]["seconds"] - 1 for seed, run in arm["runs"].items() if seed in theirs]
    return sum(shares) / len(shares) if shares else None


def cost_lines(results: dict) -> list[str]:
    """A budget in baseline steps in words: how long that was, and a line for each arm that was fitted to it."""
    fitted = [arm for arm in results["arms"].values() if arm.get("calibration")]
    if not fitted:
        return []
    lines = []
    for steps in dict.fromkeys(arm["calibration"]["baseline_steps"] for arm in fitted):
        baseline = results["arms"][results["baseline"]]
        about = f"Budget: as long as {steps} steps of {baseline['label']} took on this machine"
        seconds = [run["seconds"] for run in baseline["runs"].values() if run["steps"] == steps]
        if seconds:
            clock = CLOCKS[fitted[0]["calibration"]["clock"]]
            about += f": {sum(seconds) / len(seconds):.1f} seconds of {clock}"
        lines.append(f"{about}.")
        lines += [_fitted(results, arm) for arm in fitted if arm["calibration"]["baseline_steps"] == steps]
    return lines


def _fitted(results: dict, arm: dict) -> str:
    calibration, own = arm["calibration"], own_clock_drift(results, arm)
    drift = calibration["drift"]
    text = f"{arm['label']}: {calibration['steps']} steps; "
    text += (
        "not checked yet at the end" if drift is None else f"drift when measured again at the end {100 * drift:+.1f} %"
    )
    return text + ("" if own is None else f", by the runs' own clocks {100 * own:+.1f} %")


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

"""What a comparison would run, and for how long, without running it."""

from collections.abc import Iterable

from vssl.comparison.calibration import calibrated_steps, needs_calibration
from vssl.comparison.plan import Arm, Comparison, run_order
from vssl.comparison.state import is_trained, state_of
from vssl.counts import counted
from vssl.reports import START, read_json, run_directory
from vssl.reports.runs import read_probes


def format_plan(comparison: Comparison, arms: list[str] | None = None, seeds: list[int] | None = None) -> str:
    """One line per run: order, arm, seed, budget, state on disk, and the training seconds that are still to come.

    Seconds are known for budgets in seconds; for budgets in steps they are taken from the arm's finished seeds, for
    those in baseline steps from the baseline's, and a step-matched arm is bounded by the budget of the arm it follows.
    ``?`` where nothing is known yet.
    """
    wanted = [pair for pair in run_order(comparison.arms, seeds or comparison.seeds) if arms is None or pair[0] in arms]
    lines, total, unknown = [_start_line(comparison)], 0.0, 0
    for position, (name, seed) in enumerate(wanted, start=1):
        arm = comparison.arms[name]
        state = state_of(run_directory(comparison.work_dir, name, seed))
        seconds = 0.0 if state in ("finished", "to probe") else _seconds(comparison, arm, seed)
        total += seconds or 0.0
        unknown += seconds is None
        shown = "?" if seconds is None else f"{seconds:.0f} s" if seconds else "–"
        lines.append(
            f"{position:4d}  {name:<20s}  seed {seed:<4d}  {_budget(comparison, arm):<34s}  {state:<22s}  {shown}"
        )
    unpredictable = f", and {counted(unknown, 'run')} of unknown length" if unknown else ""
    lines.append(f"training time still to come: {total:.0f} s{unpredictable}")
    lines.append(_probe_line(comparison, wanted, seeds))
    return "\n".join(lines)


def _start_line(comparison: Comparison) -> str:
    start = comparison.start
    if start.backbone is not None:
        return f"start checkpoint: {start.backbone}"
    if start.backbone_of is not None:
        return f"start checkpoint: the backbone of {comparison.arms[start.backbone_of].config}, as it is"
    run_dir = comparison.work_dir / START / "run"
    state = "finished" if is_trained(run_dir) else state_of(run_dir)
    return f"start checkpoint: {start.config}, {start.budget or 'budget of its config'}: {state} (not in the total)"


def _probe_line(comparison: Comparison, wanted: Iterable[tuple[str, int]], seeds: list[int] | None) -> str:
    start_seeds = [seed for seed in comparison.start.probe_seeds if seeds is None or seed in seeds]
    places = [
        run_directory(comparison.work_dir, arm, seed) for arm, seed in [*wanted, *((START, s) for s in start_seeds)]
    ]
    waiting = sum(not (place / "probed.json").is_file() for place in places)
    measured = [
        sum(result.get("seconds") or 0.0 for result in read_probes(place / "probes").values())
        for place in places
        if (place / "probed.json").is_file()
    ]
    each = f"about {sum(measured) / len(measured):.0f} s each" if measured else "length not measured yet"
    return f"probe sets still to come: {waiting} ({each})"


def _budget(comparison: Comparison, arm: Arm) -> str:
    if arm.steps_of is not None:
        return f"steps of {arm.steps_of}"
    if "baseline_steps" in arm.budget:
        steps, given = calibrated_steps(comparison, arm), arm.budget["baseline_steps"]
        if not needs_calibration(comparison, arm.name):
            return f"{steps} steps"
        return f"as long as {given} baseline steps" if steps is None else f"{steps} steps (as {given} of the baseline)"
    if "steps" in arm.budget:
        return f"{arm.budget['steps']:g} steps"
    clock = arm.budget.get("clock", "elapsed")
    return f"{arm.budget['seconds']:g} {'' if clock == 'elapsed' else clock + ' '}seconds"


def _seconds(comparison: Comparison, arm: Arm, seed: int) -> float | None:
    while arm.steps_of is not None:  # a step of the arm that is followed costs at least as much
        arm = comparison.arms[arm.steps_of]
    if "seconds" in arm.budget:
        return float(arm.budget["seconds"])
    if "baseline_steps" in arm.budget:
        steps, arm = arm.budget["baseline_steps"], comparison.arms[comparison.baseline]
    else:
        steps = arm.budget["steps"]
    per_step = []
    for other in comparison.seeds:
        run_dir = run_directory(comparison.work_dir, arm.name, other)
        if is_trained(run_dir):
            record = read_json(run_dir / "run.json")
            per_step.append(record["seconds"] / max(record["steps"], 1))
    return steps * sum(per_step) / len(per_step) if per_step else None

"""What a reader must know before trusting the numbers: missing runs, unequal time, unequal machines or protocols."""

from vssl.reports.compare.matched_budgets import (
    CLOCKS,
    COST_TOLERANCE,
    TIME_TOLERANCE,
    clock_of,
    own_clock_drift,
    time_mismatch,
)
from vssl.reports.runs import START, Run, protocol_of


def find_notes(results: dict, arm_runs: dict[str, dict[int, Run]], start_runs: dict[int, Run]) -> list[str]:
    """Caveats, most important first; empty when there is nothing to say."""
    runs = {(arm, seed): run for arm, by_seed in arm_runs.items() for seed, run in by_seed.items()}
    runs |= {(START, seed): run for seed, run in start_runs.items()}
    return [
        *_unpaired(results),
        *_missing(results),
        *_unmatched_time(results),
        *_unmatched_cost(results),
        *_not_finite(runs),
        *_unequal_cards(runs),
        *_unequal_origins(runs),
    ]


def _unpaired(results: dict) -> list[str]:
    notes = []
    for arm in results["arms"].values():
        reference = results["arms"][arm["against"]]
        ours, theirs = set(arm["runs"]), set(reference["runs"])
        if ours and ours != theirs:  # one without any is told of as missing
            shared = ", ".join(sorted(ours & theirs, key=int)) or "none"
            notes.append(
                f"{arm['label']} and {reference['label']} do not have the same seeds; differences are paired over the "
                f"shared seeds only ({shared})."
            )
    return notes


def _missing(results: dict) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for entry in results["missing"]:
        by_reason.setdefault(entry["why"], []).append(f"{entry['arm']} seed {entry['seed']}")
    return [f"Missing, {why}: {', '.join(names)}." for why, names in by_reason.items()]


def _unmatched_time(results: dict) -> list[str]:
    budgets = [results["arms"][results[role]].get("budget") or {} for role in ("baseline", "candidate")]
    if not all("seconds" in budget for budget in budgets) or len(set(map(clock_of, budgets))) > 1:
        return []
    unequal = {seed: share for seed, share in time_mismatch(results).items() if share > TIME_TOLERANCE}
    if not unequal:
        return []
    listed = ", ".join(f"seed {seed}: {100 * share:.1f} %" for seed, share in unequal.items())
    clock = CLOCKS[clock_of(budgets[0])].capitalize()
    return [f"{clock} of the two compared arms is not matched within {100 * TIME_TOLERANCE:.0f} % ({listed})."]


def _unmatched_cost(results: dict) -> list[str]:
    """Arms whose steps, fitted to the cost of the baseline's, took another time in the end."""
    notes = []
    for arm in results["arms"].values():
        if not arm.get("calibration"):
            continue
        measured = {"measured again at the end": arm["calibration"]["drift"]}
        measured["by the runs' own clocks"] = own_clock_drift(results, arm)
        off = [f"{100 * d:+.1f} % {how}" for how, d in measured.items() if d is not None and abs(d) > COST_TOLERANCE]
        if off:
            given, baseline = arm["calibration"]["baseline_steps"], results["arms"][results["baseline"]]["label"]
            notes.append(
                f"{arm['label']} took another time than {given} steps of {baseline} "
                f"({', '.join(off)}; {100 * COST_TOLERANCE:.0f} % are allowed)."
            )
    return notes


def _not_finite(runs: dict[tuple[str, int], Run]) -> list[str]:
    lost = [
        f"{arm} seed {seed} {probe} {name}"
        for (arm, seed), run in runs.items()
        for probe, result in run.probes.items()
        for name, value in result["scores"].items()
        if value is None
    ]
    return [f"Scores that are not finite, left out of every mean: {', '.join(lost)}."] if lost else []


def _unequal_cards(runs: dict[tuple[str, int], Run]) -> list[str]:
    notes: list[str] = []
    first: dict[str, dict] = {}
    for (arm, seed), run in runs.items():
        for probe, result in run.probes.items():
            card = protocol_of(result)
            changed = different_keys(first.setdefault(probe, card), card)
            if changed:
                notes.append(
                    f"The {probe} probe of {arm} seed {seed} had another protocol ({', '.join(changed)}); its scores "
                    "cannot be compared."
                )
    return notes


def _unequal_origins(runs: dict[tuple[str, int], Run]) -> list[str]:
    notes: list[str] = []
    settings: dict[str, dict | None] = {}
    machines: dict[str, list[str]] = {}
    starts: dict[str, list[str]] = {}
    for (arm, seed), run in runs.items():
        if not run.origin or run.why_missing:
            continue
        changed = different_keys(settings.setdefault(arm, run.origin.get("settings")), run.origin.get("settings"))
        # An arm that follows another has the other's steps or designer of its own seed.
        changed = [key for key in changed if not key.startswith("budget.") and key != "designer_checkpoint"]
        if changed:
            notes.append(f"The seeds of {arm} were trained with different settings ({', '.join(changed[:5])}).")
        machine = run.origin.get("environment", {}).get("machine")
        machines.setdefault(str(machine), []).append(f"{arm} seed {seed}")
        starts.setdefault(str(run.origin.get("start_sha256")), []).append(f"{arm} seed {seed}")
    if len(machines) > 1:
        listed = "; ".join(f"{', '.join(names)} on {machine}" for machine, names in machines.items())
        notes.append(f"Runs were made on different machines, so equal seconds are not equal work: {listed}.")
    if len(starts) > 1:
        listed = "; ".join(f"{', '.join(names)} from {digest[:12]}" for digest, names in starts.items())
        notes.append(f"Runs did not begin from the same start checkpoint: {listed}.")
    return notes


def different_keys(one: dict | None, other: dict | None) -> list[str]:
    """Keys whose values differ between two flat dicts, or that only one of them has."""
    one, other = one or {}, other or {}
    absent = object()
    return [key for key in {**one, **other} if one.get(key, absent) != other.get(key, absent)]

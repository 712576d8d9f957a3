"""What a sweep found and what it cost, from Optuna's study and the run directories."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from vssl.comparison.environment import describe_environment
from vssl.reports import CALIBRATION_FILE, START, read_json, run_directory
from vssl.reports.runs import read_metrics, read_probes
from vssl.scores import Score
from vssl.sweep.study import FAILED, FINISHED, PRUNED, RUNNING, Study
from vssl.sweep.sweep_plan import Sweep, trial_name
from vssl.sweep.trials import PROCESSOR_SECONDS, WHY, run_directories


def collect(sweep: Sweep, study: Study, info: Mapping[str, Score], command: str) -> dict[str, Any]:
    """Everything that ``results.json`` holds (docs/sweep.md).

    Args:
        info: the meaning of each of the sweep's scores.
        command: how the sweep was called.
    """
    trials = [_trial(sweep, study, frozen) for frozen in study.trials()]
    seeds = sweep.template.start.probe_seeds
    start = read_probes(run_directory(sweep.work_dir, START, seeds[0]) / "probes") if seeds else {}
    return {
        "title": sweep.template.title,
        "command": command,
        "study": study.name,
        "storage": study.shown_url,
        "sampler": sweep.sampler,
        "seed": sweep.seed,
        "pruning": None if sweep.pruning is None else asdict(sweep.pruning),
        "budget": sweep.budget,
        "seeds": sweep.template.seeds,
        "space": {key: parameter.described() for key, parameter in sweep.space.items()},
        "scores": {score: asdict(meaning) for score, meaning in info.items()},
        "start": {score: _score(start, score) for score in sweep.scores},
        "best": study.best(),
        "importances": study.importances(),
        "cost": _cost(trials, sweep),
        "trials": trials,
        "environment": describe_environment(),
    }


def _score(probes: Mapping[str, dict], score: str) -> float | None:
    probe, name = score.split("/")
    return probes[probe]["scores"][name] if probe in probes else None


def _trial(sweep: Sweep, study: Study, frozen) -> dict[str, Any]:
    state, folders = study.state(frozen), run_directories(sweep, frozen.number)
    runs = [spent for folder in folders if (spent := _spent(folder)) is not None]
    steps = sum(run["steps"] for run in runs)
    whole, baseline_steps = _steps_of_budget(sweep, frozen.number), sweep.budget["baseline_steps"]
    probes = [read_probes(folder / "probes") for folder in folders] if state == FINISHED else []
    return {
        "number": frozen.number,
        "state": state,
        "values": dict(frozen.params),
        "scores": dict(zip(sweep.scores, frozen.values, strict=True)) if state == FINISHED else {},
        "per_seed": {score: [_score(of_seed, score) for of_seed in probes] for score in sweep.scores},
        "on_the_way": {str(share): value for share, value in sorted(frozen.intermediate_values.items())},
        "steps": steps,
        "steps_of_budget": whole,
        "baseline_steps": steps / whole * baseline_steps if whole else 0.0,
        "training_seconds": sum(run["seconds"] for run in runs),
        "processor_seconds": frozen.user_attrs.get(PROCESSOR_SECONDS),
        "why": frozen.user_attrs.get(WHY),
        "run": trial_name(frozen.number),
    }


def _spent(folder) -> dict[str, float] | None:
    """Steps and seconds of a run, as far as its record or its log says."""
    if not (folder / "run.json").is_file():
        return None
    record = read_json(folder / "run.json")
    rows = read_metrics(folder / "metrics.jsonl") if (folder / "metrics.jsonl").is_file() else []
    last = rows[-1] if rows else {"step": 0, "seconds": 0.0}  # of a run that stopped without a checkpoint
    return {"steps": max(record["steps"], last["step"]), "seconds": max(record["seconds"], last["seconds"])}


def _steps_of_budget(sweep: Sweep, number: int) -> int | None:
    """How many steps of this trial take as long as the budget; None where that was not measured."""
    file = sweep.work_dir / trial_name(number) / CALIBRATION_FILE
    return int(read_json(file)["steps"]) if file.is_file() else None


def _cost(trials: list[dict], sweep: Sweep) -> dict[str, Any]:
    states = [trial["state"] for trial in trials]
    return {
        "baseline_steps": sum(trial["baseline_steps"] for trial in trials),
        "budgets": sum(trial["baseline_steps"] for trial in trials) / sweep.budget["baseline_steps"],
        "training_seconds": sum(trial["training_seconds"] for trial in trials),
        "clock": sweep.clock,
        "processor_seconds": sum(trial["processor_seconds"] or 0.0 for trial in trials),
        "trials": {state: states.count(state) for state in (FINISHED, PRUNED, FAILED, RUNNING)},
    }

"""Budgets in steps of the baseline, turned into a fixed number of steps for each arm, and checked at the end.

``<arm>/calibration.json`` holds what was measured. All seeds of an arm have its steps, so that a run is resumed and
repeated bit for bit, whatever the machine was doing while it ran.
"""

import copy
from pathlib import Path
from typing import Any

from vssl.comparison.plan import Arm, Comparison
from vssl.comparison.refusal import refuse_other_settings
from vssl.comparison.state import is_trained
from vssl.comparison.workers import Workers
from vssl.engine.settings import flat_settings
from vssl.reports import CALIBRATION_FILE, read_json, run_directory
from vssl.whole_files import write_json


def needs_calibration(comparison: Comparison, name: str) -> bool:
    """Whether this arm's steps have to be measured: those of the baseline are given."""
    budget = comparison.arms[name].budget
    return "baseline_steps" in budget and name != comparison.baseline


def calibrated_steps(comparison: Comparison, arm: Arm) -> int | None:
    """Steps of an arm whose budget is in baseline steps; None when they are not measured yet."""
    if not needs_calibration(comparison, arm.name):
        return arm.budget["baseline_steps"]
    file = comparison.work_dir / arm.name / CALIBRATION_FILE
    return int(read_json(file)["steps"]) if file.is_file() else None


def is_timed(comparison: Comparison, name: str) -> bool:
    """Whether the arm's steps are known."""
    return (comparison.work_dir / name / CALIBRATION_FILE).is_file()


def is_checked(comparison: Comparison, name: str) -> bool:
    """Whether they were measured again for the runs that there are, or there is none."""
    seeds = finished_seeds(comparison, name)
    made = read_json(comparison.work_dir / name / CALIBRATION_FILE)
    return not seeds or bool(made["end"] and made["end"]["seeds"] == seeds)


def finished_seeds(comparison: Comparison, name: str) -> list[int]:
    """Seeds of the arm whose training has ended."""
    return [seed for seed in comparison.seeds if is_trained(run_directory(comparison.work_dir, name, seed))]


def budget_of(comparison: Comparison, arm: Arm, seed: int) -> dict:
    """The arm's budget in steps or seconds; for a step-matched arm the steps that the other took with the same seed, on
    its clock."""
    if arm.steps_of is None:
        if "baseline_steps" not in arm.budget:
            return dict(arm.budget)
        clock = {"clock": arm.budget["clock"]} if "clock" in arm.budget else {}
        return {"steps": calibrated_steps(comparison, arm)} | clock
    record = run_directory(comparison.work_dir, arm.steps_of, seed) / "run.json"
    followed = comparison.arms[arm.steps_of]
    while followed.steps_of is not None:
        followed = comparison.arms[followed.steps_of]
    clock = {"clock": followed.budget["clock"]} if "clock" in followed.budget else {}
    return {"steps": int(read_json(record)["steps"])} | clock


class Calibration:
    """Measures one arm against the baseline, from the start checkpoint.

    Args:
        configs: of the arm and of the baseline, by name; None for the arms that are not measured here.
        backbone: the start checkpoint, and its `digest`.
    """

    def __init__(self, comparison: Comparison, workers: Workers, configs: dict[str, Any], backbone: Path, digest: str):
        self._comparison, self._workers, self._configs = comparison, workers, configs
        self._backbone, self._digest = backbone, digest

    def begin(self, name: str) -> int | None:
        """Find the arm's steps, and return them; None when they are known already.

        Raises:
            ValueError: they were found with other settings, from another start, or for another budget.
        """
        file, made_with = self._file(name), self._made_with(name)
        if file.is_file():
            remedy = f"remove {file.parent} to run the arm again, or give another --work-dir"
            refuse_other_settings(read_json(file)["made_with"], made_with, file, remedy)
            return None
        budget = self._comparison.arms[name].budget
        measured = self._measure(name, budget)
        about = {"baseline": self._comparison.baseline, "clock": "elapsed", **budget, "steps": measured["steps"]}
        write_json(file, {**about, "begin": measured, "end": None, "made_with": made_with})
        return measured["steps"]

    def check(self, name: str) -> float | None:
        """Measure again, with the designer that the runs ended with: share by which the arm's steps took longer.

        None when it was checked for these runs already, or when none has been finished.
        """
        if is_checked(self._comparison, name):
            return None
        file, seeds = self._file(name), finished_seeds(self._comparison, name)
        made = read_json(file)
        designer = self._run(name, seeds[0]) / "checkpoint.pth"
        measured = self._measure(name, self._comparison.arms[name].budget, made["steps"], designer)
        drift = measured["cost"] - 1
        write_json(file, {**made, "end": {**measured, "seeds": seeds, "drift": drift}})
        return drift

    def _measure(self, name: str, budget: dict, steps: int | None = None, designer: Path | None = None) -> dict:
        baseline, clock = self._comparison.baseline, budget.get("clock", "elapsed")
        arm = self._config(name, designer if designer is not None and designer.is_file() else None)
        return self._workers.compare_cost(
            arm, self._config(baseline, None), budget["baseline_steps"], clock, self._comparison.seeds[0], steps
        )

    def _config(self, name: str, designer: Path | None) -> Any:
        config, arm = copy.deepcopy(self._configs[name]), self._comparison.arms[name]
        config.arm, config.budget = name, {"steps": arm.budget["baseline_steps"]}
        arm.begin_at(config, self._backbone)
        if designer is None and arm.designer_of is not None:  # without it the untrained designer stands in
            learned = self._run(arm.designer_of, self._comparison.seeds[0]) / "checkpoint.pth"
            designer = learned if learned.is_file() else None
        if designer is not None:
            config.designer_checkpoint = str(designer)
        return config

    def _made_with(self, name: str) -> dict:
        """What the number of steps depends on, flat."""
        made: dict = {"start_sha256": self._digest, "baseline": self._comparison.baseline}
        made |= {f"budget.{key}": value for key, value in self._comparison.arms[name].budget.items()}
        for role, arm in (("arm", name), ("baseline", self._comparison.baseline)):
            if self._comparison.arms[arm].continues == "run":
                made[f"{role}.continues"] = "run"
            settings = flat_settings(self._configs[arm])
            made |= {f"{role}.{key}": value for key, value in settings.items() if not key.startswith("budget.")}
        return made

    def _file(self, name: str) -> Path:
        return self._comparison.work_dir / name / CALIBRATION_FILE

    def _run(self, name: str, seed: int) -> Path:
        return run_directory(self._comparison.work_dir, name, seed)

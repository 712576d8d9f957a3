"""Run the trials of a sweep, each as an ordinary run of a comparison."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from vssl import progress
from vssl.comparison import Workers
from vssl.comparison.execute import Execution
from vssl.comparison.plan import Comparison
from vssl.comparison.refusal import OtherSettings
from vssl.comparison.state import is_trained
from vssl.compat import add_note
from vssl.engine.checkpoint import candidates, load_latest
from vssl.reports import run_directory
from vssl.reports.runs import read_metrics, read_probes
from vssl.sweep.pruning import Pruned, PruningHook
from vssl.sweep.search_space import TrialConfigs
from vssl.sweep.sharing import Opening, one_at_a_time, run_in_jobs, taken
from vssl.sweep.study import FAILED, FINISHED, PRUNED, RUNNING, Study
from vssl.sweep.sweep_plan import Sweep, trial_name

PROCESSOR_SECONDS, WHY, REDONE = "processor_seconds", "why", "redone_steps"  # what a trial remembers in the study


def execute(
    sweep: Sweep,
    study: Study,
    workers: Workers,
    after_each: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = progress.say,
    jobs: int = 1,
    opening: Opening | None = None,
) -> None:
    """Train and probe the start, and then as many trials as are missing.

    Other processes may do the same in the same directory: each trial is run by one of them (vssl/sweep/sharing.py).

    A trial that was broken off goes on from its checkpoint, or begins again where it has none, with the values that it
    had. One whose values are refused before it is trained, or whose loss is not finite, has failed: it counts, and the
    search goes on. Anything else that goes wrong ends the sweep, and the trial stays to be gone on with.

    Args:
        after_each: called whenever a trial has ended.
        say: receives one line per trial.
        jobs: processes that run trials side by side; 1 for this one alone.
        opening: how they open the study.

    Raises:
        FileNotFoundError: a trial that the study has ended lies in no folder of this work directory.
    """
    _check_folders(sweep, study)
    with one_at_a_time(sweep.work_dir):
        Execution(sweep.template, workers, arms=[], say=say).bring_start()

    def told() -> None:
        with one_at_a_time(sweep.work_dir):
            after_each()

    if jobs > 1:
        run_in_jobs(sweep, opening, one_trial, jobs, told)
        return
    while one_trial(sweep, study, workers, say):
        told()


def one_trial(sweep: Sweep, study: Study, workers: Workers, say: Callable[[str], None] = progress.say) -> bool:
    """Bring the next trial to its end; False where none is left that nobody runs."""
    with taken(sweep, study) as trial:
        if trial is None:
            return False
        position = f"[{trial.number + 1}/{sweep.trials}]"
        say(f"{position} {trial_name(trial.number)}: {shown(trial.params)}")
        _Trial(sweep, study, workers, trial, say).run(sweep.configs(), position)
    return True


def shown(params: Mapping[str, float | int | str]) -> str:
    """``objective.mask_ratio=0.71, recipe.flip=0.2``."""
    told = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in params.items()}
    return ", ".join(f"{key}={value}" for key, value in told.items())


class _Trial:
    """One trial, from its values to its end in the study."""

    def __init__(self, sweep: Sweep, study: Study, workers: Workers, trial, say: Callable[[str], None]):
        self._sweep, self._study, self._trial, self._say = sweep, study, trial, say
        self._name, self._workers = trial_name(trial.number), workers

    def run(self, configs: TrialConfigs, position: str) -> None:
        """Bring the trial to its end in the study, or leave it there as it is and raise."""
        begun, trial = _processor_seconds(), self._trial
        state, values, why = RUNNING, None, None
        try:
            try:
                state, values = self._result(configs, position)
            except Pruned as pruned:
                state, why = PRUNED, str(pruned)
            except OtherSettings:
                raise
            except (ValueError, FloatingPointError) as error:
                if isinstance(error, ValueError) and self._has_checkpoint():
                    raise  # it was trained with these values before: something else is wrong
                state, why = FAILED, str(error)
        except BaseException as error:
            add_note(error, f"{self._name} stopped here; the same command goes on from it.")
            raise
        finally:
            spent = trial.user_attrs.get(PROCESSOR_SECONDS, 0.0) + _processor_seconds() - begun
            trial.set_user_attr(PROCESSOR_SECONDS, spent)
        if why is not None:
            trial.set_user_attr(WHY, why)
            self._say(f"{self._name} {state}: {why}")
        with one_at_a_time(self._sweep.work_dir):  # who has the turn sees the same trials for as long as it takes
            self._study.tell(trial, state, values)

    def _result(self, configs: TrialConfigs, position: str) -> tuple[str, list[float]]:
        if self._study.is_hopeless(self._trial):
            raise Pruned("ended by the probes on its way")
        configs.check(self._trial.params)  # alone each value was fine; together they may not be
        comparison = self._sweep.comparison(self._trial.number, configs.options(self._trial.params))
        for turn, seed in enumerate(comparison.seeds):
            workers = self._workers
            if turn == 0 and self._sweep.pruning is not None:
                workers = replace(workers, train=partial(workers.train, hooks=[self._hook()]))
            execution = Execution(comparison, workers, [self._name], say=self._say)
            try:
                execution.calibrate(self._name)
            except FloatingPointError as error:  # its run directory was a temporary one: only what happened is told
                what = str(error).split(". ")[0]
                raise FloatingPointError(f"while its steps were timed beside the baseline's: {what}") from error
            self._count_lost(run_directory(comparison.work_dir, self._name, seed))
            execution.bring_run(self._name, seed, position)
        return FINISHED, list(mean_scores(comparison, self._name, self._sweep.scores).values())

    def _count_lost(self, folder: Path) -> None:
        """Remember how many steps of a run that was broken off will be taken again, as far as its log tells."""
        log = folder / "metrics.jsonl"
        if is_trained(folder) or not log.is_file() or not (rows := read_metrics(log)):
            return
        kept = load_latest(folder).content["step"] if candidates(folder) else 0
        if (lost := rows[-1]["step"] - kept) > 0:
            self._trial.set_user_attr(REDONE, self._trial.user_attrs.get(REDONE, 0) + lost)

    def _has_checkpoint(self) -> bool:
        return any(candidates(folder) for folder in run_directories(self._sweep, self._trial.number))

    def _hook(self) -> PruningHook:
        probe, score = self._sweep.scores[0].split("/")
        return PruningHook(probe, score, self._sweep.pruning.count, partial(self._study.hopeless, self._trial))


def mean_scores(comparison: Comparison, arm: str, scores: tuple[str, ...]) -> dict[str, float]:
    """Means over the seeds.

    Raises:
        FloatingPointError: a probe gave no finite number.
    """
    found: dict[str, list[float]] = {score: [] for score in scores}
    for seed in comparison.seeds:
        folder = run_directory(comparison.work_dir, arm, seed) / "probes"
        probes = read_probes(folder)
        for score in scores:
            probe, name = score.split("/")
            value = probes[probe]["scores"][name]
            if value is None:
                raise FloatingPointError(f"{folder / probe}.json: {name} is not finite")
            found[score].append(value)
    return {score: sum(values) / len(values) for score, values in found.items()}


def _check_folders(sweep: Sweep, study: Study) -> None:
    for frozen in study.trials():
        folder = run_directory(sweep.work_dir, trial_name(frozen.number), sweep.template.seeds[0])
        if study.state(frozen) == FINISHED and not is_trained(folder):
            raise FileNotFoundError(
                f"{folder}: the study {study.name!r} has finished this trial, but its run is not there; give the "
                "--work-dir that it lies in, or another --study"
            )


def _processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def run_directories(sweep: Sweep, number: int) -> list[Path]:
    """Of a trial, one for each seed, there or not."""
    return [run_directory(sweep.work_dir, trial_name(number), seed) for seed in sweep.template.seeds]

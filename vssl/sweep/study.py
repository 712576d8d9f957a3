"""Optuna's part: what is tried next, what is given up, and the memory of both. Nothing else of vssl imports Optuna.

Each trial draws with a sampler of its own, whose random numbers follow from the sweep's seed and the trial's number. So
what trial n tries depends on these two and, for TPE, on the results of the trials before it: not on how often the sweep
was stopped.
"""

import copy
import os
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vssl.comparison.refusal import refuse_other_settings
from vssl.engine.config import ConfigError
from vssl.parts import optional_package
from vssl.sweep.search_space import Parameter
from vssl.sweep.sweep_plan import Sweep

SQLITE_FILE = "study.db"
FROM_ENVIRONMENT = "env:"  # before the name of a variable that holds a storage's URL
FINISHED, PRUNED, FAILED, RUNNING = "finished", "pruned", "failed", "running"

_SETTINGS, _STOPPED_AT, _RUNG = "settings", "stopped_at_share", "completed_rung_"  # the last is Optuna's own


def import_optuna():
    """The module, quiet.

    Raises:
        ImportError: it is not installed; the message says how to install it.
    """
    for package in ("optuna", "sklearn"):  # the second for importances
        optional_package(package, "a sweep")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


def storage_url(storage: str | None, work_dir: Path) -> str:
    """`storage` itself, what the environment variable holds that it names, or SQLite in the work directory.

    Raises:
        ConfigError: SQLite in memory, or a variable that is not set.
    """
    if storage is not None and storage.startswith(FROM_ENVIRONMENT):
        name = storage.removeprefix(FROM_ENVIRONMENT)
        if not (storage := os.environ.get(name)):
            raise ConfigError(f"--storage {FROM_ENVIRONMENT}{name}: the environment variable {name} is not set")
    if storage is not None:
        if storage.startswith("sqlite") and ("memory" in storage or not storage.partition("://")[2].strip("/")):
            raise ConfigError(f"--storage {storage}: a study in memory is lost with the process; name a file")
        return storage
    from sqlalchemy.engine import URL

    return URL.create("sqlite", database=str((work_dir / SQLITE_FILE).resolve())).render_as_string(hide_password=False)


class Study:
    """Optuna's study of one sweep.

    Args:
        directions: ``"maximize"`` or ``"minimize"`` for each of the sweep's scores.
        settings: flat; what the trials' results depend on. Other ones than the study was begun with are refused.
        url: any that SQLAlchemy reads. Its password appears in no message.
        name: of the study in that storage.

    Raises:
        ConfigError: the storage cannot be opened.
        ValueError: the study was begun with other settings.
    """

    def __init__(self, sweep: Sweep, directions: Sequence[str], settings: dict[str, Any], url: str, name: str):
        self._optuna, self._sweep, self.name = import_optuna(), sweep, name
        self._url, self._directions = url, list(directions)
        self._study = self._open()
        begun = self._study.user_attrs.get(_SETTINGS)
        if begun is None:
            self._study.set_user_attr(_SETTINGS, settings)
        else:
            remedy = "give another --work-dir (in a storage of your own, another --study too)"
            refuse_other_settings(begun, settings, Path(f"the study {name!r}"), remedy)

    def _open(self):
        optuna = self._optuna
        try:
            pruner = optuna.pruners.NopPruner()
            if (pruning := self._sweep.pruning) is not None:
                pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=pruning.reduction)
            return optuna.create_study(
                storage=optuna.storages.RDBStorage(self._url),
                study_name=self.name,
                directions=self._directions,
                pruner=pruner,
                load_if_exists=True,
            )
        except ImportError as error:
            raise ConfigError(f"--storage {self.shown_url}: {error}; install the driver of that database") from error
        except Exception as error:  # sqlalchemy's and optuna's own, which share no base
            said = str(error).splitlines()[0] if str(error) else ""
            raise ConfigError(
                f"--storage {self.shown_url}: the study {self.name!r} cannot be opened ({type(error).__name__}: {said})"
            ) from error

    @property
    def shown_url(self) -> str:
        """The storage, without its password."""
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            return make_url(self._url).render_as_string(hide_password=True)
        except ArgumentError:
            return "(not a URL such as sqlite:///FILE or postgresql://HOST/NAME)"

    def trials(self) -> list:
        """Optuna's frozen trials, by number."""
        return self._study.get_trials(deepcopy=False)

    def next(self, claim: Callable[[int], bool] = lambda number: True):
        """The trial to run now: one that was broken off, else a new one; None when there are enough.

        Args:
            claim: takes the trial of this number for the caller; False where somebody else runs it.
        """
        trials, running = self.trials(), self._optuna.trial.TrialState.RUNNING
        broken = next((trial for trial in trials if trial.state == running and claim(trial.number)), None)
        if broken is None and len(trials) >= self._sweep.trials:
            return None
        self._study.sampler = self._sampler(len(trials) if broken is None else broken.number)
        trial = self._study.ask() if broken is None else self._optuna.trial.Trial(self._study, broken._trial_id)
        for parameter in self._sweep.space.values():
            self._draw(trial, parameter)  # what was drawn already stays
        if broken is None:
            claim(trial.number)
        return trial

    def hopeless(self, trial, share: int, value: float) -> bool:
        """Whether successive halving ends this trial, whose score at `share` is `value`. It is remembered first."""
        if share not in self._frozen(trial).intermediate_values:
            trial.report(value, share)
        asked = copy.deepcopy(self._frozen(trial))
        if (pruning := self._sweep.pruning) is not None:  # a process that was killed here may have been asked already
            rungs = {key: int(key.removeprefix(_RUNG)) for key in asked.system_attrs if key.startswith(_RUNG)}
            late = {key for key, rung in rungs.items() if pruning.reduction**rung >= share}
            asked.system_attrs = {key: held for key, held in asked.system_attrs.items() if key not in late}
        if not self._study.pruner.prune(_WithoutTrial(self._study, trial.number), asked):
            return False
        trial.set_user_attr(_STOPPED_AT, share)
        return True

    def is_hopeless(self, trial) -> bool:
        """Whether `hopeless` said so, of a trial that was broken off before it was told."""
        return _STOPPED_AT in trial.user_attrs

    def tell(self, trial, state: str, values: Sequence[float] | None = None) -> None:
        """End a trial as `FINISHED` with its scores, `PRUNED` or `FAILED`."""
        states = self._optuna.trial.TrialState
        ends = {FINISHED: states.COMPLETE, PRUNED: states.PRUNED, FAILED: states.FAIL}
        self._study.tell(trial, values, state=ends[state])

    def state(self, frozen) -> str:
        states = self._optuna.trial.TrialState
        return {states.COMPLETE: FINISHED, states.PRUNED: PRUNED, states.FAIL: FAILED}.get(frozen.state, RUNNING)

    def best(self) -> list[int]:
        """Numbers of the best trial, or with two scores of all that no other surpasses in both; empty before one has
        finished."""
        if not any(self.state(frozen) == FINISHED for frozen in self.trials()):
            return []
        return sorted(frozen.number for frozen in self._study.best_trials)

    def importances(self) -> dict[str, dict[str, float]]:
        """For each score, each key's share of the scores' variance over the space (fANOVA, Hutter et al. 2014); the
        shares sum to 1, the largest first. Empty while there are no more finished trials than keys, and without a score
        whose trials are all alike."""
        if sum(self.state(frozen) == FINISHED for frozen in self.trials()) <= len(self._sweep.space):
            return {}
        found = {}
        for place, score in enumerate(self._sweep.scores):
            evaluator = self._optuna.importance.FanovaImportanceEvaluator(seed=0)
            target = None if len(self._sweep.scores) == 1 else partial(_value, place)
            try:
                found[score] = self._optuna.importance.get_param_importances(
                    self._study, evaluator=evaluator, target=target
                )
            except RuntimeError:  # no variance
                continue
        return found

    def _draw(self, trial, parameter: Parameter) -> None:
        key = parameter.key
        if parameter.options is not None:
            trial.suggest_categorical(key, list(parameter.options))
        elif parameter.whole:
            trial.suggest_int(key, parameter.low, parameter.high, log=parameter.log)
        else:
            trial.suggest_float(key, parameter.low, parameter.high, log=parameter.log)

    def _sampler(self, number: int):
        seed = int(np.random.SeedSequence([self._sweep.seed, number]).generate_state(1)[0])
        samplers = self._optuna.samplers
        kind = {"random": samplers.RandomSampler, "tpe": samplers.TPESampler}[self._sweep.sampler]
        return kind(seed=seed)

    def _frozen(self, trial):
        return self.trials()[trial.number]


class _WithoutTrial:
    """A study to whoever compares one of its trials with the others: what that trial left there before is not seen."""

    def __init__(self, study, number: int):
        self._study, self._number = study, number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def get_trials(self, *arguments: Any, **settings: Any) -> list:
        return [trial for trial in self._study.get_trials(*arguments, **settings) if trial.number != self._number]


def _value(place: int, frozen) -> float:
    return frozen.values[place]

"""A sweep's config, checked before any work, and each trial as a comparison of one arm with the baseline."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vssl.arm_settings import check_keys, options_of
from vssl.comparison import Comparison, read_comparison
from vssl.engine.config import ConfigError
from vssl.sweep.search_space import OF_THE_SWEEP, Parameter, TrialConfigs, read_space

BASELINE = "baseline"
SAMPLERS = ("tpe", "random")

_SHARED = {"title", "start", "budget", "seeds", "probes", "work_dir", "configs", "cfg_options"}  # as in comparisons
_OWN = {"trial", "space", "scores", "sampler", "trials", "seed", "pruning"}
_PRUNING_KEYS = {"count", "reduction"}


@dataclass(frozen=True)
class Pruning:
    """Successive halving on probes that run on the way.

    Attributes:
        count: probes at this many even shares of a trial's budget; the last is at its end.
        reduction: at shares 1, `reduction`, `reduction`², … the best 1/`reduction` of the trials so far goes on.
    """

    count: int
    reduction: int


@dataclass(frozen=True)
class Sweep:
    """A search, as its config describes it.

    Attributes:
        template: a comparison whose only arm, `BASELINE`, is the training config with nothing changed. Its steps are
            the unit of cost; start, budget, seeds and probes of the trials are its own.
        options: of the training config, the same in every trial.
        space: what is searched, by dotted key of the training config.
        scores: one or two, as ``"probe/score"``.
        sampler, seed: ``"tpe"`` or ``"random"``, and the seed of what it draws.
        trials: how many, those included that are pruned or fail.
        pruning: None to train every trial to its end.
    """

    template: Comparison
    options: dict[str, Any]
    space: dict[str, Parameter]
    scores: tuple[str, ...]
    sampler: str
    seed: int
    trials: int
    pruning: Pruning | None
    source: str

    @property
    def work_dir(self) -> Path:
        return self.template.work_dir

    @property
    def budget(self) -> dict[str, Any]:
        """``baseline_steps`` of every trial, and its ``clock``."""
        return self.template.arms[BASELINE].budget

    @property
    def clock(self) -> str:
        return self.budget.get("clock", "elapsed")

    def configs(self) -> TrialConfigs:
        return TrialConfigs(self.template.arms[BASELINE].config, self.options, self.space, self.source)

    def comparison(self, number: int, options: Mapping[str, Any]) -> Comparison:
        """Trial `number` as an arm beside the baseline, with these options of the training config."""
        baseline, name = self.template.arms[BASELINE], trial_name(number)
        options = {**options, **self._online_probes()}
        trial = replace(baseline, name=name, label=name, cfg_options=options)
        return replace(self.template, arms={BASELINE: baseline, name: trial}, candidate=name)

    def _online_probes(self) -> dict[str, Any]:
        if self.pruning is None:
            return {}
        probes = self.template.probes
        entry = {"probes": probes["probes"]} if isinstance(probes, Mapping) else {"config": str(probes)}
        return {"probes": [{**entry, "only": [self.scores[0].split("/")[0]], "count": self.pruning.count}]}


def trial_name(number: int) -> str:
    """The folder of a trial: ``trial_007``."""
    return f"trial_{number:03d}"


def read_sweep(
    config: Mapping, source: str = "the sweep config", work_dir: str | None = None, **instead: int | str | None
) -> Sweep:
    """Check `config` (docs/sweep.md has its keys) and turn it into a `Sweep`; nothing is trained or loaded.

    Args:
        work_dir: instead of the config's.
        instead: ``trials``, ``sampler``, ``seed`` of the command line; None keeps the config's.

    Raises:
        ConfigError, ValueError, FileNotFoundError: which key is wrong, what it holds, and what is expected.
    """
    config = {key: value for key, value in config.items() if not key.startswith("_")}
    check_keys(config, _SHARED | _OWN, required={"trial", "start", "budget", "probes", "scores", "space"}, where=source)
    config |= {key: value for key, value in instead.items() if value is not None}
    trial = config["trial"]
    check_keys(trial, {"config", "cfg_options", "continues"}, required={"config"}, where=f"{source}: trial")
    for where, holder in ((f"{source}: trial", trial), (source, config)):
        if taken := sorted(key for key in options_of(holder, where) if key.split(".")[0] in OF_THE_SWEEP):
            raise ConfigError(f"{where}: cfg_options: {taken[0]} is set by the sweep itself; leave it out")
    if not isinstance(config["budget"], Mapping) or "baseline_steps" not in config["budget"]:
        raise ConfigError(
            f"{source}: budget={config['budget']!r}; give dict(baseline_steps=N, clock=…), the steps that `trial` "
            "takes with nothing changed: cost is counted in them"
        )
    shared = {key: config[key] for key in _SHARED & config.keys()}
    shared |= {"seeds": config.get("seeds", [0]), "title": config.get("title", "Search over recipes")}
    arms = {"arms": {BASELINE: trial}, "baseline": BASELINE, "candidate": BASELINE}
    template = read_comparison({**shared, **arms}, source, work_dir=work_dir)
    return Sweep(
        template=template,
        options=template.arms[BASELINE].cfg_options,
        space=read_space(config["space"], source),
        scores=_scores(config["scores"], source),
        sampler=_choice(config.get("sampler", "tpe"), f"{source}: sampler"),
        seed=_whole(config.get("seed", 0), 0, f"{source}: seed"),
        trials=_whole(config.get("trials", 20), 1, f"{source}: trials"),
        pruning=_pruning(config, source),
        source=source,
    )


def _scores(given: Any, source: str) -> tuple[str, ...]:
    scores = tuple(given) if isinstance(given, list | tuple) else (given,)
    if not 1 <= len(scores) <= 2 or len({str(score) for score in scores}) < len(scores):
        raise ConfigError(f"{source}: scores={given!r}; give one, or two that differ, such as 'segmentation/mIoU'")
    for score in scores:
        if not isinstance(score, str) or score.count("/") != 1:
            raise ConfigError(f"{source}: scores: {score!r}; expected 'probe/score', such as 'segmentation/mIoU'")
    return scores


def _pruning(config: Mapping, source: str) -> Pruning | None:
    about, where = config.get("pruning"), f"{source}: pruning"
    if not about:
        return None
    check_keys(about, _PRUNING_KEYS, required=set(), where=where)
    count = _whole(about.get("count", 4), 2, f"{where}: count")
    reduction = _whole(about.get("reduction", 2), 2, f"{where}: reduction")
    if len(_scores(config["scores"], source)) > 1:
        raise ConfigError(f"{where}: successive halving needs one score, and scores has two; leave pruning out")
    return Pruning(count, reduction)


def _whole(value: Any, low: int, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ConfigError(f"{where}={value!r}; expected a whole number ≥ {low}")
    return value


def _choice(value: Any, where: str) -> str:
    if value not in SAMPLERS:
        raise ConfigError(f"{where}={value!r}; choose one of {', '.join(SAMPLERS)}")
    return value

"""Run what is missing of a comparison, and keep what is there."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from vssl import progress
from vssl.comparison.calibration import Calibration, budget_of, needs_calibration
from vssl.comparison.plan import Arm, Comparison, run_order
from vssl.comparison.refusal import refuse_other_settings
from vssl.comparison.state import PROBED_FILE, is_trained, state_of
from vssl.comparison.workers import Workers
from vssl.compat import add_note, file_digest
from vssl.engine.config import ConfigError, resolve
from vssl.engine.settings import flat_settings
from vssl.environment import describe_environment
from vssl.reports import ORIGIN_FILE, START, different_keys, read_json, run_directory
from vssl.whole_files import EXPORTED, write_json


def execute(
    comparison: Comparison,
    workers: Workers,
    arms: list[str] | None = None,
    seeds: list[int] | None = None,
    after_each: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = progress.say,
) -> None:
    """Train and probe every arm × seed that is not finished, in this process.

    A finished run is kept, a half-finished one is resumed from its checkpoint, one that finished without its probes is
    probed. A run that stops with an error ends the comparison with that error; everything that was finished stays.
    Budgets in steps of the baseline are measured before the first run and checked after the last.

    Args:
        arms, seeds: do only these; default all.
        after_each: called whenever a run has been finished and probed.
        say: receives one line per run.

    Raises:
        ValueError: something on disk was made with other settings or from another start checkpoint.
    """
    execution = Execution(comparison, workers, arms, seeds, say)
    check_sources(comparison, execution.wanted)
    execution.bring_start()
    after_each()
    for name in execution.arms:
        execution.calibrate(name)
    for name, seed in execution.wanted:
        execution.bring_run(name, seed)
        after_each()
    for name in execution.arms:
        execution.check_calibration(name)


class Execution:
    """The parts of `execute`, for one process to do all or some of.

    Attributes:
        arms: those that are wanted; wanted: their (arm, seed) pairs in the order in which they are run.
    """

    def __init__(
        self,
        comparison: Comparison,
        workers: Workers,
        arms: list[str] | None = None,
        seeds: list[int] | None = None,
        say: Callable[[str], None] = progress.say,
    ):
        self._workers, self._seeds, self._say = workers, seeds, say
        self.arms = list(comparison.arms) if arms is None else arms
        self.wanted = run_order(comparison.arms, seeds or comparison.seeds, self.arms)
        loaded = list(self.arms)
        if any(needs_calibration(comparison, name) for name in self.arms) and comparison.baseline not in loaded:
            loaded.append(comparison.baseline)
        # a broken config fails before any work
        self._configs = {name: _load(comparison.arms[name], workers) for name in loaded}
        self.comparison = comparison = settle_continues(comparison, self._configs, workers)
        if comparison.one_step is not None:
            _measure_one_step(comparison, self._configs, workers)
        self._probes = _ProbeSet(comparison, workers)

    def bring_start(self) -> None:
        """Train the start checkpoint, if it is not there, and probe it."""
        backbone = _start(self.comparison, self._workers, self._say)
        for seed in self.comparison.start.probe_seeds:
            if self._seeds is None or seed in self._seeds:
                run_dir = run_directory(self.comparison.work_dir, START, seed)
                self._probes.bring(backbone, run_dir, seed, self._say)

    def calibrate(self, name: str) -> None:
        """Find how many steps the arm may take, where its budget is in steps of the baseline."""
        if not needs_calibration(self.comparison, name):
            return
        try:
            if (steps := self._calibration.begin(name)) is not None:
                given = f"{self.comparison.arms[name].budget['baseline_steps']} steps of {self.comparison.baseline}"
                self._say(f"{name}: {steps} steps take as long as {given}")
        except BaseException as error:
            add_note(error, f"while timing arm {name!r} beside {self.comparison.baseline!r}")
            raise

    def check_calibration(self, name: str) -> None:
        """Measure once more, when the arm's runs are there, and say how much longer its steps took."""
        if needs_calibration(self.comparison, name) and (drift := self._calibration.check(name)) is not None:
            self._say(f"{name}: checked again at the end, drift {100 * drift:+.1f} %")

    def bring_run(self, name: str, seed: int, position: str = "") -> None:
        """Train and probe one run, as far as that is not done.

        Args:
            position: which of all runs this is; by default its place among `wanted`.
        """
        position = position or f"[{self.wanted.index((name, seed)) + 1}/{len(self.wanted)}]"
        run_dir = run_directory(self.comparison.work_dir, name, seed)
        self._say(f"{position} {name}, seed {seed}: {state_of(run_dir)}")
        config = self._run_config(name, seed)
        origin = {
            "arm": name,
            "seed": seed,
            "config": self.comparison.arms[name].config.as_posix(),
            "cfg_options": self.comparison.arms[name].cfg_options,
            "budget": self.comparison.arms[name].budget,
            "start_sha256": self._digest,
            "settings": flat_settings(config),
            "environment": describe_environment(config.get("threads")),
        }
        try:
            _train(config, run_dir, seed, origin, self._workers)
            self._probes.bring(run_dir / "backbone.safetensors", run_dir, seed, self._say)
        except BaseException as error:
            add_note(error, f"arm {name!r}, seed {seed} ({run_dir}) stopped here; finished runs are kept.")
            raise

    @cached_property
    def _backbone(self) -> Path:
        return start_file(self.comparison)

    @cached_property
    def _digest(self) -> str:
        return file_digest(self._backbone)

    @cached_property
    def _calibration(self) -> Calibration:
        return Calibration(self.comparison, self._workers, self._configs, self._backbone, self._digest)

    def _run_config(self, name: str, seed: int) -> Any:
        config = copy.deepcopy(self._configs[name])
        config.arm = name
        config.budget = budget_of(self.comparison, self.comparison.arms[name], seed)
        self.comparison.arms[name].begin_at(config, self._backbone)
        if (other := self.comparison.arms[name].designer_of) is not None:
            config.designer_checkpoint = str(run_directory(self.comparison.work_dir, other, seed) / "checkpoint.pth")
        return config


def start_file(comparison: Comparison) -> Path:
    """Where the start checkpoint's backbone is, or will be."""
    return comparison.start.backbone or comparison.work_dir / START / "run" / EXPORTED


def start_is_there(comparison: Comparison) -> bool:
    file = start_file(comparison)
    return file.is_file() if comparison.start.config is None else is_trained(file.parent)


class _ProbeSet:
    """The probes, run once per backbone; results made with another probe config are refused rather than mixed."""

    def __init__(self, comparison: Comparison, workers: Workers):
        self._config, self._probe = workers.load_probes(comparison.probes), workers.probe
        self._settings = flat_settings(self._config)

    def bring(self, backbone: Path, run_dir: Path, seed: int, say: Callable[[str], None]) -> None:
        marker = run_dir / PROBED_FILE
        settings = {"backbone_sha256": file_digest(backbone), **self._settings}
        if marker.is_file():
            remove = f"remove {marker} to probe again"
            refuse_other_settings(read_json(marker)["settings"], settings, marker, remove)
            return
        say(f"probing {run_dir.parent.name}, seed {seed}")
        self._probe(backbone, self._config, run_dir, seed)
        write_json(marker, {"settings": settings})


def _start(comparison: Comparison, workers: Workers, say: Callable[[str], None]) -> Path:
    """The start checkpoint's backbone file, written or trained first where the comparison does not give it."""
    start = comparison.start
    if start.backbone is not None:
        say(f"start checkpoint: {start.backbone}")
        return start.backbone
    run_dir = comparison.work_dir / START / "run"
    if start.backbone_of is not None:
        _write_start(comparison.arms[start.backbone_of], run_dir, workers, say)
        return start_file(comparison)
    config = workers.load_config(start.config, start.cfg_options)
    if start.budget is not None:
        config.budget = dict(start.budget)
    say(f"start checkpoint: {'finished' if is_trained(run_dir) else state_of(run_dir)}")
    origin = {
        "arm": START,
        "seed": start.seed,
        "config": start.config.as_posix(),
        "cfg_options": start.cfg_options,
        "settings": flat_settings(config),
        "environment": describe_environment(config.get("threads")),
    }
    _train(config, run_dir, start.seed, origin, workers)
    return start_file(comparison)


def _write_start(arm: Arm, run_dir: Path, workers: Workers, say: Callable[[str], None]) -> None:
    """The backbone that the arm's config begins with, unless it is there."""
    config, begun = _load(arm, workers), run_dir / ORIGIN_FILE
    settings = flat_settings(config.backbone)
    say(f"start checkpoint: the backbone of {arm.config}, as it is")
    if begun.is_file():
        remove = f"remove {run_dir} to take that one, or give another --work-dir"
        refuse_other_settings(read_json(begun)["settings"], settings, begun, remove)
    else:
        write_json(begun, {"arm": START, "config": arm.config.as_posix(), "settings": settings})
    if not (run_dir / EXPORTED).is_file():
        workers.export(config, run_dir / EXPORTED)


def _train(config: Any, run_dir: Path, seed: int, origin: dict, workers: Workers) -> None:
    begun = run_dir / ORIGIN_FILE
    if begun.is_file():
        made = read_json(begun)
        remove = f"remove {run_dir} to run it again, or give another --work-dir"
        comparable = ("settings", "start_sha256")
        before, now = ({**run.get("settings", {}), comparable[1]: run.get(comparable[1])} for run in (made, origin))
        refuse_other_settings(before, now, begun, remove)
    if is_trained(run_dir):
        return
    resume = (run_dir / "checkpoint.pth").is_file()
    if not resume:
        write_json(begun, origin)
    workers.train(config, run_dir, seed, resume)
    if not is_trained(run_dir):
        raise RuntimeError(f"{run_dir}: training returned, but run.json does not say that the run is finished")


def _load(arm: Arm, workers: Workers) -> Any:
    try:
        config = workers.load_config(arm.config, arm.cfg_options)
    except Exception as error:
        add_note(error, f"while loading the config of arm {arm.name!r}")
        raise
    if config.get("continue_run") and arm.continues != "run":  # "run" puts the start's run in its place
        raise ConfigError(
            f"arm {arm.name!r}: {arm.config} with its cfg_options has continue_run={config.continue_run!r}, whose "
            "weights would take the place of the comparison's start; leave it out, and give start=dict(config=FILE) "
            "and the arm continues='run'"
        )
    return config


def _measure_one_step(comparison: Comparison, configs: dict[str, Any], workers: Workers) -> None:
    """Give every arm the one-step probe, and to those without feedback that of `feedback_of`, to measure with only."""
    probe = comparison.one_step
    lender = _load(comparison.arms[probe.feedback_of], workers).to_dict().get("feedback")
    if not lender:
        raise ConfigError(f"one_step_probe: feedback_of={probe.feedback_of!r} names an arm without feedback")
    lender.pop("control", None)
    for config in configs.values():
        config.one_step_probe = dict(probe.settings)
        if not config.get("feedback"):
            config.feedback = copy.deepcopy(lender)
        for pool in config.feedback.pools.values():
            pool.heldout = probe.images


def settle_continues(comparison: Comparison, configs: dict[str, Any], workers: Workers) -> Comparison:
    """What each arm of `configs` takes of the start, where the comparison does not say.

    The whole run if the start was trained with the arm's objective, for a fresh SSL head harms the backbone
    (docs/continuing.md), and else the backbone.

    Raises:
        ConfigError: the arm has the start's objective with other settings, so that its head may be another one.
    """
    undecided = [name for name in configs if comparison.arms[name].continues is None]
    start = comparison.start
    if not undecided:
        return comparison
    arms, trained_with, groups = dict(comparison.arms), None, None
    if start.config is not None:
        begins = workers.load_config(start.config, start.cfg_options)
        trained_with, groups = _objective_of(begins), _parameter_groups(begins)
    for name in undecided:
        own = _objective_of(configs[name])
        same = trained_with is not None and own is not None and own["type"] == trained_with["type"]
        changed = different_keys(trained_with, own) if same else []
        if same and (changed := changed + different_keys(groups, _parameter_groups(configs[name]))):
            raise ConfigError(
                f"arm {name!r} has the objective of the start with another {', '.join(changed)}: give the arm "
                "continues='run' to take the start's SSL head along, which must fit, or 'backbone' for a fresh head"
            )
        arms[name] = replace(arms[name], continues="run" if same else "backbone")
    return replace(comparison, arms=arms)


def _objective_of(config: Any) -> dict[str, Any] | None:
    """Its settings, flat, with the class itself as type: a class can be named by more than one path."""
    if not config.get("objective"):
        return None
    node = config.objective
    return flat_settings(node) | {"type": resolve(node["type"], "objective")}


def _parameter_groups(config: Any) -> dict[str, Any]:
    """What decides which weights the optimizer has, and in which groups: its moments fit no other ones."""
    lora = config.backbone.get("lora") if config.get("backbone") else None
    return {
        "backbone.lora": None if lora is None else dict(lora),
        "layer_decay": config.get("layer_decay", 1.0),
        "decay_tokens": config.get("decay_tokens", False),
    }


def check_sources(comparison: Comparison, wanted: list[tuple[str, int]]) -> None:
    """ValueError when an arm follows another that is neither wanted nor there."""
    for name, seed in wanted:
        for other in sorted(comparison.arms[name].follows):
            if (other, seed) not in wanted and not is_trained(run_directory(comparison.work_dir, other, seed)):
                raise ValueError(
                    f"arm {name!r} takes its steps or its designer from {other!r}, which has not been run with seed "
                    f"{seed}; add {other} to --arms"
                )

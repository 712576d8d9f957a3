"""Run what is missing of a comparison, and keep what is there."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vssl.comparison.environment import describe_environment
from vssl.comparison.plan import Arm, Comparison, run_order
from vssl.comparison.settings import flat_settings
from vssl.comparison.workers import Workers, write_json
from vssl.compat import add_note, file_digest
from vssl.engine.config import ConfigError
from vssl.reports import ORIGIN_FILE, START, different_keys, read_json, run_directory

PROBED_FILE = "probed.json"


def execute(
    comparison: Comparison,
    workers: Workers,
    arms: list[str] | None = None,
    seeds: list[int] | None = None,
    after_each: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = print,
) -> None:
    """Train and probe every arm × seed that is not finished, in this process.

    A finished run is kept, a half-finished one is resumed from its checkpoint, one that finished without its probes is
    probed. A run that stops with an error ends the comparison with that error; everything that was finished stays.

    Args:
        arms, seeds: do only these; default all.
        after_each: called whenever a run has been finished and probed.
        say: receives one line per run.

    Raises:
        ValueError: something on disk was made with other settings or from another start checkpoint.
    """
    arms = arms if arms is not None else list(comparison.arms)
    wanted = [(arm, seed) for arm, seed in run_order(comparison.arms, seeds or comparison.seeds) if arm in arms]
    _check_sources(comparison, wanted)
    configs = {name: _load(comparison.arms[name], workers) for name in arms}  # a broken config fails before any work
    if comparison.one_step is not None:
        _measure_one_step(comparison, configs, workers)
    probes = _ProbeSet(comparison, workers)

    backbone = _start(comparison, workers, say)
    for seed in comparison.start.probe_seeds:
        if seeds is None or seed in seeds:
            probes.bring(backbone, run_directory(comparison.work_dir, START, seed), seed, say)
    after_each()
    digest = file_digest(backbone)
    for position, (name, seed) in enumerate(wanted, start=1):
        run_dir = run_directory(comparison.work_dir, name, seed)
        say(f"[{position}/{len(wanted)}] {name}, seed {seed}: {state_of(run_dir)}")
        config = copy.deepcopy(configs[name])
        config.arm = name
        config.budget = budget_of(comparison, comparison.arms[name], seed)
        config.backbone.checkpoint = str(backbone)
        if (other := comparison.arms[name].designer_of) is not None:
            config.designer_checkpoint = str(run_directory(comparison.work_dir, other, seed) / "checkpoint.pth")
        origin = {
            "arm": name,
            "seed": seed,
            "config": comparison.arms[name].config.as_posix(),
            "cfg_options": comparison.arms[name].cfg_options,
            "start_sha256": digest,
            "settings": flat_settings(config),
            "environment": describe_environment(config.get("threads")),
        }
        try:
            _train(config, run_dir, seed, origin, workers)
            probes.bring(run_dir / "backbone.safetensors", run_dir, seed, say)
        except BaseException as error:
            add_note(error, f"arm {name!r}, seed {seed} ({run_dir}) stopped here; finished runs are kept.")
            raise
        after_each()


def state_of(run_dir: Path) -> str:
    """``"finished"``, ``"to probe"``, ``"to resume (step N)"`` or ``"to run"``."""
    if is_trained(run_dir):
        return "finished" if (run_dir / PROBED_FILE).is_file() else "to probe"
    if (run_dir / "checkpoint.pth").is_file():
        step = read_json(run_dir / "run.json").get("steps") if (run_dir / "run.json").is_file() else None
        return "to resume" if step is None else f"to resume (step {step})"
    return "to run"


def is_trained(run_dir: Path) -> bool:
    return (run_dir / "run.json").is_file() and bool(read_json(run_dir / "run.json").get("finished"))


def budget_of(comparison: Comparison, arm: Arm, seed: int) -> dict:
    """The arm's budget; for a step-matched arm the steps that the other arm took with the same seed, on its clock."""
    if arm.steps_of is None:
        return dict(arm.budget)
    record = run_directory(comparison.work_dir, arm.steps_of, seed) / "run.json"
    followed = comparison.arms[arm.steps_of]
    while followed.steps_of is not None:
        followed = comparison.arms[followed.steps_of]
    clock = {"clock": followed.budget["clock"]} if "clock" in followed.budget else {}
    return {"steps": int(read_json(record)["steps"])} | clock


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
            _refuse_other_settings(read_json(marker)["settings"], settings, marker, remove)
            return
        say(f"probing {run_dir.parent.name}, seed {seed}")
        self._probe(backbone, self._config, run_dir, seed)
        write_json({"settings": settings}, marker)


def _start(comparison: Comparison, workers: Workers, say: Callable[[str], None]) -> Path:
    """The start checkpoint's backbone file, trained first when the comparison gives a config for it."""
    start = comparison.start
    if start.backbone is not None:
        return start.backbone
    run_dir = comparison.work_dir / START / "run"
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
    return run_dir / "backbone.safetensors"


def _train(config: Any, run_dir: Path, seed: int, origin: dict, workers: Workers) -> None:
    begun = run_dir / ORIGIN_FILE
    if begun.is_file():
        made = read_json(begun)
        remove = f"remove {run_dir} to run it again, or give another --work-dir"
        comparable = ("settings", "start_sha256")
        before, now = ({**run.get("settings", {}), comparable[1]: run.get(comparable[1])} for run in (made, origin))
        _refuse_other_settings(before, now, begun, remove)
    if is_trained(run_dir):
        return
    resume = (run_dir / "checkpoint.pth").is_file()
    if not resume:
        write_json(origin, begun)
    workers.train(config, run_dir, seed, resume)
    if not is_trained(run_dir):
        raise RuntimeError(f"{run_dir}: training returned, but run.json does not say that the run is finished")


def _load(arm: Arm, workers: Workers) -> Any:
    try:
        return workers.load_config(arm.config, arm.cfg_options)
    except Exception as error:
        add_note(error, f"while loading the config of arm {arm.name!r}")
        raise


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
            pool.probe = probe.images


def _check_sources(comparison: Comparison, wanted: list[tuple[str, int]]) -> None:
    for name, seed in wanted:
        for other in sorted(comparison.arms[name].follows):
            if (other, seed) not in wanted and not is_trained(run_directory(comparison.work_dir, other, seed)):
                raise ValueError(
                    f"arm {name!r} takes its steps or its designer from {other!r}, which has not been run with seed "
                    f"{seed}; add {other} to --arms"
                )


def _refuse_other_settings(before: dict, now: dict, file: Path, remedy: str) -> None:
    changed = different_keys(before, now)
    if not changed:
        return
    listed = "; ".join(f"{key}: {before.get(key)!r} then, {now.get(key)!r} now" for key in changed[:5])
    more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
    raise ValueError(f"{file} was made with other settings ({listed}{more}); {remedy}")

"""What ``tools/sweep.py`` does."""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vssl.comparison.execute import settle_continues
from vssl.comparison.refusal import OtherSettings, refuse_other_settings
from vssl.comparison.workers import Workers, default_workers
from vssl.compat import add_note
from vssl.config_files import read_config
from vssl.counts import counted
from vssl.engine.config import ConfigError
from vssl.engine.settings import flat_settings
from vssl.known_keys import nearest
from vssl.probes.run import build_probes
from vssl.reports import read_json
from vssl.scores import Score
from vssl.sweep.sharing import Opening, one_at_a_time
from vssl.sweep.study import RUNNING, import_optuna, storage_url
from vssl.sweep.sweep_files import best_line, cost_line, table, write_report
from vssl.sweep.sweep_jobs import cluster_of, run_on_cluster
from vssl.sweep.sweep_plan import BASELINE, Sweep, read_sweep
from vssl.sweep.trial_results import collect
from vssl.sweep.trials import execute
from vssl.whole_files import write_json


def run_command(options: argparse.Namespace, command: str, workers: Workers | None = None) -> None:
    """Check everything, then run what is missing, and print the table.

    Args:
        options: of the parser in vssl/commands/sweep.py.
        command: how it was called, for the report.
        workers: default to the real engine and probes.
    """
    if options.jobs < 1:
        raise ConfigError(f"--jobs {options.jobs}: expected 1 or more")
    import_optuna()
    instead = {"trials": options.trials, "sampler": options.sampler, "seed": options.seed}
    sweep = read_sweep(read_config(options.config).to_dict(), options.config, options.work_dir, **instead)
    cluster = cluster_of(options, sweep.work_dir)
    sweep.configs().check_ends()
    workers = workers or default_workers()
    base = workers.load_config(sweep.template.arms[BASELINE].config, sweep.options)
    probes = workers.load_probes(sweep.template.probes)
    info = score_info(sweep, probes)
    if options.check:
        print(f"checked: {counted(len(sweep.space), 'key')}, {', '.join(sweep.scores)}; nothing was run or written")
        return
    template = settle_continues(sweep.template, {BASELINE: base}, workers)  # once, for all trials alike
    sweep = replace(sweep, template=template)
    sweep.work_dir.mkdir(parents=True, exist_ok=True)
    directions = ["maximize" if meaning.better == "higher" else "minimize" for meaning in info.values()]
    url, name = storage_url(options.storage, sweep.work_dir), options.study or sweep.work_dir.resolve().name
    opening = Opening(directions, _settings(sweep, base, probes), url, name)
    with one_at_a_time(sweep.work_dir):
        study = opening.open(sweep)
        _belong_together(sweep.work_dir, {"study": name, "storage": options.storage and study.shown_url})

    def report() -> dict[str, Any]:
        results = collect(sweep, study, info, command)
        write_report(results, sweep)
        return results

    try:
        if cluster is None:
            execute(sweep, study, workers, after_each=report, jobs=options.jobs, opening=opening)
        else:
            run_on_cluster(cluster, options, command)
    except BaseException as error:
        add_note(error, f"Finished trials are kept; the same command goes on from here: {command}")
        raise
    with one_at_a_time(sweep.work_dir):
        results = report()
    print(table(results), cost_line(results), sep="\n\n")
    print(f"report: {(sweep.work_dir / 'results.md').resolve()}")
    if others := results["cost"]["trials"][RUNNING]:
        still = counted(others, "trial")
        print(f"{still} still run by other processes; the one that ends last writes the whole report")
    elif not results["best"]:
        raise ValueError(f"no trial has finished; {sweep.work_dir / 'trials.csv'} says why")
    if results["best"]:
        print(best_line(results, sweep.work_dir))


def _belong_together(work_dir: Path, now: dict[str, Any]) -> None:
    """Raises OtherSettings where the trials in this folder are another study's."""
    file = work_dir / "study.json"
    if file.is_file():
        refuse_other_settings(read_json(file), now, file, "give --study and --storage as then, or another --work-dir")
    elif folders := sorted(work_dir.glob("trial_*")):
        raise OtherSettings(
            f"{folders[0]} is there, but no {file.name}: it is no trial of this study; give another --work-dir"
        )
    else:
        write_json(file, now)


def score_info(sweep: Sweep, probes: Any) -> dict[str, Score]:
    """The meaning of each of the sweep's scores.

    Raises:
        ConfigError: the probes give no such score, or one that has no direction.
    """
    built = build_probes(probes)
    known = {f"{probe}/{score}": info for probe in built for score, info in built[probe].score_info().items()}
    for score in sweep.scores:
        judged = sorted(name for name, info in known.items() if info.better is not None)
        if score not in judged:
            hint = nearest(score, judged) or f"; it can be one of {', '.join(judged)}"
            raise ConfigError(f"{sweep.source}: scores: the probes have no score {score!r} to search by{hint}")
    return {score: known[score] for score in sweep.scores}


def _settings(sweep: Sweep, base: Any, probes: Any) -> dict[str, Any]:
    """What the results of trials depend on, flat."""
    start, arm = sweep.template.start, sweep.template.arms[BASELINE]
    about: Mapping[str, Any] = {
        "start": {
            "source": (start.backbone or start.config).as_posix(), "options": start.cfg_options, "seed": start.seed,
            "budget": start.budget,
        },
        "space": {key.replace(".", "/"): parameter.described() for key, parameter in sweep.space.items()},
        "scores": list(sweep.scores), "sampler": sweep.sampler, "seed": sweep.seed, "seeds": sweep.template.seeds,
        "budget": sweep.budget, "continues": arm.continues,
        "pruning": None if sweep.pruning is None else vars(sweep.pruning),
    }  # fmt: skip
    made = flat_settings(about)
    for name, config in (("trial", base), ("probes", probes)):
        made |= {f"{name}.{key}": value for key, value in flat_settings(config).items()}
    return made

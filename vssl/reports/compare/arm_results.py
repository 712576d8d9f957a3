"""From a comparison's folder to its results: scores per arm and seed, their spread, and paired differences.

What `collect` returns is what ``results.json`` holds, and every number on the page and in the table is read from it.
"""

import json
from dataclasses import asdict
from pathlib import Path

from vssl.reports.compare.evidence import add_evidence, evidence_of
from vssl.reports.compare.headroom import add_headroom, headroom_line
from vssl.reports.compare.matched_budgets import clock_of, read_calibration
from vssl.reports.compare.notes import find_notes
from vssl.reports.compare.verdict import judge
from vssl.reports.metrics import Metric, describe_metrics, scores_of
from vssl.reports.runs import START, Run, protocol_of, read_run, run_directory, seconds_per_phase
from vssl.reports.statistics import adjust_p_values, paired_difference, summarise
from vssl.whole_files import write_text

FORMAT = 1

Scores = dict[str, dict[int, float]]  # metric key → seed → score


def collect(work_dir: str | Path, layout: dict, environment: dict | None = None) -> dict:
    """Read every run that `layout` names under `work_dir` and compute the comparison's results.

    Args:
        layout: ``title``, ``command``, ``baseline``, ``candidate``, ``headroom`` (an arm, or None), ``seeds``,
            ``arms`` (``{name: {"label", "budget", "config", "against", ...}}``; ``against``: the arm that it is
            compared with, the baseline by default), ``start`` (``{"label", "source", ...}``), and ``correction``
            (None, "holm" or "bonferroni": p-values of all these differences are corrected together, metric by metric).
        environment: the machine and versions; shown as they are.

    Runs that are not there yet are listed under ``missing`` and left out of the numbers. Raises ValueError or
    FileNotFoundError with the file's name when something that is there cannot be read.
    """
    work_dir = Path(work_dir)
    seeds = list(layout["seeds"])
    start_runs = {seed: read_run(run_directory(work_dir, START, seed), trained=False) for seed in seeds}
    arm_runs = {arm: {seed: read_run(run_directory(work_dir, arm, seed)) for seed in seeds} for arm in layout["arms"]}
    everything = [*start_runs.values(), *(run for runs in arm_runs.values() for run in runs.values())]
    metrics = describe_metrics(_score_info(everything))

    start = _arm_results(work_dir, layout["start"], start_runs, metrics)
    arms = {
        arm: _arm_results(work_dir, {"label": arm, "against": layout["baseline"], **about}, arm_runs[arm], metrics)
        for arm, about in layout["arms"].items()
    }
    for arm, result in arms.items():
        result["calibration"] = read_calibration(work_dir, arm)
        result["difference_to_start"] = _differences(result, start, metrics, fill_in=True)
        result["difference"] = (
            {} if arm == layout["baseline"] else _differences(result, arms[result["against"]], metrics)
        )
    _correct(arms, metrics, layout.get("correction"))

    results = {
        "format": FORMAT,
        **{key: layout.get(key) for key in ("title", "command", "baseline", "candidate", "headroom", "correction")},
        "seeds": seeds,
        "metrics": [metric.as_dict() for metric in metrics],
        "start": start,
        "arms": arms,
        "missing": _missing(layout, arm_runs, start_runs),
        "cards": _cards(everything),
        "environment": _environment(environment or {}, everything),
    }
    results["notes"] = find_notes(results, arm_runs, start_runs)
    add_headroom(results)
    add_evidence(results)
    results["verdict"] = judge(results) | {"headroom": headroom_line(results)}
    return results


def write_results(results: dict, path: str | Path) -> None:
    """Write `results` as strict JSON (no NaN)."""
    write_text(Path(path), json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _arm_results(work_dir: Path, about: dict, runs: dict[int, Run], metrics: list[Metric]) -> dict:
    usable = {seed: run for seed, run in runs.items() if run.why_missing is None}
    scores = _scores(usable)
    return {
        **about,
        "settings": next((run.origin["settings"] for run in usable.values() if "settings" in run.origin), None),
        "runs": {str(seed): _run_results(work_dir, run) for seed, run in usable.items()},
        "aggregate": {
            metric.key: asdict(summarise(scores[metric.key])) for metric in metrics if scores.get(metric.key)
        },
    }


def _run_results(work_dir: Path, run: Run) -> dict:
    last = run.metrics[-1] if run.metrics else {}
    speed = [row["images_per_second"] for row in run.metrics if "images_per_second" in row]
    return {
        "run_dir": run.path.relative_to(work_dir).as_posix(),
        "scores": {probe: result["scores"] for probe, result in run.probes.items()},
        "steps": run.info.get("steps"),
        "seconds": run.info.get("seconds"),
        "clock": clock_of(run.info.get("budget")),
        "seconds_per_step": run.info["seconds"] / run.info["steps"] if run.info.get("steps") else None,
        "budget": run.info.get("budget"),
        "objective": run.info.get("objective"),
        "designer": run.info.get("designer"),
        "seconds_per_phase": seconds_per_phase(run.metrics),
        "images_per_second": sum(speed) / len(speed) if speed else None,
        "peak_memory_mb": last.get("peak_memory_mb"),
        **evidence_of(run),
        "probe_seconds": {probe: result.get("seconds") for probe, result in run.probes.items()},
    }


def _score_info(runs: list[Run]) -> dict[str, dict[str, dict]]:
    """What every score of every probe that any run has means, in the order of the first run that has it."""
    info: dict[str, dict[str, dict]] = {}
    for run in runs:
        for probe, result in run.probes.items():
            info.setdefault(probe, {}).update({name: result["score_info"][name] for name in result["scores"]})
    return info


def _scores(runs: dict[int, Run]) -> Scores:
    scores: Scores = {}
    for seed, run in runs.items():
        for probe, result in run.probes.items():
            for name, value in result["scores"].items():
                if value is not None:  # a score that is not finite is named in the notes
                    scores.setdefault(f"{probe}/{name}", {})[seed] = value
    return scores


def _differences(arm: dict, reference: dict, metrics: list[Metric], fill_in: bool = False) -> dict:
    """Paired differences of every metric that both have.

    fill_in: seeds that `reference` lacks are compared with its mean. That is right for the start checkpoint alone: it
    is one file for all seeds, so a seed changes its probe at most.
    """
    differences = {}
    for metric in metrics:
        ours, theirs = scores_of(arm, metric.key), scores_of(reference, metric.key)
        if fill_in and theirs:
            theirs = {seed: reference["aggregate"][metric.key]["mean"] for seed in ours} | theirs
        if set(ours) & set(theirs):
            differences[metric.key] = asdict(paired_difference(ours, theirs))
    return differences


def _correct(arms: dict, metrics: list[Metric], method: str | None) -> None:
    """Add ``p_corrected`` to the arms' differences, corrected over arms, where there are several."""
    if method is None:
        return
    for metric in metrics:
        tested = [arm["difference"][metric.key] for arm in arms.values() if metric.key in arm["difference"]]
        tested = [difference for difference in tested if difference["p"] is not None]
        if len(tested) < 2:
            continue
        corrected = adjust_p_values([difference["p"] for difference in tested], method)
        for difference, p in zip(tested, corrected, strict=True):
            difference["p_corrected"] = p


def _missing(layout: dict, arm_runs: dict[str, dict[int, Run]], start_runs: dict[int, Run]) -> list[dict]:
    wanted_start = layout["start"].get("probe_seeds", layout["seeds"])
    runs = [(START, seed, run) for seed, run in start_runs.items() if seed in wanted_start]
    runs += [(arm, seed, run) for arm, by_seed in arm_runs.items() for seed, run in by_seed.items()]
    return [{"arm": arm, "seed": seed, "why": run.why_missing} for arm, seed, run in runs if run.why_missing]


def _environment(environment: dict, runs: list[Run]) -> dict:
    """`environment`, with the machine and threads that the runs were made with where they agree: a process that only
    reports may well have other threads."""
    made = [run.origin["environment"] for run in runs if run.why_missing is None and "environment" in run.origin]
    agreed = {
        key: made[0][key]
        for key in ("machine", "threads")
        if made and key in made[0] and all(one.get(key) == made[0][key] for one in made)
    }
    return {**environment, **agreed}


def _cards(runs: list[Run]) -> dict[str, dict]:
    """One protocol card per probe, without what names the single run."""
    cards: dict[str, dict] = {}
    for run in runs:
        for probe, result in run.probes.items():
            if "card" in result:
                cards.setdefault(probe, protocol_of(result))
    return cards

"""The files that a sweep writes for readers: results.json, results.md, trials.csv, and its best configs."""

import csv
import io
from pathlib import Path
from typing import Any

from vssl.config_files import read_config
from vssl.counts import counted
from vssl.sweep.study import FINISHED, PRUNED
from vssl.sweep.sweep_plan import Sweep
from vssl.whole_files import write_json, write_text

BEST_FILE, FRONT = "best.py", "front"


def write_report(results: dict[str, Any], sweep: Sweep) -> None:
    """Write all of it into the sweep's work directory; what an earlier call wrote is replaced."""
    write_json(sweep.work_dir / "results.json", results)
    write_text(sweep.work_dir / "results.md", markdown(results, sweep))
    write_text(sweep.work_dir / "trials.csv", table_csv(results))
    for number, file in best_files(results, sweep.work_dir).items():
        write_text(file, best_config(results["trials"][number], results, sweep))
    for stale in set(sweep.work_dir.glob(f"{FRONT}/*.py")) - set(best_files(results, sweep.work_dir).values()):
        stale.unlink()


def best_files(results: dict[str, Any], work_dir: Path) -> dict[int, Path]:
    """Number of each best trial, and the file of its config: one with one score, the Pareto front with two."""
    if len(results["scores"]) == 1:
        return {number: work_dir / BEST_FILE for number in results["best"][:1]}
    return {number: work_dir / FRONT / f"{results['trials'][number]['run']}.py" for number in results["best"]}


def best_config(trial: dict[str, Any], results: dict[str, Any], sweep: Sweep) -> str:
    """A training config: that of the trial's run, without the probes that pruned the search."""
    config = read_config(sweep.work_dir / trial["run"] / f"seed{sweep.template.seeds[0]}" / "config.py")
    config.arm = "searched"
    if sweep.pruning is not None:
        config.pop("probes")
    found = ", ".join(f"{score} {trial['scores'][score]:.4g}" for score in results["scores"])
    head = f"{trial['run']} of {_done(results)}: {found} on the sweep's probes."
    tried = "\n".join(f"    {key} = {value!r}" for key, value in trial["values"].items())
    cost = f"The search for it cost {results['cost']['baseline_steps']:.0f} steps of the baseline."
    return f'"""{head}\n\n{tried}\n\n{cost}\n"""\n\n{config.pretty_text}'


def table_csv(results: dict[str, Any]) -> str:
    """One row per trial, with everything that is a number or a word."""
    keys, scores = list(results["space"]), list(results["scores"])
    numbers = ["steps", "redone_steps", "steps_of_budget", "baseline_steps", "training_seconds", "processor_seconds"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", *keys, *scores, *numbers, "why"])
    for trial in results["trials"]:
        values = [trial["values"].get(key, "") for key in keys]
        writer.writerow(
            [trial["number"], trial["state"], *values, *(trial["scores"].get(score, "") for score in scores)]
            + ["" if trial[number] is None else trial[number] for number in numbers]
            + [trial["why"] or ""]
        )
    return text.getvalue()


def markdown(results: dict[str, Any], sweep: Sweep) -> str:
    """The table of trials, the best, importances, the cost, and the arm for a comparison."""
    parts = [f"# {results['title']}", f"    {results['command']}", table(results), cost_line(results)]
    if results["best"]:
        parts += [best_line(results, sweep.work_dir)]
        parts += [_importances(results)] if results["importances"] else []
        parts += ["As an arm of a comparison (docs/sweep.md):", _arm(results, sweep)]
    else:
        parts += ["No trial has finished yet."]
    return "\n\n".join(parts) + "\n"


def table(results: dict[str, Any]) -> str:
    """A Markdown table: trials that finished from best to worst by the first score, then the others."""
    scores = list(results["scores"])
    sign = -1 if results["scores"][scores[0]]["better"] == "higher" else 1

    def place(trial: dict) -> tuple:
        return (trial["state"] != FINISHED, sign * trial["scores"].get(scores[0], 0.0), trial["number"])

    rows = [["trial", "state", *map(_title(results), scores), *results["space"], "baseline steps"]]
    rows += [["start", "", *(_number(results, score, results["start"][score]) for score in scores)]]
    for trial in sorted(results["trials"], key=place):
        found = [_number(results, score, trial["scores"].get(score)) for score in scores]
        values = [_short(trial["values"].get(key)) for key in results["space"]]
        best = " (best)" if trial["number"] in results["best"] else ""
        state = f"pruned at step {trial['steps']}" if trial["state"] == PRUNED else trial["state"] + best
        rows += [[str(trial["number"]), state, *found, *values, f"{trial['baseline_steps']:.0f}"]]
    width = len(rows[0])
    rows = [row + [""] * (width - len(row)) for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * width, *lines[1:]])


def cost_line(results: dict[str, Any]) -> str:
    cost = results["cost"]
    kind = "processor" if cost["clock"] == "processor" else "elapsed"
    return (
        f"The search ({_done(results)}) cost {cost['baseline_steps']:.0f} steps of the baseline, {cost['budgets']:.2f} "
        f"times the budget of one run. These took {cost['training_seconds']:.0f} {kind} seconds; with timing, probes "
        f"and checkpoints it was {cost['processor_seconds']:.0f} processor seconds."
    )


def best_line(results: dict[str, Any], work_dir: Path) -> str:
    files = ", ".join(path.as_posix() for path in best_files(results, work_dir).values())
    if len(results["scores"]) == 1:
        return f"The best trial is {results['best'][0]}: {files}"
    return f"No other trial surpasses {', '.join(map(str, results['best']))} in both scores: {files}"


def _importances(results: dict[str, Any]) -> str:
    finished = results["cost"]["trials"][FINISHED]
    lines = [f"Share of the variance of each score that a key explains (fANOVA), from {finished} finished trials:"]
    for score, shares in results["importances"].items():
        told = ", ".join(f"{key} {100 * share:.0f} %" for key, share in shares.items())
        lines.append(f"- {score}: {told}")
    return "\n".join([lines[0], "", *lines[1:]])


def _arm(results: dict[str, Any], sweep: Sweep) -> str:
    file = next(iter(best_files(results, sweep.work_dir).values())).as_posix()
    continues = next(iter(sweep.template.arms.values())).continues
    of_start = f'continues="{continues}", ' if continues else ""  # None: as the comparison has it by default
    label = f"best of {counted(len(results['trials']), 'trial')} by search ({results['cost']['budgets']:.1f} budgets)"
    return f'    searched=dict(config="{file}", {of_start}label="{label}"),'


def _done(results: dict[str, Any]) -> str:
    told = [f"{count} {state}" for state, count in results["cost"]["trials"].items() if count]
    return f"{counted(len(results['trials']), 'trial')}: {', '.join(told)}"


def _title(results: dict[str, Any]):
    def title(score: str) -> str:
        meaning = results["scores"][score]
        unit = f" ({meaning['unit']})" if meaning["unit"] else ""
        return f"{score.split('/')[0]} {meaning['title']}{unit}{' ↓' if meaning['better'] == 'lower' else ''}"

    return title


def _number(results: dict[str, Any], score: str, value: float | None) -> str:
    return "–" if value is None else f"{value:.{results['scores'][score]['digits']}f}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "–" if value is None else str(value)

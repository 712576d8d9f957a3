"""The comparison as one HTML file that needs nothing beside it."""

from pathlib import Path

from vssl.counts import counted
from vssl.reports.compare.classes import per_class_tables
from vssl.reports.compare.evidence import drops_table, signal_rows
from vssl.reports.compare.headroom import headroom_table
from vssl.reports.compare.matched_budgets import (
    CLOCKS,
    clock_of,
    cost_lines,
    mean_of,
    mean_seconds,
    time_mismatch,
    time_unit,
)
from vssl.reports.compare.run_curves import Logs, curves_figure, probe_curves_figure
from vssl.reports.compare.table import format_summary, set_against
from vssl.reports.compare.verdict import outcome_of
from vssl.reports.compare.verdict_figures import mean_phases, phases_figure, verdict_figure
from vssl.reports.drawing import START_COLOUR, arm_colours, to_png, to_svg
from vssl.reports.markup import render
from vssl.reports.metrics import format_difference, format_number, format_p
from vssl.reports.pictures import predictions, sample_views
from vssl.reports.runs import read_metrics, read_online_probes
from vssl.whole_files import write_text


def write_page(results: dict, work_dir: str | Path) -> Path:
    """Write ``index.html`` and, for a README, ``verdict.png`` into `work_dir`; returns the page's path.

    Args:
        results: what `vssl.reports.collect` returned.
        work_dir: the comparison's folder; logs, sample views and predictions are read from its runs.
    """
    work_dir = Path(work_dir)
    page = work_dir / "index.html"
    write_text(page, render_page(results, work_dir))
    picture = verdict_figure(results, heading=True)
    if picture is not None:
        (work_dir / "verdict.png").write_bytes(to_png(picture))
    return page


def render_page(results: dict, work_dir: Path) -> str:
    logs, start, colours = _logs(results, work_dir), results["start"], arm_colours(results)
    headline = [metric for metric in results["metrics"] if metric["headline"]]
    figures = {
        "verdict": verdict_figure(results),
        "curves": curves_figure(results, logs),
        "probe-curves": probe_curves_figure(results, logs),
        "phases": phases_figure(results),
    }
    drawn = {name: None if found is None else to_svg(found, name) for name, found in figures.items()}
    return render(
        "comparison.html",
        title=results["title"],
        results=results,
        tone=_tone(results["verdict"]),
        rows=[
            ("", start, START_COLOUR, ""),
            *((name, arm, colours[name], set_against(results, arm)) for name, arm in results["arms"].items()),
        ],
        headline_metrics=headline,
        other_metrics=[metric for metric in results["metrics"] if not metric["headline"]],
        metrics_of_start=[metric for metric in headline if metric["key"] in start["aggregate"]],
        directions={True: "lower is better", False: "higher is better", None: "direction not known"},
        reading_help=_reading_help(results),
        budgets=cost_lines(results),
        figures={name.replace("-", "_"): svg for name, svg in drawn.items()},
        headroom=headroom_table(results),
        per_class=per_class_tables(results, work_dir),
        one_step=drops_table(results),
        signals=signal_rows(results),
        cost=_cost_table(results),
        views=sample_views(results, work_dir),
        predictions=predictions(results, work_dir),
        card_rows=lambda card: [[key, _plain(value)] for key, value in card.items()],
        settings=_settings(results),
        environment=_environment(results),
        extent=_extent,
        outcome_of=outcome_of,
        format_difference=format_difference,
        format_p=format_p,
        format_summary=format_summary,
    )


def _tone(verdict: dict) -> str:
    """Green and red are kept for findings that stand; amber for those that may not."""
    return verdict["outcome"] if verdict["firm"] or verdict["outcome"] in ("none", "undecided") else "mixed"


def _extent(arm: dict) -> str:
    seeds = counted(len(arm["runs"]), "seed")
    if not any(run["steps"] for run in arm["runs"].values()):
        return f"probed with {seeds}"
    return f"{seeds} · {mean_of(arm, 'steps', 0)} steps · {mean_seconds(arm)} s"


def _reading_help(results: dict) -> str:
    baseline, candidate = (results["arms"][results[role]] for role in ("baseline", "candidate"))
    arms = results["arms"].values()
    other = ", or to the arm that is named there" if any(set_against(results, arm) for arm in arms) else ""
    text = (
        f"Mean ± standard deviation over seeds; below it the difference to {baseline['label']}{other}, taken seed by "
        "seed, with the Student t-interval of its mean (95 %). Green and red: the interval excludes zero, and three "
        "seeds or more are behind it. An effect smaller than half an interval's width cannot be seen with this many "
        "seeds."
    )
    mismatch = time_mismatch(results)
    if mismatch and "seconds" in (candidate.get("budget") or {}):
        largest, clock = 100 * max(mismatch.values()), CLOCKS[clock_of(candidate["budget"])]
        text += f" {candidate['label']} and {baseline['label']} differ by at most {largest:.1f} % in {clock}."
    return text


def _cost_table(results: dict) -> dict[str, list]:
    measured = dict.fromkeys(phase for arm in results["arms"].values() for phase in mean_phases(arm))
    phases = sorted(measured, key=lambda phase: phase == "other")
    header = ["", "steps", time_unit(results), "ms per step", "images/s", "peak memory (MB)"]
    header += [f"{phase} (ms)" for phase in phases]
    rows = []
    for arm in results["arms"].values():
        by_phase = mean_phases(arm)
        row = [arm["label"], mean_of(arm, "steps", 0), mean_seconds(arm)]
        row += [
            mean_of(arm, "seconds_per_step", 1, factor=1e3),
            mean_of(arm, "images_per_second", 0),
            mean_of(arm, "peak_memory_mb", 0),
        ]
        rows.append(row + [format_number(1e3 * by_phase[p], 1) if p in by_phase else "–" for p in phases])
    return {"header": header, "rows": rows}


def _settings(results: dict) -> dict | None:
    """Settings in which the arms differ: `shared` by name with the baseline, and its arms' `own`; None for nothing."""
    settings = {name: arm["settings"] for name, arm in results["arms"].items() if arm["settings"] is not None}
    if results["baseline"] not in settings or len(settings) < 2:
        return None
    baseline = settings[results["baseline"]]
    keys = [key for key in dict.fromkeys(k for flat in settings.values() for k in flat)]
    keys = [key for key in keys if len({_plain(flat.get(key, "—")) for flat in settings.values()}) > 1]
    own = [
        key for key in keys if key not in baseline and len({_plain(f[key]) for f in settings.values() if key in f}) == 1
    ]

    def shown(key: str) -> dict:
        cells = [_plain(flat.get(key, "—")) for flat in settings.values()]
        return {"name": key, "cells": cells, "baseline": _plain(baseline.get(key, "—"))}

    return {
        "labels": [results["arms"][name]["label"] for name in settings],
        "shared": [shown(key) for key in keys if key not in own],
        "own": [shown(key) for key in own],
        "own_title": f"{counted(len(own), 'setting')} of parts that the baseline does not have",
    }


def _environment(results: dict) -> list[list[str]]:
    flat = {}
    for key, value in results["environment"].items():
        flat[key] = ", ".join(f"{k} {v}" for k, v in value.items() if v) if isinstance(value, dict) else value
    rows = [[str(key), str(value)] for key, value in flat.items() if value is not None]
    about = [["seeds", ", ".join(map(str, results["seeds"]))], ["start checkpoint", results["start"]["source"]]]
    about += [
        [arm["label"], f"{arm['config']}, {_plain(arm['budget'])}, {_plain(arm['cfg_options'])}"]
        for arm in results["arms"].values()
    ]
    return [*about, *rows]


def _logs(results: dict, work_dir: Path) -> Logs:
    logs: Logs = {}
    for name, arm in results["arms"].items():
        logs[name] = {}
        for seed, run in arm["runs"].items():
            log, probes = (work_dir / run["run_dir"] / file for file in ("metrics.jsonl", "online_probes.jsonl"))
            rows = read_metrics(log) if log.is_file() else []
            rows += read_online_probes(probes, results["cards"]) if probes.is_file() else []
            if rows:
                logs[name][int(seed)] = rows
    return logs


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} = {inner}" for key, inner in value.items()) or "no options"
    return f"{value:g}" if isinstance(value, float) else str(value)

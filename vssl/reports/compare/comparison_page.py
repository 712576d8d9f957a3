"""The comparison as one HTML file that needs nothing beside it."""

from html import escape
from pathlib import Path

from vssl.reports.compare.classes import per_class_tables
from vssl.reports.compare.evidence import evidence_section
from vssl.reports.compare.headroom import headroom_section
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
from vssl.reports.markup import absent, document, figure, paragraph, section, table
from vssl.reports.metrics import format_difference, format_number, format_p
from vssl.reports.pictures import predictions_section, views_section
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
    logs = _logs(results, work_dir)
    body = [
        _head(results),
        section("Scores", _score_table(results, headline=True), _reading_help(results), _seed_figure(results)),
        headroom_section(results),
        section("Did continuing help at all?", _against_start(results)),
        section("All scores", _score_table(results, headline=False), per_class_tables(results, work_dir)),
        section("Over the run", _log_curves(results, logs), _probe_curves(results, logs)),
        evidence_section(results),
        section("Cost", _phases(results), _cost_table(results)),
        section("Sample views at the end of training", views_section(results, work_dir)),
        section("Predictions of the probes", predictions_section(results, work_dir)),
        section("Probe protocols", _cards(results)),
        section("What the arms do differently", _settings(results)),
        section("How it was made", _environment(results)),
    ]
    return document(results["title"], "\n".join(body))


def _head(results: dict) -> str:
    verdict = results["verdict"]
    lines = "".join(map(_verdict_line, verdict["lines"]))
    notes = "".join(f"<li>{escape(note)}</li>" for note in results["notes"])
    return "\n".join(
        [
            f"<h1>{escape(results['title'])}</h1>",
            f'<div class="verdict {_tone(verdict)}"><p class="headline">{escape(verdict["headline"])}</p>',
            f"<p>{escape(verdict['compared'])}, mean and paired 95 % interval:</p>",
            f'<ul class="details">{lines}</ul>',
            f"<p>{escape(verdict['headroom'])}</p></div>" if verdict["headroom"] else "</div>",
            f'<ul class="notes">{notes}</ul>' if notes else "",
        ]
    )


def _tone(verdict: dict) -> str:
    """Green and red are kept for findings that stand; amber for those that may not."""
    return verdict["outcome"] if verdict["firm"] or verdict["outcome"] in ("none", "undecided") else "mixed"


def _verdict_line(line: dict) -> str:
    shown = f'<li class="{line["outcome"]}"><b>{escape(line["text"])}</b>'
    if line["p"] is None:
        return shown + "</li>"
    return f"{shown} <small>p {escape(format_p(line['p']))}, Holm {escape(format_p(line['p_holm']))}</small></li>"


def _score_table(results: dict, headline: bool) -> str:
    metrics = [metric for metric in results["metrics"] if metric["headline"] == headline]
    if not metrics:
        return absent("No probe has finished yet." if headline else "The probes report no further scores.")
    header = ["", *map(_metric_heading, metrics)]
    rows = [_score_row(results["start"], START_COLOUR, metrics, headline, "")]
    for name, arm in results["arms"].items():
        cells = _score_row(arm, arm_colours(results)[name], metrics, headline, set_against(results, arm))
        rows.append(("candidate", cells) if name == results["candidate"] else cells)
    return table(header, rows)


def _metric_heading(metric: dict) -> str:
    unit = f" ({metric['unit']})" if metric["unit"] else ""
    better = {True: "lower is better", False: "higher is better", None: "direction not known"}
    return f"{escape(metric['title'] + unit)}<br><small>{better[metric['lower_is_better']]}</small>"


def _score_row(arm: dict, colour: str, metrics: list[dict], headline: bool, reference: str) -> list[str]:
    to = f" <small>to {escape(reference)}</small>" if reference else ""
    row = [_arm_cell(arm, colour) + (f"<br><small>{_extent(arm)}</small>" if headline else "")]
    for metric in metrics:
        score = format_summary(arm["aggregate"].get(metric["key"]), metric["digits"])
        difference = arm.get("difference", {}).get(metric["key"])
        row.append(f"{score}<br>{_difference(difference, metric)}{to}" if difference else score)
    return row


def _arm_cell(arm: dict, colour: str) -> str:
    return f'<i class="dot" style="background:{colour}"></i>{escape(arm["label"])}'


def _extent(arm: dict) -> str:
    seeds = f"{len(arm['runs'])} seed{'' if len(arm['runs']) == 1 else 's'}"
    if not any(run["steps"] for run in arm["runs"].values()):
        return f"probed with {seeds}"
    return f"{seeds} · {mean_of(arm, 'steps', 0)} steps · {mean_seconds(arm)} s"


def _difference(difference: dict, metric: dict) -> str:
    outcome = outcome_of(difference, metric["lower_is_better"])
    text = format_difference(difference, metric["digits"])
    corrected = f", corrected p {escape(format_p(difference['p_corrected']))}" if "p_corrected" in difference else ""
    kind = "b" if outcome in ("better", "worse") else "span"
    return f'<{kind} class="{outcome}">{text}</{kind}><small>{corrected}</small>'


def _reading_help(results: dict) -> str:
    baseline, candidate = (results["arms"][results[role]] for role in ("baseline", "candidate"))
    arms = results["arms"].values()
    other = ", or to the arm that is named there" if any(set_against(results, arm) for arm in arms) else ""
    text = (
        f"Mean ± standard deviation over seeds; below it the difference to {baseline['label']}"
        f"{other}, taken seed by seed, "
        "with the Student t-interval of its mean (95 %). Green and red: the interval excludes zero, and three seeds or "
        "more are behind it. An effect smaller than half an interval's width cannot be seen with this many seeds."
    )
    mismatch = time_mismatch(results)
    if mismatch and "seconds" in (candidate.get("budget") or {}):
        largest, clock = 100 * max(mismatch.values()), CLOCKS[clock_of(candidate["budget"])]
        text += f" {candidate['label']} and {baseline['label']} differ by at most {largest:.1f} % in {clock}."
    return "".join(paragraph(part, "soft") for part in (text, " ".join(_sentences(cost_lines(results)))) if part)


def _sentences(lines: list[str]) -> list[str]:
    return [line if line.endswith(".") else f"{line}." for line in lines]


_START_HELP = (
    "Difference to the start checkpoint. Continued pretraining often makes a strong checkpoint worse; an "
    "arm can then beat the baseline and still be a loss."
)


def _against_start(results: dict) -> str:
    """Whether continuing helped at all: published tables often leave the start checkpoint out."""
    metrics = [metric for metric in results["metrics"] if metric["headline"]]
    metrics = [metric for metric in metrics if metric["key"] in results["start"]["aggregate"]]
    if not metrics:
        return absent("The start checkpoint has not been probed.")
    rows = []
    for name, arm in results["arms"].items():
        differences = [arm["difference_to_start"].get(metric["key"]) for metric in metrics]
        cells = [_difference(d, m) if d else "–" for d, m in zip(differences, metrics, strict=True)]
        rows.append([_arm_cell(arm, arm_colours(results)[name]), *cells])
    return paragraph(_START_HELP, "soft") + table(["", *map(_metric_heading, metrics)], rows)


def _seed_figure(results: dict) -> str:
    drawn = verdict_figure(results)
    caption = (
        "Left: every seed's score and the arm's mean; dashed: the start checkpoint. Right: every seed's difference to "
        "the arm that it is compared with, the mean and its paired 95 % interval; an interval that crosses zero is no "
        "finding."
    )
    return figure(drawn and to_svg(drawn, "verdict"), caption, "No scores to draw yet.")


def _log_curves(results: dict, logs: Logs) -> str:
    drawn = curves_figure(results, logs)
    caption = (
        "Thin: one seed; thick: mean over seeds. Every arm's SSL loss is measured on its own views, so losses of "
        "different arms are not a score. A dot-product value can rise by a growing ‖g_pre‖ alone: read it beside the "
        "cosine."
    )
    return figure(drawn and to_svg(drawn, "curves"), caption, "The runs kept no log (metrics.jsonl).")


def _probe_curves(results: dict, logs: Logs) -> str:
    drawn = probe_curves_figure(results, logs)
    caption = (
        "Probe scores over training time, from the start checkpoint to the end of each run; one line per seed. Points "
        "in between are of probes during training (the config's probes). Where their protocol differs from the final "
        "probe's, they have a panel of their own, marked as online."
    )
    return "<h3>Probes</h3>" + figure(drawn and to_svg(drawn, "probe-curves"), caption, "No probe scores yet.")


def _phases(results: dict) -> str:
    drawn = phases_figure(results)
    caption = (
        "Mean over seeds. Feedback and designer run only every few steps; their time is spread over all steps. Other: "
        "the part of the budget clock that no phase claims."
    )
    return figure(drawn and to_svg(drawn, "phases"), caption, "The runs logged no time per phase.")


def _cost_table(results: dict) -> str:
    measured = dict.fromkeys(phase for arm in results["arms"].values() for phase in mean_phases(arm))
    phases = sorted(measured, key=lambda phase: phase == "other")
    header = ["", "steps", escape(time_unit(results)), "ms per step", "images/s", "peak memory (MB)"]
    header += [f"{escape(phase)} (ms)" for phase in phases]
    rows = []
    for arm in results["arms"].values():
        by_phase = mean_phases(arm)
        row = [escape(arm["label"]), mean_of(arm, "steps", 0), mean_seconds(arm)]
        row += [
            mean_of(arm, "seconds_per_step", 1, factor=1e3),
            mean_of(arm, "images_per_second", 0),
            mean_of(arm, "peak_memory_mb", 0),
        ]
        rows.append(row + [format_number(1e3 * by_phase[p], 1) if p in by_phase else "–" for p in phases])
    note = (
        "All times are of the clock that the arm's budget runs on; processor seconds are those of all threads of the "
        "run. Peak memory on a CPU is the process's highest so far, so it never falls from one run to the next."
    )
    return table(header, rows) + absent(note)


def _cards(results: dict) -> str:
    if not results["cards"]:
        return absent("The probe results carry no protocol cards.")
    parts = []
    for probe, card in results["cards"].items():
        rows = [[escape(str(key)), escape(_plain(value))] for key, value in card.items()]
        parts.append(
            f"<details><summary>{escape(probe)}</summary>{table(['setting', 'value'], rows, 'words')}</details>"
        )
    return "\n".join(parts)


def _settings(results: dict) -> str:
    settings = {name: arm["settings"] for name, arm in results["arms"].items() if arm["settings"] is not None}
    if results["baseline"] not in settings or len(settings) < 2:
        return absent("The settings of the runs were not kept (runs that tools/compare.py made keep them).")
    baseline = settings[results["baseline"]]
    keys = [key for key in dict.fromkeys(k for flat in settings.values() for k in flat)]
    keys = [key for key in keys if len({_plain(flat.get(key, "—")) for flat in settings.values()}) > 1]
    own = [
        key for key in keys if key not in baseline and len({_plain(f[key]) for f in settings.values() if key in f}) == 1
    ]
    labels = [escape(results["arms"][name]["label"]) for name in settings]
    shown = _settings_table([key for key in keys if key not in own], labels, settings, baseline)
    note = (
        "Grey: as in the baseline. A budget in steps is the first seed's. Settings that all arms share are not listed."
    )
    if own:
        title = f"{len(own)} setting{'s' * (len(own) > 1)} of parts that the baseline does not have"
        folded = _settings_table(own, labels, settings, baseline)
        shown += f"<details><summary>{title}</summary>{folded}</details>"
    return shown + absent(note)


def _settings_table(keys: list[str], labels: list[str], settings: dict[str, dict], baseline: dict) -> str:
    rows = []
    for key in keys:
        cells = [_plain(flat.get(key, "—")) for flat in settings.values()]
        same = _plain(baseline.get(key, "—"))
        rows.append([escape(key), *(f'<td class="{"same" if c == same else ""}">{escape(c)}</td>' for c in cells)])
    return table(["setting", *labels], rows, "words")


def _environment(results: dict) -> str:
    flat = {}
    for key, value in results["environment"].items():
        flat[key] = ", ".join(f"{k} {v}" for k, v in value.items() if v) if isinstance(value, dict) else value
    rows = [[escape(str(key)), escape(str(value))] for key, value in flat.items() if value is not None]
    about = [["seeds", ", ".join(map(str, results["seeds"]))], ["start checkpoint", escape(results["start"]["source"])]]
    about += [
        [escape(arm["label"]), escape(f"{arm['config']}, {_plain(arm['budget'])}, {_plain(arm['cfg_options'])}")]
        for arm in results["arms"].values()
    ]
    return f"<pre>{escape(results['command'] or '')}</pre>" + table(["", ""], [*about, *rows], "words")


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

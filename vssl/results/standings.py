"""The leaderboard's tables: backbones under one protocol, and ways of steering SSL at one cost.

A column is one score of one protocol, so no number stands beside one that was measured otherwise.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from vssl.reports.compare.matched_budgets import COST_TOLERANCE, TIME_TOLERANCE
from vssl.reports.compare.verdict import LEVEL, outcome_of
from vssl.reports.metrics import format_difference, format_number, format_p
from vssl.reports.statistics import adjust_p_values, paired_difference, summarise
from vssl.results.lists import headline
from vssl.results.measurements import Group, Measurement, groups, is_start, label_of
from vssl.results.rows import digest, portable_protocol


def backbone_tables(found: Sequence[Measurement]) -> list[dict[str, Any]]:
    """One table per protocol, a row for each backbone and arm, every score a column."""
    tables = []
    for probe, protocol in _protocols(found):
        of_protocol = [one for one in found if (one.row["probe"], one.row["protocol"]) == (probe, protocol)]
        columns = [_column(of_protocol[0], name) for name in of_protocol[0].info]
        rows = [_row(group, columns) for group in groups(of_protocol)]
        notes = _unequal_versions(of_protocol)
        tables.append({"title": probe, "columns": columns, "rows": rows, "notes": notes, **_card(of_protocol[0])})
    return tables


def steered_tables(found: Sequence[Measurement]) -> tuple[list[dict[str, Any]], list[str]]:
    """One table for each start, stream of images and budget that two arms or more share: a row for each arm, and for
    each protocol its first score and the paired difference to the baseline.

    Returns:
        The tables, and the names of arms that are in none because they take the steps of another arm.
    """
    trained = [one for one in found if one.run and not is_start(one.run)]
    by_cost: dict[str, list[Group]] = {}
    for group in groups(trained):
        by_cost.setdefault(_cost_key(group, trained), []).append(group)
    starts = {one.run["weights"]: label_of(one.run) for one in found if one.run}
    unmatched = [group.name for group in by_cost.pop("", [])]
    return [_steered(arms, starts) for arms in by_cost.values() if len(arms) > 1], unmatched


def _protocols(found: Iterable[Measurement]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((one.row["probe"], one.row["protocol"]) for one in found))


def _column(one: Measurement, name: str) -> dict[str, Any]:
    score = one.info[name]
    return {
        "probe": one.row["probe"], "protocol": one.row["protocol"], "score": name, "title": score.title,
        "unit": score.unit, "better": score.better, "digits": score.digits,
    }  # fmt: skip


def _card(one: Measurement) -> dict[str, Any]:
    return {"protocol": one.row["protocol"], "card": portable_protocol(one.result)}


def _row(group: Group, columns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    cells = [_cell(group, column) for column in columns]
    run = group.runs[0] if group.runs else None
    about = [run["objective"], run["designer"]] if run else [group.settings.get("model")]
    return {
        "key": group.key,
        "name": group.name,
        "about": " · ".join(filter(None, about)),
        "cells": cells,
        "n": (n := max((cell["n"] for cell in cells), default=0)),
        "counted": group.counted(n),
    }


def _cell(group: Group, column: Mapping[str, Any]) -> dict[str, Any]:
    per_seed = group.per_seed(column["probe"], column["protocol"], column["score"])
    if not per_seed:
        return {"per_seed": {}, "mean": None, "text": "–", "n": 0}
    summary = summarise(per_seed)
    digits = column["digits"]
    spread = "" if summary.std is None else f" ± {format_number(summary.std, digits)}"
    text = format_number(summary.mean, digits) + spread
    return {"per_seed": per_seed, "mean": summary.mean, "text": text, "n": summary.n}


def _unequal_versions(found: Iterable[Measurement]) -> list[str]:
    versions: dict[str, set[str]] = {}
    for one in found:
        for package, version in one.result.get("card", {}).get("versions", {}).items():
            versions.setdefault(package, set()).add(version)
    several = [f"{package} {', '.join(sorted(found))}" for package, found in versions.items() if len(found) > 1]
    return [f"Measured with different versions: {'; '.join(several)}."] if several else []


# --- steered SSL at matched cost --------------------------------------------------------------------------------------


_NO_BASELINE = "No arm here, or more than one, is the baseline, so there are no differences."
_STEPS = "Matched in steps alone: what a designer costs comes on top. The seconds say what each arm took."


def _cost_key(group: Group, trained: Iterable[Measurement]) -> str:
    """What arms of one cost share; empty for an arm that has no budget of its own (the steps of another arm)."""
    run = group.runs[0]
    budget = run["record"]["budget"]
    if not budget:
        return ""
    unit = None
    if budget.get("baseline_steps"):  # steps of which baseline
        others = [one.run for one in trained if one.run is not None]
        unit = next((other["recipe"] for other in others if _is_baseline_of(other, run)), "unknown")
    stream = run["dataset"] or run["record"]["settings"].get("unlabeled.root")
    return digest([run["start"], stream, budget, unit])


def _is_baseline_of(one: Mapping[str, Any], run: Mapping[str, Any]) -> bool:
    same = one["about"].get("title") == run["about"].get("title")
    return same and one["start"] == run["start"] and one["arm"] == _baseline_name(run)


def _baseline_name(run: Mapping[str, Any]) -> str:
    return run["about"].get("baseline") or "fixed"


def _steered(arms: list[Group], starts: Mapping[str, str]) -> dict[str, Any]:
    """`starts`: names of the backbones that are known, by the digests of their files."""
    baseline = _baseline(arms)
    every = [one for group in arms for one in group.measurements]
    firsts = {key: next(m for m in every if (m.row["probe"], m.row["protocol"]) == key) for key in _protocols(every)}
    columns = [_column(one, headline(one)[0]) for one in firsts.values()]
    rows = [{**_row(group, columns), **_cost(group, baseline), "baseline": group is baseline} for group in arms]
    rows.sort(key=lambda row: not row["baseline"])
    if baseline is not None:
        for place, column in enumerate(columns):
            _add_differences(rows, place, column)
    run = arms[0].runs[0]
    start = starts.get(run["start"], run["start"][:8]) if run["start"] else "scratch"
    return {
        "title": f"{_in_words(run['record']['budget'])}, from {start}",
        "columns": columns,
        "rows": rows,
        "baseline": baseline and baseline.name,
        "notes": [*([] if baseline else [_NO_BASELINE]), *_unequal_cost(arms)],
        "cards": [{"title": one.row["probe"], **_card(one)} for one in firsts.values()],
    }


def _unequal_cost(arms: list[Group]) -> list[str]:
    """What one budget does not make equal."""
    budget = arms[0].runs[0]["record"]["budget"]
    if budget.get("steps"):
        return [_STEPS]
    machines = {run["record"]["environment"].get("machine") for group in arms for run in group.runs}
    if budget.get("seconds") and len(machines) > 1:
        return [f"Equal seconds are not equal work on different machines: {'; '.join(sorted(map(str, machines)))}."]
    return []


def _baseline(arms: list[Group]) -> Group | None:
    """The comparison's, or ``fixed``; without one, an arm that has no designer. None if several could be it."""
    named = [group for group in arms if group.runs[0]["arm"] == _baseline_name(group.runs[0])]
    plain = [group for group in arms if group.runs[0]["designer"] == "Identity"]
    found = named or plain
    return found[0] if len(found) == 1 else None


def _add_differences(rows: list[dict[str, Any]], place: int, column: Mapping[str, Any]) -> None:
    """Paired over seeds; p-values are corrected by Holm for the arms of the column."""
    theirs = rows[0]["cells"][place]["per_seed"]
    lower = None if column["better"] is None else column["better"] == "lower"
    tested = []
    for row in rows[1:]:
        cell = row["cells"][place]
        if set(cell["per_seed"]) & set(theirs):
            difference = asdict(paired_difference(cell["per_seed"], theirs))
            outcome = outcome_of(difference, lower)
            cell |= {"difference": format_difference(difference, column["digits"]), "outcome": outcome, "p": None}
            if difference["p"] is not None:
                tested.append((cell, difference["p"]))
    for (cell, _), p in zip(tested, adjust_p_values([p for _, p in tested]), strict=True):
        cell["p"] = f"p {format_p(p)}"
        if p >= LEVEL and cell["outcome"] in ("better", "worse"):
            cell["outcome"] = "none"


def _cost(group: Group, baseline: Group | None) -> dict[str, Any]:
    """Mean steps and seconds, and whether the cost was matched with the baseline's."""
    steps, seconds = (_mean(group, key) for key in ("steps", "seconds"))
    budget = group.runs[0]["record"]["budget"]
    drift = (group.runs[0]["about"].get("calibration") or {}).get("drift")
    matched = ""
    if budget.get("baseline_steps") and group is not baseline:
        matched = "cost not checked at the end" if drift is None else f"drift {100 * drift:+.1f} %"
        if drift is not None and abs(drift) > COST_TOLERANCE:
            matched += ", not matched"
    if budget.get("seconds") and baseline is not None:
        off = seconds / _mean(baseline, "seconds") - 1
        if abs(off) > TIME_TOLERANCE:
            matched = f"{100 * off:+.1f} % of the baseline's time, not matched"
    clock = " (processor)" if budget.get("clock") == "processor" else ""
    return {"steps": f"{steps:.0f}", "seconds": f"{seconds:.1f}{clock}", "seconds_value": seconds, "matched": matched}


def _mean(group: Group, key: str) -> float:
    return sum(run[key] for run in group.runs) / len(group.runs)


def _in_words(budget: Mapping[str, Any]) -> str:
    if budget.get("baseline_steps"):
        return f"The cost of {budget['baseline_steps']} steps of the baseline"
    if budget.get("seconds") is not None:
        return f"{budget['seconds']:g} seconds ({budget.get('clock', 'elapsed')})"
    return f"{budget['steps']} steps"

"""The comparison in words: did the candidate help over the baseline, and by how much against noise."""

from vssl.counts import counted
from vssl.reports.compare.matched_budgets import matched_on
from vssl.reports.metrics import format_difference
from vssl.reports.statistics import ENOUGH_PAIRS, adjust_p_values

LEVEL = 0.05


def judge(results: dict) -> dict:
    """Candidate − baseline over the headline metrics, as a dict that is part of the results.

    headline: the finding in a sentence. sentence: the same with numbers.
    outcome: "better" (on at least one score, worse on none), "worse" (the reverse), "mixed", "none" (no interval
    excludes zero) or "undecided" (fewer than three shared seeds).
    firm: the outcome is "better" or "worse", budgets were matched, and a finding survives the correction for looking at
    several metrics.
    compared: what is subtracted from what, over which seeds.
    lines: per metric ``key``, ``text`` and its own ``outcome``. Every interval holds at 95 % for its own metric;
    ``p_holm`` corrects for looking at several headline metrics.
    """
    baseline, candidate = results["arms"][results["baseline"]], results["arms"][results["candidate"]]
    matched, fair = matched_on(results)
    compared = f"{candidate['label']} − {baseline['label']} {matched}"
    lines = [
        _line(metric, candidate["difference"][metric["key"]])
        for metric in results["metrics"]
        if metric["headline"] and metric["key"] in candidate["difference"]
    ]
    _holm(lines)
    outcome = _overall([line["outcome"] for line in lines])
    headline = _headline(outcome, lines, candidate["label"], baseline["label"], matched)
    compared += _seed_count(lines)
    numbers = "; ".join(line["text"] for line in lines) or "no shared seed yet"
    return {
        "headline": headline,
        "sentence": f"{compared}: {numbers}.",
        "compared": compared,
        "outcome": outcome,
        "firm": outcome in ("better", "worse") and fair and any(map(_survives, lines)),
        "lines": lines,
    }


def _line(metric: dict, difference: dict) -> dict:
    outcome = outcome_of(difference, metric["lower_is_better"])
    shown = format_difference(difference, metric["digits"])
    unit = {"": "", "%": " points"}.get(metric["unit"], f" {metric['unit']}")
    direction = " (lower is better)" if metric["lower_is_better"] else ""
    return {
        "key": metric["key"],
        "title": metric["title"],
        "outcome": outcome,
        "difference": f"{shown}{unit}",
        "n": difference["n"],
        "p": difference["p"],
        "p_holm": None,
        "text": f"{metric['title']}{direction} {shown}{unit}: {_in_words(outcome, difference['n'])}",
    }


def outcome_of(difference: dict, lower_is_better: bool | None) -> str:
    """ "better" or "worse" where the interval excludes zero, "none" where it does not.

    "undecided" for a score of unknown direction, and for fewer than three pairs: the spread of two differences is one
    number, and an interval made of it is often far too narrow and as often far too wide.
    """
    if difference["n"] < ENOUGH_PAIRS or lower_is_better is None:
        return "undecided"
    if difference["low"] <= 0 <= difference["high"]:
        return "none"
    return "better" if (difference["mean"] < 0) == lower_is_better else "worse"


def _overall(outcomes: list[str]) -> str:
    judged = [outcome for outcome in outcomes if outcome != "undecided"]
    if not judged:
        return "undecided"
    better, worse = "better" in judged, "worse" in judged
    if better and worse:
        return "mixed"
    return "better" if better else "worse" if worse else "none"


def _holm(lines: list[dict]) -> None:
    tested = [line for line in lines if line["p"] is not None]
    for line, p in zip(tested, adjust_p_values([line["p"] for line in tested]), strict=True):
        line["p_holm"] = p


def _survives(line: dict) -> bool:
    return line["outcome"] in ("better", "worse") and line["p_holm"] < LEVEL


def _in_words(outcome: str, pairs: int) -> str:
    if pairs == 2:
        return "two seeds: too few to tell"
    return {
        "better": "better, beyond noise",
        "worse": "worse, beyond noise",
        "mixed": "better on some scores and worse on others, beyond noise",
        "none": "no difference beyond noise",
        "undecided": "cannot be told from noise",
    }[outcome]


def _headline(outcome: str, lines: list[dict], candidate: str, baseline: str, matched: str) -> str:
    if outcome == "undecided":
        return f"Undecided: {_why_undecided(max((line['n'] for line in lines), default=0))}."
    if outcome == "none":
        count = sum(line["outcome"] == "none" for line in lines)
        scores = "the score" if count == 1 else f"any of the {count} scores"
        return f"{candidate} made no difference beyond noise compared with {baseline} {matched}, on {scores}."
    better = _titles(lines, "better")
    worse = _titles(lines, "worse")
    parts = [f"helped on {better}" if better else "", f"hurt on {worse}" if worse else ""]
    neutral = _titles(lines, "none")
    rest = f"; no difference beyond noise on {neutral}" if neutral else ""
    fragile = [line["title"] for line in lines if line["outcome"] in ("better", "worse") and not _survives(line)]
    caution = f" Corrected for {len(lines)} scores (Holm), {_join(fragile)} could be chance." if fragile else ""
    return f"{candidate} {' and '.join(filter(None, parts))} compared with {baseline} {matched}{rest}.{caution}"


def _why_undecided(pairs: int) -> str:
    reasons = ("no seed has finished in both arms", "one seed has no spread to judge a difference by")
    if pairs == 2:
        return "two seeds are too few to tell a difference from noise"
    return reasons[pairs] if pairs < 2 else "it is not known which way the scores are better"


def _titles(lines: list[dict], outcome: str) -> str:
    return _join([line["title"] for line in lines if line["outcome"] == outcome])


def _join(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def _seed_count(lines: list[dict]) -> str:
    counts = sorted({line["n"] for line in lines})
    if not counts:
        return ""
    if len(counts) > 1:
        return f" ({counts[0]} to {counts[-1]} seeds)"
    return f" ({counted(counts[0], 'seed')})"

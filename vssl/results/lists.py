"""Rows of the store as lines of text."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from vssl.known_keys import nearest
from vssl.reports.metrics import format_number
from vssl.results.measurements import Group, Measurement, groups
from vssl.scores import Score


def list_runs(runs: Sequence[Mapping[str, Any]]) -> str:
    header = ("run", "arm", "seed", "objective", "designer", "steps", "seconds", "commit", "added")
    rows = [
        (r["id"][:8], r["arm"], r["seed"], r["objective"], r["designer"], r["steps"], f"{r['seconds']:.1f}", r["git"],
         r["added"][:16])
        for r in runs
    ]  # fmt: skip
    return _lines(header, rows)


def list_probes(found: Sequence[Measurement]) -> str:
    """One line each, with the score that reports put first."""
    header = ("result", "backbone", "seed", "probe", "score", "", "protocol", "added")
    rows = []
    for one in found:
        name, score = headline(one)
        value = one.result["scores"].get(name)
        shown = f"{format_number(value, score.digits)} {score.unit}".strip()
        row = one.row
        rows.append(
            (row["id"][:8], one.backbone, one.seed, row["probe"], name, shown, row["protocol"][:8], row["added"][:16])
        )
    return _lines(header, rows)


def headline(one: Measurement) -> tuple[str, Score]:
    """The first score with a direction; the first one where none has."""
    info = one.info
    name = next((name for name, score in info.items() if score.better), next(iter(info)))
    return name, info[name]


def best(found: Sequence[Measurement], metric: str, top: int) -> str:
    """The best backbones by the mean of one score over seeds, for each protocol by itself.

    Raises:
        ValueError: no result has the score, or it has no direction.
    """
    with_metric = [one for one in found if metric in one.result["scores"]]
    if not with_metric:
        known = sorted({name for one in found for name in one.result["scores"]})
        there = ", ".join(known) or "no results"
        raise ValueError(f"no result here has the score {metric!r}; there are {there}{nearest(metric, known)}")
    paragraphs = []
    for probe, protocol in dict.fromkeys((one.row["probe"], one.row["protocol"]) for one in with_metric):
        of_protocol = [one for one in with_metric if (one.row["probe"], one.row["protocol"]) == (probe, protocol)]
        score = of_protocol[0].info[metric]
        if score.better is None:
            raise ValueError(f"{metric} has no direction, so none is best")
        ranked = _ranked(groups(of_protocol), probe, protocol, metric, score)
        unit = f" ({score.unit})" if score.unit else ""
        title = f"{probe} {metric}{unit}, {score.better} is better, protocol {protocol[:8]}"
        paragraphs.append(f"{title}\n{_lines(('', 'backbone', metric, 'seeds'), ranked[:top])}")
    return "\n\n".join(paragraphs)


def _ranked(candidates: list[Group], probe: str, protocol: str, metric: str, score: Score) -> list[tuple]:
    scored = [(group, per_seed) for group in candidates if (per_seed := group.per_seed(probe, protocol, metric))]
    scored.sort(key=lambda pair: fmean(pair[1].values()), reverse=score.better == "higher")
    rows = []
    for place, (group, per_seed) in enumerate(scored, start=1):
        values = list(per_seed.values())
        mean = format_number(fmean(values), score.digits)
        spread = f" ± {format_number(stdev(values), score.digits)}" if len(values) > 1 else ""
        rows.append((place, group.name, mean + spread, group.counted(len(values))))
    return rows


def _lines(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    cells = [[*header], *(["–" if cell is None else str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in cells)

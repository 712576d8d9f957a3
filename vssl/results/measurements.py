"""The store's rows as measurements of backbones, and those of one backbone over seeds as one group."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from vssl.counts import counted
from vssl.reports import START
from vssl.results.rows import digest, portable_protocol
from vssl.results.store import Store
from vssl.scores import Score

RUN_FILTERS = ("arm", "objective", "designer")
FILTERS = (*RUN_FILTERS, "probe", "model", "backbone", "protocol")


@dataclass(frozen=True)
class Measurement:
    """One probe result, with the run that its backbone comes from (None for released or random weights)."""

    row: Mapping[str, Any]
    run: Mapping[str, Any] | None = None

    @property
    def result(self) -> Mapping[str, Any]:
        return self.row["record"]["result"]

    @property
    def info(self) -> dict[str, Score]:
        return {name: Score(**about) for name, about in self.result["score_info"].items()}

    @property
    def seed(self) -> int:
        """The run's, or of weights that were not trained here the probe's."""
        return self.row["seed"] if self.run is None or is_start(self.run) else self.run["seed"]

    @property
    def backbone(self) -> str:
        return self.row["backbone"] if self.run is None else label_of(self.run)


@dataclass(frozen=True)
class Group:
    """One backbone, or one arm over seeds: settings, start and budget are the same.

    Attributes:
        runs: its runs; none for weights that were not trained here.
    """

    key: str
    name: str
    runs: list[Mapping[str, Any]]
    measurements: list[Measurement] = field(default_factory=list)

    def counted(self, seeds: int) -> str:
        """``"3 seeds"`` of training, or ``"3 probe seeds"`` of weights that are the same for all."""
        kind = "seed" if self.runs and not is_start(self.runs[0]) else "probe seed"
        return counted(seeds, kind)

    @property
    def settings(self) -> dict[str, Any]:
        """Of the first seed's run; of weights that were not trained here the model's."""
        if self.runs:
            return self.runs[0]["record"]["settings"]
        card = self.measurements[0].result.get("card", {}) if self.measurements else {}
        return {key: card[key] for key in ("model", "model_args") if key in card}

    @cached_property
    def protocols(self) -> dict[tuple[str, str], Measurement]:
        """(probe, protocol's digest) → one of its measurements."""
        return {(m.row["probe"], m.row["protocol"]): m for m in self.measurements}

    def per_seed(self, probe: str, protocol: str, score: str) -> dict[int, float]:
        """``{seed: score}``; a run that was probed with several seeds has their mean. Scores that are not finite are
        left out."""
        values: dict[int, list[float]] = {}
        for measurement in self.measurements:
            row = measurement.row
            value = measurement.result["scores"].get(score)
            if (row["probe"], row["protocol"]) == (probe, protocol) and value is not None:
                values.setdefault(measurement.seed, []).append(value)
        return {seed: fmean(of_seed) for seed, of_seed in sorted(values.items())}


def measurements(store: Store, filters: Mapping[str, str | None] | None = None) -> list[Measurement]:
    """Every probe result that `filters` lets through, see `select`."""
    runs = {run["id"]: run for run in store.runs()}
    return select([Measurement(row, runs.get(row["run"])) for row in store.probes()], filters or {})


def select(found: Iterable[Measurement], filters: Mapping[str, str | None]) -> list[Measurement]:
    """Those that every pattern (``*`` and ``?`` stand for letters) of `filters` fits; `FILTERS` are its keys."""
    wanted = {key: pattern for key, pattern in filters.items() if pattern is not None}
    return [one for one in found if all(_fits(_value(one, key), pattern) for key, pattern in wanted.items())]


def select_runs(runs: Iterable[Mapping[str, Any]], filters: Mapping[str, str | None]) -> list[Mapping[str, Any]]:
    wanted = {key: pattern for key, pattern in filters.items() if pattern is not None and key in RUN_FILTERS}
    return [run for run in runs if all(_fits(run[key], pattern) for key, pattern in wanted.items())]


def groups(found: Iterable[Measurement], runs: Iterable[Mapping[str, Any]] = ()) -> list[Group]:
    """Measurements by backbone or arm; `runs` brings those that have none."""
    made: dict[str, Group] = {}
    for run in runs:
        group = made.setdefault(_run_key(run), Group(_run_key(run), label_of(run), []))
        group.runs.append(run)
    for one in found:
        key = _run_key(one.run) if one.run else digest(["backbone", one.row["weights"] or one.row["backbone"]])
        group = made.setdefault(key, Group(key, one.backbone, []))
        group.measurements.append(one)
        if one.run and one.run["id"] not in [run["id"] for run in group.runs]:
            group.runs.append(one.run)
    return list(made.values())


def label_of(run: Mapping[str, Any]) -> str:
    return run["about"].get("label") or run["arm"]


def is_start(run: Mapping[str, Any]) -> bool:
    """Whether it is a comparison's start, which is one run and is probed with every seed."""
    return Path(run["path"]).parts[-2:] == (START, "run")


def different_protocols(ours: Measurement, theirs: Measurement) -> list[str]:
    """Keys of the cards that differ."""
    one, other = portable_protocol(ours.result), portable_protocol(theirs.result)
    return sorted(key for key in {**one, **other} if one.get(key) != other.get(key))


def _run_key(run: Mapping[str, Any]) -> str:
    budget = run["record"]["budget"]
    # without a budget of its own an arm takes the steps of another, in the same comparison
    return digest([run["arm"], run["recipe"], run["start"], budget or run["about"].get("title")])


def _value(one: Measurement, key: str) -> Any:
    if key in RUN_FILTERS:
        return one.run[key] if one.run else None
    return one.backbone if key == "backbone" else one.row[key]


def _fits(value: Any, pattern: str) -> bool:
    return value is not None and fnmatchcase(str(value).lower(), pattern.lower())

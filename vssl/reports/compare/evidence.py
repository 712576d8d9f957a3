"""Is the value of a step worth anything? Per arm: does the predicted drop happen, and is ∂V/∂φ signal or noise?"""

from statistics import median

from vssl.reports.metrics import format_number
from vssl.reports.one_step_figures import MILLI, OPTIMIZERS, correlation, format_r, select
from vssl.reports.runs import Run
from vssl.reports.statistics import mean_correlation, whole_run

CLEAR = 1.96  # |z| above which one number's gradient differs from 0 at 95 %, for that number alone


def evidence_of(run: Run) -> dict:
    """What one run says of its value.

    one_step: ``{"<task>/<optimizer>": {"r", "predicted", "realised", "n"}}`` of the views that the arm learns from: r
    is Pearson's between predicted and realised drop over the run's one-step probes (None below 4), the drops are means.
    gradient: per number of a policy ``label``, ``mean``, ``std``, ``snr``, ``z``, ``z_independent``, ``n``.
    """
    rows = select(run.one_step, views="designed")
    found = {}
    for task, optimizer in dict.fromkeys((row["task"], row["optimizer"]) for row in rows):
        chosen = select(rows, task=task, optimizer=optimizer)
        predicted, realised = ([row[key] for row in chosen] for key in ("predicted", "realised"))
        r = correlation(predicted, realised)
        means = {"predicted": sum(predicted) / len(chosen), "realised": sum(realised) / len(chosen)}
        found[f"{task}/{optimizer}"] = {"r": None if r is None else r[0], **means, "n": len(chosen)}
    kept = ("label", "mean", "std", "snr", "z", "z_independent", "n")
    return {"one_step": found, "gradient": [{key: row[key] for key in kept} for row in whole_run(run.policy)]}


def add_evidence(results: dict) -> None:
    """Put what the seeds of an arm say together.

    ``one_step.<task>/<optimizer>``: ``r`` with ``low``, ``high`` over seeds (None for one seed), ``n``, ``seeds``, and
    the mean ``predicted`` and ``realised`` drops. ``gradient``: ``numbers``, ``meta_steps`` (of the shortest run),
    median ``snr`` over numbers and seeds, ``clear``, the share of numbers with |z| > 1.96, and ``seeds``; None without
    a policy that was trained.
    """
    for arm in results["arms"].values():
        kinds = dict.fromkeys(kind for run in arm["runs"].values() for kind in run["one_step"])
        arm["one_step"] = {kind: _over_seeds(arm, kind) for kind in kinds}
        arm["gradient"] = _signal(arm)


def _over_seeds(arm: dict, kind: str) -> dict:
    found = {int(seed): run["one_step"][kind] for seed, run in arm["runs"].items() if kind in run["one_step"]}
    with_r = {seed: one["r"] for seed, one in found.items() if one["r"] is not None}
    r = mean_correlation(list(with_r.values())) if with_r else (None, None, None)
    means = {key: sum(one[key] for one in found.values()) / len(found) for key in ("predicted", "realised")}
    return dict(zip(("r", "low", "high"), r, strict=True)) | {"n": len(with_r), "seeds": sorted(with_r)} | means


def _signal(arm: dict) -> dict | None:
    by_seed = {int(seed): run["gradient"] for seed, run in arm["runs"].items() if run["gradient"]}
    numbers = [number for of in by_seed.values() for number in of]
    ratios = [number["snr"] for number in numbers if number["snr"] is not None]
    if not ratios:
        return None
    return {
        "numbers": max(map(len, by_seed.values())),
        "meta_steps": min(number["n"] for number in numbers),
        "snr": median(ratios),
        "clear": sum(abs(number["z"]) > CLEAR for number in numbers) / len(numbers),
        "seeds": sorted(by_seed),
    }


def drops_table(results: dict) -> dict | None:
    """By arm and kind of step, r and the mean drops in words; None without a one-step probe."""
    kinds = dict.fromkeys(kind for arm in results["arms"].values() for kind in arm["one_step"])
    if not kinds:
        return None
    named = [kind.split("/") for kind in kinds]
    return {
        "titles": [f"{task}, {OPTIMIZERS.get(optimizer, optimizer)}" for task, optimizer in named],
        "rows": [
            {"label": arm["label"], "cells": [_cell(arm["one_step"].get(kind)) for kind in kinds]}
            for arm in results["arms"].values()
        ],
    }


def _cell(found: dict | None) -> dict[str, str] | None:
    if found is None:
        return None
    if found["r"] is None:
        told = "too few one-step probes for r"
    elif found["low"] is None:
        told = f"r = {format_number(found['r'], 2)} (one seed, no interval)"
    else:
        told = format_r((found["r"], found["low"], found["high"]))
    drops = [format_number(MILLI * found[key], 3, signed=True) for key in ("predicted", "realised")]
    return {"told": told, "drops": " → ".join(drops)}


def signal_rows(results: dict) -> list[list[str]]:
    """How much of ∂V/∂φ is signal, for the arms whose designer has numbers."""
    rows = []
    for arm in results["arms"].values():
        found = arm["gradient"]
        if found is not None:
            shown = [str(found["numbers"]), str(len(found["seeds"])), str(found["meta_steps"])]
            rows.append([arm["label"], *shown, f"{found['snr']:.2f}", f"{100 * found['clear']:.0f} %"])
    return rows

"""`horizon`: does the value of H steps order constructions as their outcomes do? (docs/value.md#horizon)

Constructions of a config: the options of `Choice`, proposals of `CandidateSearch`, or φ as it starts and perturbed.
Each is valued from where the config's first meta step comes, with the same batches and random numbers. Its outcome is
that of the whole run with it, on the run's own batches: of frozen probes, or of ridge heads on the pools' third part.
A measured construction is on disk before the next begins, and the same command goes on after it.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from vssl.benchmarks.horizon_trials import Standpoint
from vssl.benchmarks.result_table import add_parser, markdown, prepare
from vssl.benchmarks.result_table import describe as machine
from vssl.options import add_cfg_options
from vssl.whole_files import write_json

COLUMNS = {
    "config": "", "objective": "", "surface": "", "task": "", "H": "", "constructions": "", "seeds": "",
    "rank_correlation": "", "outcome_lost": "",
}  # fmt: skip
RESAMPLES = 2000


def add_command(commands) -> None:
    parser = add_parser(commands, "horizon", "rank correlation of the value of H steps with the outcome", None)
    parser.add_argument("configs", nargs="+", type=Path, metavar="CONFIG", help="training configs with feedback")
    parser.add_argument("--start", type=Path, help="backbone.safetensors from which all begin (backbone.checkpoint)")
    parser.add_argument("--horizons", nargs="+", type=int, default=[0, 1, 5, 10, 20, 50], metavar="H")
    parser.add_argument("--runs", type=int, default=3, help="seeds, from --seed on")
    parser.add_argument("--constructions", type=int, default=8, help="for a designer without a list of its own")
    parser.add_argument("--sigma", type=float, default=0.5, help="how far the φ of other designers is perturbed")
    parser.add_argument(
        "--probes", type=Path, help="score outcomes by these frozen probes, e.g. configs/probes/scenes.py"
    )
    add_cfg_options(parser, "budget.steps=400")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    prepare(arguments)
    wrong = [h for h in arguments.horizons if h < 0] or (arguments.runs < 1 and [arguments.runs])
    if wrong:
        raise ValueError(f"--horizons and --runs: {wrong[0]} is too small; horizons are 0 or more, runs 1 or more")
    settings = {
        key: str(value) if isinstance(value, Path) else value
        for key, value in vars(arguments).items()
        if key in ("start", "horizons", "constructions", "sigma", "probes", "cfg_options")
    }
    measured = _earlier(arguments.out, settings)
    for path in arguments.configs:
        for seed in range(arguments.seed, arguments.seed + arguments.runs):
            for row in rows_of(arguments, path, seed, measured):
                measured.append(row)
                _save(arguments, settings, measured)
    named = {str(path) for path in arguments.configs}
    _save(arguments, settings, measured)
    print(f"\n{machine(arguments)}\n\n{markdown(summary([r for r in measured if r['config'] in named]), COLUMNS)}")


def rows_of(arguments: argparse.Namespace, path: Path, seed: int, measured: list[dict]) -> Iterator[dict]:
    """A row for each construction that `measured` lacks: its values by horizon and task, and its outcome by task."""
    place = {"config": str(path), "seed": seed}
    known = [row for row in measured if place.items() <= row.items()]
    if known and len(known) == known[0]["of"]:
        return
    print(f"{path}, seed {seed}: to the first meta step", flush=True)
    with Standpoint.of(arguments, path, seed) as standpoint:
        about = place | {"of": len(standpoint.constructions)} | standpoint.about
        for name in standpoint.constructions:
            if any(row["construction"] == name for row in known):
                continue
            values, outcome = standpoint.values(name, arguments.horizons), standpoint.outcome(name)
            print(f"{path}, seed {seed}: {name} {outcome}", flush=True)
            yield about | {"construction": name, "values": values, "outcome": outcome}


def summary(measured: list[dict]) -> list[dict]:
    """A row for each config, task and horizon."""
    rows = []
    for config in dict.fromkeys(row["config"] for row in measured):
        own = [row for row in measured if row["config"] == config]
        for task, horizon in [(t, h) for t in own[0]["outcome"] for h in own[0]["values"]]:
            pairs = [
                np.array([(r["values"][horizon][task], r["outcome"][task]) for r in own if r["seed"] == seed])
                for seed in dict.fromkeys(row["seed"] for row in own)
            ]
            rho, low, high = mean_rank_correlation(pairs)
            lost = np.mean([p[:, 1].max() - p[p[:, 0].argmax(), 1] for p in pairs])
            rows.append(
                {key: own[0][key] for key in ("config", "objective", "surface")}
                | {"task": task, "H": int(horizon), "constructions": own[0]["of"], "seeds": len(pairs)}
                | {"rank_correlation": f"{rho:+.2f} [{low:+.2f}, {high:+.2f}]", "outcome_lost": f"{lost:.3g}"}
            )
    return rows


def mean_rank_correlation(pairs: list[np.ndarray], confidence: float = 0.95) -> tuple[float, float, float]:
    """Spearman's ρ of (value, outcome), the mean over seeds, and its percentile bootstrap interval.

    Resampled are seeds and, within each, constructions. Where all values are equal nothing is ordered: ρ counts as 0.

    Args:
        pairs: for each seed, rows of (value, outcome).
    """
    rng = np.random.default_rng(0)
    resampled = []
    for _ in range(RESAMPLES):
        chosen = [pairs[i] for i in rng.integers(len(pairs), size=len(pairs))]
        resampled.append(np.mean([_rho(p[rng.integers(len(p), size=len(p))]) for p in chosen]))
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(np.mean([_rho(p) for p in pairs])), float(low), float(high)


def _rho(pairs: np.ndarray) -> float:
    if len(pairs) < 2 or (pairs == pairs[0]).all(axis=0).any():
        return 0.0
    return float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic)


def _earlier(out: Path | None, settings: dict) -> list[dict]:
    """What an earlier call of the same command left; ValueError for another's."""
    if out is None or not out.is_file():
        return []
    found = json.loads(out.read_text())
    if found.get("settings") != json.loads(json.dumps(settings)):
        raise ValueError(f"{out} holds rows of other settings ({found.get('settings')}); give another --out")
    return found["rows"]


def _save(arguments: argparse.Namespace, settings: dict, measured: list[dict]) -> None:
    if arguments.out is not None:
        result = {"machine": machine(arguments), "settings": settings, "rows": measured, "table": summary(measured)}
        write_json(arguments.out, result)

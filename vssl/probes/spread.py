"""Several seeds of the same probe: what chance in the head's training alone does to a score."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from vssl.learner import TimmBackbone
from vssl.probes.decoded_images import ProbeData
from vssl.probes.result_files import save_results
from vssl.probes.run import run_probes


def run_seeds(
    backbone: str | Path | TimmBackbone,
    cfg: Config | dict,
    seeds: Sequence[int],
    out: str | Path | None = None,
    data: ProbeData | None = None,
    **options,
) -> list[dict]:
    """`run_probes` for every seed on images decoded once; with several, every card says how far the scores are apart.

    Args:
        options: further arguments of `run_probes`.

    Returns:
        One result per seed and probe, seeds first.

    Raises:
        ValueError: no seeds, or one twice.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds {list(seeds)}; at least one, each once, is needed")
    data = ProbeData() if data is None else data
    results = [result for seed in seeds for result in run_probes(backbone, cfg, out, seed, data, **options)]
    if len(seeds) > 1:
        for name in dict.fromkeys(result["name"] for result in results):
            same = [result for result in results if result["name"] == name]
            spread = over_seeds(same)
            for result in same:
                result["card"]["over_seeds"] = spread
        if out is not None:
            save_results(results, out)
    return results


def over_seeds(results: Sequence[dict]) -> dict:
    """Seeds, and for each score its mean, sample standard deviation and half range (max − min) / 2 over them.

    Args:
        results: of one probe and backbone, one per seed, at least two. A score that one of them lacks is left out.
    """
    spread: dict = {"seeds": [result["card"]["seed"] for result in results]}
    for score in results[0]["scores"]:
        values = [result["scores"].get(score) for result in results]
        if None not in values:
            half_range = (max(values) - min(values)) / 2
            spread[score] = {
                "mean": statistics.fmean(values),
                "std": statistics.stdev(values),
                "half_range": half_range,
            }
    return spread

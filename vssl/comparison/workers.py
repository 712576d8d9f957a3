"""The three things a comparison has done for it: load a config, train a run, probe a backbone.

They are passed in rather than imported, so that collecting results needs neither data nor the training code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vssl.config_files import config_file, read_config
from vssl.reports import PREDICTIONS_FILE
from vssl.whole_files import write_json


@dataclass(frozen=True)
class Workers:
    """
    load_config: (file, cfg_options) → the training config, an `mmengine.Config`.
    load_probes: (the comparison's ``probes``: a file or a dict) → the probe set's config.
    train: (config, run directory, seed, resume) → None; writes a run directory. A sweep gives it `hooks` too.
    probe: (backbone file, probe set's config, run directory, seed) → None; writes ``probes/<name>.json`` and, when
        the probes predict images, ``probes/predictions.npz``.
    export: (config, file) → None; writes the backbone that the config begins with.
    compare_cost: (arm's config, baseline's config, baseline steps, clock, seed, steps or None) → how many steps of the
        arm take as long; see `vssl.engine.step_cost.compare_cost`.
    """

    load_config: Callable[[Path, dict], Any]
    load_probes: Callable[[Any], Any]
    train: Callable[..., None]
    probe: Callable[[Path, Any, Path, int], None]
    export: Callable[[Any, Path], None]
    compare_cost: Callable[[Any, Any, int, str, int, int | None], dict]


def default_workers() -> Workers:
    """The real engine and probes, imported only when something has to be run."""
    import torch

    from vssl.engine import load_config, train
    from vssl.engine.config import build, check_training_config
    from vssl.engine.step_cost import compare_cost
    from vssl.engine.training import check_data

    probes = _Probes()
    checked: set[str] = set()  # arms share their data

    def load_checked(path: Path, cfg_options: dict) -> Any:
        config = load_config(path, cfg_options, given_as="cfg_options: ")
        check_training_config(config)
        data = repr((config.unlabeled, config.get("feedback")))
        if data not in checked:
            check_data(config)
            checked.add(data)
        return config

    def train_run(config: Any, run_dir: Path, seed: int, resume: bool, hooks: Sequence = ()) -> None:
        train(config, run_dir, seed, resume=resume, overwrite=not resume, hooks=hooks)

    def export(config: Any, file: Path) -> None:
        torch.manual_seed(0)  # a backbone without weights of its own is the same in every process
        build(config.backbone).export(file)

    return Workers(load_checked, probes.load, train_run, probes.run, export, compare_cost)


class _Probes:
    """The probe set, with its images decoded once for all runs."""

    def __init__(self):
        from vssl.probes.decoded_images import ProbeData

        self._data = ProbeData()

    def load(self, probes: str | Path | dict) -> Any:
        """The config, after every probe in it has been built and has found its data."""
        from mmengine import Config

        from vssl.probes.run import build_probes

        config = read_config(config_file(probes, below="probes/")) if isinstance(probes, str | Path) else Config(probes)
        for probe in build_probes(config).values():
            probe.load(self._data)
        return config

    def run(self, backbone: Path, config: Any, run_dir: Path, seed: int) -> None:
        from vssl.probes.run import run_probes

        folder = run_dir / "probes"
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.iterdir():  # of an attempt that was stopped halfway
            stale.unlink()
        together = (folder / PREDICTIONS_FILE).with_suffix(".list")  # the pictures go beside it, as predictions.npz
        for result in run_probes(backbone, config, together, seed=seed, data=self._data):
            write_json(folder / f"{result['name']}.json", result)
        together.unlink()

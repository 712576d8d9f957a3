"""The miniature comparison of tests/reports, in a store."""

import importlib.util
from pathlib import Path

import pytest

from vssl.reports import collect, read_json, write_results
from vssl.results.automatic import add
from vssl.results.store import Store
from vssl.whole_files import write_json

_SPEC = importlib.util.spec_from_file_location("reports_conftest", Path(__file__).parents[1] / "reports/conftest.py")
_runs = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_runs)
layout, environment = _runs.layout, _runs.environment
MIOU, RMSE, SEEDS = _runs.MIOU, _runs.RMSE, _runs.SEEDS


@pytest.fixture
def comparison(tmp_path, layout, environment) -> Path:
    """Four arms over three seeds and their start, with the results.json that names arms and baseline."""
    work_dir = tmp_path / "small"
    for index, seed in enumerate(SEEDS):
        start = work_dir / "start" / f"seed{seed}"
        _runs.write_probes(start, MIOU["start"][index], RMSE["start"][index], seed)
        for file in (start / "probes").glob("*.json"):
            _edit(file, backbone="start.safetensors")
        for arm in _runs.ARMS:
            folder = work_dir / arm / f"seed{seed}"
            _runs.write_run(folder, arm, seed)
            (folder / "backbone.safetensors").write_text(f"{arm} {seed}")
            _runs.write_probes(folder, MIOU[arm][index], RMSE[arm][index], seed)
            _edit(folder / "origin.json", budget={} if arm == "fixed_steps" else {"seconds": 60})
    write_results(collect(work_dir, layout, environment), work_dir / "results.json")
    return work_dir


@pytest.fixture
def store(tmp_path, comparison) -> Store:
    made = Store(tmp_path / "results.sqlite", create=True)
    add(made, [comparison])
    return made


@pytest.fixture
def miou() -> dict[str, list[float]]:
    """What the segmentation probes gave, seed by seed."""
    return MIOU


@pytest.fixture
def edit():
    """(file, keys) → the JSON file has them."""
    return _edit


@pytest.fixture
def reprobed(comparison):
    """(arm, changes) → its segmentation results have other cards."""

    def change(arm: str, **changes) -> None:
        for file in (comparison / arm).glob("seed*/probes/segmentation.json"):
            _edit(file, card={**read_json(file)["card"], **changes})

    return change


def _edit(file: Path, **changes) -> None:
    write_json(file, {**read_json(file), **changes})

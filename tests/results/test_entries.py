import json
from pathlib import Path

import pytest

from vssl.reports import read_json
from vssl.results.entries import probe_entries, run_entry
from vssl.results.rows import portable_protocol
from vssl.results.scanning import Scan
from vssl.whole_files import write_json

INFO = {"arm": "a", "seed": 0, "steps": 5, "seconds": 1.5, "finished": True, "objective": "MAE", "designer": "Identity"}
SETTINGS = {"optimizer.lr": 1e-3, "unlabeled.root": "data/a", "num_workers": 0, "budget.steps": 5, "seed": 0}
RESULT = {"name": "depth", "task": "depth", "scores": {"RMSE": 0.5}, "seconds": 2.0}


def run(folder: Path, settings: dict | None = None, start: str | None = "ab", **info) -> Path:
    folder.mkdir(parents=True)
    write_json(folder / "run.json", {**INFO, "data": {"unlabeled.root": "d1"}, **info})
    write_json(folder / "origin.json", {"settings": {**SETTINGS, **(settings or {})}, "start_sha256": start})
    return folder


@pytest.mark.parametrize(
    "same",
    [
        {},
        {"settings": {"unlabeled.root": "/other/place"}},  # its dataset.json is the same
        {"settings": {"num_workers": 8, "log_interval": 1, "seed": 7}},
        {"seconds": 1.6, "vssl_version": "9", "environment": {"commit": "abc"}},  # the same steps, on another day
    ],
)
def test_where_things_lie_and_how_fast_they_are_read_make_no_other_run(tmp_path, same):
    one, other = run_entry(run(tmp_path / "one")), run_entry(run(tmp_path / "other", **same))
    assert (one.id, one.content) == (other.id, other.content)


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"optimizer.lr": 1e-4}}, {"arm": "b"}, {"seed": 1}, {"start": "cd"},
        {"data": {"unlabeled.root": "d2"}},
    ],
)  # fmt: skip
def test_settings_arm_seed_start_and_data_make_another_run(tmp_path, change):
    assert run_entry(run(tmp_path / "one")).id != run_entry(run(tmp_path / "other", **change)).id


def test_other_numbers_are_other_content_of_the_same_run(tmp_path):
    one, other = run_entry(run(tmp_path / "one")), run_entry(run(tmp_path / "other", steps=6))
    assert one.id == other.id and one.content != other.content


def test_a_recipe_is_its_settings_without_the_budget(tmp_path):
    one, other = run_entry(run(tmp_path / "one")), run_entry(run(tmp_path / "other", {"budget.steps": 9}))
    assert one.columns["recipe"] == other.columns["recipe"] and one.columns["config"] != other.columns["config"]


def test_a_run_without_a_comparison_says_its_settings_in_its_config(tmp_path):
    folder = run(tmp_path / "one", start_sha256="ab")
    (folder / "origin.json").unlink()
    (folder / "config.py").write_text(
        "optimizer = dict(lr=1e-3)\nunlabeled = dict(root='data/b')\nbudget=dict(steps=5)"
    )
    assert run_entry(folder).id == run_entry(run(tmp_path / "other")).id
    (folder / "config.py").unlink()
    with pytest.raises(FileNotFoundError, match=r"has a run\.json but no config\.py"):
        run_entry(folder)


def test_a_scan_names_what_it_cannot_read_and_goes_on(tmp_path):
    run(tmp_path / "good")
    run(tmp_path / "half", finished=False)
    run(tmp_path / "bad")
    (tmp_path / "bad/run.json").write_text('{"seed": 0')
    (tmp_path / "good/probes").mkdir()
    write_json(tmp_path / "good/probes/depth.json", RESULT)
    write_json(tmp_path / "good/probes/notes.json", {"text": "mine"})
    scan = Scan([tmp_path])
    assert [entry.table for entry in scan.entries] == ["runs", "probes"]
    assert scan.unfinished == [tmp_path / "half"]
    assert "bad/run.json is not readable JSON" in scan.unreadable[0]
    assert scan.unreadable[1] == f"{tmp_path}/good/probes/notes.json: not a probe result (no 'task')"
    with pytest.raises(FileNotFoundError, match=r"no run\.json and no probes"):
        Scan([tmp_path / "good/probes"])


def owner(label: str | None, file: Path, runs: set[Path]) -> str | None:
    write_json(file, [{**RESULT, "backbone": label}])
    (entry,) = probe_entries(file, lambda folder: str(folder) if folder in runs else None)
    return entry.columns["run"]


def test_a_result_belongs_to_the_run_whose_backbone_was_probed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seed0, start = tmp_path / "w/fixed/seed0", tmp_path / "w/start/run"
    runs = {seed0, start}
    beside, elsewhere = seed0 / "probes/scenes.json", tmp_path / "out.json"
    assert owner("moved/since/seed0/backbone.safetensors", beside, runs) == str(seed0)
    assert owner("w/fixed/seed0/backbone.safetensors", elsewhere, runs) == str(seed0)
    assert owner("x/start/run/backbone.safetensors", tmp_path / "w/start/seed1/probes/d.json", runs) == str(start)
    assert owner("w/fixed/seed0/backbone.safetensors, random weights 0", beside, runs) is None
    assert owner("vit_small_patch16_dinov3", beside, runs) is None
    assert owner("other/seed1/backbone.safetensors", beside, runs) is None


def test_a_protocol_knows_neither_backbone_nor_seed_nor_version_nor_folder():
    card = {"data": {"root": "data/a", "name": "scenes"}, "steps": 500}
    single = {
        "model": "vit",
        "model_args": {},
        "seed": 3,
        "versions": {"torch": "2"},
        "device": "cpu",
        "over_seeds": {},
    }
    result = {"task": "depth", "card": {**card, **single, "final_training_loss": 0.3}}
    assert portable_protocol(result) == {"task": "depth", "data": {"name": "scenes"}, "steps": 500}
    assert portable_protocol({"task": "depth", "card": {"data": {"root": "data/a"}}})["data"] == {"root": "data/a"}


def test_the_spread_that_a_card_gets_later_does_not_change_a_result(tmp_path):
    write_json(tmp_path / "a.json", [RESULT])
    write_json(tmp_path / "b.json", [{**RESULT, "seconds": 9.0, "card": {"over_seeds": {"seeds": [0, 1]}}}])
    (a,), (b,) = (probe_entries(tmp_path / name, lambda folder: None) for name in ("a.json", "b.json"))
    assert (a.id, a.content) == (b.id, b.content)


def test_a_result_of_an_older_version_gets_its_units(comparison):
    (entry,) = probe_entries(comparison / "fixed/seed0/probes/depth.json", lambda folder: None)
    assert entry.record["result"]["score_info"]["RMSE"]["unit"] == "m"
    assert json.loads(json.dumps(entry.record)) == entry.record
    assert read_json(comparison / "fixed/seed0/probes/depth.json").get("score_info") is None  # the file stays

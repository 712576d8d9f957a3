"""Groups over seeds, the best, two compared, and what is exported."""

import csv
import io
import json

import pytest
from scipy import stats

from vssl.reports import read_json
from vssl.results.automatic import add
from vssl.results.differences import compare, find
from vssl.results.exporting import as_csv, as_json
from vssl.results.lists import best, list_probes, list_runs
from vssl.results.measurements import groups, measurements, select_runs
from vssl.results.store import Store


def lines_of(store: Store, one: str, other: str) -> list[str]:
    candidates = groups(measurements(store), store.runs())
    return compare(find(candidates, one), find(candidates, other))


def test_an_arm_over_seeds_is_one_group_also_where_its_steps_follow_another(store, miou):
    found = {group.name: group for group in groups(measurements(store))}
    assert set(found) == {
        "fixed recipe", "V-Pretraining", "fixed, step-matched", "random feedback", "start.safetensors"
    }  # fmt: skip
    (protocol,) = {key for key in found["V-Pretraining"].protocols if key[0] == "segmentation"}
    for name, arm in (("V-Pretraining", "vpretraining"), ("fixed, step-matched", "fixed_steps")):
        assert found[name].per_seed(*protocol, "mIoU") == dict(enumerate(miou[arm]))
    assert found["start.safetensors"].counted(3) == "3 probe seeds"


def test_filters_take_patterns(store):
    names = {one.backbone for one in measurements(store, {"arm": "fixed*", "probe": "seg*"})}
    assert names == {"fixed recipe", "fixed, step-matched"}
    assert {one.row["probe"] for one in measurements(store, {"arm": "fixed*", "probe": "seg*"})} == {"segmentation"}
    assert len(select_runs(store.runs(), {"designer": "ident*"})) == 12
    assert measurements(store, {"model": "*"}) == []  # these cards name none


def test_lists_have_a_line_for_each_row(store):
    found = measurements(store)
    assert len(list_runs(store.runs()).splitlines()) == 1 + 12
    assert len(list_probes(found).splitlines()) == 1 + 30
    assert "V-Pretraining" in list_probes(found) and "0.5610 m" in list_probes(found)


def test_best_goes_by_the_mean_over_seeds_in_the_right_direction(store):
    found = measurements(store)
    lines = best(found, "mIoU", 2).splitlines()
    assert lines[0].startswith("segmentation mIoU (%), higher is better")
    assert [line.split("  ")[1].strip() for line in lines[2:]] == ["V-Pretraining", "fixed recipe"]
    assert "43.00 ± 0.95  3 seeds" in lines[2]
    assert best(found, "RMSE", 1).splitlines()[2].split("  ")[1] == "V-Pretraining"  # lower is better
    with pytest.raises(ValueError, match="no result here has the score 'mAP'; there are AbsRel"):
        best(found, "mAP", 1)
    with pytest.raises(ValueError, match=r"did you mean 'mIoU'\?"):
        best(found, "miou", 1)


def test_two_protocols_are_never_ranked_together(comparison, tmp_path, reprobed):
    reprobed("fixed", steps=300)
    store = Store(tmp_path / "b.sqlite", create=True)
    add(store, [comparison])
    paragraphs = best(measurements(store), "mIoU", 9).split("\n\n")
    assert len(paragraphs) == 2
    assert sorted("fixed recipe" in paragraph for paragraph in paragraphs) == [False, True]


def test_two_arms_are_compared_in_settings_and_over_shared_seeds(store, miou):
    lines = lines_of(store, "vpretraining", "fixed")
    assert "  designer.type: Designer of vpretraining, Designer of fixed" in lines
    assert not any("optimizer.lr" in line for line in lines)
    interval = stats.ttest_rel(miou["vpretraining"], miou["fixed"]).confidence_interval()
    shown = f"+1.00 [{interval.low:.2f}, {interval.high:.2f}]"
    assert f"  segmentation mIoU %: 43.00, 42.00, {shown}" in lines


def test_scores_of_other_protocols_are_not_compared(comparison, tmp_path, reprobed):
    reprobed("fixed", steps=300, head="BN + MLP")
    store = Store(tmp_path / "b.sqlite", create=True)
    add(store, [comparison])
    lines = lines_of(store, "vpretraining", "fixed")
    assert "  not compared: segmentation has other protocols (head, steps)" in lines
    assert any(line.startswith("  depth RMSE m") for line in lines)
    assert not any("mIoU" in line for line in lines)
    candidates = groups(measurements(store, {"probe": "segmentation"}))
    with pytest.raises(ValueError, match=r"no score of V-Pre.* and fixed.* can be compared: segmentation has other"):
        compare(find(candidates, "vpretraining"), find(candidates, "fixed"))


def test_one_run_is_chosen_by_its_id(store):
    run = next(run for run in store.runs() if (run["arm"], run["seed"]) == ("vpretraining", 1))
    lines = lines_of(store, run["id"][:8], "fixed")
    assert "A: V-Pretraining, 1 seed: 1" in lines
    assert "  segmentation mIoU %: 42.90, 42.00, +0.90 (one seed, no interval)" in lines


def test_a_name_of_two_things_asks_which(comparison, tmp_path, edit):
    store = Store(tmp_path / "b.sqlite", create=True)
    add(store, [comparison])
    for seed in range(3):
        file = comparison / f"fixed/seed{seed}/origin.json"
        edit(file, settings={**read_json(file)["settings"], "optimizer.lr": 1e-3})
    add(store, [comparison])
    with pytest.raises(ValueError, match="'fixed' is 2 groups of runs with other settings"):
        lines_of(store, "fixed", "vpretraining")
    with pytest.raises(ValueError, match="'neco' is no arm, backbone or id of the store; it has "):
        lines_of(store, "neco", "fixed")


def test_csv_has_a_line_per_score_and_json_everything(store):
    found = measurements(store, {"arm": "fixed"})
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert len(rows) == 3 * (2 + 4)  # seeds × scores of segmentation and depth
    first = next(row for row in rows if row["score"] == "mIoU" and row["seed"] == "0")
    assert (first["value"], first["unit"], first["better"], first["steps"]) == ("41.0", "%", "higher", "240")
    content = json.loads(as_json(found, store.runs()))
    assert (len(content["runs"]), len(content["probes"])) == (12, 6)
    assert content["runs"][0]["record"]["run"]["vssl_version"] == "0.1.0"

import json

import numpy as np
import pytest

from vssl.probes.result_files import load_results, pictures_path, save_pictures, save_results


def result(name, backbone="a", seed=0, **scores):
    return {"name": name, "task": name, "backbone": backbone, "scores": scores, "card": {"seed": seed}}


def test_other_probes_backbones_and_seeds_are_kept_and_the_same_is_replaced(tmp_path):
    path = tmp_path / "new" / "results.json"
    save_results([result("knn", top1=1.0), result("depth", RMSE=1.0)], path)
    save_results([result("knn", top1=2.0)], path)
    save_results([result("knn", backbone="b", top1=3.0), result("knn", seed=1, top1=4.0)], path)
    found = [(r["name"], r["backbone"], r["card"]["seed"], *r["scores"].values()) for r in load_results(path)]
    assert found == [("depth", "a", 0, 1.0), ("knn", "a", 0, 2.0), ("knn", "b", 0, 3.0), ("knn", "a", 1, 4.0)]
    assert [p.name for p in path.parent.iterdir()] == ["results.json"]


def test_numpy_numbers_and_nan_become_json(tmp_path):
    save_results(
        [result("knn", a=np.float32(0.5), b=np.int64(3), c=float("nan"), d=[np.float64("inf")])], tmp_path / "r"
    )
    assert json.loads((tmp_path / "r").read_text())[0]["scores"] == {"a": 0.5, "b": 3, "c": None, "d": [None]}


@pytest.mark.parametrize("content", ["{", '{"a": 1}', "[1]", '[{"task": "x"}]'])
def test_a_file_of_another_kind_is_refused_and_kept(tmp_path, content):
    path = tmp_path / "r.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="not a list of probe results"):
        save_results([result("knn")], path)
    assert path.read_text() == content


def test_interrupted_write_loses_nothing(tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    save_results([result("knn", top1=1.0)], path)
    before = path.read_text()
    monkeypatch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_results([result("depth", RMSE=1.0)], path)
    assert path.read_text() == before


def test_pictures_grow_by_key(tmp_path):
    path = pictures_path(tmp_path / "r.json")
    save_pictures({"image": np.zeros(2), "seg_pred": np.ones(1)}, path)
    save_pictures({"image": np.ones(2), "depth_pred": np.ones(3)}, path)
    assert {k: v.tolist() for k, v in np.load(path).items()} == {
        "image": [1, 1],
        "seg_pred": [1],
        "depth_pred": [1, 1, 1],
    }

import json

import pytest

from vssl.compat import file_digest
from vssl.engine import train
from vssl.engine.provenance import dataset_digests


def test_data_is_known_by_its_dataset_json_wherever_it_lies(tmp_path):
    for place, made in (("a", {"seed": 0}), ("b/c", {"seed": 0}), ("other", {"seed": 1})):
        (tmp_path / place / "imagenet/train").mkdir(parents=True)
        (tmp_path / place / "dataset.json").write_text(json.dumps(made))
    (tmp_path / "bare").mkdir()
    roots = {"unlabeled.root": "a/imagenet/train", "unlabeled.second": "b/c/imagenet/train"}
    roots |= {"feedback.pools.depth.dataset.root": "other/imagenet", "unlabeled.third": "bare"}
    found = dataset_digests({key: str(tmp_path / place) for key, place in roots.items()} | {"backbone.root": "a"})
    one, two, three, none = found.values()
    assert list(found) == list(roots)
    assert one == two != three and none is None


@pytest.mark.slow
def test_a_run_says_where_it_comes_from(fixed_config, tmp_path):
    start = train(fixed_config, tmp_path / "start")
    fixed_config.backbone.checkpoint = str(start / "backbone.safetensors")
    about = json.loads((train(fixed_config, tmp_path / "run") / "run.json").read_text())
    assert about["start_sha256"] == file_digest(start / "backbone.safetensors")
    assert list(about["data"]) == ["unlabeled.root"]
    assert about["environment"]["versions"]["torch"] and "commit" in about["environment"]

"""The probe of docs/extending.md works as it stands there, up to the comparison's page."""

import json
from pathlib import Path

import pytest
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import normalize

from vssl.probes.decoded_images import ProbeData
from vssl.probes.outcome import ProbeRun
from vssl.probes.run import run_probes
from vssl.reports.metrics import describe_metrics
from vssl.reports.runs import read_probes

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


@pytest.fixture
def kind():
    names = {}
    exec(PAGE.read_text().split("## Add a probe")[1].split("```python\n")[1].split("```")[0], names)
    return names["NearestMeanProbe"]


def test_the_example_scores_what_scikit_learn_scores(kind, folders, backbone):
    config = {"probes": {"nearest": dict(type=kind, **folders)}, "device": "cpu"}
    (result,) = run_probes(backbone, config)
    probe, run = kind(**folders), ProbeRun(backbone, ProbeData(), 0, "cpu")
    train, val = probe.load(run.data)
    # unit vectors: the nearest of normalised means is the one of largest cosine
    theirs = NearestCentroid().fit(normalize(probe.features(train, run)), train.targets)
    theirs.centroids_ = normalize(theirs.centroids_)
    found = theirs.predict(normalize(probe.features(val, run)))
    assert result["scores"]["top1"] == pytest.approx(100 * (found == val.targets.numpy()).mean())
    assert 0 < result["scores"]["angle"] < 180


def test_reports_know_it_by_what_it_says(kind, folders, backbone, tmp_path):
    (result,) = run_probes(backbone, {"probes": {"nearest": dict(type=kind, **folders)}, "device": "cpu"})
    (tmp_path / "nearest.json").write_text(json.dumps(result))
    (read,) = read_probes(tmp_path).values()
    top1, angle = describe_metrics({"nearest": read["score_info"]})
    assert (top1.title, top1.unit, top1.lower_is_better, top1.headline) == ("nearest top-1", "%", False, True)
    assert (angle.unit, angle.lower_is_better, angle.digits) == ("°", True, 1)


def test_a_score_that_nobody_describes_is_refused(kind, folders, backbone):
    class Silent(kind):
        def score_info(self):
            return {}

    with pytest.raises(ValueError, match=r"Silent\.score_info does not describe its scores \['top1', 'angle'\]"):
        run_probes(backbone, {"probes": {"nearest": dict(type=Silent, **folders)}, "device": "cpu"})

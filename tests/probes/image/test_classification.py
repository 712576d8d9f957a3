import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from vssl.probes.decoded_images import ProbeData
from vssl.probes.fit import FullBatch
from vssl.probes.image.classification import KNNProbe, LinearProbe, knn_votes
from vssl.probes.outcome import ProbeRun

CPU = torch.device("cpu")


def test_knn_votes_agree_with_sklearn():
    g = torch.Generator().manual_seed(0)
    train, queries = torch.randn(80, 5, generator=g).double(), torch.randn(33, 5, generator=g).double()
    labels = torch.randint(0, 4, (80,), generator=g)
    votes = knn_votes(train, labels, queries, 4, k=[1, 7, 20], temperature=0.07, chunk=10)
    for k, found in votes.items():
        theirs = KNeighborsClassifier(
            k, metric="cosine", weights=lambda distance: np.exp(-distance / 0.07), algorithm="brute"
        ).fit(train, labels)
        shares = (found / found.sum(1, keepdim=True)).numpy()
        np.testing.assert_allclose(shares, theirs.predict_proba(queries), atol=1e-12)


def test_knn_ignores_the_length_of_features():
    g = torch.Generator().manual_seed(0)
    train, queries, labels = torch.randn(30, 5, generator=g), torch.randn(9, 5, generator=g), torch.arange(30) % 3
    votes = knn_votes(train, labels, queries, 3, [5], 0.07)[5]
    scaled = knn_votes(train * torch.rand(30, 1, generator=g) * 9, labels, queries * 4, 3, [5], 0.07)[5]
    torch.testing.assert_close(votes, scaled)


@pytest.fixture
def run(backbone):
    return ProbeRun(backbone, ProbeData(), 0, CPU)


def test_linear_classifier_learns_and_both_probes_share_features(folders, run, monkeypatch):
    linear = LinearProbe(**folders, schedule=dict(type=FullBatch, l2=1e-2)).run(run).result
    monkeypatch.setattr("vssl.probes.image.classification.FrozenBackbone", None)  # kNN looks at no image again
    knn = KNNProbe(**folders, k=[3, 5]).run(run).result
    hits = linear["scores"]["top1"] / 100 * 6
    assert hits == pytest.approx(round(hits)) and round(hits) >= 4
    assert linear["card"]["final_training_loss"] < 0.2  # 24 features separate 12 images
    assert set(linear["per_class"]) == {"left", "right"}
    assert knn["scores"]["knn_top1"] == knn["scores"]["knn_top1@3"] and "knn_top1@5" in knn["scores"]
    assert linear["card"]["pool"] == knn["card"]["pool"] == "avg" and knn["card"]["temperature"] == 0.07


def test_streamed_images_give_the_same_features(folders, run):
    kept, streamed = (LinearProbe(**folders, resize=40, keep=keep) for keep in (True, False))
    a, b = (probe.features(probe.load(run.data)[0], run) for probe in (kept, streamed))
    assert run.data.folder(folders["train"], **streamed.reading, limit=None).images is None
    torch.testing.assert_close(a, b)


def test_limit_takes_evenly_spaced_images(folders, run):
    train, val = LinearProbe(**folders, limit=4).load(run.data)
    full, _ = LinearProbe(**folders).load(run.data)
    assert (len(train), len(val), len(full)) == (4, 6, 12)
    assert torch.equal(train.images, full.images[::3]) and torch.equal(train.targets, full.targets[::3])


def test_bad_settings(folders, run, scenes, tmp_path):
    with pytest.raises(ValueError, match=r"k=\[13\].*1\.\.12"):
        KNNProbe(**folders, k=[13]).load(run.data)
    with pytest.raises(ValueError, match="pool='max'"):
        LinearProbe(**folders, pool="max")
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder .*tools/prepare_data\.py"):
        LinearProbe(**{**folders, "val": str(tmp_path / "nowhere")}).load(run.data)
    (tmp_path / "val/left").mkdir(parents=True)
    (tmp_path / "val/left/a.jpg").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"a\.jpg: not a readable image"):
        LinearProbe(**{**folders, "val": str(tmp_path / "val")}).load(run.data)
    (tmp_path / "val/left/a.jpg").write_bytes(next((scenes / "imagenet/val/left").iterdir()).read_bytes())
    with pytest.raises(ValueError, match=r"differ in their class folders: \['right'\]"):
        LinearProbe(**{**folders, "val": str(tmp_path / "val")}).load(run.data)

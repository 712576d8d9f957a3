"""Low-shot curves against scikit-learn on the same images."""

from statistics import fmean, stdev

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from vssl.probes.decoded_images import ProbeData
from vssl.probes.image.low_shot import LowShotProbe, shuffled_by_class
from vssl.probes.outcome import ProbeRun

CPU = torch.device("cpu")


@pytest.fixture
def run(backbone):
    return ProbeRun(backbone, ProbeData(), 3, CPU)


def test_draws_are_nested_balanced_and_by_the_seed_alone():
    targets = torch.tensor([0, 1, 0, 1, 1, 0, 2, 2])
    first = shuffled_by_class(targets, 0, 0)
    assert [sorted(rows.tolist()) for rows in first] == [[0, 2, 5], [1, 3, 4], [6, 7]]
    assert all(torch.equal(a, b) for a, b in zip(first, shuffled_by_class(targets, 0, 0), strict=True))
    many = torch.arange(400) % 2
    orders = [torch.cat(shuffled_by_class(many, seed, draw)) for seed, draw in ((0, 0), (0, 1), (1, 0))]
    assert len({tuple(order.tolist()) for order in orders}) == 3


def test_both_curves_are_what_scikit_learn_finds(folders, run):
    probe = LowShotProbe(**folders, shots=[1, 2], draws=3, k=3)
    result = probe.run(run).result
    train, val = probe.load(run.data)
    features, queries = probe.features(train, run).double().numpy(), probe.features(val, run).double().numpy()
    for n in (1, 2):
        linear, knn = [], []
        for draw in range(3):
            rows = torch.cat([of_class[:n] for of_class in shuffled_by_class(train.targets, 3, draw)])
            seen, labels = features[rows], train.targets[rows].numpy()
            mean, std = seen.mean(0), np.sqrt(seen.var(0, ddof=1) + 1e-5)  # as batch norm standardises
            fitted = LogisticRegression(C=1 / (1e-2 * len(rows)), tol=1e-8, max_iter=2000)
            fitted.fit((seen - mean) / std, labels)
            linear.append(100 * fitted.score((queries - mean) / std, val.targets))
            near = KNeighborsClassifier(
                min(3, len(rows)), metric="cosine", weights=lambda d: np.exp(-d / 0.07), algorithm="brute"
            )
            knn.append(100 * near.fit(seen, labels).score(queries, val.targets))
        assert result["draws"][f"linear@{n}"] == pytest.approx(linear)
        assert result["draws"][f"knn@{n}"] == pytest.approx(knn)
        scores = result["scores"]
        assert (scores[f"linear@{n}"], scores[f"linear@{n}_std"]) == pytest.approx((fmean(linear), stdev(linear)))
    assert list(result["scores"])[:2] == ["linear@1", "linear@1_std"]
    assert (result["card"]["shots"], result["card"]["draws"], result["card"]["seed"]) == ([1, 2], 3, 3)


def test_too_few_images_and_settings_out_of_range(folders, run):
    with pytest.raises(ValueError, match=r"class (left|right) has \d+ training images; shots=\[1, 25\]"):
        LowShotProbe(**folders, shots=[1, 25]).load(run.data)
    for change in (dict(shots=[]), dict(shots=[0]), dict(shots=[2, 2]), dict(draws=1), dict(k=0)):
        with pytest.raises(ValueError, match="are needed"):
            LowShotProbe(**folders, **change)

"""In-context probes against plain numpy and scikit-learn."""

import copy

import numpy as np
import pytest
import torch
from mmcv.transforms import RandomFlip
from sklearn.neighbors import NearestNeighbors
from torch.nn import functional as F

from vssl.probes.cache import FeatureCache
from vssl.probes.decoded_images import ProbeData
from vssl.probes.dense.in_context import InContextDepthProbe, InContextSegmentationProbe
from vssl.probes.dense.memory import attend, cells, choose_patches, class_shares, mean_values
from vssl.probes.frozen_backbone import FrozenBackbone
from vssl.probes.outcome import ProbeRun

CPU = torch.device("cpu")


@pytest.fixture
def settings(request):
    def of(task):
        kept = request.getfixturevalue(task)
        return {key: kept[key] for key in ("train", "val", "size")}

    return of


@pytest.fixture
def run(backbone):
    return lambda probe, seed=0, cache=None: probe.run(ProbeRun(backbone, ProbeData(), seed, CPU, cache=cache))


def neighbours(queries, keys, values, k, temperature):
    """The rule, by scikit-learn and numpy."""
    distance, index = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(keys).kneighbors(queries)
    weights = np.exp((1 - distance) / temperature)
    return (weights[..., None] / weights.sum(1)[:, None, None] * values[index]).sum(1)


def test_attention_over_the_nearest_agrees_with_sklearn_whatever_the_blocks():
    rng = np.random.default_rng(0)
    queries, keys, values = rng.normal(size=(33, 6)), rng.normal(size=(200, 6)), rng.random((200, 4))
    expected = neighbours(queries, keys, values, 7, 0.1)
    unit = F.normalize(torch.from_numpy(keys), dim=1)
    for blocks in ((1024, 65536), (5, 3), (10, 64)):
        found = attend(torch.from_numpy(queries), unit, torch.from_numpy(values), 7, 0.1, *blocks)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_labels_of_patches_count_labeled_pixels_alone():
    labels = torch.tensor([[0, 0, 2, 255], [0, 1, 255, 255], [255, 255, 1, 1], [255, 255, 1, 1]])
    shares = class_shares(labels, 3, (2, 2))
    torch.testing.assert_close(shares[:2], torch.tensor([[0.75, 0.25, 0], [0, 0, 1.0]]))
    assert shares[2].isnan().all() and shares[3].tolist() == [0, 1, 0]
    depth = torch.tensor([[1.0, 3, 0, 0], [0, 0, 0, 0], [2, 2, 0, 4], [2, 4, 0, 0]])
    means = mean_values(depth, depth > 0, (2, 2))[:, 0]
    assert means.isnan().tolist() == [False, True, False, False]
    assert means[[0, 2, 3]].tolist() == [2.0, 2.5, 4.0]
    assert cells((5, 4), (3, 2))[:, 0].tolist() == [0, 0, 2, 2, 4]  # 5 rows in 3 patches


def test_a_small_memory_takes_rare_classes_first_and_no_patch_without_a_label():
    labels = torch.zeros(50, 3)
    labels[:45, 0], labels[45:48, 1], labels[48:] = 1, 1, torch.nan
    draws = torch.Generator().manual_seed(0)
    taken = torch.stack([choose_patches(labels, 6, True, draws) for _ in range(300)])
    assert ((taken >= 45) & (taken < 48)).sum(1).double().mean() > 2.5  # 3 of 48 patches have it
    even = torch.stack([choose_patches(labels, 6, False, draws) for _ in range(300)])
    assert ((even >= 45) & (even < 48)).sum(1).double().mean() == pytest.approx(6 * 3 / 48, abs=0.15)
    assert taken.max() < 48 and even.max() < 48 and all(len(set(row.tolist())) == 6 for row in taken)
    assert choose_patches(labels[44:], 6, True, draws).tolist().count(-1) == 2  # four have labels


@pytest.mark.slow
def test_segmentation_is_what_numpy_makes_of_the_same_features(settings, run, backbone):
    probe = InContextSegmentationProbe(**settings("segmentation"), k=5, temperature=0.1, pictures=99)
    outcome = run(probe)
    train, val = probe.load(ProbeData())
    frozen, keys, shares = FrozenBackbone(backbone), [], []
    see = lambda item: frozen(item["inputs"].flip(0)[None] / 255)[0][0].flatten(1).T.numpy()  # noqa: E731
    for item in train.items:
        blocks = item["data_samples"].gt_sem_seg.data[0].numpy().reshape(4, 8, 4, 8).swapaxes(1, 2).reshape(16, 64)
        counts = np.stack([(blocks == c).sum(1) for c in range(3)], 1)
        labeled = counts.sum(1) > 0
        keys.append(see(item)[labeled])
        shares.append((counts / np.maximum(counts.sum(1), 1)[:, None])[labeled])
    for index, item in enumerate(val.items):
        found = neighbours(see(item), np.concatenate(keys), np.concatenate(shares), 5, 0.1)
        maps = torch.from_numpy(found.T.reshape(1, 3, 4, 4))
        predicted = F.interpolate(maps, size=(32, 32), mode="bilinear").argmax(1)[0].numpy()
        np.testing.assert_array_equal(outcome.pictures["in_context_seg_pred"][index], predicted)
    labels = outcome.pictures["in_context_seg_label"]
    hits = labels == outcome.pictures["in_context_seg_pred"]
    assert outcome.result["scores"]["aAcc"] == pytest.approx(100 * hits[labels != 255].mean())
    assert outcome.result["scores"]["aAcc"] > 60  # colours tell the classes; a third each by chance
    assert outcome.pictures["in_context_seg_image"].shape == (6, 32, 32, 3)


@pytest.mark.slow
def test_depth_is_a_mean_of_the_memorys_metres(settings, run):
    outcome = run(InContextDepthProbe(**settings("depth"), k=3, pictures=6))
    predicted = outcome.pictures["in_context_depth_pred"]
    assert predicted.min() >= 1.5 and predicted.max() <= 4.0
    assert outcome.result["scores"]["RMSE"] < 0.8  # of 1.5, 2.5 and 4 m
    assert str(outcome.pictures["in_context_depth_unit"]) == "m"
    card = outcome.result["card"]
    assert (card["k"], card["temperature"], card["loss"], card["seed_matters"]) == (3, 0.02, None, False)
    assert card["memory"] == "all labeled patches of the training images" and "optimizer" not in card


@pytest.mark.slow
def test_the_memory_is_drawn_by_the_seed_alone_and_may_be_cached_or_streamed(settings, run, tmp_path, monkeypatch):
    probe = InContextSegmentationProbe(**settings("segmentation"), k=5, memory=40)
    first, other = run(probe).result["scores"], run(probe, seed=1).result["scores"]
    assert first == run(probe).result["scores"] != other
    cache = FeatureCache(tmp_path)
    assert run(probe, cache=cache).result["scores"] == first
    (entry,) = tmp_path.iterdir()
    assert np.load(entry / "0.npy").shape == (12, 3, 24)  # 40 // 12 patches of each image
    monkeypatch.setattr(probe, "feature_batches", None)  # no training image is looked at again
    assert run(probe, cache=cache).result["scores"] == first
    streamed = InContextSegmentationProbe(**settings("segmentation"), k=5, memory=40, keep=False)
    assert run(streamed).result["scores"] == first
    whole = InContextSegmentationProbe(**settings("segmentation"), k=5)
    assert run(whole).result["scores"] == run(whole, seed=1).result["scores"]


@pytest.mark.slow
@pytest.mark.parametrize("keep", [True, False])
def test_two_layers_flips_and_windows(settings, run, keep):
    slide = dict(mode="slide", crop_size=(16, 16), stride=(8, 8), flip=True)
    look = dict(layers=[1, 2], inference=slide, keep=keep)
    assert run(InContextSegmentationProbe(**settings("segmentation"), k=5, **look)).result["scores"]["aAcc"] > 60


@pytest.mark.slow
def test_what_fits_nothing_takes_no_head_and_no_chance(settings, run):
    plain = settings("segmentation")
    with pytest.raises(ValueError, match="fit nothing; leave head, schedule away"):
        InContextSegmentationProbe(**plain, schedule={}, head={})
    with pytest.raises(ValueError, match=r"k=0.*positive"):
        InContextSegmentationProbe(**plain, k=0)
    with pytest.raises(ValueError, match="memory=5 patches of 12 training images"):
        run(InContextSegmentationProbe(**plain, memory=5))
    with pytest.raises(ValueError, match="k=500 neighbours, but only"):
        run(InContextSegmentationProbe(**plain, k=500))
    with pytest.raises(ValueError, match=r"s000\.jpg: \(32, 32\) px.*size=\(64, 64\)"):
        run(InContextSegmentationProbe(**{**plain, "size": (64, 64)}, keep=False))
    drawn = copy.deepcopy(plain)
    drawn["train"]["pipeline"].insert(2, dict(type=RandomFlip, prob=0.5))
    with pytest.raises(ValueError, match=r"RandomFlip.*left to chance"):
        InContextSegmentationProbe(**drawn)

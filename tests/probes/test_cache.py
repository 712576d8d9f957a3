import copy

import pytest
import torch

from vssl.datasets.revisited import RevisitedRetrieval
from vssl.datasets.scenes import write_retrieval
from vssl.probes.cache import FeatureCache, files_digest, weights_digest
from vssl.probes.decoded_images import ProbeData
from vssl.probes.dense.grid import DenseGrid
from vssl.probes.dense.segmentation import SegmentationProbe
from vssl.probes.fit import FullBatch
from vssl.probes.image.classification import KNNProbe, LinearProbe
from vssl.probes.image.linear_grid import LinearGridProbe
from vssl.probes.image.retrieval import RetrievalProbe
from vssl.probes.outcome import ProbeRun
from vssl.probes.run import run_probes

CPU = torch.device("cpu")
LAYERS = [torch.arange(30.0).view(5, 2, 3), torch.arange(10, dtype=torch.int16).view(5, 2)]


def batches(sizes=(2, 3)):
    yield from zip(*(layer.split(list(sizes)) for layer in LAYERS), strict=True)


def test_features_come_back_as_they_went_in_and_are_not_computed_twice(tmp_path):
    cache = FeatureCache(tmp_path / "cache")
    for source in (batches(), iter(())):  # nothing could be computed the second time
        for found, layer in zip(cache.features({"a": 1}, 5, source), LAYERS, strict=True):
            assert torch.equal(found, layer) and found.dtype == layer.dtype
    with pytest.raises(ValueError, match="0 images were computed, 5 were announced"):
        cache.features({"a": 2}, 5, iter(()))
    assert [path.name for path in (tmp_path / "cache").iterdir() if "partial" in path.name] == []


def test_what_is_read_is_a_map_of_the_file_that_cannot_change_it(tmp_path):
    cache = FeatureCache(tmp_path)
    cache.features({}, 5, batches())[0].zero_()
    assert torch.equal(cache.features({}, 5, iter(()))[0], LAYERS[0])


def test_halves_take_half_the_room_round_to_float16_and_refuse_what_it_cannot_hold(tmp_path):
    features = torch.randn(5, 40, generator=torch.Generator().manual_seed(0)) * 100
    whole, half = FeatureCache(tmp_path / "whole"), FeatureCache(tmp_path / "half", half=True)
    for cache in (whole, half):
        cache.features({}, 5, iter([[features]]))
    (found,) = half.features({}, 5, iter(()))
    assert found.dtype == torch.float16
    assert (found.float() - features).abs().max() <= features.abs().max() * 2**-11  # 11 bits of precision
    sizes = [next(c.folder.glob("*/0.npy")).stat().st_size for c in (whole, half)]
    assert sizes[0] - sizes[1] == 5 * 40 * 2
    with pytest.raises(ValueError, match=r"features up to 70000 are beyond float16's range"):
        half.features({"a": 1}, 1, iter([[torch.full((1, 2), 7e4)]]))


def test_a_computation_that_stops_leaves_nothing_behind(tmp_path):
    def stops():
        yield next(batches())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FeatureCache(tmp_path).features({}, 5, stops())
    assert list(tmp_path.iterdir()) == []


def test_damage_and_a_full_disk_are_named(tmp_path, monkeypatch):
    cache = FeatureCache(tmp_path)
    cache.features({}, 5, batches())
    (file,) = tmp_path.glob("*/0.npy")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"cannot be read .* delete this folder"):
        cache.features({}, 5, iter(()))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(OSError, match="the feature cache needs"):
        cache.features({"other": 1}, 5, batches())


def test_other_weights_files_or_protocols_have_other_keys(backbone, tmp_path):
    other = copy.deepcopy(backbone)
    assert weights_digest(other) == weights_digest(backbone)
    next(other.parameters()).data.view(-1)[0] += 1e-6
    assert weights_digest(other) != weights_digest(backbone)
    path = tmp_path / "a"
    path.write_text("x")
    before = files_digest([path])
    path.write_text("xy")
    assert files_digest([path]) != before

    cache, looked = FeatureCache(tmp_path / "cache"), []

    def look(run, protocol, files=(path,)):
        def source():
            looked.append(1)
            yield from batches()

        run.features(protocol, files, 5, source())

    runs = [ProbeRun(b, ProbeData(), seed, CPU, cache=cache) for b, seed in ((backbone, 0), (backbone, 7), (other, 0))]
    for run in runs:
        look(run, {"layers": "last"})
    assert len(looked) == 2, "the seed of a head is not the features'"
    look(runs[0], {"layers": [0]})
    look(runs[0], {"layers": "last"}, files=())
    assert len(looked) == 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SegmentationProbe, KNNProbe])
def test_a_cached_score_is_the_same_and_looks_at_no_training_image(kind, backbone, request, tmp_path, monkeypatch):
    if kind is KNNProbe:
        probe = KNNProbe(**request.getfixturevalue("folders"), k=[3])
    else:
        probe = SegmentationProbe(**request.getfixturevalue("segmentation"))
    plain = probe.run(ProbeRun(backbone, ProbeData(), 0, CPU)).result["scores"]
    cached = [
        probe.run(ProbeRun(backbone, ProbeData(), 0, CPU, cache=FeatureCache(tmp_path))).result["scores"]
        for _ in range(2)
    ]
    assert plain == cached[0] == cached[1]
    assert len(list(tmp_path.iterdir())) == (2 if kind is KNNProbe else 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full_batch", "steps", "grid", "linear", "linear_grid", "augmented", "retrieval"])
def test_every_probe_computes_in_float32_from_halves(kind, backbone, request, tmp_path):
    """Scores from float16 features, near those from float32; heads themselves stay float32."""
    probe = {
        "full_batch": lambda: SegmentationProbe(**dense(request, dict(type=FullBatch, iterations=5))),
        "steps": lambda: SegmentationProbe(**dense(request)),
        "grid": lambda: DenseGrid(dict(type=SegmentationProbe, **dense(request)), [1e-2], holdout=0.25),
        "linear": lambda: LinearProbe(**request.getfixturevalue("folders"), schedule=dict(type=FullBatch)),
        "linear_grid": lambda: LinearGridProbe([0.1], augment=False, **linear(request)),
        "augmented": lambda: LinearGridProbe([0.1], cached_epochs=2, **linear(request)),
        "retrieval": lambda: RetrievalProbe(rooms(tmp_path), size=24),
    }[kind]()
    whole, half = (
        probe.run(ProbeRun(backbone, ProbeData(), 0, CPU, cache=FeatureCache(tmp_path / f"{h}", half=h))).result
        for h in (False, True)
    )
    assert half["card"]["features_kept_as"] == "float16" and "features_kept_as" not in whole["card"]
    score = next(iter(whole["scores"]))
    assert half["scores"][score] == pytest.approx(whole["scores"][score], abs=0.05 if kind == "retrieval" else 5)


def dense(request, schedule: dict | None = None) -> dict:
    settings = request.getfixturevalue("segmentation")
    return settings if schedule is None else {**settings, "schedule": schedule}


def linear(request) -> dict:
    schedule = dict(optimizer=dict(type=torch.optim.SGD, lr=0.1), steps=5, batch_size=4)
    return dict(**request.getfixturevalue("folders"), schedule=schedule, holdout=0.25)


def rooms(folder) -> dict:
    return dict(type=RevisitedRetrieval, root=write_retrieval(folder / "rooms", rooms=3, size=24, workers=1).parent)


def test_halves_without_a_folder_are_a_mistake(backbone, folders):
    with pytest.raises(ValueError, match="give a folder"):
        run_probes(backbone, dict(probes=dict(knn=dict(type=KNNProbe, **folders, k=[3]))), cache_half=True)

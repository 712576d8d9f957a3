import copy

import pytest
import torch
from mmcv.transforms import RandomFlip
from mmseg.datasets.transforms import PackSegInputs

from vssl.probes.datasets import SceneSegmentation
from vssl.probes.decoded_images import ProbeData
from vssl.probes.dense.depth import DepthProbe
from vssl.probes.dense.grid import DenseGrid, SharedLook
from vssl.probes.dense.reading import ReadImage
from vssl.probes.dense.segmentation import SegmentationProbe
from vssl.probes.fit import FullBatch
from vssl.probes.frozen_backbone import FrozenBackbone
from vssl.probes.outcome import ProbeRun

CPU = torch.device("cpu")


@pytest.fixture
def run(backbone):
    return lambda probe, seed=0: probe.run(ProbeRun(backbone, ProbeData(), seed, CPU)).result


def settings_of(kind, request) -> dict:
    settings = request.getfixturevalue("segmentation" if kind is SegmentationProbe else "depth")
    settings["schedule"] = {**settings["schedule"], "steps": 8, "batch_size": 5, "clip_norm": 1.0}
    settings["head"] = dict(init_std=0.01)
    return settings


@pytest.mark.slow
@pytest.mark.parametrize("path", ["cached", "runner"])
@pytest.mark.parametrize("kind", [SegmentationProbe, DepthProbe])
def test_members_score_what_single_probes_score(kind, path, run, request):
    """A grid of rates × layers, all on train, against two of its members as probes of their own."""
    settings = settings_of(kind, request)
    if path == "runner" and kind is SegmentationProbe:  # mmcv flips no depth
        settings["train"]["pipeline"].insert(2, dict(type=RandomFlip, prob=0.5))
    grid = DenseGrid(
        dict(type=kind, **settings, path=path), learning_rates=[1e-3, 1e-2], layers=["last", [0, 2]], select="val"
    )
    members = run(grid)["members"]
    assert [(m["layers"], m["lr"]) for m in members] == [
        (layers, lr) for layers in ("last", [0, 2]) for lr in (1e-3, 1e-2)
    ]
    for member in (members[0], members[3]):
        alone = copy.deepcopy(settings)
        alone["schedule"]["optimizer"]["lr"] = member["lr"]
        expected = run(kind(**alone, path=path, layers=member["layers"]))["scores"]
        assert {name: member[name] for name in expected} == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_the_held_out_images_choose_and_are_in_no_batch(segmentation, run):
    grid = DenseGrid(dict(type=SegmentationProbe, **segmentation), [1e-5, 1e-2], seeds=[0, 1], holdout=0.25)
    train, val, held = grid.load(ProbeData())
    assert (len(train), len(val), len(held)) == (9, 6, 3)
    assert set(train.files()).isdisjoint(held.files()) and len({*train.files(), *held.files()}) == 12
    result = run(grid)
    best = max(m["held_out_mIoU"] for m in result["members"])
    first = next(m for m in result["members"] if m["held_out_mIoU"] == best)
    assert result["chosen"] == first and first["lr"] == 1e-2
    assert result["scores"]["mIoU"] == first["mIoU"] and result["counts"] == {"classes_seen": 3, "classes": 3}
    card = result["card"]
    assert (card["train_images"], card["fitted_on"]) == (12, 9) and "3 held-out" in card["selection"]
    assert len(result["members"]) == 4 and card["optimizer"]["lr"] == "grid"


@pytest.mark.slow
def test_each_label_file_is_checked_once_and_each_image_decoded_once(segmentation, monkeypatch):
    """The held-out part is the same files with another pipeline, not a third data set."""
    checked, decoded = [], []
    check, load = SceneSegmentation.check_files, ReadImage.transform
    monkeypatch.setattr(SceneSegmentation, "check_files", lambda self, p: (checked.extend(p), check(self, p))[1])
    monkeypatch.setattr(ReadImage, "transform", lambda self, r: (decoded.append(r["img_path"]), load(self, r))[1])
    segmentation["val"]["pipeline"] = [*segmentation["val"]["pipeline"][:2], dict(type=PackSegInputs)]
    grid = DenseGrid(dict(type=SegmentationProbe, **segmentation), [1e-3], holdout=0.25)
    data = ProbeData()
    train, val, held = grid.load(data)
    assert len(set(checked)) == len(checked) == len(set(decoded)) == len(decoded) == 12 + 6
    assert sorted(train.files() + held.files() + val.files()) == sorted(decoded)
    resized = [
        any(type(step).__name__ == "Resize" for step in split.dataset.pipeline.transforms) for split in (train, held)
    ]
    assert resized == [True, False]
    assert grid.load(data)[2] is held


@pytest.mark.slow
def test_depth_chooses_the_lowest_error(depth, run):
    result = run(DenseGrid(dict(type=DepthProbe, **depth), [1e-6, 1e-2], holdout=0.25))
    assert result["chosen"]["held_out_RMSE"] == min(m["held_out_RMSE"] for m in result["members"])
    assert result["chosen"]["lr"] == 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("inference", [dict(mode="whole"), dict(mode="slide", crop_size=(16, 32), stride=(16, 32))])
def test_the_backbone_looks_once_for_all_heads(inference, segmentation, backbone, monkeypatch):
    looks = []
    forward = FrozenBackbone.forward
    monkeypatch.setattr(FrozenBackbone, "forward", lambda self, x: (looks.append(len(x)), forward(self, x))[1])
    grid = DenseGrid(
        dict(type=SegmentationProbe, **segmentation, inference=inference, pictures=0),
        [1e-3, 1e-2],
        [[0], [2]],
        select="val",
    )
    grid.run(ProbeRun(backbone, ProbeData(), 0, CPU))
    windows = 2 if inference["mode"] == "slide" else 1
    assert sum(looks) == 12 + 6 * windows, "train once, val once"


def test_what_was_kept_for_one_batch_is_not_given_for_the_next(backbone):
    shared = SharedLook(FrozenBackbone(backbone))
    a, b = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    for images in (a, b):
        with shared.one_batch():
            first = shared(images)[0]
            shared.turn = 0
            assert shared(images)[0] is first
            torch.testing.assert_close(first, shared.frozen(images)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(probe=dict(type=dict)), "SegmentationProbe or DepthProbe"),
        (dict(schedule=dict(type=FullBatch)), "takes a Schedule"),
        (dict(width=3), r"unknown key 'width'"),
    ],
)
def test_settings_that_make_no_grid(segmentation, change, message):
    probe = change.get("probe") or dict(type=SegmentationProbe, **{**segmentation, **change})
    with pytest.raises(ValueError, match=message):
        DenseGrid(probe, [1e-3])

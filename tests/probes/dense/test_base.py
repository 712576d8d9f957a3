import copy
import json

import numpy as np
import pytest
import torch
from mmcv.transforms import RandomFlip
from mmseg.models.segmentors import EncoderDecoder
from PIL import Image

from vssl.learner import TimmBackbone
from vssl.probes.decoded_images import ProbeData
from vssl.probes.dense.depth import DepthProbe
from vssl.probes.dense.heads import BinDepthHead
from vssl.probes.dense.losses import GradientLoss, SigLoss
from vssl.probes.dense.segmentation import SegmentationProbe
from vssl.probes.fit import FullBatch
from vssl.probes.outcome import ProbeRun

CPU = torch.device("cpu")


@pytest.fixture
def run(backbone):
    return lambda probe, seed=0, backbone=backbone: probe.run(ProbeRun(backbone, ProbeData(), seed, CPU))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SegmentationProbe, DepthProbe])
def test_cached_features_and_the_runner_give_the_same_score(kind, run, request):
    settings = request.getfixturevalue("segmentation" if kind is SegmentationProbe else "depth")
    cached = run(kind(**settings)).result
    runner = run(kind(**settings, path="runner")).result
    # whole split in every step: only the order of summation differs
    assert cached["scores"] == pytest.approx(runner["scores"], rel=1e-4)
    assert cached["card"]["features"] != runner["card"]["features"]


@pytest.mark.slow
def test_cached_loss_is_the_loss_of_mmsegs_own_training_step(segmentation, backbone):
    probe, data = SegmentationProbe(**segmentation), ProbeData()
    train, _ = probe.load(data)
    model = probe.build(backbone, train, seed=0)
    head = model.decode_head.train()
    torch.nn.init.normal_(head.conv_seg.weight)
    run = ProbeRun(backbone, data, 0, CPU)
    features, items = probe.features(model, train, run), copy.deepcopy(train.items)
    targets = head.targets([item["data_samples"] for item in items])
    cached = head.loss_on(head.forward(features), targets)["loss_ce"]
    batch = {key: [item[key] for item in items] for key in ("inputs", "data_samples")}
    plain = model(**model.data_preprocessor(batch, training=True), mode="loss")
    torch.testing.assert_close(cached, plain["decode.loss_ce"])


@pytest.mark.slow
def test_score_is_of_mmsegs_predictions_on_every_validation_image(segmentation, backbone, run):
    outcome = run(SegmentationProbe(**segmentation, pictures=99))
    pictures = outcome.pictures
    labels, predictions = pictures["seg_label"], pictures["seg_pred"]
    known = labels != 255
    assert labels.shape == (6, 32, 32) and (labels[:, :2] == 255).all()  # 0 in the file: unlabeled
    assert outcome.result["scores"]["aAcc"] == pytest.approx(100 * (labels == predictions)[known].mean())
    assert outcome.result["counts"] == {"classes_seen": 3, "classes": 3}
    assert list(outcome.result["per_class"]) == list(pictures["classes"]) == ["floor", "wall", "ball"]
    red = pictures["image"][labels == 0].mean(0)
    assert red[0] > red[1] + 50 and red[0] > red[2] + 50  # floors are drawn red, and pictures are RGB


@pytest.mark.slow
def test_depth_pictures_are_metres_and_the_score_is_theirs(depth, run):
    outcome = run(DepthProbe(**depth, pictures=6))
    label, predicted = outcome.pictures["depth_label"], outcome.pictures["depth_pred"]
    np.testing.assert_allclose(np.unique(label), [0, 1.5, 2.5, 4], rtol=1e-6)
    error = [np.sqrt(np.mean((p - t)[t > 0] ** 2)) for t, p in zip(label, predicted, strict=True)]
    assert outcome.result["scores"]["RMSE"] == pytest.approx(np.mean(error), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SegmentationProbe, DepthProbe])
def test_seeing_beats_blind(kind, run, backbone, request):
    settings = request.getfixturevalue("segmentation" if kind is SegmentationProbe else "depth")
    settings["schedule"] = dict(type=FullBatch, iterations=15)
    blind = copy.deepcopy(backbone)
    blind.vit.patch_embed.proj.weight.data.zero_()  # positions only
    sees, guesses = (run(kind(**settings), backbone=b).result["scores"] for b in (backbone, blind))
    if kind is SegmentationProbe:
        assert sees["mIoU"] > guesses["mIoU"] + 20
    else:
        assert sees["RMSE"] < 0.8 * guesses["RMSE"]


@pytest.mark.slow
def test_full_batch_score_does_not_depend_on_the_seed(segmentation, run):
    probe = SegmentationProbe(**{**segmentation, "schedule": dict(type=FullBatch, iterations=15)})
    assert run(probe, seed=0).result["scores"] == run(probe, seed=5).result["scores"]


@pytest.mark.slow
def test_card_tells_the_protocol(depth, run):
    card = run(DepthProbe(**depth, layers=[1, 2], eigen_crop=True), seed=3).result["card"]
    expected = {
        "train_images": 12,
        "val_images": 6,
        "input_size": [32, 32],
        "layers": [1, 2],
        "final_norm": True,
        "class_token": False,
        "steps": 40,
        "batch_size": None,
        "checkpoint": "last",
        "inference": {"mode": "whole"},
        "test_time_augmentation": None,
        "valid_depth_m": [1e-3, 10.0],
        "eigen_crop": True,
        "loss": "L1 over valid pixels",
        "seed": 3,
        "precision": "fp32",
    }
    assert {key: card[key] for key in expected} == expected
    assert card["data"]["name"] == "scenes" and card["optimizer"]["type"] == "AdamW"
    assert {"head", "schedule", "averaging", "train_pipeline", "val_pipeline", "model", "versions"} <= set(card)


@pytest.mark.slow
def test_random_augmentation_needs_the_runner_and_runs_there(segmentation, run):
    segmentation["train"]["pipeline"].insert(2, dict(type=RandomFlip, prob=0.5))
    with pytest.raises(ValueError, match=r"RandomFlip may be random.*path='runner'"):
        run(SegmentationProbe(**segmentation))
    segmentation["schedule"].update(steps=4, batch_size=5)
    assert run(SegmentationProbe(**segmentation, path="runner")).result["scores"]["mIoU"] > 0


def test_flip_in_the_validation_pipeline_is_refused(segmentation):
    segmentation["val"]["pipeline"].insert(2, dict(type=RandomFlip, prob=0.5))
    with pytest.raises(ValueError, match="validation pipeline has"):
        SegmentationProbe(**segmentation)


@pytest.mark.slow
def test_settings_that_do_not_go_together(segmentation, run):
    with pytest.raises(ValueError, match="FullBatch needs features computed once"):
        SegmentationProbe(**{**segmentation, "schedule": dict(type=FullBatch, iterations=15)}, path="runner")
    with pytest.raises(ValueError, match="solves linear heads"):
        SegmentationProbe(**{**segmentation, "schedule": dict(type=FullBatch), "head": dict(hidden=(8,))})
    with pytest.raises(ValueError, match="path='disk'"):
        SegmentationProbe(**segmentation, path="disk")
    with pytest.raises(ValueError, match=r"\(32, 32\) px.*size=\(64, 64\)"):
        run(SegmentationProbe(**{**segmentation, "size": (64, 64)}))


@pytest.mark.slow
def test_depth_losses_are_checked_take_the_probes_range_and_stand_in_the_card(depth, run):
    losses = [dict(type=SigLoss, warmup_steps=0), dict(type=GradientLoss, weight=0.5)]
    probe = DepthProbe(**depth, losses=losses, max_depth=3.0)
    assert all((loss.min_depth, loss.max_depth) == (1e-3, 3.0) for loss in probe.built_losses)
    assert run(probe).result["card"]["loss"].endswith("+ 0.5 × gradients of the log ratio at four scales")
    with pytest.raises(ValueError, match="set its warmup_steps=0"):
        DepthProbe(**{**depth, "schedule": dict(type=FullBatch)}, losses=[dict(type=SigLoss)])
    with pytest.raises(ValueError, match=r"loss of the depth probe.*unknown key 'powr'"):
        DepthProbe(**depth, losses=[dict(type=SigLoss, powr=2)])


@pytest.mark.slow
def test_bins_scales_and_flips_of_a_depth_probe_stand_in_its_card(depth, run):
    head = dict(type=BinDepthHead, bins=16, norm_cfg=dict(type=torch.nn.Identity), upsample=2)
    settings = {**depth, "head": head, "inference": dict(flip=True), "precision": "bf16", "class_token": True}
    result = run(DepthProbe(**settings, layers=[0, 2], final_norm=False)).result
    card = result["card"]
    assert card["head"] == {"type": "BinDepthHead", "bins": 16, "norm_cfg": {"type": "Identity"}, "upsample": 2}
    assert card["test_time_augmentation"] == {"scales": [1.0], "flip": True} and card["inference"] == {"mode": "whole"}
    assert card["precision"] == "bf16 backbone, fp32 head and loss" and card["layers"] == [0, 2]
    assert json.loads(json.dumps(card)) == card and 0 < result["scores"]["RMSE"] < 3


@pytest.mark.slow
def test_labels_out_of_range_and_of_another_size_are_named(segmentation, scenes, tmp_path):
    def load_with(labels: np.ndarray) -> None:
        for kind, source in (("images", "images/training/s000.jpg"), ("annotations", None)):
            (tmp_path / kind / "training").mkdir(parents=True, exist_ok=True)
            target = tmp_path / kind / "training" / ("s000.jpg" if source else "s000.png")
            if source:
                target.write_bytes((scenes / "ade20k" / source).read_bytes())
            else:
                Image.fromarray(labels).save(target)
        (tmp_path / "dataset.json").write_text((scenes / "dataset.json").read_text())
        train = {**segmentation["train"], "data_root": str(tmp_path)}
        SegmentationProbe(**{**segmentation, "train": train}).load(ProbeData())

    load_with(np.repeat(np.uint8([1, 3]), 16 * 32).reshape(32, 32))
    with pytest.raises(ValueError, match=r"s000\.png: label 7, but there are 3 classes"):
        load_with(np.full((32, 32), 7, np.uint8))
    # an image that mmseg itself would stretch onto labels of another shape
    segmentation["train"]["pipeline"] = [segmentation["train"]["pipeline"][i] for i in (0, 2, 1, 3)]
    with pytest.raises(ValueError, match=r"s000\.png: labels are \(8, 8\) px"):
        load_with(np.repeat(np.uint8([1, 3]), 32).reshape(8, 8))


@pytest.mark.parametrize(
    ("damage", "message"),
    [("layout", r"training: no such folder \(.*images holds: train/"), ("label", "1 of 12 images")],
)
def test_wrong_layout_and_missing_label_are_errors_at_load(damage, message, segmentation, tmp_path, scenes):
    import shutil

    shutil.copytree(scenes, tmp_path / "s")
    if damage == "layout":
        (tmp_path / "s/ade20k/images/training").rename(tmp_path / "s/ade20k/images/train")
    else:
        (tmp_path / "s/ade20k/annotations/training/s003.png").unlink()
    segmentation["train"]["data_root"] = str(tmp_path / "s/ade20k")
    with pytest.raises(FileNotFoundError, match=message):
        SegmentationProbe(**segmentation).load(ProbeData())


@pytest.mark.slow
def test_files_are_decoded_once_for_any_number_of_backbones(segmentation, backbone, monkeypatch):
    data, probe = ProbeData(), SegmentationProbe(**segmentation)
    first = probe.load(data)
    monkeypatch.setattr("mmcv.imfrombytes", None)
    assert probe.load(data) == first
    scores = [probe.run(ProbeRun(backbone, data, 0, CPU)).result["scores"] for _ in range(2)]
    assert scores[0] == scores[1]


@pytest.mark.slow
def test_validation_images_of_several_sizes_are_all_scored(segmentation, run, scenes, tmp_path):
    import shutil

    shutil.copytree(scenes, tmp_path / "s")
    for kind, name in (("images", "s001.jpg"), ("annotations", "s001.png")):
        path = tmp_path / "s/ade20k" / kind / "validation" / name
        image = Image.open(path)
        image.resize((43, 29), Image.Resampling.NEAREST).save(path)
    val = segmentation["val"]
    val["data_root"] = str(tmp_path / "s/ade20k")
    val["pipeline"] = [step for step in val["pipeline"] if step["type"].__name__ != "Resize"]
    assert run(SegmentationProbe(**segmentation)).result["card"]["val_images"] == 6


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SegmentationProbe, DepthProbe])
def test_slide_inference_averages_over_windows(kind, backbone: TimmBackbone, request):
    settings = request.getfixturevalue("segmentation" if kind is SegmentationProbe else "depth")
    probe = kind(**settings, inference=dict(mode="slide", crop_size=(16, 32), stride=(16, 32)))
    train, val = probe.load(ProbeData())
    model = probe.build(backbone, train, seed=0).eval()
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    batch = next(val.batches(2))
    images = model.data_preprocessor(dict(inputs=batch.inputs))["inputs"]
    metas = [dict(ori_shape=(32, 32), img_shape=(32, 32))] * 2
    with torch.no_grad():
        slid = model.inference(images, [dict(m) for m in metas])
        halves = [
            model.encode_decode(half, [dict(m, img_shape=(16, 32)) for m in metas]) for half in images.split(16, 2)
        ]
    torch.testing.assert_close(slid, torch.cat(halves, 2))
    assert isinstance(model, EncoderDecoder)

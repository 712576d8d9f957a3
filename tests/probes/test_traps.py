"""What mmseg, mmcv and their neighbours do to a score without a word, and that it does not reach ours.

Each test names a trap; most show first what the library does by itself. Those tested elsewhere, where their subject is:

- mmcv's compiled ops, package queries, full mmcv wins: tests/test_compat.py
- DDP on a CPU: tests/engine/test_ranks.py
- resume on torch ≥ 2.6, the message hub: test_runner.py
- DepthEstimator's slide mode: test_inference.py; SiLogLoss' NaN gradient: test_losses.py
- DepthMetric's clamp, empty images, crop in pixels, pooled and per image; IoUMetric's absent classes, rounding:
  test_metrics.py
- whole sets of label files (shifted beforehand, another unit): tests/datasets/test_label_checks.py; corrupt and missing
  ones: test_command.py
- features before the final norm, freezing, DINOv3's prefix tokens, sides that are no multiple of the patch:
  test_backbone.py
- np.float32 in JSON: test_results.py; presets' settings: test_presets.py
"""

import shutil
from pathlib import Path

import albumentations as A
import mmcv.transforms
import numpy as np
import pytest
import torch
from mmengine.optim import AmpOptimWrapper
from mmengine.structures import PixelData
from mmseg.datasets import NYUDataset
from mmseg.datasets.transforms import Albu, LoadDepthAnnotation, RandomCrop, RandomFlip, RandomRotate, Resize
from mmseg.evaluation import DepthMetric
from mmseg.models.losses import CrossEntropyLoss
from mmseg.structures import SegDataSample
from PIL import Image
from torch.nn import functional as F

from vssl.probes.datasets import NYUDepth
from vssl.probes.decoded_images import ProbeData
from vssl.probes.dense.depth import DepthProbe
from vssl.probes.dense.heads import LinearSegHead
from vssl.probes.dense.losses import ValidDepthLoss
from vssl.probes.dense.scoring import DepthErrors
from vssl.probes.dense.segmentation import SegmentationProbe
from vssl.probes.dense.transforms import NYUCrop
from vssl.probes.frozen_backbone import FrozenBackbone


def depth_map(size=(40, 60), metres: float = 2.0) -> dict:
    """What a pipeline hands on after loading."""
    image = np.full((*size, 3), 100, np.uint8)
    return dict(img=image, img_shape=size, gt_depth_map=np.full(size, metres, np.float32), seg_fields=["gt_depth_map"])


def test_bf16_needs_no_amp_optim_wrapper_which_asserts_a_gpu(backbone):
    if not torch.cuda.is_available():
        with pytest.raises(AssertionError):
            AmpOptimWrapper(dtype="bfloat16", optimizer=torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0))
    images = torch.rand(2, 3, 32, 32)
    (half,), (full,) = (FrozenBackbone(backbone, precision=p)(images) for p in ("bf16", "fp32"))
    assert half.dtype == torch.float32 and not torch.equal(half, full)
    assert F.cosine_similarity(half.flatten(), full.flatten(), dim=0) > 0.999
    with pytest.raises(ValueError, match="precision='fp16'"):
        FrozenBackbone(backbone, precision="fp16")


def test_rotated_depth_has_no_255_metres_in_its_corners(depth):
    theirs = RandomRotate(prob=1.0, degree=(20, 20.1))(depth_map())["gt_depth_map"]
    ours = RandomRotate(prob=1.0, degree=(20, 20.1), seg_pad_val=0)(depth_map())["gt_depth_map"]
    assert theirs[0, 0] == 255 and set(np.unique(ours)) == {0.0, 2.0}
    depth["train"]["pipeline"].insert(2, dict(type=RandomRotate, prob=0.5, degree=2.5))
    with pytest.raises(ValueError, match="255 metres; give it seg_pad_val=0"):
        DepthProbe(**depth, path="runner")
    depth["train"]["pipeline"][2]["seg_pad_val"] = 0
    DepthProbe(**depth, path="runner")


@pytest.mark.slow
def test_padded_depth_is_invalid_and_costs_nothing(depth, backbone):
    probe = DepthProbe(**{**depth, "size": (40, 48)}, path="runner")
    train, _ = probe.load(ProbeData())
    model = probe.build(backbone, train, seed=0)
    sample = SegDataSample()
    sample.set_data(dict(gt_depth_map=PixelData(data=torch.full((1, 32, 32), 2.0))))
    batch = dict(inputs=[torch.zeros(3, 32, 32, dtype=torch.uint8)], data_samples=[sample])
    padded = model.data_preprocessor(batch, training=True)["data_samples"][0].gt_depth_map.data
    assert padded.shape == (1, 40, 48) and (padded[:, 32:] == 0).all() and (padded[:, :, 32:] == 0).all()
    for fill in (0.0, 255.0):  # should a pipeline pad by itself
        target = torch.tensor([2.0, fill])
        assert ValidDepthLoss()(torch.tensor([3.0, 9.0]), target) == 1.0


@pytest.mark.slow
def test_a_padded_image_has_the_colour_that_the_backbone_subtracts(segmentation, backbone):
    """mmseg fills with one number before the backbone normalises: 0 would be black, two standard deviations off."""
    probe = SegmentationProbe(**{**segmentation, "size": (40, 48)}, path="runner")
    train, _ = probe.load(ProbeData())
    model = probe.build(backbone, train, seed=0)
    sample = SegDataSample()
    sample.set_data(dict(gt_sem_seg=PixelData(data=torch.zeros(1, 32, 36, dtype=torch.uint8))))
    image = torch.arange(3 * 32 * 36).remainder(256).to(torch.uint8).view(3, 32, 36)
    padded = model.data_preprocessor(dict(inputs=[image], data_samples=[sample]), training=True)
    inside, seen = padded["inputs"][0, :, :32, :36], (padded["inputs"] - backbone.mean) / backbone.std
    assert torch.equal(inside, image.flip(0).float() / 255)
    assert (seen[0, :, 32:] == 0).all() and (seen[0, :, :, 36:] == 0).all()
    assert (padded["data_samples"][0].gt_sem_seg.data[:, 32:] == 255).all()


def test_depth_metric_of_mmseg_cannot_take_a_choice_and_does_not_clamp():
    with pytest.raises(TypeError, match="isinstance"):
        DepthMetric(depth_metrics=["rmse"])
    zero = DepthMetric._calc_all_metrics(torch.full((3,), 2.0), torch.zeros(3))
    assert not np.isfinite(zero["rmse_log"])  # ours, clamped: test_metrics.py
    assert all(np.isnan(v) for v in DepthMetric._calc_all_metrics(torch.empty(0), torch.empty(0)).values())


def test_depth_errors_keep_numbers_not_images():
    metric = DepthErrors()
    maps = {key: {"data": torch.rand(1, 480, 640) + 1} for key in ("gt_depth_map", "pred_depth_map")}
    for _ in range(3):
        metric.process({}, [maps])
    assert all(isinstance(value, int | float) for entry in metric.results for value in entry)


@pytest.mark.slow
def test_millimetres_need_float32_and_a_factor(depth):
    def probe(**settings):
        steps = [dict(type=LoadDepthAnnotation, **settings) if "Depth" in s["type"].__name__ else s for s in pipeline]
        return DepthProbe(**{**depth, "train": {**depth["train"], "pipeline": steps}})

    pipeline = depth["train"]["pipeline"]
    with pytest.raises(ValueError, match="to_float32=False"):
        probe(depth_rescale_factor=1e-3, to_float32=False)
    with pytest.raises(ValueError, match=r"no depth inside .* \(up to 4000\).*depth_rescale_factor=1e-3"):
        probe().load(ProbeData())
    train, _ = probe(depth_rescale_factor=1e-3).load(ProbeData())
    assert train.items[0]["data_samples"].gt_depth_map.data.unique().tolist() == pytest.approx([0, 1.5, 2.5, 4])


def test_a_file_name_without_a_digit_is_no_reason_to_stop():
    with pytest.raises(StopIteration):
        NYUDataset._get_category_id_from_filename(None, "room_a.jpg")
    assert NYUDepth._get_category_id_from_filename(None, "room_a.jpg") == -1


def test_cross_entropy_does_not_shrink_with_the_number_of_ignored_pixels():
    torch.manual_seed(0)
    logits, labels = torch.randn(1, 3, 8, 8), torch.randint(0, 3, (1, 8, 8))
    labels[:, 4:] = 255
    expected = F.cross_entropy(logits[:, :, :4], labels[:, :4])
    torch.testing.assert_close(LinearSegHead(4, 3).loss_on(logits, labels)["loss_ce"], expected)
    torch.testing.assert_close(CrossEntropyLoss()(logits, labels, ignore_index=255), expected / 2)


@pytest.mark.slow
def test_labels_lose_one_once_and_zero_is_ignored(segmentation):
    train, _ = SegmentationProbe(**segmentation).load(ProbeData())
    assert train.dataset.reduce_zero_label
    assert train.items[0]["data_samples"].gt_sem_seg.data.unique().tolist() == [0, 1, 2, 255]  # 1, 2, 3, 0 in the file


def rewritten(config: dict, target, change) -> dict:
    """A dataset config whose label files went through `change`."""
    shutil.copytree(config["data_root"], target, dirs_exist_ok=True)
    shutil.copy(Path(config["data_root"]).parent / "dataset.json", target)
    for path in target.glob("annotations/*/*.png"):
        Image.fromarray(change(np.asarray(Image.open(path)))).save(path)
    return {**config, "data_root": str(target)}


def test_labels_shifted_beforehand_are_refused_before_the_work(segmentation, tmp_path):
    train = rewritten(segmentation["train"], tmp_path, lambda labels: labels - np.uint8(1))  # 0 becomes 255
    with pytest.raises(ValueError, match=r'and never 3, as labels that count from 0 do\. label_values="0'):
        SegmentationProbe(**{**segmentation, "train": train}, path="runner").load(ProbeData())


@pytest.mark.parametrize(("divide", "unit"), [(1000, "metres"), (10, "centimetres")])
def test_depth_in_another_unit_is_refused_with_the_hint(divide, unit, depth, tmp_path):
    def change(millimetres):  # as a phone held close to a table sees it, and the room behind
        nearer = millimetres.copy()
        nearer[4:12] = 300
        return (nearer // divide).astype(np.uint16)

    train = rewritten(depth["train"], tmp_path, change)
    with pytest.raises(ValueError, match=rf"set depth_scale.* \({unit}\) makes .* to 4 m"):
        DepthProbe(**{**depth, "train": train}, path="runner").load(ProbeData())


def test_a_flip_in_a_test_pipeline_is_refused_for_depth_as_well(depth):
    depth["val"]["pipeline"].insert(2, dict(type=RandomFlip, prob=1.0))
    with pytest.raises(ValueError, match="validation pipeline has"):
        DepthProbe(**depth)


@pytest.mark.slow
def test_crops_by_albumentations_have_the_shape_of_what_they_give(segmentation):
    crop = dict(type=Albu, transforms=[dict(type=A.CenterCrop, height=16, width=24)])
    steps = segmentation["train"]["pipeline"]
    segmentation["train"]["pipeline"] = [*steps[:3], crop, steps[3]]
    train = SegmentationProbe(**segmentation, path="runner").load(ProbeData())[0]
    assert train.dataset[0]["data_samples"].img_shape == (32, 32)  # stale: mmseg would enlarge its output to this
    batch = next(train.batches(2))
    assert {tuple(image.shape[1:]) for image in batch.inputs} == {(16, 24)}
    assert {sample.img_shape for sample in batch.data_samples} == {(16, 24)}


def test_arguments_that_albumentations_does_not_know_are_errors(segmentation):
    wrong = dict(type=Albu, transforms=[dict(type=A.HorizontalFlip, p=0.5, always=True)])
    segmentation["train"]["pipeline"].insert(2, wrong)
    with pytest.raises(ValueError, match="'always' are not valid for transform"):
        SegmentationProbe(**segmentation, path="runner").load(ProbeData())


@pytest.mark.slow
def test_a_score_at_another_size_than_the_labels_is_refused(segmentation, scenes):
    load, labels, resize, pack = segmentation["val"]["pipeline"]
    resize = {**resize, "scale": (16, 16)}
    segmentation["val"]["pipeline"] = [load, labels, resize, pack]  # labels shrink along: another score
    with pytest.raises(ValueError, match=r"labels of \(16, 16\) px .* \(32, 32\) on disk"):
        SegmentationProbe(**segmentation).load(ProbeData())
    segmentation["val"]["pipeline"] = [load, resize, labels, pack]
    SegmentationProbe(**segmentation).load(ProbeData())


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_nyu_crop_scales_with_the_image(scale):
    results = depth_map((480 // scale, 640 // scale))
    results["gt_depth_map"][:] = np.arange(640 // scale)
    out = NYUCrop()(results)
    first, last = out["gt_depth_map"][0, 0], out["gt_depth_map"][0, -1]
    assert out["img_shape"] == out["img"].shape[:2] == out["gt_depth_map"].shape
    assert {1: ((427, 565), 43, 607), 2: ((214, 283), 21, 303), 4: ((107, 142), 10, 151)}[scale] == (
        out["img_shape"], first, last
    )  # fmt: skip


def test_mmcvs_own_transforms_leave_depth_where_it_is_and_are_refused(depth):
    def flipped(kind):
        results = depth_map((4, 6))
        results["gt_depth_map"][:] = np.arange(6)
        return kind(prob=1.0)(results)["gt_depth_map"][0].tolist()

    assert flipped(mmcv.transforms.RandomFlip) == [0, 1, 2, 3, 4, 5] and flipped(RandomFlip) == [5, 4, 3, 2, 1, 0]
    for step in (
        dict(type=mmcv.transforms.RandomFlip, prob=0.5),
        dict(type=mmcv.transforms.Resize, scale=(32, 32)),
        dict(type=mmcv.transforms.RandomResize, scale=(32, 32), resize_type=mmcv.transforms.Resize),
    ):
        pipeline = [*depth["train"]["pipeline"][:2], step, *depth["train"]["pipeline"][2:]]
        with pytest.raises(ValueError, match="moves the image and leaves the depth map"):
            DepthProbe(**{**depth, "train": {**depth["train"], "pipeline": pipeline}}, path="runner")
    step = dict(type=mmcv.transforms.RandomResize, scale=(32, 32), resize_type=Resize)
    depth["train"]["pipeline"].insert(2, step)
    DepthProbe(**depth, path="runner")


def test_class_balanced_crops_of_depth_are_refused(depth):
    depth["train"]["pipeline"].insert(2, dict(type=RandomCrop, crop_size=(16, 16), cat_max_ratio=0.75))
    with pytest.raises(ValueError, match="counts classes"):
        DepthProbe(**depth, path="runner")

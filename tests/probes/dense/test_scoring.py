import numpy as np
import pytest
import torch
from sklearn.metrics import (
    confusion_matrix,
    jaccard_score,
    mean_absolute_percentage_error,
    root_mean_squared_error,
)
from torchmetrics import MeanSquaredError
from torchmetrics.classification import MulticlassJaccardIndex

from vssl.probes.dense.scoring import ClassIoU, DepthErrors


def iou(labels, predictions, classes: int) -> tuple[dict, ClassIoU]:
    metric = ClassIoU()
    metric.dataset_meta = dict(classes=[f"c{i}" for i in range(classes)])
    for label, predicted in zip(labels, predictions, strict=True):
        metric.process({}, [{"gt_sem_seg": {"data": label[None]}, "pred_sem_seg": {"data": predicted[None]}}])
    return metric.evaluate(len(labels)), metric


def random_maps(classes: int, images: int = 5):
    g = torch.Generator().manual_seed(0)
    labels = torch.randint(0, classes, (images, 9, 7), generator=g)
    predictions = torch.where(
        torch.rand(labels.shape, generator=g) < 0.6, labels, torch.randint(0, classes, labels.shape, generator=g)
    )
    labels[torch.rand(labels.shape, generator=g) < 0.1] = 255
    return labels, predictions


def test_iou_agrees_with_torchmetrics_and_sklearn_and_is_not_rounded():
    labels, predictions = random_maps(6)
    values, metric = iou(labels, predictions, 6)
    theirs = MulticlassJaccardIndex(6, average="none", ignore_index=255)(predictions, labels).double() * 100
    np.testing.assert_allclose(list(metric.per_class.values()), theirs, rtol=1e-6)
    assert values["mIoU"] == pytest.approx(float(theirs.mean()), rel=1e-6) and values["mIoU"] != round(
        values["mIoU"], 2
    )
    known = labels != 255
    table = confusion_matrix(labels[known], predictions[known])
    assert values["aAcc"] == pytest.approx(100 * np.trace(table) / table.sum())
    assert values["mAcc"] == pytest.approx(100 * np.mean(np.diag(table) / table.sum(1)))
    assert (values["classes_seen"], values["classes"]) == (6, 6)


def test_absent_class_has_no_iou_and_the_number_of_seen_classes_says_so():
    label = torch.tensor([[0, 0, 1, 255]])
    values, metric = iou([label], [torch.tensor([[0, 1, 1, 2]])], 4)  # the 2 is on an ignored pixel
    assert metric.per_class == {"c0": 50.0, "c1": 50.0, "c2": None, "c3": None}
    assert (values["mIoU"], values["classes_seen"], values["classes"]) == (50.0, 2, 4)
    values, metric = iou([label], [torch.tensor([[0, 3, 1, 1]])], 4)  # predicted where absent: IoU 0 counts
    assert metric.per_class["c3"] == 0.0 and values["mIoU"] == pytest.approx((50 + 100 + 0) / 3)


@pytest.mark.parametrize(
    "case", ["ignored pixels", "an ignored image", "absent classes", "one prediction", "one pixel"]
)
def test_iou_on_awkward_splits_agrees_with_sklearn_and_torchmetrics(case):
    labels, predictions = random_maps(6)
    if case == "ignored pixels":
        labels[:, ::2] = 255
    elif case == "an ignored image":
        labels[2] = 255
    elif case == "absent classes":
        labels, predictions = labels.clamp(max=3).where(labels != 255, 255), predictions.clamp(max=4)
    elif case == "one prediction":
        predictions.zero_()
    else:
        labels, predictions = torch.tensor([[[2]]]), torch.tensor([[[5]]])
    values, metric = iou(labels, predictions, 6)
    known = labels != 255
    involved = sorted(set(labels[known].tolist()) | set(predictions[known].tolist()))
    theirs = 100 * jaccard_score(labels[known], predictions[known], labels=involved, average=None, zero_division=0)
    expected = {f"c{i}": None for i in range(6)} | {f"c{i}": v for i, v in zip(involved, theirs, strict=True)}
    assert metric.per_class == pytest.approx(expected)
    assert values["mIoU"] == pytest.approx(theirs.mean())
    assert values["classes_seen"] == len(set(labels[known].tolist()))
    torch_metrics = MulticlassJaccardIndex(6, average="none", ignore_index=255)(predictions, labels) * 100
    np.testing.assert_allclose(theirs, torch_metrics[involved], rtol=1e-5)


def test_a_tiny_subset_says_of_how_many_classes_its_score_is():
    labels, predictions = random_maps(150, images=40)
    whole, _ = iou(labels, predictions, 150)
    subset, _ = iou(labels[:1, :2, :3], predictions[:1, :2, :3], 150)
    assert whole["classes_seen"] == 150 and subset["classes_seen"] <= 6 and subset["classes"] == 150


def test_pixel_counts_beyond_float32_stay_exact():
    metric = ClassIoU()
    metric.dataset_meta = dict(classes=["a", "b"])
    big, one = torch.tensor([2.0**24, 1.0]), torch.tensor([1.0, 0.0])
    values = metric.compute_metrics([(big, big, big, big), (one, one, one, one * 2)])
    assert values["aAcc"] == 100 * (2**24 + 2) / (2**24 + 3)


def test_label_outside_the_classes_is_an_error_that_names_the_file():
    metric = ClassIoU()
    metric.dataset_meta = dict(classes=["a", "b"])
    sample = {"gt_sem_seg": {"data": torch.tensor([[[0, 2]]])}, "pred_sem_seg": {"data": torch.zeros(1, 1, 2).long()}}
    with pytest.raises(ValueError, match=r"x\.png: class index 2 .* 2 classes"):
        metric.process({}, [{**sample, "seg_map_path": "x.png"}])
    sample["gt_sem_seg"]["data"] = torch.full((1, 1, 2), 255)
    with pytest.raises(ValueError, match="no labeled pixel"):
        metric.process({}, [sample])
        metric.evaluate(1)


def errors(pairs, **settings) -> dict:
    metric = DepthErrors(**settings)
    for label, predicted in pairs:
        metric.process({}, [{"gt_depth_map": {"data": label[None]}, "pred_depth_map": {"data": predicted[None]}}])
    return metric.evaluate(len(pairs))


def test_depth_errors_against_torchmetrics_and_closed_form():
    g = torch.Generator().manual_seed(1)
    labels = [torch.rand(6, 8, generator=g) * 9 + 0.5 for _ in range(3)]
    pairs = [(label, label * (0.7 + 0.6 * torch.rand(6, 8, generator=g))) for label in labels]
    pairs = [(label, predicted.clamp(max=10)) for label, predicted in pairs]
    values = errors(pairs)
    rmse = [float(MeanSquaredError(squared=False)(p, t)) for t, p in pairs]
    assert values["RMSE"] == pytest.approx(np.mean(rmse), rel=1e-5)
    stacked = [torch.stack(part) for part in zip(*pairs, strict=True)]
    assert values["RMSE_pooled"] == pytest.approx(
        float(MeanSquaredError(squared=False)(stacked[1], stacked[0])), rel=1e-5
    )
    t, p = (part.double().numpy() for part in stacked)
    assert values["AbsRel"] == pytest.approx(np.mean(np.abs(p - t) / t))
    for i in (1, 2, 3):
        assert values[f"delta{i}"] == pytest.approx(np.mean(np.maximum(p / t, t / p) < 1.25**i))


def test_images_of_different_valid_size_weigh_alike_per_image_and_by_pixels_pooled():
    full, sparse = torch.full((1, 4), 2.0), torch.tensor([[2.0, 0, 0, 0]])
    values = errors([(full, full + 1), (sparse, sparse + 3)])
    assert values["RMSE"] == pytest.approx((1 + 3) / 2)
    assert values["RMSE_pooled"] == pytest.approx(((4 * 1 + 9) / 5) ** 0.5)


def test_depth_errors_of_sparse_labels_agree_with_sklearn_image_by_image():
    g = torch.Generator().manual_seed(2)
    pairs = []
    for share in (0.9, 0.5, 0.03):
        target = torch.rand(9, 11, generator=g) * 12  # some beyond 10 m
        target[torch.rand(target.shape, generator=g) > share] = 0
        pairs.append((target, torch.rand(9, 11, generator=g) * 9.9 + 0.05))
    values = errors(pairs)
    known = [(t[(t >= 1e-3) & (t <= 10)].double(), p[(t >= 1e-3) & (t <= 10)].double()) for t, p in pairs]
    assert values["RMSE"] == pytest.approx(np.mean([root_mean_squared_error(t, p) for t, p in known]), rel=1e-6)
    assert values["RMSE_pooled"] == pytest.approx(
        root_mean_squared_error(*map(torch.cat, zip(*known, strict=True))), rel=1e-6
    )
    assert values["AbsRel"] == pytest.approx(
        np.mean([mean_absolute_percentage_error(t, p) for t, p in known]), rel=1e-6
    )


def test_a_ratio_at_the_threshold_is_not_within_it():
    target = torch.full((1, 4), 4.0)
    values = errors([(target, torch.tensor([[5.0, 4.999, 6.25, 7.8125]]))])  # 1.25, below, 1.25², 1.25³
    assert [values[f"delta{i}"] for i in (1, 2, 3)] == [0.25, 0.5, 0.75]


def test_zero_prediction_is_clamped_and_counts():
    values = errors([(torch.full((2, 2), 2.0), torch.zeros(2, 2))])  # mmseg's metric gives inf and nan here
    assert values["RMSE"] == pytest.approx(2 - 1e-3) and values["delta1"] == 0 and np.isfinite(values["AbsRel"])
    assert errors([(torch.full((2, 2), 2.0), torch.full((2, 2), 50.0))])["RMSE"] == pytest.approx(8)


def test_image_without_valid_depth_is_left_out_and_counted():
    good = (torch.full((2, 2), 2.0), torch.full((2, 2), 2.5))
    values = errors([good, (torch.zeros(2, 2), torch.ones(2, 2)), (torch.full((2, 2), 255.0), torch.ones(2, 2))])
    assert (values["images"], values["images_without_valid_depth"], values["RMSE"]) == (1, 2, 0.5)
    with pytest.raises(ValueError, match=r"no depth label inside .* another unit"):
        errors([(torch.full((2, 2), 2000.0), torch.ones(2, 2))])


def test_prediction_that_is_not_finite_is_an_error():
    with pytest.raises(ValueError, match="not finite"):
        errors([(torch.ones(2, 2), torch.tensor([[1.0, float("nan")], [1, 1]]))])


@pytest.mark.parametrize("scale", [1, 2])
def test_eigen_crop_scales_with_the_image(scale):
    label = torch.full((480 // scale, 640 // scale), 2.0)
    inside = DepthErrors(eigen_crop=True).valid(label)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    expected = {1: (45, 470, 41, 600), 2: (22, 234, 20, 299)}[scale]
    assert (rows[0], rows[-1], columns[0], columns[-1]) == expected
    assert inside.sum() == len(rows) * len(columns)


def test_labels_at_the_ends_of_the_range_are_scored_unless_the_range_is_open():
    label = torch.tensor([[0.0, 1e-3, 2.0, 10.0, 10.5]], dtype=torch.float64)
    assert DepthErrors().valid(label).tolist() == [[False, True, True, True, False]]
    assert DepthErrors(open_range=True).valid(label).tolist() == [[False, False, True, False, False]]

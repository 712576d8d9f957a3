import pytest
import torch
from torch.nn import functional as F

from vssl.feedback import Depth, Segmentation
from vssl.feedback.task_heads import FeatureNorm


def test_feature_norm_is_batch_norm_on_one_rank():
    ours, reference = FeatureNorm(5), torch.nn.BatchNorm2d(5)
    for _ in range(3):
        x = torch.randn(8, 5, 6, 6) * 3 + 1
        torch.testing.assert_close(ours(x), reference(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.running_mean, reference.running_mean, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours.running_var, reference.running_var, atol=1e-4, rtol=1e-5)
    ours.eval(), reference.eval()
    torch.testing.assert_close(ours(x), reference(x), atol=1e-4, rtol=1e-4)


def test_feature_norm_refuses_features_with_a_graph():
    with pytest.raises(ValueError, match="frozen"):
        FeatureNorm(5)(torch.randn(2, 5, 3, 3, requires_grad=True))


def test_segmentation_loss_is_cross_entropy_over_labeled_pixels_only():
    task = Segmentation(dim=4, num_classes=3).eval()
    features, labels = torch.randn(2, 4, 4, 4), torch.randint(0, 3, (2, 8, 8))
    labels[0] = 255
    logits = F.interpolate(task.head(features), (8, 8), mode="bilinear")
    expected = F.cross_entropy(logits[1:], labels[1:])
    torch.testing.assert_close(task.loss(features, labels), expected)


def test_depth_loss_is_mean_absolute_error_over_valid_pixels():
    task = Depth(dim=4, max_depth=10.0).eval()
    features = torch.randn(1, 4, 2, 2)
    predicted = F.softplus(task.head(features))[:, 0]
    depth = torch.tensor([[[0.0, 2.0], [3.0, 11.0]]])  # 0 is missing, 11 m is beyond the range
    expected = ((predicted[0, 0, 1] - 2).abs() + (predicted[0, 1, 0] - 3).abs()) / 2
    torch.testing.assert_close(task.loss(features, depth), expected)


@pytest.mark.parametrize("task", [Segmentation(4, 3), Depth(4)])
def test_a_batch_without_a_valid_pixel_costs_nothing_and_stays_finite(task):
    features = torch.randn(1, 4, 2, 2)
    labels = torch.full((1, 4, 4), 255) if isinstance(task, Segmentation) else torch.zeros(1, 4, 4)
    loss = task.loss(features, labels)
    loss.backward()
    assert loss == 0
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in task.parameters())


def test_labels_outside_the_classes_are_named():
    with pytest.raises(ValueError, match=r"label 7 is outside 0\.\.2"):
        Segmentation(4, 3).check(torch.tensor([[0, 7]]), "pool")
    with pytest.raises(ValueError, match="depth_scale says how many steps make a metre"):
        Depth(4).check(torch.full((2, 2), 1500.0), "pool")


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_a_label_stride_looks_at_the_middle_of_each_square(stride):
    features, labels = torch.randn(2, 6, 4, 4), torch.randint(0, 3, (2, 16, 16))
    metres = labels.float() + 1
    for strided, whole, given in (
        (Segmentation(6, 3, label_stride=stride), Segmentation(6, 3), labels),
        (Depth(6, label_stride=stride), Depth(6), metres),
    ):
        whole.load_state_dict(strided.state_dict())
        strided.eval(), whole.eval()
        picked = given[:, stride // 2 :: stride, stride // 2 :: stride]
        assert torch.equal(strided.loss(features, given), whole.loss(features, picked))
    with pytest.raises(ValueError, match="label_stride=0"):
        Depth(6, label_stride=0)

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.structures import SegDataSample
from torch.nn import functional as F

from vssl.probes.heads import LinearDepthHead, LinearSegHead
from vssl.probes.losses import ValidDepthLoss


def samples(field: str, maps: torch.Tensor) -> list[SegDataSample]:
    found = [SegDataSample() for _ in maps]
    for sample, data in zip(found, maps, strict=True):
        sample.set_data({field: PixelData(data=data[None])})
    return found


@pytest.fixture
def labels():
    g = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (4, 32, 32), generator=g)
    labels[:, :5] = 255
    return labels


def test_segmentation_loss_is_mmsegs_and_averages_over_labeled_pixels(labels):
    head, maps = LinearSegHead(8, 3), (torch.randn(4, 8, 4, 4),)
    logits = head.forward(maps)
    loss = head.loss_by_feat(logits, samples("gt_sem_seg", labels))["loss_ce"]
    mmseg = BaseDecodeHead.loss_by_feat(head, logits, samples("gt_sem_seg", labels))["loss_ce"]
    torch.testing.assert_close(loss, mmseg)
    large = F.interpolate(logits, (32, 32), mode="bilinear")
    torch.testing.assert_close(loss, F.cross_entropy(large, labels, ignore_index=255))


def test_label_stride_looks_at_every_nth_pixel(labels):
    head = LinearSegHead(8, 3, label_stride=4)
    assert torch.equal(head.targets(samples("gt_sem_seg", labels)), labels[:, 2::4, 2::4])


def test_head_standardises_by_its_statistics_and_concatenates_layers():
    torch.manual_seed(0)
    head = LinearSegHead(5, 4, num_layers=2)
    maps = (torch.randn(6, 5, 3, 3) * 7 + 2, torch.randn(6, 5, 3, 3))
    both = torch.cat(maps, 1)
    mean, std = both.mean((0, 2, 3), keepdim=True), both.var((0, 2, 3), keepdim=True, correction=0).sqrt()
    expected = F.conv2d((both - mean) / std, head.conv_seg.weight, head.conv_seg.bias)
    torch.testing.assert_close(head.train().forward(maps), expected, rtol=1e-4, atol=1e-5)


def test_initial_weights_do_not_change_when_a_runner_initialises_again():
    torch.manual_seed(0)
    head = LinearSegHead(8, 3)
    before = head.conv_seg.weight.clone()
    head.init_weights()
    assert torch.equal(head.conv_seg.weight, before) and 0.005 < before.std() < 0.02
    assert not LinearSegHead(8, 3, init_std=0.0).conv_seg.weight.any()


def test_depth_head_starts_at_its_initial_depth_and_is_positive():
    head = LinearDepthHead(8, init_std=0.0, init_depth=3.0)
    assert head.forward((torch.randn(2, 8, 4, 4),)).detach().numpy() == pytest.approx(3.0, rel=1e-6)
    head.conv_seg.weight.data.normal_(std=10)
    assert (head.forward((torch.randn(2, 8, 4, 4),)) >= 0).all()


@pytest.mark.parametrize(("power", "expected"), [(1, (1 + 3) / 2), (2, (1 + 9) / 2)])
def test_depth_loss_counts_valid_pixels_only(power, expected):
    target = torch.tensor([2.0, 4.0, 0.0, 255.0, 10.5])  # 0 invalid, 255 mmseg's padding, 10.5 out of range
    loss = ValidDepthLoss(power)(torch.tensor([3.0, 1.0, 9.0, 9.0, 9.0]), target)
    assert loss == pytest.approx(expected)


def test_depth_loss_without_a_valid_pixel_and_at_a_perfect_prediction_has_a_finite_gradient():
    for target in (torch.zeros(3), torch.ones(3)):
        depth = torch.ones(3, requires_grad=True)
        loss = ValidDepthLoss()(depth, target)
        loss.backward()
        assert loss == 0 and torch.equal(depth.grad, torch.zeros(3))
    with pytest.raises(ValueError, match="power=3"):
        ValidDepthLoss(3)

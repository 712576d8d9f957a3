import pytest
import torch
from mmengine.structures import PixelData
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.structures import SegDataSample
from torch import nn
from torch.nn import functional as F

from vssl.probes.dense.heads import BinDepthHead, LinearDepthHead, LinearSegHead
from vssl.probes.dense.losses import GradientLoss, ValidDepthLoss


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


def test_bin_head_is_the_normalised_mean_over_evenly_spaced_depths():
    torch.manual_seed(0)
    head, maps = BinDepthHead(8, bins=5, max_depth=8.0, init_std=1.0).eval(), torch.randn(2, 8, 3, 3)
    logits = F.conv2d(head.norm(maps), head.conv_seg.weight, head.conv_seg.bias).double()
    weights = logits.clamp(min=0) + 0.1
    expected = sum(w * d for w, d in zip(weights.unbind(1), [0.001, 2.00075, 4.0005, 6.00025, 8.0], strict=True))
    torch.testing.assert_close(head.forward((maps,))[:, 0].double(), expected / weights.sum(1), rtol=1e-5, atol=1e-5)


def test_bin_head_stays_in_range_and_learns_where_every_output_is_negative():
    head = BinDepthHead(8, init_std=0.0)
    nn.init.constant_(head.conv_seg.bias, -3.0)
    depth = head.forward((torch.randn(2, 8, 3, 3),))
    assert depth.shape == (2, 1, 3, 3) and depth.detach().numpy() == pytest.approx((10 + 1e-3) / 2, rel=1e-5)
    head.conv_seg.bias.data[-1] = 1e6
    depth = head.forward((torch.randn(2, 8, 3, 3),))
    assert depth.max() <= 10 and depth.min() > 9.9


def test_enlarged_outputs_are_the_outputs_of_enlarged_tokens():
    torch.manual_seed(0)
    settings = dict(norm_cfg=dict(type=nn.Identity), init_std=1.0, bins=7)
    plain, large = BinDepthHead(6, **settings), BinDepthHead(6, upsample=4, **settings)
    large.load_state_dict(plain.state_dict())
    tokens = torch.randn(2, 6, 3, 5)
    enlarged = F.interpolate(tokens, scale_factor=4, mode="bilinear")
    found = large.forward((tokens,))
    assert found.shape == (2, 1, 12, 20)
    torch.testing.assert_close(found, plain.forward((enlarged,)))


@pytest.mark.parametrize("first", [True, False])
def test_dropout_of_whole_channels_before_or_after_the_norm(first):
    torch.manual_seed(0)
    head = LinearSegHead(400, 2, norm_cfg=dict(type="SyncBN"), dropout_ratio=0.25, dropout_first=first)
    seen = {}
    head.norm.register_forward_hook(lambda m, x, y: seen.update(before=x[0], after=y))
    head.conv_seg.register_forward_pre_hook(lambda m, x: seen.update(last=x[0]))
    maps = torch.randn(2, 400, 3, 3) + 5
    head.train().forward((maps,))
    dropped = (seen["before"] if first else seen["last"]).flatten(2)
    whole = (dropped == 0).all(2)
    assert torch.equal(whole, (dropped == 0).any(2)) and 0.2 < whole.float().mean() < 0.3
    assert torch.equal(seen["before"], maps) != first
    head.eval().forward((maps,))
    assert torch.equal(seen["before"], maps) and torch.equal(seen["last"], seen["after"])


def test_hidden_layers_make_a_decoder_that_sees_neighbours():
    torch.manual_seed(0)
    head, maps = LinearSegHead(6, 3, num_layers=2, hidden=(8, 4)).eval(), [torch.randn(1, 6, 9, 9) for _ in range(2)]
    assert head.conv_seg.in_channels == 4 and len(head.decoder) == 2
    before = head.forward(maps)
    maps[0][..., 4, 4] += 1
    changed = (head.forward(maps) != before).any(1)[0].nonzero()
    assert before.shape == (1, 3, 9, 9) and changed.min(0).values.tolist() == [2, 2]
    assert changed.max(0).values.tolist() == [6, 6]  # two 3×3 convolutions reach two cells far


def test_several_depth_losses_count_under_their_own_names():
    losses = [dict(type=ValidDepthLoss, power=2), dict(type=GradientLoss, weight=0.5)]
    head = LinearDepthHead(4, loss_decode=losses)
    output, targets = torch.rand(2, 1, 8, 8) + 1, torch.rand(2, 8, 8) + 1
    found = head.loss_on(output, targets)
    expected = {"loss_depth": ValidDepthLoss(2), "loss_gradient": GradientLoss(weight=0.5)}
    torch.testing.assert_close(found, {name: loss(output[:, 0], targets) for name, loss in expected.items()})

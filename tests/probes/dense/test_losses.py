import numpy as np
import pytest
import torch

from vssl.probes.dense.losses import GradientLoss, SigLoss, ValidDepthLoss

INVALID = [0.0, 255.0, 10.5, -1.0]  # no measurement, mmseg's padding, out of range


def maps(seed: int = 0, batch: int = 2, height: int = 14, width: int = 15) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    target = torch.rand(batch, height, width, generator=g) * 9 + 0.5
    return target * (0.6 + torch.rand(target.shape, generator=g)), target


@pytest.mark.parametrize(("power", "expected"), [(1, (1 + 3) / 2), (2, (1 + 9) / 2)])
def test_l1_and_l2_count_valid_pixels_only(power, expected):
    target, depth = torch.tensor([2.0, 4.0, *INVALID]), torch.tensor([3.0, 1.0, 9, 9, 9, 9])
    assert ValidDepthLoss(power)(depth, target) == pytest.approx(expected)
    assert ValidDepthLoss(power, weight=3.0)(depth, target) == pytest.approx(3 * expected)
    with pytest.raises(ValueError, match="power=3"):
        ValidDepthLoss(3)


def test_sigloss_is_its_closed_form_over_the_batch():
    depth, target = maps()
    target[0, 0, :4] = torch.tensor(INVALID)
    known = (target >= 1e-3) & (target <= 10)
    g = np.log(depth[known].double() + 1e-3) - np.log(target[known].double() + 1e-3)
    expected = np.sqrt(np.var(g.numpy(), ddof=1) + 0.15 * np.mean(g.numpy()) ** 2)
    loss = SigLoss().eval()
    assert float(loss(depth, target)) == pytest.approx(expected, rel=1e-5)
    wild = torch.where(known, depth, torch.full_like(depth, float("nan")))  # what is predicted elsewhere is no matter
    assert float(loss(wild, target)) == pytest.approx(expected, rel=1e-5)


def test_sigloss_of_two_images_at_a_time_is_the_mean_over_the_pairs():
    depth, target = maps(batch=6)
    loss = SigLoss(images=2).eval()
    pairs = [SigLoss().eval()(depth[i : i + 2], target[i : i + 2]) for i in (0, 2, 4)]
    torch.testing.assert_close(loss(depth, target), sum(pairs) / 3)
    assert abs(loss(depth, target) - SigLoss().eval()(depth, target)) > 1e-4
    assert "of 2 images" in loss.describe()


def test_sigloss_hardly_feels_a_common_factor():
    _, target = maps()
    assert float(SigLoss().eval()(2 * target, target)) == pytest.approx(np.sqrt(0.15) * np.log(2), rel=1e-3)


def test_sigloss_warms_up_on_the_mean_alone_and_its_count_is_part_of_the_state():
    depth, target = maps()
    loss = SigLoss(warmup_steps=2).train()
    g = (depth + 1e-3).log() - (target + 1e-3).log()
    mean_alone, full = (0.15 * g.mean() ** 2).sqrt(), (g.var() + 0.15 * g.mean() ** 2).sqrt()
    found = [loss(depth, target) for _ in range(3)]
    torch.testing.assert_close(found, [mean_alone, mean_alone, full])
    fresh = SigLoss(warmup_steps=2).train()
    fresh.load_state_dict(loss.state_dict())
    torch.testing.assert_close(fresh(depth, target), full)


def test_gradient_loss_is_its_closed_form():
    depth, target = maps(batch=1)
    target[0, 3, 4] = 0
    d, t = depth[0].double().numpy(), target[0].double().numpy()
    total = 0.0
    for step in (1, 2, 4, 6):
        dd, tt = d[::step, ::step], t[::step, ::step]
        valid, pairs = tt > 0, 0.0
        ratio = np.where(valid, np.log(dd + 1e-3) - np.log(tt + 1e-3), 0)
        for i in range(dd.shape[0]):
            for j in range(dd.shape[1]):
                if i + 2 < dd.shape[0] and valid[i, j] and valid[i + 2, j]:
                    pairs += abs(ratio[i + 2, j] - ratio[i, j])
                if j + 2 < dd.shape[1] and valid[i, j] and valid[i, j + 2]:
                    pairs += abs(ratio[i, j + 2] - ratio[i, j])
        total += pairs / valid.sum()
    assert float(GradientLoss(weight=0.5)(depth, target)) == pytest.approx(total / 2, rel=1e-5)


def test_dinov2s_slices_leave_nothing_of_two_images():
    """The reason why no preset has a gradient loss: along batch and channel of (2, 1, H, W) no pair is two apart."""
    ratio = torch.rand(2, 1, 8, 8)
    for step in (1, 2, 4, 6):
        coarse = ratio[::step, ::step]
        assert (coarse[2:] - coarse[:-2]).numel() == (coarse[:, 2:] - coarse[:, :-2]).numel() == 0


def test_gradient_loss_is_of_each_image_alone():
    (a, ta), (b, tb) = maps(0, batch=1), maps(1, batch=1)
    both = GradientLoss()(torch.cat([a, b]), torch.cat([ta, tb]))
    torch.testing.assert_close(both, (GradientLoss()(a, ta) + GradientLoss()(b, tb)) / 2)


@pytest.mark.parametrize("loss", [ValidDepthLoss(1), ValidDepthLoss(2), SigLoss(0), SigLoss(9), GradientLoss()])
@pytest.mark.parametrize("case", ["perfect", "no valid pixel", "one valid pixel", "predictions of 0"])
def test_value_and_gradient_stay_finite(loss, case):
    _, target = maps()
    depth = target.clone() if case == "perfect" else torch.zeros_like(target) if "0" in case else target + 1
    if "valid" in case:
        target.zero_()
        target[0, 0, 0] = float(case.startswith("one"))
    depth.requires_grad_()
    value = loss(depth, target)
    value.backward()
    assert value.isfinite() and depth.grad.isfinite().all()
    if case in ("perfect", "no valid pixel"):
        assert value < 1e-5 and not depth.grad.any()


def test_mmsegs_own_loss_has_no_gradient_at_a_perfect_prediction():
    from mmseg.models.losses import SiLogLoss

    depth = torch.full((1, 4, 4), 2.0, requires_grad=True)
    SiLogLoss()(depth, torch.full((1, 4, 4), 2.0)).backward()
    assert depth.grad.isnan().any()  # why `SigLoss` is ours; once this fails, mmseg's can be looked at again

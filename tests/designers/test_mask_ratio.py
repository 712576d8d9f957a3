"""`MaskRatio` starts at the objective's mask ratio, stays within its bounds, alone or with a policy."""

import pytest
import torch

from vssl.designers import Choice, MaskRatio
from vssl.draws import Draws
from vssl.learner import TimmBackbone
from vssl.objectives import IBOT, MAE, SimCLR
from vssl.views import MultiCrop

RECIPE = dict(global_size=16, n_global=1)


def made(designer, images=None):
    return designer(torch.rand(2, 3, 16, 16) if images is None else images, Draws(0, "v"))


@pytest.fixture
def backbone():
    return TimmBackbone(
        "vit_tiny_patch16_224", img_size=16, patch_size=4, embed_dim=16, depth=2, num_heads=2, aligned_blocks=1
    )


@pytest.fixture
def mae(backbone):
    return MAE(backbone, mask_ratio=0.6, decoder_dim=16, decoder_depth=1, decoder_heads=2)


def visible(objective, backbone):
    from vssl.learner.learner import Learner

    learner = Learner(backbone, objective)
    views = MultiCrop(**RECIPE)(torch.rand(2, 3, 16, 16), Draws(0, "v"))
    return objective.begin(learner.student, learner.teacher, views, Draws(0, "o"))["keep"].shape[1]


def test_it_starts_at_the_objectives_ratio_and_moves_within_its_bounds(mae):
    designer = MaskRatio(MultiCrop(**RECIPE), start=0.6, bounds=(0.2, 0.95))
    designer.check(mae)
    assert made(designer).mask_ratio == 0.6
    ratios = []
    for shift in (-100.0, -0.1, 0.1, 100.0):
        with torch.no_grad():
            designer.shift.fill_(shift)
        designer.project()
        ratios.append(made(designer).mask_ratio)
    assert 0.2 < ratios[0] < ratios[1] < 0.6 < ratios[2] < ratios[3] < 0.95
    assert ratios[0] < 0.2001 and ratios[3] > 0.9499


def test_the_objective_hides_what_the_designer_says_and_its_own_share_afterwards(mae, backbone):
    assert visible(mae, backbone) == 6
    mae.adopt(mask_ratio=0.9)
    assert visible(mae, backbone) == 1 and mae.own_mask_ratio() == 0.6
    mae.adopt()
    assert visible(mae, backbone) == 6
    with pytest.raises(ValueError, match="must be in"):
        mae.adopt(mask_ratio=1.0)


def test_a_range_of_ratios_is_scaled(backbone):
    objective = IBOT(backbone, n_local_crops=0, mask_ratio=(0.1, 0.5), out_dim=16, hidden_dim=16, bottleneck_dim=8)
    assert objective.own_mask_ratio() == pytest.approx(0.3)
    objective.adopt(mask_ratio=0.6)
    assert objective.masks.ratio == pytest.approx((0.2, 1.0))
    objective.adopt(mask_ratio=0.9)
    assert objective.masks.ratio == pytest.approx((0.8, 1.0))  # of the same mean
    objective.adopt()
    assert objective.masks.ratio == (0.1, 0.5)


def test_objectives_that_do_not_suit_are_refused(mae, backbone):
    with pytest.raises(ValueError, match=r"start=0\.5, but MAE hides 0\.6"):
        MaskRatio(MultiCrop(**RECIPE), start=0.5).check(mae)
    simclr = SimCLR(backbone)
    with pytest.raises(ValueError, match="SimCLR hides None"):
        MaskRatio(MultiCrop(**RECIPE), start=0.5).check(simclr)
    with pytest.raises(ValueError, match="SimCLR has no mask_ratio"):
        simclr.adopt(mask_ratio=0.5)
    with pytest.raises(ValueError, match="must lie between"):
        MaskRatio(MultiCrop(**RECIPE), start=0.05)


def test_what_phi_can_come_to_is_tried_before_a_run(mae, backbone):
    designer = MaskRatio(MultiCrop(**RECIPE), start=0.6, bounds=(0.1, 0.95))
    ratios = [made.mask_ratio for made in designer.trials(torch.rand(2, 3, 16, 16), Draws(0, "v"))]
    assert ratios == pytest.approx([0.6, 0.1, 0.95], abs=1e-3)
    mae.adopt(mask_ratio=ratios[2])
    with pytest.raises(ValueError, match="leaves 0 of 16 patches visible"):
        visible(mae, backbone)
    with pytest.raises(ValueError, match="Choice learns from values"):
        options = dict(type="vssl.designers.Choice", options=dict(a={}, b={}))
        MaskRatio(MultiCrop(**RECIPE), start=0.6, designer=options)


def test_a_policy_goes_along(mae):
    policy = dict(type="vssl.designers.GlobalPolicy")
    designer = MaskRatio(MultiCrop(**RECIPE), start=0.6, designer=policy)
    images = torch.rand(2, 3, 16, 16)
    plain = made(MaskRatio(MultiCrop(**RECIPE), start=0.6), images)
    torch.testing.assert_close(made(designer, images).views.global_crops, plain.views.global_crops)
    assert len(list(designer.parameters())) > 1


def test_an_option_of_choice_may_name_a_ratio():
    designer = Choice(MultiCrop(**RECIPE), dict(few=dict(mask_ratio=0.5), many=dict(mask_ratio=0.9), own={}))
    designer.update(torch.tensor([0.0, 1.0, 0.5]))
    assert made(designer).mask_ratio == 0.9
    designer.update(torch.tensor([0.0, 0.0, 0.5]))
    assert made(designer).mask_ratio is None

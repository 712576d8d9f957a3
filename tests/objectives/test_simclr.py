"""NT-Xent against lightly and closed forms; what SimCLR pools."""

import math

import pytest
import torch
from lightly.loss import NTXentLoss

from vssl.draws import Draws
from vssl.learner import TimmBackbone
from vssl.objectives import SimCLR
from vssl.objectives.simclr import nt_xent
from vssl.views.crops import Views


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_and_its_gradient_are_lightlys(temperature):
    ours = [torch.randn(6, 8).requires_grad_() for _ in range(2)]
    theirs = [z.detach().clone().requires_grad_() for z in ours]
    loss, expected = nt_xent(*ours, temperature).mean(), NTXentLoss(temperature)(*theirs)
    loss.backward()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-6)


def test_nt_xent_of_orthogonal_images_has_a_closed_form():
    """Equal views of orthogonal images: the partner scores 1/τ, the 2(n − 1) others 0."""
    z, temperature = torch.eye(4, 6), 0.5
    expected = -1 / temperature + math.log(math.exp(1 / temperature) + 2 * 3)
    assert nt_xent(z, z.clone(), temperature).mean().item() == pytest.approx(expected, abs=1e-6)


def test_nt_xent_ignores_the_order_of_images_and_the_length_of_rows():
    first, second = torch.randn(2, 6, 8)
    order, length = torch.randperm(6), torch.rand(6, 1) + 0.5
    expected = nt_xent(first, second, 0.2).mean().item()
    assert nt_xent(first[order], second[order], 0.2).mean().item() == pytest.approx(expected, abs=1e-6)
    assert nt_xent(first * length, second, 0.2).mean().item() == pytest.approx(expected, abs=1e-6)


def test_nt_xent_is_computed_in_fp32_under_autocast():
    first, second = torch.randn(2, 16, 32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = nt_xent(first, second, 0.1).mean()
    assert loss.dtype == torch.float32
    assert torch.equal(loss, nt_xent(first, second, 0.1).mean())


@pytest.mark.parametrize("pool", ["class", "patch"])
def test_the_loss_is_nt_xent_of_the_projected_pool(backbone, pool):
    objective = SimCLR(backbone, pool=pool, hidden_dim=16, out_dim=8, temperature=0.3).double()
    crops = torch.rand(2, 3, 3, 32, 32).double()
    tokens = [backbone.vit.forward_features((crop - backbone.mean) / backbone.std) for crop in crops]
    # 16 patches of 8 px, after 1 prefix token (ViT) or 5 (DINOv3: class token and 4 registers)
    pooled = [t[:, 0] if pool == "class" else t[:, -16:].mean(1) for t in tokens]
    expected = NTXentLoss(0.3)(*(objective.head(p) for p in pooled))
    loss = objective(backbone, None, Views(crops), Draws(0, "views"))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)


def test_bad_settings_are_refused(vit):
    with pytest.raises(ValueError, match="pool='mean'; give 'class'"):
        SimCLR(vit, pool="mean")
    with pytest.raises(ValueError, match="temperature=0 must be positive"):
        SimCLR(vit, temperature=0)
    without = TimmBackbone(
        "vit_base_patch16_siglip_224", img_size=32, embed_dim=16, depth=2, num_heads=2, aligned_blocks=1
    )
    with pytest.raises(ValueError, match="no class token; give pool='patch'"):
        SimCLR(without, pool="class")

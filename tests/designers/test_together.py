"""`Together` makes what its parts make, of one batch, and refuses what is no such part."""

import pytest
import torch

from vssl.designers import CandidateSearch, GlobalPolicy, LossWeights, SourceWeights, Together, TokenMask, UNetMask
from vssl.draws import Draws
from vssl.sourced_images import SourcedImages
from vssl.views import MultiCrop

SHARES = {"a": 0.5, "b": 0.5}
IMAGES = SourcedImages.of(
    torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 1, 0]), SHARES
)
RECIPE = MultiCrop(global_size=16, n_global=1)
PARTS = dict(
    views=dict(type=GlobalPolicy, divergence=1.0),
    patches=dict(type=TokenMask, patch_size=4, width=4, learns=("hidden", "counted"), entropy=1.0),
    loss=dict(type=LossWeights, components=dict(pixels=1.0, hog=2.0), entropy=1.0),
    images=dict(type=SourceWeights, sources=SHARES, entropy=1.0),
)


def made(designer):
    return designer(IMAGES, Draws(0, "v"))


def moved(designer):
    with torch.no_grad():
        for number, p in enumerate(designer.parameters()):
            p.add_(0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(number)))
    return designer


def test_it_starts_as_the_recipe():
    construction, plain = made(Together(RECIPE, **PARTS)), RECIPE(IMAGES, Draws(0, "v"))
    assert torch.equal(construction.views.global_crops, plain.global_crops)
    assert not construction.views.patch_scores.any()
    assert torch.equal(construction.views.patch_weights, torch.ones(1, 4, 16))
    assert construction.loss_weights == {"hog": 2.0, "pixels": 1.0} and construction.image_weights is None
    assert construction.penalty.abs() < 1e-6


def test_it_makes_what_its_parts_make():
    designer = moved(Together(RECIPE, **PARTS))
    construction, views = made(designer), made(designer.views)
    assert torch.equal(construction.views.global_crops, views.views.global_crops)
    of_patches = designer.patches.add(views, IMAGES, Draws(0, "v"))
    assert torch.equal(construction.views.patch_scores, of_patches.views.patch_scores)
    loss, images = made(designer.loss), made(designer.images)
    assert construction.loss_weights == loss.loss_weights
    assert torch.equal(construction.image_weights, images.image_weights)
    # What the gates' odds learn from, ones in value, times the weights of the images.
    assert torch.allclose(construction.weights, images.weights) and torch.equal(views.weights, torch.ones(4))
    alone = of_patches.penalty + loss.penalty + images.penalty
    torch.testing.assert_close(construction.penalty, alone)
    told = [of.statistics.keys() for of in (of_patches, loss, images)]
    assert construction.statistics.keys() == set().union(*told)
    assert {"views", "sources"} == designer.describe(IMAGES).keys()
    labels, parameters = designer.learned_numbers()
    assert len(labels) == sum(p.numel() for p in parameters) and labels[-1]["name"] == "b"


def test_every_part_gets_a_gradient_and_is_held_in_its_bounds():
    designer = moved(Together(RECIPE, **PARTS))
    construction = made(designer)
    views = construction.views
    total = views.global_crops.square().sum() + views.patch_scores.square().sum() + views.patch_weights.square().sum()
    weights = (construction.weights * torch.arange(4.0)).sum() + construction.learned_weights["hog"]
    (total + weights + construction.penalty).backward()
    assert all(p.grad is not None and p.grad.any() for p in designer.parameters())
    with torch.no_grad():
        designer.loss.shift.fill_(50.0)
        designer.images.shift.fill_(50.0)
    designer.project()
    assert designer.loss.shift.max() < 3 and designer.images.shift.max() < 3


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"views": PARTS["views"]}, "has 1 of views, patches, loss, images"),
        ({"views": PARTS["loss"], "images": PARTS["images"]}, "give a designer of views"),
        ({"views": dict(type=CandidateSearch), "images": PARTS["images"]}, "give a designer of views"),
        ({"patches": PARTS["loss"], "images": PARTS["images"]}, "patches=LossWeights is a designer of something else"),
        ({"patches": dict(type=UNetMask), "images": PARTS["images"]}, "Together: patches needs type=a Ingredient"),
    ],
)
def test_what_is_no_such_part_is_refused(parts, told):
    with pytest.raises(ValueError, match=told):
        Together(RECIPE, **parts)

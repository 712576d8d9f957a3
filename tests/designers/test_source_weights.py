"""`SourceWeights` is the recipe at its start, stays within its bound, and its shares are those of an equal stream."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from vssl.datasets import PositionSampler, UnlabeledMixture, save_shares
from vssl.datasets.stream import Stream
from vssl.designers import SourceWeights
from vssl.draws import Draws
from vssl.objectives import JointEmbedding, SimCLR
from vssl.sourced_images import SourcedImages
from vssl.views import MultiCrop

SHARES = {"streets": 0.75, "web": 0.25}
IMAGES = SourcedImages.of(
    torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0, 1, 0, 1, 1]), SHARES
)


@pytest.fixture
def designer():
    return SourceWeights(MultiCrop(global_size=16, n_global=1), sources=SHARES, entropy=1.0)


def made(designer, images=IMAGES):
    return designer(images, Draws(0, "v"))


def moved(designer, *shift):
    with torch.no_grad():
        designer.shift.copy_(torch.tensor(shift))
    return designer


def test_it_starts_as_the_recipe(designer):
    construction = made(designer)
    assert construction.image_weights is None and construction.penalty.abs().item() < 1e-6
    assert torch.allclose(construction.weights, torch.ones(6))
    assert torch.equal(construction.views.global_crops, designer.recipe(IMAGES, Draws(0, "v")).global_crops)
    assert designer.learned_shares() == pytest.approx(SHARES)


def test_rounded_shares_are_the_recipe_too():
    thirds = SourcedImages.of(IMAGES, IMAGES.sources, {"streets": 2 / 3, "web": 1 / 3})
    designer = SourceWeights(MultiCrop(global_size=16, n_global=1), sources={"streets": 0.667, "web": 0.333})
    assert made(designer, thirds).image_weights is None


def test_images_weigh_what_their_source_does_and_the_stream_weighs_1(designer):
    construction = made(moved(designer, 0.5, -0.25))
    weights = construction.image_weights
    assert not weights.requires_grad and weights.unique().numel() == 2
    streets, web = float(weights[0]), float(weights[2])
    assert streets / web == pytest.approx(math.exp(0.75), rel=1e-5)
    assert 0.75 * streets + 0.25 * web == pytest.approx(1.0, rel=1e-5)
    assert designer.learned_shares() == pytest.approx({"streets": 0.75 * streets, "web": 0.25 * web}, rel=1e-5)
    told = {name: float(value) for name, value in construction.statistics.items()}
    assert told == pytest.approx({"source_share/streets": 0.75 * streets, "source_share/web": 0.25 * web}, rel=1e-5)
    assert designer.describe(IMAGES) == {"sources": designer.learned_shares()}


def test_weights_make_up_for_what_the_stream_does_not_follow(designer):
    assert moved(designer, 1.0, 0.0).stream_shares() is None  # weights alone
    designer.resample = True
    shares = designer.stream_shares()
    follows = made(designer, SourcedImages.of(IMAGES, IMAGES.sources, shares))
    assert follows.image_weights is None and torch.allclose(follows.weights, torch.ones(6))
    half = made(designer, SourcedImages.of(IMAGES, IMAGES.sources, {"streets": 0.5, "web": 0.5}))
    assert half.image_weights[[0, 2]].tolist() == pytest.approx([2 * shares["streets"], 2 * shares["web"]], rel=1e-5)


def test_the_penalty_is_the_divergence_from_the_recipe_s_shares(designer):
    moved(designer, 1.0, -1.0)
    expected = sum(q * math.log(q / SHARES[name]) for name, q in designer.learned_shares().items())
    assert made(designer).penalty.item() == pytest.approx(expected, rel=1e-5)


def test_the_bound_holds(designer):
    moved(designer, 50.0, -50.0).project()
    weights = made(designer).image_weights
    assert weights.max() / weights.min() == pytest.approx(9.0, rel=1e-4)


def test_a_slice_keeps_its_sources_and_what_is_computed_is_a_plain_tensor(designer):
    part = IMAGES[1::2]
    assert torch.equal(part.sources, torch.tensor([0, 0, 1])) and part.shape == (3, 3, 16, 16)
    assert torch.equal(made(moved(designer, 1.0, 0.0), part).weights, made(designer).weights[1::2])
    assert type(IMAGES + 1) is type(IMAGES[0]) is torch.Tensor


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """12 images in streets and 6 in web, each of one grey."""
    root = tmp_path_factory.mktemp("sources")
    for name, greys in (("streets", range(0, 120, 10)), ("web", range(130, 250, 20))):
        (root / name).mkdir()
        for grey in greys:
            Image.fromarray(np.full((8, 8, 3), grey, np.uint8)).save(root / name / f"{grey:03d}.png")
    return root


def mixture(folder, shares):
    return UnlabeledMixture({name: folder / name for name in ("streets", "web")}, 8, shares)


def test_a_stream_says_where_images_come_from_with_workers_and_on_ranks(folder):
    dataset = mixture(folder, dict(streets=1.0, web=1.0))
    keys = iter(PositionSampler(len(dataset), seed=5))
    expected = [dataset.names.index(dataset.source_of(next(keys))) for _ in range(12)]
    (images,) = Stream(dataset, 12, seed=5, num_workers=1).next()
    assert images.sources.tolist() == expected and images.shares == {"streets": 0.5, "web": 0.5}
    ranks = [Stream(dataset, 6, seed=5, rank=rank, world_size=2).next()[0].sources for rank in (0, 1)]
    assert torch.stack(ranks, dim=1).flatten().tolist() == expected


def test_learned_shares_make_the_stream_that_the_weights_stand_for(folder, designer, tmp_path):
    """Over epochs, the weighted mean of the old stream is the plain mean of one with the learned shares."""
    before = {"streets": 1 / 3, "web": 2 / 3}
    designer = SourceWeights(MultiCrop(global_size=8, n_global=1), sources=before)
    moved(designer, math.log(4.0), 0.0)  # to 2/3 and 1/3
    save_shares(designer.learned_shares(), tmp_path / "shares.yaml", note="a test")
    old, new = mixture(folder, before), mixture(folder, tmp_path / "shares.yaml")
    assert new.shares == pytest.approx({"streets": 2 / 3, "web": 1 / 3}, rel=1e-5)
    images, plain = (Stream(dataset, 18 * 6, seed=0).next()[0] for dataset in (old, new))
    weights = designer(images, Draws(0, "v")).image_weights
    greys = images.mean((1, 2, 3))
    assert float((weights * greys).sum() / weights.sum()) == pytest.approx(float(plain.mean()), rel=1e-4)


def test_what_does_not_fit_is_refused(designer, folder, tmp_path):
    with pytest.raises(ValueError, match="type=UnlabeledMixture"):
        made(designer, IMAGES + 0)
    with pytest.raises(ValueError, match=r"shares of the stream are \{'streets': 0\.5, 'web': 0\.5\}"):
        made(designer, SourcedImages.of(IMAGES, IMAGES.sources, {"streets": 0.5, "web": 0.5}))
    assert SimCLR.weighs_images and not JointEmbedding.weighs_images
    with pytest.raises(ValueError, match="one for the whole batch"):
        designer.check(type("Whole", (torch.nn.Module,), {"weighs_images": False})())
    for settings in ({"bound": 1.0}, {"entropy": -1.0}, {"sources": {"streets": 1.0}}, {"sources": ("a", "b")}):
        with pytest.raises(ValueError, match="SourceWeights"):
            SourceWeights(MultiCrop(global_size=16), **{"sources": SHARES, **settings})
    file = tmp_path / "shares.yaml"
    for text, told in [
        ("a: [", "not readable as YAML"),
        ("format: vssl-policy", "not a file of shares"),
        ("format: vssl-sources\nversion: 2", "version 2"),
        ("format: vssl-sources\nversion: 1\nshares: {a: -1}", "a number above 0"),
        ("format: vssl-sources\nversion: 1\nshares: {a: 1}\nshare: 2", "share"),
    ]:
        file.write_text(text)
        with pytest.raises(ValueError, match=told):
            mixture(folder, file)
    with pytest.raises(ValueError, match=r"ends in \.yaml"):
        save_shares(SHARES, tmp_path / "shares.json")

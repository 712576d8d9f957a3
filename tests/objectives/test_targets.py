"""What MAE predicts: bands, gradients' directions, teachers' features, and several together."""

import numpy as np
import pytest
import torch
from kornia.color import rgb_to_ycbcr
from safetensors.torch import save_file
from scipy.fft import dctn

from vssl.draws import Draws
from vssl.learner import TimmBackbone
from vssl.learner.learner import Learner
from vssl.objectives import MAE
from vssl.objectives.bands import Bands
from vssl.objectives.hog import HOG
from vssl.objectives.targets import Features, Pixels, Target, patchify
from vssl.views.crops import Views

SMALL = {"decoder_dim": 16, "decoder_depth": 1, "decoder_heads": 2}
KINDS = {
    "raw pixels": {"type": Pixels, "normalize": False},
    "bands": {"type": Bands},
    "HOG": {"type": HOG, "bins": 4},
    "EMA teacher": {"type": Features},
    "frozen teacher": {"type": Features, "teacher": "frozen"},
}


@pytest.fixture
def images():
    return torch.rand(3, 3, 32, 32).double()


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_to_the_views_is_that_of_finite_differences(kind, vit, make_teacher, images):
    objective = MAE(vit, target=KINDS[kind], **SMALL).double()
    teacher, crops = make_teacher(vit, objective), images.clone().requires_grad_()

    def loss(images):
        return objective(vit, teacher, Views(images[None]), Draws(0, "views"))

    (gradient,) = torch.autograd.grad(loss(crops), crops)
    direction = torch.randn_like(images)
    with torch.no_grad():
        expected = (loss(images + 1e-6 * direction) - loss(images - 1e-6 * direction)) / 2e-6
    assert (gradient * direction).sum().item() == pytest.approx(expected.item(), rel=1e-6)
    fixed = MAE(vit, target=KINDS[kind], target_graph=False, **SMALL).double()
    assert not fixed.begin(vit, teacher, Views(crops[None]), Draws(0, "views"))["target"].requires_grad


def test_bands_are_scipys_cosine_transform_and_keep_the_energy(vit, images):
    bands = Bands(vit)
    found = bands.double().coefficients(images)
    patches = patchify(rgb_to_ycbcr(images), 8).unflatten(2, (8, 8, 3))
    expected = torch.from_numpy(dctn(patches.numpy(), axes=(2, 3), norm="ortho"))
    assert bands.components == {
        "luma0": 1, "luma1": 3, "luma2": 12, "luma3": 48, "chroma0": 2, "chroma1": 6, "chroma2": 24, "chroma3": 96
    }  # fmt: skip
    torch.testing.assert_close(found[..., 0], expected[..., 0, 0, 0], rtol=0, atol=1e-6)
    torch.testing.assert_close(found[..., 1:4], expected[..., [0, 1, 1], [1, 0, 1], 0], rtol=0, atol=1e-6)
    torch.testing.assert_close(found.square().sum(-1), patches.square().sum((2, 3, 4)), rtol=1e-6, atol=0)


@pytest.mark.parametrize("side", [1, 2, 6, 14])
def test_bands_hold_every_coefficient_once(side):
    size = {"img_size": 2 * side, "patch_size": side, "embed_dim": 16, "depth": 1, "num_heads": 2}
    bands = Bands(TimmBackbone("vit_tiny_patch16_224", aligned_blocks=1, **size))
    assert torch.equal(bands.order.sort().values, torch.arange(3 * side**2))
    assert sum(bands.components.values()) == 3 * side**2 and min(bands.components.values()) > 0


def test_bands_have_unit_variance_after_a_step_and_follow_their_running_means(vit, images):
    bands = Bands(vit, momentum=0.5).double()
    grey = bands(vit, None, torch.full_like(images, 0.5))
    assert grey.abs().max() < 1e-6
    moments = []
    for factor in (1.0, 0.5, 0.25):
        raw = bands.coefficients(factor * images)
        moments.append((raw.mean((0, 1)), raw.var((0, 1), correction=0)))
        bands.update(bands.observe(bands(vit, None, factor * images)))
        if factor == 1.0:
            values = bands(vit, None, images)
            assert values.mean((0, 1)).abs().max() < 1e-6
            for part in values.square().mean((0, 1)).split(list(bands.components.values())):
                assert part.mean().item() == pytest.approx(1.0)
    # Rates: 1, 1/2 (of two steps alike), then 1 − momentum.
    expected = 0.5 * (0.5 * moments[0][0] + 0.5 * moments[1][0]) + 0.5 * moments[2][0]
    torch.testing.assert_close(bands.center, expected, rtol=0, atol=1e-6)


def test_running_means_resume_and_move_in_learner_steps_alone(vit, images):
    learner = Learner(vit, MAE(vit, target={"type": Bands}, **SMALL).double())
    _, state = learner(Views(images[None]), Draws(0, "objective"))
    assert learner.objective.targets[0].steps == 0
    learner.update_teacher(state, progress=0.0)
    assert learner.objective.targets[0].steps == 1
    other = Learner(vit, MAE(vit, target={"type": Bands}, **SMALL).double())
    other.load_state_dict(learner.state_dict())
    losses = [one(Views(images[None]), Draws(0, "objective", 1))[0] for one in (learner, other)]
    assert torch.equal(*losses)


def test_hog_is_what_a_loop_over_pixels_counts(vit):
    hog, bins, image = HOG(vit, bins=9), 9, torch.rand(1, 3, 16, 16).double()
    found = hog.double().histograms(image)[0].unflatten(0, (3, bins))
    padded = np.pad(image[0].numpy(), ((0, 0), (1, 1), (1, 1)), mode="reflect")
    expected = np.zeros((3, bins, 4, 4))
    for channel in range(3):
        for row in range(16):
            for column in range(16):
                near = padded[channel, row : row + 3, column : column + 3]
                across = (near[:, 0] - near[:, 2]) @ [1, 2, 1]
                down = (near[0] - near[2]) @ [1, 2, 1]
                place = (np.arctan2(down, across) % np.pi) / np.pi * bins - 0.5
                low, share = int(np.floor(place)), place - np.floor(place)
                strength = np.hypot(across, down)
                expected[channel, low % bins, row // 4, column // 4] += strength * (1 - share)
                expected[channel, (low + 1) % bins, row // 4, column // 4] += strength * share
    expected /= np.sqrt((expected**2).sum(1, keepdims=True))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_hog_of_a_ramp_is_one_direction_and_of_a_flat_patch_nothing(vit):
    ramp = (torch.arange(32) / 32).expand(1, 3, 32, 32).double()
    upward = HOG(vit, bins=2).double().histograms(ramp.mT).unflatten(1, (3, 2))[..., 1:-1, 1:-1]
    across = HOG(vit, bins=2).double().histograms(ramp).unflatten(1, (3, 2))[..., 1:-1, 1:-1]
    root = 0.5**0.5
    torch.testing.assert_close(across, torch.full_like(across, root))  # 0 lies between the two bins
    torch.testing.assert_close(upward, torch.full_like(upward, root))
    assert HOG(vit, bins=9).double().histograms(ramp.mT)[0].unflatten(0, (3, 9))[0, :, 2, 2].argmax() == 4  # π/2
    flat = torch.full((1, 3, 32, 32), 0.5).double().requires_grad_()
    values = HOG(vit).double()(vit, None, flat)
    (gradient,) = torch.autograd.grad(values.sum(), flat)
    assert values.abs().max() == 0 and torch.isfinite(gradient).all()


def test_features_are_layer_normed_and_a_frozen_teacher_stays(vit, images, make_teacher, tmp_path):
    frozen, teacher = Features(vit, "frozen"), make_teacher(vit, MAE(vit, target={"type": Features}, **SMALL))
    before = frozen(vit, None, images)
    assert torch.equal(before, torch.nn.functional.layer_norm(vit.patch_tokens(vit(images)), (32,)))
    of_teacher = Features(vit)(vit, teacher, images)
    expected = teacher.backbone.patch_tokens(teacher.backbone(images))
    assert torch.equal(of_teacher, torch.nn.functional.layer_norm(expected, (32,)))
    save_file(teacher.backbone.vit.state_dict(), tmp_path / "other.safetensors")
    loaded = Features(vit, "frozen", checkpoint=str(tmp_path / "other.safetensors"))
    assert torch.equal(loaded(vit, None, images), of_teacher)
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.add_(0.1)
    assert torch.equal(frozen(vit, None, images), before)
    assert not any(p.requires_grad for p in frozen.parameters())


def test_only_targets_of_the_ema_teacher_ask_for_one(vit):
    assert MAE(vit, target={"type": Features}, **SMALL).uses_teacher
    assert MAE(vit, target={"type": Features}, **SMALL).teacher_momentum(0.0) == 0.996
    for kind in ("raw pixels", "bands", "HOG", "frozen teacher"):
        objective = MAE(vit, target=KINDS[kind], **SMALL)
        assert not objective.uses_teacher and Learner(vit, objective).teacher is None
        with pytest.raises(TypeError, match="MAE has no teacher"):
            objective.teacher_momentum(0.0)


def test_the_loss_is_the_weighted_mean_of_its_components(vit, images):
    weights = {"luma0": 0.0, "luma1": 3.0}
    objective = MAE(vit, target=[{"type": Pixels}, {"type": Bands, "weights": weights}], **SMALL).double()
    state = objective.begin(vit, None, Views(images[None]), Draws(0, "views"))
    losses = objective.losses(vit, state)
    assert "luma0" not in losses and all(each.shape == state["hidden"].shape for each in losses.values())
    asked = {"pixels": 1.0, "luma1": 3.0} | dict.fromkeys(("luma2", "luma3"), 1.0)
    asked |= dict.fromkeys(("chroma0", "chroma1", "chroma2", "chroma3"), 1.0)
    expected = sum(weight * losses[name].mean() for name, weight in asked.items()) / sum(asked.values())
    loss = objective.finish(vit, state)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    loss.backward()
    row = objective.components["pixels"]  # luma0 comes next, and has one value
    moved = objective.decoder.predict.weight.grad.abs().amax(1) > 0
    assert not moved[row] and moved.sum() == len(moved) - 1


def test_bad_targets_are_refused(vit):
    cases = [
        ({"type": Bands, "weights": {"green": 1}}, "Bands has no component 'green'; it has luma0"),
        ({"type": Bands, "weights": {"luma0": -1}}, "the weight of luma0 is -1; it must be 0 or more"),
        ({"type": HOG, "cell": 3}, r"HOG cell=3 px must divide the patch of .* \(8 px\)"),
        ({"type": Features, "teacher": "slow"}, "Features teacher='slow'; give 'ema', 'frozen'"),
        ({"type": Features, "checkpoint": "x"}, "checkpoint='x' is of teacher='frozen' alone"),
        ([{"type": HOG}, {"type": HOG}], "two targets have a component 'hog'"),
        ({"type": MAE}, "MAE: target needs type=a Target, got <class 'vssl.objectives.mae.MAE'>"),
    ]
    for target, complaint in cases:
        with pytest.raises(ValueError, match=complaint):
            MAE(vit, target=target, **SMALL)
    with pytest.raises(ValueError, match="no component of the target has a weight above 0"):
        MAE(vit, target={"type": Bands, "weights": dict.fromkeys(Bands(vit).components, 0)}, **SMALL)
    with pytest.raises(ValueError, match="patches of 16 px, the student of 8"):
        Features(vit, teacher={"name": "vit_tiny_patch16_224", "embed_dim": 32, "depth": 2, "num_heads": 2})
    with pytest.raises(TypeError, match="Target does not say what is to be predicted"):
        Target({"nothing": 1})(vit, None, torch.rand(1, 3, 32, 32))

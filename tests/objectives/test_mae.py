"""MAE against lightly's pieces; masks; the target and its gradient."""

import lightly.models.utils as lightly_utils
import pytest
import torch
from lightly.models.modules import MaskedVisionTransformerDecoderTIMM

from vssl.draws import Draws
from vssl.objectives import MAE
from vssl.objectives.patch_masks import random_mask
from vssl.objectives.targets import Pixels, patchify
from vssl.views.crops import Views

SMALL = {"decoder_dim": 32, "decoder_depth": 2, "decoder_heads": 2}


@pytest.fixture
def mae(backbone):
    return MAE(backbone, **SMALL).double()


@pytest.fixture
def images():
    return torch.rand(3, 3, 32, 32).double()


def test_the_loss_is_that_of_lightlys_decoder_and_targets(mae, backbone, images):
    """The authors' order of work: put mask tokens into image order, decode all, pick the hidden ones."""
    draws = Draws(0, "views")
    state = mae.begin(backbone, None, Views(images[None]), draws)
    keep, hidden, prefix = state["keep"], state["hidden"], backbone.num_prefix_tokens
    decoder = MaskedVisionTransformerDecoderTIMM(16, 32, 2, 2, num_prefix_tokens=prefix).double()
    decoder.load_state_dict(mae.decoder.state_dict(), strict=False)
    decoder.pos_embed.data[0, prefix:] = state["positions"]

    encoded = mae.decoder.embed(backbone.tail(backbone.trunk(images, keep)))
    sequence = torch.zeros(3, prefix + 16, 32).double()
    sequence[:, :prefix] = encoded[:, :prefix]
    sequence = lightly_utils.set_at_index(sequence, keep + prefix, encoded[:, prefix:])
    predicted = mae.decoder.predict(decoder(sequence, idx_mask=hidden + prefix))
    predicted = lightly_utils.get_at_index(predicted, hidden + prefix)
    target = lightly_utils.patchify((images - backbone.mean) / backbone.std, 8)
    target = lightly_utils.normalize_mean_var(lightly_utils.get_at_index(target, hidden))
    expected = torch.nn.functional.mse_loss(predicted, target)
    assert mae.finish(backbone, state).item() == pytest.approx(expected.item(), abs=1e-9)


def test_positions_are_the_papers_up_to_the_order_of_columns(mae, backbone, images):
    ours = mae.begin(backbone, None, Views(images[None]), Draws(0, "views"))["positions"]
    theirs = torch.from_numpy(lightly_utils.get_2d_sine_cosine_positional_embedding(32, 4, cls_token=False))
    distance = torch.cdist(ours.T, theirs.T.double())
    assert distance.min(0).values.max() < 1e-5 and distance.min(1).values.max() < 1e-5


def test_patchify_is_lightlys_and_takes_oblong_images(images):
    assert torch.equal(patchify(images, 8), lightly_utils.patchify(images, 8))
    image = torch.arange(16 * 24).view(1, 1, 16, 24).float().expand(1, 3, -1, -1)
    patches = patchify(image, 8)
    assert patches.shape == (1, 6, 192)
    assert patches[0, 4, :6].tolist() == [200.0, 200.0, 200.0, 201.0, 201.0, 201.0]  # row 8, columns 8 and 9


@pytest.mark.parametrize(("ratio", "visible"), [(0.75, 4), (0.5, 8), (0.9, 1)])
def test_the_mask_ratio_is_the_hidden_share(ratio, visible):
    keep, hidden = random_mask(Draws(0, "views"), batch=5, patches=16, mask_ratio=ratio)
    assert keep.shape == (5, visible) and hidden.shape == (5, 16 - visible)
    assert torch.equal(torch.cat([keep, hidden], 1).sort(1).values, torch.arange(16).expand(5, -1))


def test_every_patch_is_hidden_equally_often():
    _, hidden = random_mask(Draws(0, "views"), batch=4000, patches=16, mask_ratio=0.75)
    share = torch.bincount(hidden.flatten(), minlength=16) / 4000
    assert (share - 0.75).abs().max() < 0.03  # four standard deviations


def test_masks_follow_the_draws():
    first, again, other = (random_mask(Draws(0, "views", step), 4, 16, 0.75)[0] for step in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_backbone_sees_kept_patches_only(mae, backbone, images):
    """Pixels of hidden patches do not reach the tokens; pixels of kept ones do."""
    images = images.requires_grad_()
    state = mae.begin(backbone, None, Views(images[None]), Draws(0, "views"))
    (gradient,) = torch.autograd.grad(state["visible.x"].square().sum(), images)
    moved = patchify(gradient, 8).abs().amax(-1)
    assert state["visible.x"].shape[1] == backbone.num_prefix_tokens + 4
    assert (moved.gather(1, state["keep"]) > 0).all()
    assert (moved.gather(1, state["hidden"]) == 0).all()


def test_the_loss_is_on_hidden_patches_only(mae, backbone, images):
    """With the tokens held, the loss moves with pixels of hidden patches and not with those of kept ones."""
    images = images.requires_grad_()
    state = mae.begin(backbone, None, Views(images[None]), Draws(0, "views"))
    held = state | {"visible.x": state["visible.x"].detach()}
    (gradient,) = torch.autograd.grad(mae.finish(backbone, held), images)
    moved = patchify(gradient, 8).abs().amax(-1)
    assert (moved.gather(1, state["hidden"]) > 0).all()
    assert (moved.gather(1, state["keep"]) == 0).all()


def test_target_graph_switches_the_path_through_the_target(backbone, images):
    images = images.requires_grad_()
    for target_graph in (True, False):
        objective = MAE(backbone, target_graph=target_graph, **SMALL).double()
        state = objective.begin(backbone, None, Views(images[None]), Draws(0, "views"))
        assert state["target"].requires_grad == target_graph
        assert state["visible.x"].requires_grad


def test_targets_have_zero_mean_and_unit_variance_per_patch(mae, backbone, images):
    target = mae.targets[0](backbone, None, images)
    assert target.mean(-1).abs().max() < 1e-9
    assert (target.var(-1) - 1).abs().max() < 1e-4
    plain = Pixels(backbone, normalize=False)(backbone, None, images)
    assert torch.equal(plain, patchify((images - backbone.mean) / backbone.std, 8))


def test_a_flat_patch_has_a_finite_gradient(mae, backbone):
    images = torch.full((2, 3, 32, 32), 0.5).double().requires_grad_()
    loss = mae(backbone, None, Views(images[None]), Draws(0, "views"))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(images.grad).all()


def test_oblong_images_and_two_sizes_with_one_decoder(mae, backbone):
    for height, width in [(32, 32), (48, 64), (64, 32)]:
        state = mae.begin(backbone, None, Views(torch.rand(1, 2, 3, height, width).double()), Draws(0, "views"))
        assert state["positions"].shape == (height * width // 64, 32)
        assert torch.isfinite(mae.finish(backbone, state))


def test_kept_patches_keep_their_rotary_position(backbone, images):
    """Keeping all patches, in another order, gives the same tokens in that order."""
    order = Draws(0, "views").permutation(3, 16)
    whole, kept = backbone(images), backbone.tail(backbone.trunk(images, order))
    prefix = backbone.num_prefix_tokens
    torch.testing.assert_close(kept[:, :prefix], whole[:, :prefix], rtol=1e-9, atol=1e-10)
    expected = whole[:, prefix:].gather(1, order.unsqueeze(-1).expand(-1, -1, 32))
    torch.testing.assert_close(kept[:, prefix:], expected, rtol=1e-9, atol=1e-10)


def test_bad_settings_and_images_are_refused(mae, vit, backbone):
    with pytest.raises(ValueError, match=r"mask_ratio=1.0 must be in"):
        MAE(vit, mask_ratio=1.0)
    with pytest.raises(ValueError, match="decoder_dim=30 must be a multiple of 4"):
        MAE(vit, decoder_dim=30, decoder_heads=2)
    with pytest.raises(ValueError, match=r"leaves 0 of 4 patches visible.*larger images"):
        random_mask(Draws(0, "views"), 2, 4, 0.9)
    with pytest.raises(ValueError, match=r"36x32 px are not a multiple of the patch .*\(8 px\); use e.g. 32x32"):
        mae(backbone, None, Views(torch.rand(1, 2, 3, 36, 32).double()), Draws(0, "views"))


def test_weights_may_change_between_steps(backbone, images):
    """An ingredient alone has the loss of a MAE that knows no other, and None brings the objective's own back."""
    objective = MAE(backbone, target=[dict(type=Pixels), dict(type=Pixels, normalize=False)], **SMALL).double()
    own = {"pixels": 0.5, "raw_pixels": 0.5}
    state = objective.begin(backbone, None, Views(images[None]), Draws(0, "objective"))
    losses = {name: loss.mean() for name, loss in objective.losses(backbone, state).items()}
    assert objective.weights == own
    for name, loss in losses.items():
        objective.weigh({name: 3.0})
        torch.testing.assert_close(objective.finish(backbone, state), loss)
    objective.weigh(None)
    assert objective.weights == own
    with pytest.raises(ValueError, match="the loss has no component 'hog'; it has pixels, raw_pixels"):
        objective.weigh({"hog": 1.0})
    with pytest.raises(ValueError, match="no component of the target has a weight above 0"):
        objective.weigh({"pixels": 0.0})
    with pytest.raises(ValueError, match="the weight of pixels is -1; it must be 0 or more"):
        objective.weigh({"pixels": -1, "raw_pixels": 2.0})

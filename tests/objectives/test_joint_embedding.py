"""lightly's losses through the adapter: the same number as by hand, and what the adapter refuses."""

import sys
from copy import deepcopy
from dataclasses import replace

import lightly.loss as losses
import pytest
import torch
from lightly.models.modules import heads
from torch import nn

from vssl.designers import GlobalPolicy
from vssl.draws import Draws
from vssl.engine.designer_update import DesignerUpdate
from vssl.learner.learner import Learner
from vssl.objectives import JointEmbedding
from vssl.objectives.joint_embedding import BatchNorm
from vssl.objectives.overlap import common_region, inside, roi_align
from vssl.views import MultiCrop

PAIRS = [losses.VICRegLoss, losses.BarlowTwinsLoss, losses.DCLLoss, losses.DCLWLoss, losses.NTXentLoss]
SEVERAL = [losses.FroSSLLoss, losses.EMPSSLLoss, losses.LeJEPALoss, losses.VISRegLoss]
PROJECTOR = {"type": heads.VICRegProjectionHead, "hidden_dim": 16, "output_dim": 8}


def build(backbone, loss, **settings):
    return JointEmbedding(backbone, loss={"type": loss}, **({"projector": PROJECTOR} | settings)).double()


def state_of(objective, backbone, make_views):
    return objective.begin(backbone, None, make_views(objective), Draws(0, "views"))


def embedded(objective, backbone, state, name="global", views=2):
    """By hand: pooled patches of each view through the projector."""
    from vssl.objectives.base import unpack

    tokens = backbone.patch_tokens(backbone.tail(unpack(state, name))).mean(1)
    return [objective.projector(rows) for rows in tokens.chunk(views)]


@pytest.mark.parametrize("loss", PAIRS + SEVERAL)
def test_the_loss_is_lightlys(loss, vit, make_views):
    objective = build(vit, loss)
    state = state_of(objective, vit, make_views)
    first, second = embedded(objective, vit, state)
    theirs = deepcopy(objective.loss)
    with torch.random.fork_rng():
        torch.manual_seed(int(state["seed"]))
        if loss in PAIRS:
            expected = theirs(first, second)
        elif loss in SEVERAL[:2]:
            expected = theirs([first, second])
        else:
            both = torch.stack([first, second])
            expected = theirs(local_proj=both, global_proj=both)
    before = torch.get_rng_state()
    assert objective.finish(vit, state).item() == pytest.approx(expected.item(), rel=1e-12)
    assert torch.equal(torch.get_rng_state(), before)  # LeJEPA draws; nobody else's numbers change


def test_local_crops_go_to_losses_of_several_views(vit, make_views):
    objective = build(vit, losses.LeJEPALoss, n_local_crops=3)
    state = state_of(objective, vit, make_views)
    parts = embedded(objective, vit, state), embedded(objective, vit, state, "local", 3)
    with torch.random.fork_rng():
        torch.manual_seed(int(state["seed"]))
        expected = objective.loss(global_proj=torch.stack(parts[0]), local_proj=torch.stack(parts[1]))
    assert objective.finish(vit, state).item() == pytest.approx(expected.item(), rel=1e-12)
    with pytest.raises(ValueError, match="n_local_crops=2: VICRegLoss takes two views; give 0"):
        build(vit, losses.VICRegLoss, n_local_crops=2)
    with pytest.raises(ValueError, match="has n_local_crops=0, the views have 3"):
        build(vit, losses.LeJEPALoss).begin(vit, None, make_views(objective), Draws(0, "views"))


def test_vicregl_gets_dense_embeddings_and_where_they_lie(vit, make_views):
    dense = {"type": heads.VicRegLLocalProjectionHead, "hidden_dim": 16, "output_dim": 8}
    objective = JointEmbedding(
        vit, loss={"type": losses.VICRegLLoss, "num_matches": (4, 2)}, projector=PROJECTOR, dense_projector=dense
    ).double()
    views = make_views(objective)
    state = objective.begin(vit, None, views, Draws(0, "views"))
    places = state["global.places"]
    left, top, right, bottom = views.global_boxes[1, 2]
    torch.testing.assert_close(places[1, 2, 0, 0], torch.stack([left + (right - left) / 8, top + (bottom - top) / 8]))
    tokens = vit.patch_tokens(vit(views.global_crops.flatten(0, 1)))
    maps = [objective.dense_projector(view).unflatten(1, (4, 4)) for view in tokens.chunk(2)]
    features = list(zip(embedded(objective, vit, state), maps, strict=True))
    expected = objective.loss(global_view_features=features, global_view_grids=list(places))
    assert objective.finish(vit, state).item() == pytest.approx(expected.item(), rel=1e-10)
    with pytest.raises(ValueError, match="asks where crops lie in their images, and these views do not say"):
        objective.begin(vit, None, replace(views, global_boxes=None), Draws(0, "views"))


def test_dense_embeddings_are_cells_of_what_both_crops_show(vit, make_views):
    objective = build(vit, losses.BarlowTwinsLoss, pool="dense", cells=3)
    views = make_views(objective)
    patches = vit.patch_tokens(vit(views.global_crops.flatten(0, 1))).chunk(2)
    region, _ = common_region(*views.global_boxes)
    rows = [
        objective.projector(roi_align(own, (4, 4), inside(region, box), 3).flatten(0, 1))
        for own, box in zip(patches, views.global_boxes, strict=True)
    ]
    assert rows[0].shape == (4 * 9, 8)
    found = objective(vit, None, views, Draws(0, "views"))
    assert found.item() == pytest.approx(objective.loss(*rows).item(), rel=1e-10)


def test_batch_norm_is_torchs_in_training_and_keeps_no_statistics():
    theirs = nn.BatchNorm1d(5).double().train()
    nn.init.normal_(theirs.weight)
    ours, rows = BatchNorm(theirs), torch.randn(7, 5).double()
    torch.testing.assert_close(ours.eval()(rows), theirs(rows))
    assert not list(ours.buffers())


def test_projectors_lose_their_running_statistics(vit):
    objective = build(vit, losses.VICRegLoss)
    assert not any(isinstance(module, nn.BatchNorm1d) for module in objective.modules())
    assert sum(isinstance(module, BatchNorm) for module in objective.modules()) == 2
    assert isinstance(build(vit, losses.VICRegLoss, projector=None).projector, nn.Identity)


def test_losses_that_do_not_fit_are_refused(vit):
    cases = [
        (losses.TiCoLoss, "TiCoLoss remembers earlier batches"),
        (losses.MMCRLoss, "MMCRLoss fails on embeddings"),
        (losses.PatchKernelAlignmentLoss, "use PaKA"),
        (losses.KoLeoLoss, r"KoLeoLoss.forward takes \(x\); two batches of embeddings"),
    ]
    for loss, complaint in cases:
        with pytest.raises(ValueError, match=complaint):
            build(vit, loss)
    with pytest.raises(ValueError, match=r"NTXentLoss remembers earlier batches.*memory_bank_size=0"):
        JointEmbedding(vit, {"type": losses.NTXentLoss, "memory_bank_size": (16, 8)}, PROJECTOR)
    with pytest.raises(ValueError, match="pool='dense' needs cells=7 of 1 or more and a loss of two batches"):
        build(vit, losses.LeJEPALoss, pool="dense")
    with pytest.raises(ValueError, match="JointEmbedding pool='all'; give 'class', 'patch' or 'dense'"):
        build(vit, losses.VICRegLoss, pool="all")


def test_without_lightly_the_error_names_the_extra(vit, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "lightly"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        ImportError, match=r"JointEmbedding: loss: .*VICRegLoss needs lightly.*pip install 'vssl\[lightly\]'"
    ):
        JointEmbedding(vit)


def test_designers_that_weight_images_are_refused_before_any_step(vit):
    designer, learner = GlobalPolicy(MultiCrop(32)), Learner(vit, build(vit, losses.VICRegLoss))
    with pytest.raises(ValueError, match=r"gates='score' weights each image's loss, JointEmbedding has one for"):
        DesignerUpdate(learner, designer, None, None, None, None, None)

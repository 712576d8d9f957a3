"""A new head is new in everything, and the backbone beneath it never moves."""

import copy

import pytest
import torch
from mmengine.config import Config
from torch.utils.data import Dataset

from vssl.engine.advice import _run_of
from vssl.engine.new_heads import has_head, renew_head
from vssl.objectives import OBJECTIVES

SEED, OTHER, STEPS = 3, 4, 3


class Noise(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, place):
        return torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(place[0]))


@pytest.fixture
def loop(request):
    kind = OBJECTIVES[request.param]
    of_recipe, of_objective = {}, {}
    if kind.takes_local_crops:
        of_recipe, of_objective = dict(local_size=16, n_local=1), dict(n_local_crops=1)
    config = Config(
        dict(
            backbone=dict(
                type="vssl.learner.TimmBackbone", name="vit_tiny_patch16_224", img_size=16, patch_size=4, embed_dim=16,
                depth=2, num_heads=2, aligned_blocks=1, drop_path_rate=0.5,
            ),
            objective=dict(type=f"vssl.objectives.{request.param}", **kind.small(16), **of_objective),
            recipe=dict(type="vssl.views.MultiCrop", global_size=16, n_global=kind.n_global_crops, **of_recipe),
            designer=dict(type="vssl.designers.Identity"),
            optimizer=dict(type="torch.optim.AdamW", lr=0.01, weight_decay=0.1),
            unlabeled=dict(type=f"{__name__}.Noise"),
            batch_size=4,
            budget=dict(steps=1),
            snapshots=0,
        )
    )  # fmt: skip
    with _run_of(config, STEPS, seed=0) as loop, torch.random.fork_rng():
        yield loop


def renewed(loop, seed, steps=STEPS):
    """Backbone, head, teacher and running statistics; the optimizer's moments."""
    loop.stream.load_state_dict({"position": 0})
    renew_head(loop, seed, steps)
    return copy.deepcopy((loop.learner.state_dict(), loop.learner_step.optimizer.state_dict()["state"]))


def differ(one, another):
    return any(not torch.equal(one[name], another[name]) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize("loop", sorted(OBJECTIVES.keys() - {"ObjectiveMix"}), indirect=True)  # a mix is of these
def test_nothing_is_left_of_the_head_before_and_the_backbone_stays(loop):
    start = copy.deepcopy(loop.learner.student.state_dict())
    first, other, again = (renewed(loop, seed) for seed in (SEED, OTHER, SEED))
    torch.testing.assert_close(again, first, rtol=0, atol=0)
    untaught = renewed(loop, SEED, steps=0)
    assert not untaught[1], "the optimizer's moments are new"
    torch.testing.assert_close(loop.learner.student.state_dict(), start, rtol=0, atol=0)
    if has_head(loop.learner):
        assert differ(first[0], other[0]) and differ(first[0], untaught[0])

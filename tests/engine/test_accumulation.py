"""A batch in parts: one optimizer step, the gradient of the whole batch, and a refusal where that is not so."""

import copy
import json
import shutil
import threading

import pytest
import torch

from vssl.benchmarks.kills import _start, _wait, differences
from vssl.designers import TokenMask
from vssl.designers.base import Construction, Identity
from vssl.draws import Draws
from vssl.engine import ConfigError, load_config
from vssl.engine import accumulation as accumulation_module
from vssl.engine.accumulation import Accumulation
from vssl.engine.learner_step import LearnerStep
from vssl.engine.training import train
from vssl.learner import TimmBackbone
from vssl.learner.learner import Learner
from vssl.objectives import OBJECTIVES
from vssl.objectives import base as objectives_base
from vssl.objectives.base import WEIGHTS, mean_over_images
from vssl.views import MultiCrop
from vssl.views.crops import Views

SIZE = {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2}
COUPLED = ["DINOv2", "DINOv3", "JointEmbedding", "NeCo", "SimCLR"]
ALONE = sorted(OBJECTIVES.keys() - set(COUPLED))


def learner_and_views(name, **settings):
    """In float64, 12 images."""
    torch.manual_seed(0)
    kind = OBJECTIVES[name]
    backbone = TimmBackbone("vit_tiny_patch16_224", aligned_blocks=1, **SIZE).double()
    local = {"n_local_crops": 1} if kind.takes_local_crops else {}
    learner = Learner(backbone, kind(backbone, **kind.small(16), **local, **settings).double())
    corners = torch.tensor([0.2, 0.1, 0.9, 0.8]).double()
    boxes = [corners + 0.1 * torch.rand(views, 12, 4).double() for views in (2, 1)]
    crops, small = (torch.rand(views, 12, 3, 16, 16).double() for views in (2, 1))
    n = learner.objective.n_global_crops
    return learner, Views(crops[:n], small if local else None, boxes[0][:n], boxes[1] if local else None)


def one_step(name, accumulation, weights=None, **settings):
    """What one SGD step leaves: gradients, weights of student and teacher, running statistics."""
    learner, views = learner_and_views(name, **settings)
    optimizer = torch.optim.SGD([{"params": list(learner.parameters()), "peak_lr": 0.1, "part": "backbone"}], lr=0.1)
    step = LearnerStep(learner, optimizer, lambda progress: 1.0, accumulation=accumulation)
    taken = step(
        Construction(views, penalty=torch.zeros(()), image_weights=weights), Draws(0, "objective", 3), progress=0.5
    )
    assert taken.targets is None or len(taken.targets) % 12 == 0
    return {
        "loss": taken.loss,
        "gradient": [p.grad for p in learner.parameters() if p.grad is not None],
        "buffers": dict(learner.objective.named_buffers()),
        "weights": dict(learner.named_parameters()),
    }


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize("parts", [2, 3])
def test_the_parts_make_the_step_of_the_whole_batch(name, parts):
    expected, found = one_step(name, Accumulation()), one_step(name, Accumulation(parts))
    assert any(g.abs().max() > 1e-6 for g in expected["gradient"])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_image_weights_count_against_the_whole_batch():
    weights = torch.linspace(0.2, 3.0, 12).double()
    expected, found = one_step("MAE", Accumulation(), weights), one_step("MAE", Accumulation(3), weights)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_image_weights_of_two_ranks_in_parts_count_against_both(monkeypatch):
    """Ranks are threads here, which meet wherever the code sums over ranks."""
    meet, mine, sums = threading.Barrier(2), threading.local(), [None, None]

    def over_both(value):
        sums[mine.rank] = value
        meet.wait(10)
        added = sums[0] + sums[1]
        meet.wait(10)
        return added

    monkeypatch.setattr(accumulation_module, "total", over_both)
    monkeypatch.setattr(objectives_base, "total", over_both)
    monkeypatch.setattr(objectives_base, "rank_and_size", lambda: (mine.rank, 2))
    torch.manual_seed(0)
    losses, weights = torch.rand(2, 12).double(), 0.1 + torch.rand(2, 12).double()
    found = [0.0, 0.0]

    def one_rank(rank):
        mine.rank = rank
        views = Views(torch.arange(12.0).view(1, 12, 1, 1, 1).expand(1, 12, 3, 4, 4))
        construction = Construction(views, penalty=torch.zeros(()), image_weights=weights[rank])
        for part in Accumulation(3).cut(construction, Draws(0, "objective", world_size=2, rank=rank)):
            rows = part.views.global_crops[0, :, 0, 0, 0].long()
            found[rank] += part.share * mean_over_images(losses[rank][rows], {WEIGHTS: part.image_weights})

    threads = [threading.Thread(target=one_rank, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torch.testing.assert_close(sum(found) / 2, (weights * losses).sum() / weights.sum())


def test_dinov2_without_meetings_comes_in_parts():
    settings = dict(centring="centre", koleo_weight=0.0)
    expected, found = (one_step("DINOv2", Accumulation(parts), **settings) for parts in (1, 4))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", COUPLED)
def test_images_that_meet_in_the_loss_are_not_cut_apart_silently(name):
    kind = OBJECTIVES[name]
    backbone = TimmBackbone("vit_tiny_patch16_224", **SIZE)
    objective = kind(backbone, **kind.small(16))
    with pytest.raises(ConfigError, match="couple_within_parts=True"):
        Accumulation(2).check(objective, Identity(MultiCrop(16)))
    Accumulation(2, couple_within_parts=True).check(objective, Identity(MultiCrop(16)))
    found = one_step(name, Accumulation(2, couple_within_parts=True))
    assert all(g.isfinite().all() for g in found["gradient"])
    assert abs(found["loss"] - one_step(name, Accumulation())["loss"]) > 1e-6  # another loss, as the refusal says


def test_masks_that_need_all_scores_are_not_cut_apart():
    backbone, recipe = TimmBackbone("vit_tiny_patch16_224", **SIZE), MultiCrop(16, n_global=1)
    objective = OBJECTIVES["IJEPA"](backbone, **OBJECTIVES["IJEPA"].small(16))
    with pytest.raises(ConfigError, match="IJEPA draws the masks of a batch together"):
        Accumulation(2).check(objective, TokenMask(recipe, patch_size=4))
    Accumulation(2).check(objective, TokenMask(recipe, patch_size=4, learns=("counted",)))


def test_coupled_parts_are_batches_of_their_own():
    learner, views = learner_and_views("SimCLR")
    with torch.no_grad():
        halves = [learner(views.of_images(slice(i, None, 2)), Draws(0, "objective"))[0] for i in range(2)]
    found = one_step("SimCLR", Accumulation(2, couple_within_parts=True))["loss"]
    torch.testing.assert_close(found, torch.stack(halves).mean())


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (3, "batch_size=8 is no multiple of accumulate=3"),
        (dict(part=2), "dict\\(parts=N"),
        (0, "accumulate=0"),
        (2, "couple_within_parts=True"),
        (dict(parts=8, couple_within_parts=True), "in 8 parts: SimCLR compares the images of a batch"),
    ],
)
def test_what_cannot_be_cut_is_refused_before_the_run(fixed_config, tmp_path, wrong, match):
    fixed_config["accumulate"] = wrong
    with pytest.raises(ConfigError, match=match):
        train(fixed_config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def of_single_images(config, designer="UNetMask"):
    """A designed run whose loss is a mean over images; SGD, since AdamW makes whole steps of rounding."""
    config = copy.deepcopy(config)
    config.objective = dict(type="vssl.objectives.DINO", n_local_crops=0, out_dim=64, hidden_dim=32, bottleneck_dim=16)
    config.designer = {
        "UNetMask": dict(type="vssl.designers.UNetMask", width=4),
        "GlobalPolicy": dict(type="vssl.designers.GlobalPolicy", gates="straight_through"),
        "CandidateSearch": dict(type="vssl.designers.CandidateSearch"),
    }[designer]
    config.optimizer = dict(type="torch.optim.SGD", lr=0.01, momentum=0.9)
    config.budget = dict(steps=4)
    config.designer_optimizer = dict(type="torch.optim.SGD", lr=1.0)
    if designer == "CandidateSearch":
        config.designer_optimizer = None
        config["value"].candidates = 3
    config["value"].recognisability, config["value"].norm_growth = (
        (0.0, 0.0) if designer == "CandidateSearch" else (0.1, 0.1)
    )
    return config


def assert_same_run(one, other, logged=("step", "loss", "gradient_norm", "value", "g_pre_norm", "penalty")):
    a, b = (torch.load(run / "checkpoint.pth", weights_only=True) for run in (one, other))
    assert any(value.any() for value in a["designer"].values())
    for part in ("learner", "designer"):
        for name, value in a[part].items():
            torch.testing.assert_close(b[part][name], value, atol=2e-5, rtol=1e-4, msg=f"{part} {name}")
    rows, others = ([json.loads(x) for x in (run / "metrics.jsonl").read_text().splitlines()] for run in (one, other))
    for key in logged:
        assert [row[key] for row in rows if key in row] == pytest.approx(
            [row[key] for row in others if key in row], rel=1e-3
        ), key


@pytest.mark.slow
@pytest.mark.parametrize(
    ("designer", "estimator"),
    [
        ("UNetMask", "central_difference"),
        ("GlobalPolicy", "double_backward"),
        ("CandidateSearch", "central_difference"),
    ],
)
def test_a_run_in_parts_is_the_run(designed_config, tmp_path, designer, estimator):
    """Learner, EMA teacher, centre, designer, and what is logged of g_pre; steps are optimizer steps."""
    config = of_single_images(designed_config, designer)
    config["value"].estimator = dict(type=f"vssl.value.{estimator}")
    one = train(config, tmp_path / "one")
    config["accumulate"] = 4
    assert_same_run(one, train(config, tmp_path / "parts"))


@pytest.mark.slow
def test_two_ranks_in_parts_are_one_rank(designed_config, tmp_path):
    file = tmp_path / "config.py"
    of_single_images(designed_config).dump(file)  # a dumped config has other places for its keys: heads draw in turn
    one = train(load_config(file), tmp_path / "one")
    halves = {"batch_size": 4, "accumulate": 2, "value.batch_size": 4}
    for task in ("segmentation", "depth"):
        halves |= {f"feedback.pools.{task}.batch_size": 2, f"feedback.pools.{task}.meta_batch_size": 2}
    assert _wait(_start(file, halves, 2, tmp_path / "two", resume=False)) == [0, 0]
    assert_same_run(one, tmp_path / "two", ("gradient_norm", "value", "g_pre_norm"))  # a rank logs its own loss


@pytest.mark.slow
def test_a_run_in_parts_resumes_bit_for_bit(designed_config, tmp_path):
    designed_config["accumulate"] = dict(parts=2, couple_within_parts=True)
    designed_config.backbone.update(drop_path_rate=0.2)
    designed_config.checkpoint_interval = 2
    run = train(designed_config, tmp_path / "run")
    shutil.copytree(run, tmp_path / "again")
    (tmp_path / "again/checkpoint.pth").unlink()
    train(designed_config, tmp_path / "again", resume=True)
    assert differences(run, tmp_path / "again") == []

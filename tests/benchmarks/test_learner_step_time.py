"""`learner-step`, in small: a row for each variant, with ratios taken within a repetition."""

from argparse import Namespace

import pytest
import torch

from vssl.benchmarks.learner_step_time import TimedLearnerStep
from vssl.views.crops import Views

SMALL = ["--size", "32", "--dim", "16", "--depth", "2", "--heads", "2", "--batch", "4", "--repeats", "1"]


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["simclr", "mae", "dino"])
def test_learner_step_times_every_variant(benchmark, capsys, objective):
    result = benchmark("learner-step", "--objective", objective, "--backend", "aot_eager", *SMALL)
    rows = {(row["precision"], row["blocks"]): row for row in result["rows"]}
    assert len(rows) == 4
    base = rows["fp32", "as written"]
    assert base["speed"] == base["processor_speed"] == [1, 1, 1]
    for row in rows.values():  # one repetition: all three quartiles are the one number
        assert row["speed"][1] == pytest.approx(base["step_ms"][1] / row["step_ms"][1])
        assert row["images_per_second"] == pytest.approx(4e3 / row["step_ms"][1])
    assert "fp32 and bf16" in result["machine"] and "| bf16 | compiled |" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
@pytest.mark.parametrize("objective", ["simclr", "mae", "dino", "ibot", "dinov2"])
def test_lightlys_step_is_set_beside_ours(benchmark, objective):
    few = ["--blocks", "as written", "--precisions", "fp32", "--local-crops", "1", "--lightly"]
    few += [] if objective in ("simclr", "mae") else ["--prototypes", "32"]
    larger = ["--size", "128"]  # lightly refuses to mask grids of a few patches
    result = benchmark("learner-step", "--objective", objective, *few, *SMALL, *larger)
    ours, theirs = result["rows"]
    assert (ours["blocks"], theirs["blocks"]) == ("as written", "lightly's")
    assert theirs["speed"][1] == pytest.approx(ours["step_ms"][1] / theirs["step_ms"][1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
@pytest.mark.parametrize("objective", ["dino", "ibot", "dinov2"])
def test_lightlys_loss_of_our_weights_is_ours(objective):
    """With masks of ours, and the targets of a running centre for DINOv2, which lightly has alone."""
    step = timed(objective)
    ours, theirs = step.learner, step.lightly
    if objective == "dinov2":
        ours.objective.centring = "centre"
    ours.objective.on_step(0, progress=1.0)
    ours.objective.teacher_temperature = ours.objective.patch_temperature = 0.04  # lightly's
    copy_weights(ours.student.vit, ours.objective, theirs.student)
    copy_weights(ours.teacher.backbone.vit, ours.objective, theirs.teacher)
    theirs.student["vit"].mask_token.data.fill_(0.0)
    step.views = theirs.views = Views(step.views.global_crops, step.views.local_crops)
    ours.teacher.backbone.mean.zero_(), ours.teacher.backbone.std.fill_(1)
    ours.eval()
    loss = step.loss()
    theirs._mask = lambda crops: step.state["mask"].unflatten(1, (2, 2))
    assert theirs.loss().item() == pytest.approx(loss.item(), rel=1e-5)


def test_prototypes_are_dinos_alone(benchmark):
    with pytest.raises(SystemExit, match="mae has none"):
        benchmark("learner-step", "--objective", "mae", "--prototypes", "32", *SMALL)


@pytest.mark.slow
def test_lightlys_simclr_with_our_weights_is_ours():
    """And with our head: theirs has batch norms."""
    step = timed("simclr")
    step.lightly.student["vit"].vit.load_state_dict(step.learner.student.vit.state_dict())
    step.lightly.student["head"] = step.learner.objective.head
    assert step.lightly.loss().item() == pytest.approx(step.loss().item(), rel=1e-5)


@pytest.mark.slow
def test_lightlys_mae_with_our_weights_is_ours():
    """With our mask; both decoders have fixed positions, and ours come from timm."""
    step = timed("mae")
    theirs, decoder = step.lightly, step.learner.objective.decoder
    theirs.student["vit"].vit.load_state_dict(step.learner.student.vit.state_dict())
    loss, state = step.loss(), step.state
    other = theirs.student["decoder"]
    for mine, layer in (
        (decoder.embed, theirs.student["embed"]),
        (decoder.blocks, other.blocks),
        (decoder.norm, other.norm),
        (decoder.predict, theirs.student["predict"]),
    ):
        layer.load_state_dict(mine.state_dict())
    other.mask_token.data.copy_(decoder.mask_token)
    other.pos_embed.data[:, 1:] = state["positions"]
    kept = torch.cat([torch.zeros(4, 1, dtype=torch.long), state["keep"] + 1], dim=1)
    theirs._mask = lambda batch: (kept, state["hidden"] + 1)
    assert theirs.loss().item() == pytest.approx(loss.item(), rel=1e-5)


def timed(objective) -> TimedLearnerStep:
    """Steps of ours and of lightly's, small; our backbone does not shift or scale the pixels."""
    torch.manual_seed(0)
    setting = Namespace(
        objective=objective, model="vit_tiny_patch16_224", size=32, dim=16, depth=2, heads=2, batch=4, local_crops=2,
        prototypes=None if objective in ("simclr", "mae") else 24, lightly=True, backend="aot_eager",
        device=torch.device("cpu"), seed=0,
    )  # fmt: skip
    step = TimedLearnerStep(setting)
    step.learner.student.mean.zero_(), step.learner.student.std.fill_(1)
    return step


def copy_weights(vit, objective, theirs):
    theirs["vit"].vit.load_state_dict(vit.state_dict())
    heads = {"head": objective.head} | ({"patch_head": objective.patch_head} if "patch_head" in theirs else {})
    for name, head in heads.items():
        for mine, layer in zip(head.mlp[::2], theirs[name].layers[::2], strict=True):
            layer.load_state_dict(mine.state_dict())
        theirs[name].last_layer.weight_v.data.copy_(head.last.weight.data)

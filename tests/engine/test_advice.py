"""What `vssl advise` measures and writes, on a miniature of 24 labeled images."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from vssl.commands.advise import main
from vssl.datasets.stream import Stream
from vssl.draws import Draws
from vssl.engine import ConfigError, load_config, train
from vssl.engine.advice import measure
from vssl.engine.designer_building import build_feedback
from vssl.engine.training import build_runner
from vssl.feedback.folds import grouped_gradients
from vssl.learner.learner import Learner
from vssl.objectives import SimCLR
from vssl.value import UnitNorm, cosine
from vssl.value.products import mean_gradient
from vssl.views.changes import opened

SIZE = 16
CONFIG = """
from torch.optim import AdamW
from vssl.datasets import SegmentationImages, UnlabeledImages, joint_transform
from vssl.designers import GlobalPolicy
from vssl.feedback import Feedback, Pool, Segmentation
from vssl.learner import TimmBackbone
from vssl.objectives import SimCLR
from vssl.value import Cosine, UnitNorm
from vssl.views import MultiCrop

backbone = dict(
    type=TimmBackbone, name="vit_tiny_patch16_224", img_size=16, patch_size=4, embed_dim=16, depth=2, num_heads=1,
    aligned_blocks=1,
)
objective = dict(type=SimCLR, pool="patch", hidden_dim=16, out_dim=8)
recipe = dict(type=MultiCrop, global_size=16, jitter=dict(hue=0.1, p=0.8), blur=None)
designer = dict(type=GlobalPolicy)
designer_optimizer = dict(type=AdamW, lr=0.01)
optimizer = dict(type=AdamW, lr=1e-3)
unlabeled = dict(type=UnlabeledImages, root="ROOT/images/training", size=16)
batch_size = 8
labeled = dict(
    type=SegmentationImages, root="ROOT", split="training", transform=dict(type=joint_transform, size=16, scale=None)
)
feedback = dict(
    type=Feedback,
    tasks=dict(segmentation=dict(type=Segmentation, num_classes=3)),
    pools=dict(segmentation=dict(type=Pool, dataset=labeled, train=16, meta=8, batch_size=12, meta_batch_size=4)),
    evaluator="ridge",
)
del labeled
value = dict(rule=dict(type=Cosine), combine=dict(type=UnitNorm, weights=dict(segmentation=1.0)))
budget = dict(steps=1)
snapshots = 0
threads = 1
"""


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A config, beside its data."""
    root, rng = tmp_path_factory.mktemp("mine"), np.random.default_rng(0)
    for number in range(24):
        for kind, pixels in (("images", (SIZE, SIZE, 3)), ("annotations", (SIZE, SIZE))):
            (root / kind / "training").mkdir(parents=True, exist_ok=True)
            made = rng.integers(0, 256 if kind == "images" else 4, pixels).astype(np.uint8)
            Image.fromarray(made).save(root / kind / "training" / f"{number}.png")
    (root / "mine.py").write_text(CONFIG.replace("ROOT", root.as_posix()))
    return root / "mine.py"


@pytest.mark.slow
def test_the_first_column_is_the_value_of_a_step_of_the_recipe(mine, tmp_path):
    """The cosine of ∇L_pre, by one backward pass through the whole network with a head of the draw's own, and the mean
    gradient of the labels."""
    config = load_config(mine)
    measured = measure(config, draws=2, head_steps=0)
    feedback_node, config.feedback, config.designer_optimizer = config.feedback, None, None
    loop = build_runner(config, tmp_path / "run", seed=0).train_loop
    student = loop.learner.train().student
    placement = dict(rank=0, world_size=1, num_workers=0, device=loop.device)
    groups = grouped_gradients(build_feedback(feedback_node, 16, 0, placement), student)
    g_down = UnitNorm({"segmentation": 1.0})({task: mean_gradient(of_task) for task, of_task in groups.items()})
    stream, recipe = Stream(loop.stream.dataset, 8, seed=7919), opened(loop.designer.recipe)
    for draw, head in enumerate(np.random.SeedSequence(0).generate_state(2).tolist()):
        torch.manual_seed(head)
        learner = Learner(student, SimCLR(student, pool="patch", hidden_dim=16, out_dim=8)).train()
        views = recipe(stream.next()[0], Draws(0, "advice views", draw))
        loss, _ = learner(views, Draws(0, "advice objective", draw))
        g_pre = torch.autograd.grad(loss, list(student.aligned_parameters().values()))
        assert measured.values[draw, 0, 0] == pytest.approx(float(cosine(g_down, g_pre)), abs=1e-5)
    assert measured.values.shape == (2, 1 + len(measured.columns), 1 + 12)
    np.testing.assert_allclose(measured.task_values[..., 0], measured.values[..., 0], atol=1e-6)
    names = [change["name"] for change in measured.changes]
    assert {"area", "flip", "hue", "grayscale", "rotate", "brightness"} <= set(names)
    hue = next(change for change in measured.changes if change["name"] == "hue")
    assert (hue["by"], hue["now"], hue["unit"]) == ("strength", [-0.1, 0.1], "turns")
    words, strips = measured.pictures[names.index("rotate")]
    assert words == ["strong", "weak", "as it is", "weak", "strong"] and strips.shape == (2, 5, SIZE, SIZE, 3)
    plain = Image.open(mine.parent / "images/training/0.png")
    assert np.abs(strips[0, 2].astype(int) - np.asarray(plain)).max() <= 1, "as it is"


@pytest.mark.slow
def test_two_measurements_agree(mine):
    first, again = (measure(load_config(mine), draws=2, head_steps=1, only=["hue"]) for _ in range(2))
    np.testing.assert_array_equal(first.values, again.values)


@pytest.mark.slow
def test_an_objective_that_needs_boxes_is_asked_without_ops_that_move_pixels(mine):
    config = load_config(mine)
    config.objective = dict(type="vssl.objectives.PaKA", **_small("PaKA"))
    measured = measure(config, draws=2, head_steps=0)
    assert not measured.about["geometric"]
    assert not {"rotate", "perspective"} & {change["name"] for change in measured.changes}
    absent = [change["name"] for change in measured.changes if change["absent"]]
    assert "gamma" in absent and "grayscale" not in absent
    config.recipe.extra = absent  # as the page says
    (gamma,) = measure(config, draws=2, head_steps=0, only=["gamma"]).changes
    assert gamma["closed"] and not gamma["absent"]


def _small(name):
    import vssl.objectives

    return getattr(vssl.objectives, name).small(16)


@pytest.mark.slow
def test_the_command_writes_a_page_for_a_config_and_for_a_run(mine, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    few = ["--draws", "2", "--head-steps", "1", "--only", "hue", "rotate"]
    assert main([str(mine), "--images", str(mine.parent / "images"), *few]) == 0
    assert "this is about the next step" in capsys.readouterr().out
    told = json.loads((tmp_path / "advice/mine.json").read_text())
    assert (tmp_path / "advice/mine.html").is_file() and told["unlabeled"] == 24
    assert (told["heads"], told["head_steps"]) == (2, 1)
    assert [operation["name"] for operation in told["operations"]] == ["rotate", "hue"]
    run = train(load_config(mine, {"designer_optimizer": None, "feedback": None}), tmp_path / "run")
    assert main([str(run), "--out", "again.html", *few]) == 1
    assert "no feedback" in capsys.readouterr().err
    (run / "config.py").write_text(mine.read_text())
    assert main([str(run), "--out", "again.html", *few]) == 0
    told = json.loads((tmp_path / "again.json").read_text())
    assert told["continued"] and told["heads"] == 0 and told["backbone"] == str(run)
    before = told["value"]
    assert main([str(mine), "--backbone", str(run), "--out", "third.html", *few]) == 0
    assert json.loads((tmp_path / "third.json").read_text())["value"] != before, "another head"
    (run / "config.py").write_text(f"{mine.read_text()}\ncontinue_run = {str(run)!r}\n")
    assert main([str(run), "--backbone", str(run), "--out", "fourth.html", *few]) == 0
    told = json.loads((tmp_path / "fourth.json").read_text())
    assert not told["continued"] and told["backbone"] == str(run / "backbone.safetensors")


@pytest.mark.slow
def test_what_cannot_be_asked_is_refused_before_any_work(mine, tmp_path, capsys):
    with pytest.raises(ConfigError, match="give None or 'shuffled_labels'"):
        measure(load_config(mine, {"feedback.control": "negated"}), draws=2, head_steps=0)
    with pytest.raises(ValueError, match="draws=1 must be 2 or more"):
        measure(load_config(mine), draws=1, head_steps=0)
    with pytest.raises(ConfigError, match="no operation 'hues' to change; there are area, log_ratio, flip"):
        measure(load_config(mine), draws=2, head_steps=0, only=["hues"])
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.py").write_text(mine.read_text())
    for arguments, said in [
        ([str(mine), "--images", str(tmp_path / "nothing")], "no such folder"),
        ([str(tmp_path / "empty")], "has no checkpoint.pth"),
        (["nothing.py"], "config nothing.py does not exist"),
    ]:
        assert main(arguments) == 1
        assert said in capsys.readouterr().err

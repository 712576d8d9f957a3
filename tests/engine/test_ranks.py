"""Two gloo ranks on a CPU train the weights of one rank with twice the batch."""

import copy
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

TRAIN = Path(__file__).parents[2] / "tools/train.py"


@pytest.fixture
def launch(run_ranks, tmp_path):
    """(config, work_dir, ranks) → the work_dir of the run."""

    def run(config, work_dir, ranks):
        path = tmp_path / f"ranks{ranks}.py"
        config.dump(path)
        run_ranks(ranks, TRAIN, path, "--work-dir", work_dir, "--launcher", "pytorch" if ranks > 1 else "none")
        return work_dir

    return run


@pytest.mark.slow
@pytest.mark.parametrize("designer", ["GlobalPolicy", "CandidateSearch"])
def test_two_ranks_agree_on_what_rollouts_teach(designer, designed_config, run_ranks, shared_out, tmp_path):
    """Ranks that valued on their own would learn two designers and never notice."""
    config = shared_out(designed_config)
    config.feedback.evaluator, config.designer = "ridge", dict(type=f"vssl.designers.{designer}")
    config["value"].update(horizon=2, pairs=2, candidates=3)
    if designer == "GlobalPolicy":
        config["value"].control_variate = "end"
    else:
        config.designer_optimizer = None
    config.dump(tmp_path / "config.py")
    run = tmp_path / "run"
    run_ranks(2, Path(__file__).with_name("two_ranks.py"), tmp_path / "config.py", run)
    one, two = torch.load(run / "ranks.pt", weights_only=True)
    assert any(value.any() for value in one["designer"].values())
    for part in one:
        assert all(torch.equal(value, two[part][name]) for name, value in one[part].items()), part


@pytest.mark.slow
@pytest.mark.parametrize(
    ("which", "compiling"), [("fixed_config", False), ("designed_config", False), ("designed_config", True)]
)
def test_two_ranks_equal_one_with_twice_the_batch(which, compiling, launch, shared_out, request, tmp_path):
    config = request.getfixturevalue(which)
    # plain SGD: AdamW divides by √v̂ and would turn the rounding of nearly zero gradients into whole steps
    config.optimizer = dict(type="torch.optim.SGD", lr=0.1, momentum=0.9)
    if config.get("designer_optimizer"):
        config.designer_optimizer = dict(type="torch.optim.SGD", lr=1.0)
    one = launch(config, tmp_path / "one", 1)
    config["compile"] = dict(backend="aot_eager") if compiling else False
    two = launch(shared_out(config), tmp_path / "two", 2)
    a, b = (torch.load(run / "checkpoint.pth", weights_only=True) for run in (one, two))
    for part in ("learner", "designer"):
        for name, value in a[part].items():
            torch.testing.assert_close(b[part][name], value, atol=2e-5, rtol=1e-4, msg=f"{part} {name}")
    log_one, log_two = ([json.loads(x) for x in (run / "metrics.jsonl").read_text().splitlines()] for run in (one, two))
    assert [x["step"] for x in log_one] == [x["step"] for x in log_two]
    if which == "designed_config":
        assert abs(log_one[-1]["value"] - log_two[-1]["value"]) < 1e-3
    start = load_file(one / "backbone.safetensors")
    assert start.keys() == load_file(two / "backbone.safetensors").keys()


@pytest.mark.slow
def test_two_ranks_weigh_the_images_of_the_whole_batch(designed_config, launch, shared_out, tmp_path):
    config = copy.deepcopy(designed_config)
    config.designer = dict(type="vssl.designers.ImageWeights", width=4, entropy=0.1)
    config.optimizer = dict(type="torch.optim.SGD", lr=0.1, momentum=0.9)
    config.designer_optimizer = dict(type="torch.optim.SGD", lr=1.0)
    one = launch(config, tmp_path / "one", 1)
    two = launch(shared_out(config), tmp_path / "two", 2)
    a, b = (torch.load(run / "checkpoint.pth", weights_only=True) for run in (one, two))
    assert a["designer"]["head.weight"].any()
    for part in ("learner", "designer"):
        for name, value in a[part].items():
            torch.testing.assert_close(b[part][name], value, atol=2e-5, rtol=1e-4, msg=f"{part} {name}")


@pytest.mark.slow
def test_two_ranks_learn_views_patches_and_sources_together_with_ijepa(
    designed_config, two_folders, launch, shared_out, tmp_path
):
    """Whose masks of a batch meet, so that ranks exchange their scores; image credit is over all ranks too."""
    config = copy.deepcopy(designed_config)
    config.unlabeled, config.recipe.n_global = two_folders, 1
    small = dict(predictor_dim=16, predictor_depth=1, predictor_heads=2, min_keep=0, target_scale=(0.3, 0.5))
    config.objective = dict(type="vssl.objectives.IJEPA", flow_through_teacher=True, **small)
    # The predictor's first weights are so small that the difference of two gradients would be mostly rounding.
    config["value"].estimator = dict(type="vssl.value.double_backward")
    config.designer = dict(
        type="vssl.designers.Together",
        views=dict(type="vssl.designers.GlobalPolicy"),
        patches=dict(type="vssl.designers.TokenMask", patch_size=8, width=4, learns=("hidden", "counted")),
        images=dict(type="vssl.designers.SourceWeights", sources=dict(first=0.5, second=0.5), entropy=0.1),
    )
    config.optimizer = dict(type="torch.optim.SGD", lr=0.1, momentum=0.9)
    config.designer_optimizer = dict(type="torch.optim.SGD", lr=1.0)
    one = launch(config, tmp_path / "one", 1)
    two = launch(shared_out(config), tmp_path / "two", 2)
    a, b = (torch.load(run / "checkpoint.pth", weights_only=True) for run in (one, two))
    assert all(a["designer"][name].any() for name in ("views.raw.0", "patches.head.weight", "images.shift"))
    for part in ("learner", "designer"):
        for name, value in a[part].items():
            torch.testing.assert_close(b[part][name], value, atol=2e-5, rtol=1e-4, msg=f"{part} {name}")
    worth = [json.loads((run / "image_worth.json").read_text()) for run in (one, two)]
    for end in ("most", "least"):
        credits = [[entry["credit"] for entry in told[end]] for told in worth]
        assert credits[0] == pytest.approx(credits[1], rel=1e-3, abs=1e-5)

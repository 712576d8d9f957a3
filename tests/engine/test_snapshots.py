"""What a run records of its designer: when, what, at no cost to the run."""

import copy
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vssl.designers import (
    CandidateSearch,
    GlobalPolicy,
    Identity,
    InstancePolicy,
    LossWeights,
    MaskedPolicy,
    MaskRatio,
    UNetMask,
)
from vssl.draws import Draws
from vssl.engine.config import ConfigError
from vssl.engine.designer_parts import matched_random
from vssl.engine.gradient_record import GradientRecord
from vssl.engine.mask_analysis import depth_edges, mask_by_edge_distance, mask_per_class, variance_shares
from vssl.engine.sweep_strips import sweep_strips
from vssl.engine.training import build_runner, load_designer, train
from vssl.views.recipes import MultiCrop


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def images(batch=6):
    return torch.rand(batch, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def recipe():
    return MultiCrop(24, 16, n_global=2, n_local=2)


@pytest.fixture
def policy_config(designed_config):
    """The designed run of the engine's tests with a learned policy instead of a mask."""
    designed_config.designer = dict(type="vssl.designers.GlobalPolicy")
    return designed_config


@pytest.mark.slow
def test_a_run_keeps_a_panel_with_the_same_images_and_draws_throughout(designed_config, tmp_path):
    designed_config.merge_from_dict({"snapshots": 3, "snapshot_images": 5})
    run = train(designed_config, tmp_path / "run")
    files = sorted((run / "snapshots").glob("[0-9]*.npz"))
    assert [int(path.stem) for path in files] == [0, 2, 4, 6]
    panel = np.load(run / "snapshots" / "panel.npz")
    assert panel["base"].shape == (5, 32, 32, 3) and panel["names"].tolist()[0] == "0000.jpg"
    assert panel["names"].tolist()[-1] == "0023.jpg", "the panel is spread over the whole set"
    first, last = np.load(files[0]), np.load(files[-1])
    assert first["mask"].shape == (5, 32, 32) and abs(first["mask"].mean() / 255 - 0.6) < 0.05  # starts at κ
    assert not np.array_equal(first["mask"], last["mask"]), "φ did move"
    # the mask of the panel is that of the base view: v~ = μ⊙v + (1 − μ)⊙Blur(v) is between the two
    assert first["designed"].shape == panel["base"].shape
    assert not list((run / "snapshots").glob("*.partial*"))


@pytest.mark.slow
def test_a_policy_that_has_not_moved_leaves_the_base_view(policy_config, tmp_path):
    run = train(policy_config, tmp_path / "run")
    panel = np.load(run / "snapshots" / "panel.npz")
    np.testing.assert_array_equal(np.load(run / "snapshots" / "00000000.npz")["designed"], panel["base"])


@pytest.mark.slow
def test_policy_rows_hold_the_numbers_and_their_gradients(policy_config, tmp_path):
    policy_config.merge_from_dict({"snapshots": 1})
    run = train(policy_config, tmp_path / "run")
    start, end = lines(run / "policy.jsonl")
    assert (start["step"], end["step"], start["gradient"]) == (0, 6, {"meta_steps": 0})
    (view,) = start["views"]
    assert view["name"] == "global crops" and view["members"] == [0, 1]
    hue = next(number for number in view["numbers"] if number["name"] == "hue")
    assert hue["range"] == [-0.5, 0.5] and hue["identity"] == 0 and hue["initial"] == [-0.1, 0.1]
    assert hue["current"] == pytest.approx([-0.1, 0.1]) and hue["spread"] == [0, 0]
    assert {gate["name"]: gate["current"] for gate in view["gates"]}["grayscale"] == pytest.approx(0.2)
    gradient = end["gradient"]
    assert gradient["meta_steps"] == 3  # steps 0, 2 and 4
    assert len(gradient["parameters"]) == 2 * len(view["numbers"]) + len(view["gates"])
    assert any(p["mean"] != 0 and p["se"] > 0 for p in gradient["parameters"])
    assert end["views"] != start["views"]


@pytest.mark.slow
def test_the_designer_of_a_run_is_loaded_without_its_data(policy_config, tmp_path):
    run = train(policy_config, tmp_path / "run")
    last = lines(run / "policy.jsonl")[-1]["views"]
    (run / "snapshots").rename(tmp_path / "gone")
    designer = load_designer(run)
    assert designer.describe(images())["views"] == last
    with pytest.raises(ConfigError, match="does not exist"):
        load_designer(tmp_path)


def test_the_recorded_gradient_is_that_of_the_value(policy_config, tmp_path):
    """A designer step of plain SGD moves every offset by the learning rate times the recorded ∂V/∂offset, as long as
    nothing puts back those that leave their range."""
    policy_config.merge_from_dict({"budget": dict(steps=1), "snapshots": 1})
    policy_config.designer_optimizer = dict(type="torch.optim.SGD", lr=2.0)
    runner = build_runner(policy_config, tmp_path / "run", seed=0)
    runner.train_loop.designer.project = lambda: None
    runner.train()
    (row,) = [p.detach().flatten() for p in runner.train_loop.designer.raw]
    recorded = [p["mean"] for p in lines(tmp_path / "run" / "policy.jsonl")[-1]["gradient"]["parameters"]]
    assert row.abs().max() > 0
    torch.testing.assert_close(row, 2.0 * torch.tensor(recorded), atol=1e-7, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 4])
def test_snapshots_change_nothing_in_the_run(designed_config, tmp_path, count):
    with_them = train(copy.deepcopy(designed_config), tmp_path / "with")
    designed_config.snapshots = count
    without = train(designed_config, tmp_path / "other")
    a, b = (load_file(run / "backbone.safetensors") for run in (with_them, without))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert (without / "snapshots").exists() == (count > 0)


def test_a_fixed_recipe_has_nothing_to_record(fixed_config, tmp_path):
    run = train(fixed_config, tmp_path / "run")
    assert not (run / "snapshots").exists() and not (run / "policy.jsonl").exists()


@pytest.mark.slow
def test_a_resumed_run_records_every_step_once(policy_config, tmp_path, cut_short):
    policy_config.merge_from_dict({"snapshots": 6})
    runner = build_runner(copy.deepcopy(policy_config), tmp_path / "run", seed=0)
    cut_short(runner, 5)  # the last checkpoint is of step 4, the last snapshot of step 5
    run = train(policy_config, tmp_path / "run", resume=True)
    assert [row["step"] for row in lines(run / "policy.jsonl")] == list(range(7))
    assert [int(path.stem) for path in sorted((run / "snapshots").glob("[0-9]*.npz"))] == list(range(7))


@pytest.mark.parametrize("change", [{"snapshots": -1}, {"snapshot_images": 1}])
def test_numbers_that_make_no_panel_are_refused(designed_config, tmp_path, change):
    designed_config.merge_from_dict(change)
    with pytest.raises(ConfigError, match="snapshot"):
        train(designed_config, tmp_path / "run")


@pytest.mark.slow
def test_mask_analysis_is_written_at_the_end(designed_config, tmp_path):
    run = train(designed_config, tmp_path / "run")
    analysis = json.loads((run / "mask_analysis.json").read_text())
    assert analysis["images"] == 32 and analysis["step"] == 6  # both pools, train and meta
    rows = {row["name"]: row for row in analysis["classes"]["rows"]}
    assert set(rows) == {"class 0", "class 1", "class 2"} and rows["class 0"]["images"] == 16
    assert all(0 < row["mean"] < 1 for row in rows.values())
    total = sum(row["mean"] * row["pixels"] for row in rows.values()) / sum(row["pixels"] for row in rows.values())
    assert analysis["classes"]["overall"] == pytest.approx(total, abs=0.02)
    assert [row["from"] for row in analysis["depth_edges"]["rows"]][:2] == [0, 1]


# --- the pieces -----------------------------------------------------------------------------------------------------


def test_descriptions_follow_the_designer():
    of_patches = MaskRatio(recipe(), 0.75, designer={"type": GlobalPolicy})
    for designer in (GlobalPolicy(recipe()), InstancePolicy(recipe()), MaskedPolicy(recipe()), of_patches):
        described = designer.describe(images())
        assert [view["name"] for view in described["views"]] == ["global crops", "local crops"]
    per_view = GlobalPolicy(recipe(), per_view=True).describe(images())["views"]
    assert [view["name"] for view in per_view] == ["global crop 0", "global crop 1", "local crops"]
    search = CandidateSearch(recipe(), strengths=(0.0, 1.0)).describe(images())["strengths"]
    assert search[0] == {"name": "area", "choices": [0.0, 1.0], "probabilities": [0.5, 0.5], "mean": 0.5}
    assert UNetMask(recipe()).describe(images()) == Identity(recipe()).describe(images()) == {}


def test_only_few_parameters_are_followed_one_by_one():
    designer = GlobalPolicy(recipe())
    labels, parameters = designer.learned_numbers()
    assert parameters == [*designer.parameters()]
    assert len(labels) == sum(p.numel() for p in designer.parameters())
    assert InstancePolicy(recipe()).learned_numbers() == UNetMask(recipe()).learned_numbers() == ([], [])
    with torch.no_grad():  # the label of an offset is the number that it moves
        designer.raw[0][0, labels.index({"group": "global", "name": "hue", "end": "spread"})] = 1.0
    hue = next(n for n in designer.describe(images())["views"][0]["numbers"] if n["name"] == "hue")
    assert hue["current"][1] > 0.2 and hue["current"][0] == pytest.approx(-hue["current"][1])
    assert hue["gate"] == "jitter"


def test_a_range_whose_spread_went_through_zero_is_told_from_low_to_high():
    designer = GlobalPolicy(recipe())
    with torch.no_grad():
        spread = designer.learned_numbers()[0].index({"group": "global", "name": "hue", "end": "spread"})
        designer.raw[0][0, spread] = -2.0
    hue = next(n for n in designer.describe(images())["views"][0]["numbers"] if n["name"] == "hue")
    assert hue["current"][0] < 0 < hue["current"][1]


def test_gradients_become_means_and_standard_errors():
    """White noise around a mean: the record agrees with numpy, and finds no autocorrelation worth speaking of."""
    designer = GlobalPolicy(MultiCrop(24, n_global=1))
    (row,) = designer.raw
    record, noise = GradientRecord(designer), torch.randn(400, row.numel(), generator=torch.Generator().manual_seed(0))
    for gradient in noise + 1:
        row.grad = gradient.view_as(row)
        record.add()
    taken = record.take()
    mean, se = ([p[key] for p in taken["parameters"]] for key in ("mean", "se"))
    np.testing.assert_allclose(mean, -(noise + 1).mean(0), rtol=1e-5)  # .grad is of −V
    np.testing.assert_allclose(se, noise.std(0) / 20, rtol=0.05)
    assert taken["meta_steps"] == 400 and taken["autocorrelation"] < 0.05
    assert record.take() == {"meta_steps": 0}


def test_standard_errors_allow_for_correlated_meta_steps():
    """x_t = 0.8 x_{t−1} + e_t: the variance of the mean is (1 + 0.8)/(1 − 0.8) = 9 times that of white noise."""
    designer = GlobalPolicy(MultiCrop(24, n_global=1))
    (row,) = designer.raw
    generator, record, x = torch.Generator().manual_seed(0), GradientRecord(designer), torch.zeros_like(row)
    kept = []
    for _ in range(2000):
        x = 0.8 * x + torch.randn(row.shape, generator=generator)
        row.grad = x.clone()
        record.add()
        kept.append(x.flatten())
    taken, white = record.take(), torch.stack(kept).std(0) / 2000**0.5
    assert taken["autocorrelation"] == pytest.approx(0.8, abs=0.02)
    np.testing.assert_allclose([p["se"] for p in taken["parameters"]], 3 * white, rtol=0.1)


def test_credit_has_means_and_errors_of_its_own_and_goes_through_a_checkpoint():
    """White noise in φ's gradient, x_t = 0.8 x_{t−1} + e_t in the credit: one correlation for each."""
    designer, credits = LossWeights(MultiCrop(24, n_global=1), dict(a=1.0, b=1.0)), []
    generator, x, record = torch.Generator().manual_seed(0), torch.zeros(2), GradientRecord(designer)
    for step in range(2000):
        x = 0.8 * x + torch.randn(2, generator=generator)
        credits.append(x + torch.tensor([1.0, -1.0]))
        designer.shift.grad = torch.randn(2, generator=generator)
        record.add(dict(zip(("b", "a"), credits[-1], strict=True)))
        if step == 1000:
            state, record = record.state_dict(), GradientRecord(designer)
            record.load_state_dict(state)
    taken, credits = record.take(), torch.stack(credits)
    assert taken["autocorrelation"] < 0.05 and taken["credit"]["autocorrelation"] == pytest.approx(0.8, abs=0.02)
    assert [p["name"] for p in taken["parameters"]] == ["a", "b"] and taken["parameters"][0]["se"] < 0.03
    for place, name in enumerate(("b", "a")):
        found = taken["credit"]["components"][name]
        assert found["mean"] == pytest.approx(credits[:, place].mean().item(), rel=1e-4)
        assert found["se"] == pytest.approx(3 * credits[:, place].std().item() / 2000**0.5, rel=0.1)
    assert record.take() == {"meta_steps": 0}


def test_a_checkpoint_that_followed_fewer_numbers_leaves_an_empty_record():
    record = GradientRecord(LossWeights(MultiCrop(24, n_global=1), dict(a=1.0, b=1.0)))
    record.load_state_dict({"n": 3, "sums": [torch.ones(1)] * 4})
    assert record.take() == {"meta_steps": 0}


def test_a_search_without_gradients_leaves_no_gradient():
    record = GradientRecord(CandidateSearch(recipe()))
    record.add()
    assert record.take() == {"meta_steps": 0}


def test_matched_random_masks_are_the_neighbours_masks():
    designer = UNetMask(recipe())
    torch.nn.init.normal_(designer.network.output.weight)  # masks that differ from image to image
    made, dealt = designer(images(), Draws(0, "v")), matched_random(designer, images(), Draws(0, "v"))
    torch.testing.assert_close(dealt.mask, made.mask.roll(1, dims=1))
    assert not torch.allclose(dealt.views.global_crops, made.views.global_crops)


def test_matched_random_choices_of_equal_images_are_a_permutation():
    """With one image repeated and ops that look at nothing else, dealing to the neighbour only reorders the views."""
    ops_only = MultiCrop(24, n_global=1, global_scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0)
    designer = InstancePolicy(ops_only)
    same = images(1).expand(6, -1, -1, -1)
    with torch.no_grad():
        made = designer(same, Draws(0, "v")).views.global_crops
    dealt = matched_random(designer, same, Draws(0, "v")).views.global_crops
    torch.testing.assert_close(dealt, made.roll(1, dims=1))
    assert matched_random(CandidateSearch(recipe()), images(), Draws(0, "v")) is None


def test_sweeps_pass_the_image_itself_at_the_identity():
    strips = sweep_strips(MultiCrop(32, n_global=1), images(1)[0], steps=7)
    assert {"area", "x", "hue", "brightness", "grayscale", "blur"} <= strips.keys()
    values, swept = strips["brightness"]
    assert (values[0], values[-1]) == (0, 3) and swept.shape == (7, 3, 32, 32)
    torch.testing.assert_close(swept[2], images(1)[0], atol=1e-5, rtol=0)  # factor 1
    assert swept[0].max() == 0
    values, swept = strips["hue"]
    torch.testing.assert_close(swept[3], images(1)[0], atol=1e-4, rtol=0)  # no turn


def test_mask_per_class_counts_each_image_once():
    masks = np.zeros((2, 2, 2), np.float32)
    masks[0, 0], masks[1] = 1.0, 0.5
    labels = np.array([[[0, 0], [1, 255]], [[1, 1], [1, 1]]])
    found = mask_per_class(masks, labels, ["wall"])
    assert [(row["name"], row["mean"], row["images"]) for row in found["rows"]] == [
        ("wall", 1.0, 1),
        ("class 1", 0.25, 2),
    ]
    assert found["rows"][0]["se"] is None and found["rows"][1]["se"] == pytest.approx(0.25)
    assert found["overall"] == pytest.approx((2 * 1.0 + 0.0 + 4 * 0.5) / 7)


def test_depth_edges_are_jumps_between_known_depths():
    depth = np.full((4, 8), 2.0)
    depth[:, 4:], depth[:, 0] = 4.0, 0.0
    edges = depth_edges(depth)
    assert edges[:, 3:5].all() and edges.sum() == 8  # not beside the unknown column, not on a slope of less than 10 %
    assert not depth_edges(np.linspace(2.0, 2.5, 8)[None].repeat(4, 0)).any()
    mask = np.where(edges, 0.0, 1.0)
    rows = mask_by_edge_distance(mask[None], depth[None])["rows"]
    assert [(row["from"], row["mean"]) for row in rows] == [(0, 0.0), (1, 1.0), (2, 1.0)]


def test_variance_is_split_between_images_positions_and_the_rest():
    rng = np.random.default_rng(0)
    per_image, pattern = rng.normal(size=(5, 1, 1)), rng.normal(size=(1, 4, 4))
    only_images = variance_shares(np.broadcast_to(per_image, (5, 4, 4)))
    assert only_images["between_images"] == pytest.approx(only_images["total"])
    only_pattern = variance_shares(np.broadcast_to(pattern, (5, 4, 4)))
    assert only_pattern["position"] == pytest.approx(only_pattern["total"])
    both = variance_shares(per_image + pattern)
    assert both["between_images"] == pytest.approx(per_image.var()) and both["position"] == pytest.approx(pattern.var())
    assert both["image_and_position"] == pytest.approx(0, abs=1e-12)
    mixed = variance_shares(rng.normal(size=(50, 30, 30)))
    assert mixed["image_and_position"] / mixed["total"] == pytest.approx(1, abs=0.05)

import json

import pytest
import torch
import yaml

from vssl.draws import Draws
from vssl.views.ops.geometric import ROTATE
from vssl.views.ops.photometric import HUE, NOISE
from vssl.views.policy_file import SavedRecipe, save_policy
from vssl.views.recipes import MultiCrop, Recipe
from vssl.views.view_plan import GatedOp, ViewPlan
from vssl.views.view_policy import Offsets, PolicySpace

EXTRA = (GatedOp(ROTATE, -20, 20, 0.3), GatedOp(NOISE, 0.0, 0.1, 0.0))


def recipe() -> MultiCrop:
    return MultiCrop(24, 16, 2, 2, blur={"p": (1.0, 0.1, 0.5)}, solarize={"p": (0.0, 0.2, 0.0)}, extra=EXTRA)


def offsets(space: PolicySpace, value: float, group: int = 0) -> Offsets:
    magnitudes, gates = space.sizes(group)
    return Offsets(*(torch.full((1, n), value) for n in (magnitudes, magnitudes, gates)))


def test_offsets_of_zero_are_the_recipe_to_the_last_bit():
    space = PolicySpace(recipe())
    for view, plan in enumerate(recipe().plans):
        for moved, base in zip(space.distribution(view, offsets(space, 0.0)), plan.distribution(), strict=True):
            assert torch.equal(moved, base)


@pytest.mark.parametrize("value", [-50.0, -1.0, 1.0, 50.0])
def test_any_offset_stays_in_the_range(value):
    space = PolicySpace(recipe())
    for view, plan in enumerate(space.plans):
        low, high, probability = space.distribution(view, offsets(space, value))
        for i, magnitude in enumerate(plan.magnitudes):
            for end in (low[0, i], high[0, i]):
                assert magnitude.low - 1e-6 <= end <= magnitude.high + 1e-6
        assert probability.min() >= 0 and probability.max() <= 1
        assert (low >= plan.distribution().low).all() if value > 0 else (low <= plan.distribution().low).all()


def test_numbers_move_by_the_sigmoid_of_their_range():
    plan = ViewPlan(8, (GatedOp(HUE, -0.25, 0.25, 0.5),))
    space = PolicySpace(Recipe([plan]))
    low, high, probability = space.distribution(0, offsets(space, 1.0))
    # hue −0.25 lies a quarter into [−0.5, 0.5]: σ(logit(1/4) + 1) − 1/4 further.
    expected = torch.sigmoid(torch.logit(torch.tensor(0.25)) + 1) - 0.25
    assert float(low[0, 4]) == pytest.approx(-0.25 + float(expected), abs=1e-6)
    assert float(probability[0, 1]) == pytest.approx(torch.sigmoid(torch.tensor(1.0)).item(), abs=1e-6)
    assert float(high[0, 4]) == pytest.approx(0.25 + torch.sigmoid(torch.logit(torch.tensor(0.75)) + 1).item() - 0.75)


def test_gradients_reach_numbers_that_start_at_the_end_of_their_range():
    space = PolicySpace(recipe())
    zero = Offsets(*(o.requires_grad_() for o in offsets(space, 0.0)))
    distribution = space.distribution(0, zero)
    for column, value in zip(zero, distribution, strict=True):
        (gradient,) = torch.autograd.grad(value.sum(), column, retain_graph=True)
        assert (gradient > 0).all()


def test_only_what_may_be_learned_moves():
    space = PolicySpace(recipe(), learn=("area", "hue", "jitter"))
    plan, base = space.plans[0], recipe().plans[0].distribution()
    low, _, probability = space.distribution(0, offsets(space, 0.5))
    moved = [m.name for m, a, b in zip(plan.magnitudes, low[0], base.low[0], strict=True) if a != b]
    assert moved == ["area", "hue"]
    assert [name for name, a, b in zip(plan.gates, probability[0], base.probability[0], strict=True) if a != b] == [
        "jitter"
    ]
    with pytest.raises(ValueError, match=r"cannot learn \['sepia'\]"):
        PolicySpace(recipe(), learn=("sepia",))


def test_groups_of_views():
    assert PolicySpace(recipe()).group_of_view == [0, 0, 1, 1]
    assert PolicySpace(recipe(), per_view=True).group_of_view == [0, 1, 2, 2]
    assert PolicySpace(recipe(), per_view=True).group_names == ["global0", "global1", "local"]
    with pytest.raises(ValueError, match="must have the same ops"):
        PolicySpace(Recipe([ViewPlan(8, (GatedOp(HUE, 0, 0),)), ViewPlan(8)]))


@pytest.mark.parametrize("suffix", ["json", "yaml", "yml"])
def test_a_file_replays_the_recipe_bit_for_bit(tmp_path, suffix):
    path = tmp_path / f"policy.{suffix}"
    save_policy(recipe(), path, note="run 7")
    images = torch.rand(5, 3, 30, 30)
    first, again = recipe()(images, Draws(3, "v")), SavedRecipe(path)(images, Draws(3, "v"))
    assert torch.equal(first.global_crops, again.global_crops) and torch.equal(first.local_crops, again.local_crops)


def test_a_file_serves_other_sizes_and_numbers_of_crops(tmp_path):
    path = tmp_path / "policy.yaml"
    save_policy(recipe(), path)
    moved = SavedRecipe(path, global_size=32, local_size=8, n_global=1, n_local=3)
    views = moved(torch.rand(2, 3, 40, 40), Draws(0, "v"))
    assert views.global_crops.shape == (1, 2, 3, 32, 32) and views.local_crops.shape == (3, 2, 3, 8, 8)
    assert moved.global_plans[0].ops == recipe().global_plans[0].ops
    assert SavedRecipe(path, n_local=0).local_plans == ()
    save_policy(MultiCrop(24), path)
    with pytest.raises(ValueError, match="no crops of the kind"):
        SavedRecipe(path, n_local=2)


def break_file(tmp_path, change) -> str:
    path = tmp_path / "policy.json"
    save_policy(recipe(), path)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return str(path)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda d: d.update(version=2), "version 2, this vssl reads version 1"),
        (lambda d: d.update(format="other"), "not a policy file"),
        (lambda d: d.update({"global": []}), "empty policy"),
        (lambda d: d["global"][1]["ops"][0].update(op="swirl"), "global view 1: unknown op 'swirl'; the space has"),
        (
            lambda d: d["local"][0]["ops"][3].update(high=0.9),
            r"local view 0: highest magnitude of hue is 0.9; it must be",
        ),
        (lambda d: d["global"][0]["ops"][0].update(probability=-1), "probability of brightness is -1"),
        (lambda d: d["global"][0]["window"].update(area=[0.5]), r"area is \[0.5\]; it must be \[low, high\]"),
        (lambda d: d["global"][0].pop("flip"), r"missing keys \['flip'\]"),
        (lambda d: d["global"][0].update(flop=1), r"unknown key 'flop'"),
        (lambda d: d["global"][0]["ops"][0].update(low=None), "global view 0"),
    ],
)
def test_broken_files_say_where_and_why(tmp_path, change, message):
    with pytest.raises(ValueError, match=message) as error:
        SavedRecipe(break_file(tmp_path, change))
    assert "policy.json" in str(error.value)


def test_files_that_are_no_policy(tmp_path):
    text = tmp_path / "policy.txt"
    with pytest.raises(ValueError, match=r"ends in .json, .yaml or .yml"):
        save_policy(recipe(), text)
    for name, content in (("a.json", "{"), ("a.yaml", "a: [1"), ("b.yaml", "just words")):
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=r"not readable as|not a policy file"):
            SavedRecipe(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        SavedRecipe(tmp_path / "absent.json")


def test_yaml_is_plain():
    document = yaml.safe_load(yaml.safe_dump({"low": 1e-05}))
    assert document == {"low": 1e-05}

import pytest
import torch

from vssl.designers import GlobalPolicy, InstancePolicy, MaskedPolicy, UNetMask
from vssl.draws import Draws
from vssl.views.ops.geometric import ROTATE, SCALE
from vssl.views.ops.photometric import NOISE
from vssl.views.ops.relaxed import EQUALIZE, POSTERIZE
from vssl.views.policy_file import SavedRecipe, save_policy
from vssl.views.recipes import MultiCrop
from vssl.views.space import SPACE
from vssl.views.view_plan import GatedOp

BOTH = pytest.mark.parametrize("kind", [GlobalPolicy, InstancePolicy])
EXTRA = (
    GatedOp(ROTATE, -20, 20, 0.3),
    GatedOp(SCALE, 0.8, 1.2, 0.4),
    GatedOp(NOISE, 0.0, 0.1, 0.0),
    GatedOp(EQUALIZE, 0.2, 1.0, 0.2),
    GatedOp(POSTERIZE, 3.0, 6.0, 0.2),
)


def recipe(**settings) -> MultiCrop:
    return MultiCrop(24, 16, 2, 2, blur={"p": (1.0, 0.1, 0.5)}, solarize={"p": (0, 0.2, 0)}, extra=EXTRA, **settings)


def hue_only(hue: float = 0.2) -> MultiCrop:
    return MultiCrop(24, n_global=1, jitter={"hue": hue, "p": 1.0}, grayscale=0.0, blur=None)


def images(batch: int = 8) -> torch.Tensor:
    return torch.rand(batch, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@BOTH
@pytest.mark.parametrize("per_view", [False, True])
def test_at_its_start_a_policy_is_the_recipe_to_the_last_bit(kind, per_view):
    designer, base = kind(recipe(), per_view=per_view), recipe()(images(), Draws(0, "v"))
    with torch.no_grad():
        made = designer(images(), Draws(0, "v")).views
    assert torch.equal(made.global_crops, base.global_crops) and torch.equal(made.local_crops, base.local_crops)
    # With a graph every op runs on every image; the values are the same to float32 rounding.
    tracked = designer(images(), Draws(0, "v")).views
    assert tracked.global_crops.requires_grad
    assert (tracked.global_crops - base.global_crops).abs().max() < 1e-5


def test_the_whole_space_at_its_start_is_the_recipe_and_has_finite_gradients():
    have = {"brightness", "contrast", "saturation", "hue", "grayscale", "blur"}
    extra = [
        GatedOp(op, *sorted((op.identity, 0.5 * (op.identity + op.high))), 0.3) for op in SPACE if op.name not in have
    ]
    base = MultiCrop(24, extra=extra)
    designer = GlobalPolicy(base)
    made = designer(images(), Draws(0, "v"))
    assert torch.equal(made.weights, torch.ones(len(images())))
    assert (made.views.global_crops - base(images(), Draws(0, "v")).global_crops).abs().max() < 1e-4
    ((made.weights * made.views.global_crops.square().mean(dim=(0, 2, 3, 4))).sum() / made.weights.sum()).backward()
    assert all(p.grad.isfinite().all() for p in designer.parameters())
    assert all((p.grad != 0).float().mean() > 0.9 for p in designer.parameters())


def test_gradients_of_magnitudes_are_those_of_finite_differences():
    # Gates that stay open or closed for every offset tried leave a smooth function of the offsets.
    base = MultiCrop(
        24, n_global=1, jitter={"brightness": 0.3, "saturation": 0.3, "hue": 0.1}, grayscale=0.0, blur=None
    )
    designer = GlobalPolicy(base, learn=("area", "brightness", "saturation", "hue", "x"))
    weights = torch.randn(1, 8, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    (row,) = designer.raw
    columns = [m.name for m in base.plans[0].magnitudes]

    def loss() -> torch.Tensor:
        return (designer(images() * 0.5 + 0.2, Draws(0, "v")).views.global_crops * weights).sum()

    loss().backward()
    for name in ("brightness", "saturation", "hue"):
        index = columns.index(name)
        values = []
        for step in (0.002, -0.002):
            with torch.no_grad():
                row[0, index] += step
                values.append(float(loss()))
                row[0, index] -= step
        assert float(row.grad[0, index]) == pytest.approx((values[0] - values[1]) / 0.004, rel=0.03, abs=0.02), name


@BOTH
def test_the_gradient_reaches_every_parameter(kind):
    torch.manual_seed(0)
    designer = kind(recipe())
    optimizer = torch.optim.SGD(designer.parameters(), lr=0.1)
    for step in range(2):  # the network's last layer starts at 0 and lets nothing through before the first step
        optimizer.zero_grad()
        views = designer(images(), Draws(0, "v", step)).views
        (views.global_crops.square().mean() + views.local_crops.square().mean()).backward()
        optimizer.step()
    for name, parameter in designer.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("sign", [1, -1])
@BOTH
def test_a_value_of_known_direction_is_followed_and_its_negative_is_fled(kind, sign):
    """Views that should keep their colours narrow the hue; the negated gradient widens it."""
    torch.manual_seed(0)
    base, designer = hue_only(), kind(hue_only(), learn=("hue",))
    bare = hue_only(0.0)
    optimizer = torch.optim.Adam(designer.parameters(), lr=0.05 if kind is GlobalPolicy else 0.005)
    for step in range(25):
        optimizer.zero_grad()
        draws = [Draws(0, "v", step) for _ in range(2)]
        made, plain = designer(images(), draws[0]).views.global_crops, bare(images(), draws[1]).global_crops
        (sign * (made - plain).square().mean()).backward()
        optimizer.step()
    plan = designer.as_recipe(images()).plans[0]
    width = plan.ops[0].high - plan.ops[0].low
    started = base.plans[0].ops[0].high - base.plans[0].ops[0].low
    assert (width < 0.8 * started) if sign == 1 else (width > 1.2 * started)


@pytest.mark.slow
@pytest.mark.parametrize("centres", [True, False])
@pytest.mark.parametrize("outward", [1, -1])
def test_offsets_pushed_against_an_end_turn_at_once(centres, outward):
    """300 steps of 0.1 outward are 30 logits; one step of 0.1 inward must then move every number that acts."""
    designer = GlobalPolicy(recipe(), centres=centres)
    start = [row.detach().clone() for row in designer.raw]
    designer.project()
    assert all(torch.equal(a, b) for a, b in zip(start, designer.raw, strict=True))

    def push(distance: float) -> list[torch.Tensor]:
        with torch.no_grad():
            for group, row in enumerate(designer.raw):
                magnitudes, _ = designer.space.sizes(group)
                row[:, magnitudes:] += distance  # spreads and probabilities
        designer.project()
        return [torch.cat([d.low, d.high, d.probability], 1) for d in designer.distributions(images())]

    for _ in range(300):
        end = push(0.1 * outward)
    turned = push(-0.1 * outward)
    for group in designer.space.groups:  # the number moves in at least one view of the group
        views = [v for v, of in enumerate(designer.space.group_of_view) if of == group]
        moved = torch.stack([(end[v] - turned[v]).abs() for v in views]).amax(0).squeeze(0)
        magnitudes, _ = designer.space.sizes(group)
        low, high, probability = moved.split([magnitudes, magnitudes, len(moved) - 2 * magnitudes])
        ranges = torch.stack([designer.space.get_buffer(f"range{v}").diff(dim=1).squeeze(1) for v in views]).amax(0)
        assert (torch.maximum(low, high) > 2e-4 * ranges).all() and (probability > 2e-4).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_straight_through_gate_learns_from_what_its_op_would_do(sign):
    torch.manual_seed(0)
    base = MultiCrop(24, n_global=1, jitter=None, blur=None, grayscale=0.4)
    designer, bare = (
        GlobalPolicy(base, learn=("grayscale",), gates="straight_through"),
        MultiCrop(24, n_global=1, jitter=None, blur=None, grayscale=0),
    )
    optimizer = torch.optim.Adam(designer.parameters(), lr=0.05)
    for step in range(25):
        optimizer.zero_grad()
        made = designer(images(), Draws(0, "v", step)).views.global_crops
        plain = bare(images(), Draws(0, "v", step)).global_crops
        # A linear value: the pull is the same whether the gate is open or not.
        (sign * ((made - plain) * (made - plain).sign().detach()).mean()).backward()
        optimizer.step()
    probability = designer.as_recipe(images()).plans[0].ops[0].probability
    assert probability < 0.3 if sign == 1 else probability > 0.5


def test_an_instance_policy_treats_images_differently_and_apart():
    torch.manual_seed(0)
    designer = InstancePolicy(recipe(), per_view=True)
    for head in designer.heads:
        torch.nn.init.normal_(head.weight, std=0.5)
    x = images().requires_grad_()
    first, second, *_ = designer.distributions(x)
    assert first.low.std(dim=0).max() > 0.01
    assert not torch.allclose(first.probability, second.probability, atol=1e-3)
    (gradient,) = torch.autograd.grad(first.low[2].sum(), x)
    assert gradient[2].abs().max() > 0 and gradient[[0, 1, 3]].abs().max() == 0


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_a_learned_policy_exports_to_a_file_that_replays_it(tmp_path, suffix):
    designer = GlobalPolicy(recipe())
    with torch.no_grad():
        for row in designer.raw:
            row.normal_(std=0.5, generator=torch.Generator().manual_seed(0))
        learned = designer(images(), Draws(5, "v")).views
    save_policy(designer.as_recipe(images()), tmp_path / f"policy.{suffix}")
    again = SavedRecipe(tmp_path / f"policy.{suffix}")(images(), Draws(5, "v"))
    assert torch.equal(learned.global_crops, again.global_crops) and torch.equal(learned.local_crops, again.local_crops)
    assert not torch.equal(again.global_crops, recipe()(images(), Draws(5, "v")).global_crops)


@BOTH
def test_a_policy_comes_back_from_its_state(kind):
    first, second = kind(recipe()), kind(recipe())
    with torch.no_grad():
        for parameter in first.parameters():
            parameter += 0.1
    second.load_state_dict(first.state_dict())
    a, b = (d(images(), Draws(0, "v")).views.global_crops for d in (first, second))
    assert torch.equal(a, b)


def test_two_ranks_make_the_views_that_one_rank_would_have_made():
    designer = GlobalPolicy(recipe())
    with torch.no_grad():
        designer.raw[0] += 0.2
    whole = designer(images(), Draws(0, "v")).views.global_crops
    for rank in range(2):
        part = designer(images()[rank::2], Draws(0, "v", rank=rank, world_size=2)).views.global_crops
        assert (part - whole[:, rank::2]).abs().max() < 1e-5


def test_statistics_tell_ranges_and_probabilities():
    statistics = GlobalPolicy(recipe())(images(), Draws(0, "v")).statistics
    assert float(statistics["policy/global/hue/low"]) == pytest.approx(-0.1)
    assert float(statistics["policy/local/area/high"]) == pytest.approx(0.32)
    assert float(statistics["policy/global/grayscale/probability"]) == pytest.approx(0.2)
    assert not any(value.requires_grad for value in statistics.values())


def test_a_masked_policy_masks_the_policys_views_and_trains_both():
    torch.manual_seed(0)
    base = recipe()
    policy, mask = {"type": GlobalPolicy, "entropy": 0.1}, {"type": UNetMask, "blur_sigma": 2.0}
    designer = MaskedPolicy(base, policy, mask)
    made = designer(images(), Draws(0, "v"))
    drawn = designer.policy(images(), Draws(0, "v"))
    assert torch.equal(made.views.global_crops, designer.mask.masked(drawn.views).views.global_crops)
    assert torch.equal(made.views.local_crops, drawn.views.local_crops)
    assert torch.allclose(made.penalty, drawn.penalty + designer.mask.masked(drawn.views).penalty)
    assert {"mask/mean", "policy/global/hue/low"} <= set(made.statistics)
    (made.views.global_crops.square().mean() + made.penalty).backward()
    assert designer.policy.raw[0].grad.abs().max() > 0
    assert all(p.grad.abs().max() > 0 for p in designer.mask.parameters())
    assert {name.split(".")[0] for name in designer.state_dict()} == {"policy", "mask"}


def test_a_masked_policy_takes_types_by_dotted_name_and_refuses_others():
    named = {"type": "vssl.designers.policies.InstancePolicy", "width": 8}
    assert isinstance(MaskedPolicy(recipe(), policy=named).policy, InstancePolicy)
    with pytest.raises(
        ValueError, match=r"policy needs type=a PolicyDesigner, got <class 'vssl.designers.unet.UNetMask'>"
    ):
        MaskedPolicy(recipe(), policy={"type": UNetMask})
    with pytest.raises(ValueError, match="mask needs type=a MaskDesigner, got None"):
        MaskedPolicy(recipe(), mask={})

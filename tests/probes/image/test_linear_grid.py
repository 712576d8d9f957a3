import pytest
import torch
from torch.nn import functional as F

from vssl.probes.cache import FeatureCache
from vssl.probes.decoded_images import ProbeData
from vssl.probes.fit import FullBatch
from vssl.probes.head_grid import split_off
from vssl.probes.image.classification import top1
from vssl.probes.image.linear_grid import LinearGridProbe
from vssl.probes.outcome import ProbeRun

CPU = torch.device("cpu")
SGD = dict(optimizer=dict(type=torch.optim.SGD, lr=1.0, momentum=0.9), steps=12, batch_size=4)
GRID = dict(
    learning_rates=[1e-3, 1e-1],
    last_layers=[1, 3],
    pools=["class", "class+avg"],
    schedule=SGD,
    holdout=0.25,
    keep=False,
)


@pytest.fixture
def run(backbone):
    return ProbeRun(backbone, ProbeData(), 0, CPU)


def test_every_member_of_the_grid_is_reported_and_the_held_out_images_choose(folders, run):
    result = LinearGridProbe(**folders, **GRID).run(run).result
    members = result["members"]
    assert [(m["last_layers"], m["pool"], m["lr"]) for m in members] == [
        (n, p, lr) for n in (1, 3) for p in ("class", "class+avg") for lr in (1e-3, 1e-1)
    ]
    best = max(m["held_out_top1"] for m in members)
    first = next(m for m in members if m["held_out_top1"] == best)
    assert result["chosen"] == first and result["scores"] == {"top1": first["top1"]}
    assert all(m["held_out_top1"] in (0.0, pytest.approx(100 / 3), pytest.approx(200 / 3), 100.0) for m in members)
    assert (result["card"]["fitted_on"], result["card"]["train_images"]) == (9, 12)
    assert "3 held-out training images" in result["card"]["selection"]


def test_best_on_val_needs_its_own_flag_and_says_so(folders, run):
    result = LinearGridProbe(**folders, **{**GRID, "select": "val"}).run(run).result
    assert result["scores"]["top1"] == max(m["top1"] for m in result["members"])
    assert "best on val" in result["card"]["selection"] and result["card"]["fitted_on"] == 12
    assert "held_out_top1" not in result["members"][0]


def test_a_member_ends_where_torch_alone_ends(folders, run):
    """The columns, the optimizer and the schedule of one member, written out with torch's own classes."""
    probe = LinearGridProbe(**folders, **GRID, augment=False)
    train, _ = probe.load(run.data)
    kept, held = split_off(12, 0.25)
    member = probe.build(run, 2)[7]  # 3 layers, class + avg, lr 0.1
    assert member.about == {"lr": 0.1, "last_layers": 3, "pool": "class+avg", "seed": 0}
    batches = list(probe.batches(train, kept, probe.looker(run), run))

    images = torch.stack([train.dataset[i][0] for i in range(12)]).float() / 255
    tokens = run.backbone.vit.forward_intermediates(
        (images - run.backbone.mean) / run.backbone.std, return_prefix_tokens=True, norm=True, intermediates_only=True
    )
    whole = torch.cat([t[:, 0] for _, t in tokens] + [tokens[-1][0].mean((2, 3))], dim=1)
    seen = {tuple(row.tolist()) for (features,), _ in batches for row in features.round(decimals=4)}
    assert seen == {tuple(row.tolist()) for row in whole[kept].detach().round(decimals=4)}  # no held-out image

    linear = torch.nn.Linear(4 * 24, 2)
    linear.load_state_dict(member.head[-1].state_dict())
    optimizer = torch.optim.SGD(linear.parameters(), lr=0.1, momentum=0.9)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12)
    for (features,), targets in batches:
        optimizer.zero_grad()
        loss = F.cross_entropy(linear(features), targets)
        loss.backward()
        optimizer.step()
        cosine.step()
    result = probe.run(run).result["members"][7]
    assert result["final_training_loss"] == pytest.approx(loss.item(), rel=1e-4)
    assert result["held_out_top1"] == top1(linear(whole[held]).argmax(1), train.targets[held])


@pytest.mark.slow
def test_cached_epochs_are_the_augmented_stream(folders, run, tmp_path):
    """12 steps of 4 are 6 epochs of 9 kept images (the last one not whole): six cached epochs change nothing."""
    streamed = LinearGridProbe(**folders, **GRID).run(run).result["members"]
    run.cache = FeatureCache(tmp_path)
    cached = LinearGridProbe(**folders, **GRID, cached_epochs=6).run(run).result["members"]
    for a, b in zip(streamed, cached, strict=True):
        assert a["final_training_loss"] == pytest.approx(b["final_training_loss"], rel=1e-4)
        assert (a["top1"], a["held_out_top1"]) == (b["top1"], b["held_out_top1"])
    fewer = LinearGridProbe(**folders, **GRID, cached_epochs=1).run(run).result["members"]
    assert fewer[7]["final_training_loss"] != cached[7]["final_training_loss"]


def test_a_diverged_member_stops_no_other_and_is_never_chosen(folders, run):
    grid = {**GRID, "learning_rates": [1e-2, 1e38], "last_layers": [1], "pools": ["avg"]}
    result = LinearGridProbe(**folders, **grid).run(run).result
    assert [m["final_training_loss"] is None for m in result["members"]] == [False, True]
    assert result["chosen"]["lr"] == 1e-2
    with pytest.raises(FloatingPointError, match=r"all 2 heads .* lower the learning rates"):
        LinearGridProbe(**folders, **{**grid, "learning_rates": [1e38, 2e38]}).run(run)


def test_seeds_are_members_with_other_initial_weights(folders, run):
    grid = {**GRID, "learning_rates": [1e-3], "last_layers": [1], "pools": ["avg"], "seeds": [0, 1]}
    first, second = LinearGridProbe(**folders, **grid).build(run, 2)
    assert (first.about["seed"], second.about["seed"]) == (0, 1)
    assert not torch.equal(first.head[-1].weight, second.head[-1].weight)
    assert first.head[-1].weight.shape == (2, 24)


def test_held_out_images_are_evenly_spaced():
    kept, held = split_off(1000, 0.1)
    assert held == list(range(5, 1000, 10)) and sorted(kept + held) == list(range(1000))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(select="best"), "select='best'"),
        (dict(holdout=0.0), r"holdout=0\.0"),
        (dict(holdout=0.01), "leaves 0"),
        (dict(learning_rates=[]), r"learning_rates=\[\]"),
        (dict(pools=["max"]), r"pools=\['max'\]"),
        (dict(pool="avg"), "not pool"),
        (dict(last_layers=[4]), "has 3 layers"),
        (dict(cached_epochs=2, augment=False), "needs augment=True"),
        (dict(schedule=dict(type=FullBatch)), "takes a Schedule, not FullBatch"),
    ],
)
def test_settings_that_make_no_grid(folders, run, change, message):
    with pytest.raises(ValueError, match=message):
        LinearGridProbe(**folders, **{**GRID, **change}).run(run)

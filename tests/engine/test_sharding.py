"""``sharding="fsdp2"``: the trunk is spread over ranks, and the run is the same."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vssl.engine import ConfigError, load_config
from vssl.engine.rehearsal import rehearse
from vssl.engine.sharding import check_sharding
from vssl.engine.training import build_runner, train
from vssl.learner import load_backbone

SCRIPT = Path(__file__).with_name("sharded_ranks.py")
OBJECTIVES = {
    "mae": dict(type="vssl.objectives.MAE", decoder_dim=16, decoder_depth=1, decoder_heads=2),
    "dino": dict(
        type="vssl.objectives.DINO", n_local_crops=1, hidden_dim=32, bottleneck_dim=16, out_dim=32,
        teacher_momentum_start=0.9,
    ),
    "ijepa": dict(
        type="vssl.objectives.IJEPA", predictor_dim=16, predictor_depth=1, predictor_heads=2, min_keep=0,
        target_layers=[1, 3], teacher_momentum_start=0.9,
    ),
    "gram": dict(
        type="vssl.objectives.DINOv3", n_local_crops=1, hidden_dim=32, bottleneck_dim=16, out_dim=32, patch_out_dim=32,
        gram_weight=1.0, gram_start=1, gram_every=2, teacher_momentum_start=0.9,
    ),
}  # fmt: skip


@pytest.fixture
def train_sharded(run_ranks):
    """folder → whether `sharded_ranks.py` trained the configs there; not where gloo cannot do it."""

    def train(folder):
        try:
            run_ranks(1, SCRIPT, folder)
        except AssertionError as error:
            if torch.__version__.startswith("2.6.") and "does not work with the process group's gloo" in str(error):
                return False
            raise
        return True

    return train


@pytest.fixture
def config_of(fixed_config, designed_config):
    """name → the config of a run on one rank: of an objective, or of a designer and the estimator of its gradient.

    Steps are plain SGD: AdamW divides by √v̂ and would turn the rounding of nearly zero gradients into whole steps.
    """

    def make(name):
        config = copy.deepcopy(fixed_config if name in OBJECTIVES else designed_config)
        config.update(budget=dict(steps=4), checkpoint_interval=4, rankme_interval=0, snapshots=0)
        config.optimizer = dict(type="torch.optim.SGD", lr=0.1, momentum=0.9)
        if name in OBJECTIVES:
            config.objective = OBJECTIVES[name]
            masked = name in ("mae", "ijepa")
            local, n_global = ({}, 1) if masked else (dict(n_local=1, local_size=16), 2)
            config.recipe = dict(type="vssl.views.MultiCrop", global_size=32, n_global=n_global, **local)
            return config
        config.designer_optimizer = dict(type="torch.optim.SGD", lr=1.0)
        if name == "search":
            config.designer, config.designer_optimizer = dict(type="vssl.designers.CandidateSearch"), None
        else:
            config["value"].estimator = dict(type=f"vssl.value.{name}")
        return config

    return make


def checkpoint(run):
    return torch.load(run / "checkpoint.pth", weights_only=True)


def tensors(node, where=""):
    """Every tensor of a nested state by where it is."""
    if isinstance(node, torch.Tensor):
        return {where: node}
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list | tuple) else ()
    return {key: value for name, entry in entries for key, value in tensors(entry, f"{where}/{name}").items()}


def assert_same_run(a, b, parts, **tolerance):
    a, b = checkpoint(a), checkpoint(b)
    for part in parts:
        left, right = tensors(a[part], part), tensors(b[part], part)
        assert left.keys() == right.keys()
        for name, value in left.items():
            torch.testing.assert_close(value, right[name], msg=lambda text, name=name: f"{name}: {text}", **tolerance)
    assert a["optimizer"]["param_groups"] == b["optimizer"]["param_groups"]


@pytest.mark.slow
def test_sharded_ranks_are_one_rank_with_their_batches(config_of, train_sharded, shared_out, trained, tmp_path):
    names = ["mae", "ijepa", "dino", "gram", "central_difference", "forward_difference", "double_backward", "search"]
    configs = {name: config_of(name) for name in names}
    configs["dino"].update(batch_size=12, accumulate=2, anchor=dict(weight=0.5, momentum=0.9))
    configs["gram"].anchor = dict(weight=0.5, decoupled=False)
    configs["dino"].backbone.grad_checkpointing = True
    configs["forward_difference"].find_unused_parameters = True
    configs["patches"] = patches = config_of("central_difference")
    patches.objective, patches.recipe.n_global, patches.snapshots = OBJECTIVES["mae"], 1, 1
    patches.designer = dict(type="vssl.designers.TokenMask", patch_size=patches.backbone.patch_size, width=4)
    runs = {name: tmp_path / "ranks" / ("3" if name == "dino" else "2") / name for name in configs}
    for name, run in runs.items():
        config = shared_out(configs[name], int(run.parent.name))
        config.sharding = "fsdp2"
        run.parent.mkdir(parents=True, exist_ok=True)
        config.dump(run.with_suffix(".py"))
    if not train_sharded(tmp_path / "ranks"):
        return
    for name, run in runs.items():
        configs[name].dump(tmp_path / f"{name}.py")  # which sorts the tasks, as it did for the ranks
        one = Path(trained(load_config(tmp_path / f"{name}.py"), name).work_dir)
        assert_same_run(run, one, ["learner", "optimizer", "anchor", "designer"], atol=2e-5, rtol=1e-4)
        log_of_run, log_of_one = (json.loads((r / "metrics.jsonl").read_text().splitlines()[-1]) for r in (run, one))
        for key in {"gradient_norm", "value"} & log_of_one.keys():
            assert log_of_run[key] == pytest.approx(log_of_one[key], rel=2e-3), (name, key)
    of_ranks, of_one = (np.load(run / "patch_credit.npz")["credit"] for run in (runs["patches"], one))
    np.testing.assert_allclose(of_ranks, of_one, rtol=1e-2, atol=1e-2 * np.nanmax(np.abs(of_one)))
    assert_spread(runs["gram"], ["student", "teacher.backbone", "objective.gram_teacher.backbone"])
    assert_spread(runs["dino"], ["student", "teacher.backbone"])


def assert_spread(run, trunks):
    """Each rank holds its rows of the first block, of 3, and all the rest: the last 2 blocks are S."""
    held = torch.load(run / "held.pt", weights_only=True)
    learner = checkpoint(run)["learner"]
    for name in held[0]:
        rows = [rows.numel() for rows in learner[name].chunk(len(held))]  # on three ranks the last has fewer
        in_trunk = name.startswith(tuple(f"{trunk}.vit.blocks.0." for trunk in trunks))
        assert [rank[name] for rank in held] == (rows if in_trunk else [learner[name].numel()] * len(held)), name


@pytest.mark.slow
def test_a_checkpoint_does_not_tell_whether_the_run_was_sharded(
    config_of, train_sharded, shared_out, miniature, tmp_path
):
    """AdamW, bf16, an anchor, a teacher and a probe on the way: resumed with or without, and by one process."""
    config = shared_out(config_of("dino"))
    config.optimizer = dict(type="torch.optim.AdamW", lr=1e-3, weight_decay=0.04)
    config.update(precision="bf16", anchor=dict(weight=0.5, momentum=0.9), checkpoint_interval=2)
    held_out = shutil.copytree(miniature, tmp_path / "held_out")  # a probe refuses to score what it was fitted on
    knn = dict(type="vssl.probes.image.classification.KNNProbe", train=str(miniature), val=str(held_out), size=32)
    config.probes = [dict(interval=2, probes=dict(knn=dict(k=[3], **knn)))]
    folder = tmp_path / "ranks" / "2"
    folder.mkdir(parents=True)
    for name, sharding, then in [
        ("sharded", "fsdp2", None), ("resumed", "fsdp2", "fsdp2"), ("to_whole", "fsdp2", "none"),
        ("to_sharded", "none", "fsdp2"),
    ]:  # fmt: skip
        run = copy.deepcopy(config)
        run.sharding = sharding
        if then:
            run.update(_left_at=3, _then=then)
        run.dump(folder / f"{name}.py")
    if not train_sharded(tmp_path / "ranks"):
        return
    parts = ["learner", "optimizer", "anchor", "stream"]
    assert_same_run(folder / "sharded", folder / "resumed", parts, atol=0, rtol=0)
    for other in ("to_whole", "to_sharded"):
        assert_same_run(folder / "sharded", folder / other, parts, atol=2e-5, rtol=1e-4)
    logs = [folder / name / "online_probes.jsonl" for name in ("sharded", "to_sharded")]
    scores = [[json.loads(line)["scores"] for line in log.open()] for log in logs]
    assert len(scores[0]) == 3 and scores[0] == scores[1]

    saved = checkpoint(folder / "sharded")
    exported = load_file(folder / "sharded" / "backbone.safetensors")
    assert all(torch.equal(value, saved["learner"][f"teacher.backbone.vit.{n}"]) for n, value in exported.items())
    load_backbone(folder / "sharded" / "backbone.safetensors")
    alone = copy.deepcopy(config)
    alone.update(continue_run=str(folder / "sharded"), probes=None)
    runner = build_runner(alone, tmp_path / "alone", seed=0)
    assert all(torch.equal(value, saved["learner"][name]) for name, value in runner.learner.state_dict().items())
    moments = runner.optim_wrapper.optimizer.state_dict()["state"]
    assert all(
        torch.equal(m, saved["optimizer"]["state"][n][k]) for n, kept in moments.items() for k, m in kept.items()
    )


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (dict(backbone=dict(lora=dict(rank=2))), "backbone.lora"),
        (dict(compile=True), "compile"),
        (dict(one_step_probe=dict(interval=2)), "one_step_probe"),
        (dict(value=dict(horizon=2)), "value.horizon"),
        (dict(optimizer=dict(type="torch.optim.Adafactor")), "optimizer.type=Adafactor"),
        (dict(backbone=dict(type="vssl.language.CausalLM")), "only the ViTs of timm"),
    ],
)
def test_what_needs_whole_weights_is_refused(options, match, designed_config, tmp_path):
    designed_config.sharding = "fsdp2"
    designed_config.merge_from_dict(options)
    with pytest.raises(ConfigError, match=match):
        check_sharding(designed_config, world_size=2)


def test_one_process_has_nothing_to_shard_over(fixed_config, tmp_path):
    fixed_config.sharding = "fsdp2"
    with pytest.raises(ConfigError, match="several processes"):
        train(fixed_config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    fixed_config.sharding = "fsdp"
    with pytest.raises(ConfigError, match="choose one of none, fsdp2"):
        train(fixed_config, tmp_path / "run")


@pytest.mark.slow
def test_check_says_what_would_be_sharded(fixed_config, tmp_path):
    fixed_config.sharding = "fsdp2"
    found = rehearse(fixed_config, tmp_path / "run", seed=0)
    block = 12 * 32**2 + 13 * 32  # numbers of a block of width 32, with its biases and norms
    assert found.sharded_mb * 2**20 == pytest.approx(4 * block * 4, abs=4 * 12)  # weight, gradient, two moments; counts
    assert any("sharding='fsdp2' spreads" in line for line in found.lines())
    fixed_config.backbone.aligned_blocks = 3
    with pytest.raises(ConfigError, match="aligned_blocks=3"):
        rehearse(fixed_config, tmp_path / "run", seed=0)

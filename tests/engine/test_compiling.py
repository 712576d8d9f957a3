"""Compiled learner steps: the weights of a run as written, compiled code in the learner's own step and nowhere else."""

import copy
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from vssl.engine import ConfigError
from vssl.engine.training import build_runner, train

DINO = dict(
    objective=dict(
        _delete_=True, type="vssl.objectives.DINO", n_local_crops=2, out_dim=16, hidden_dim=16, bottleneck_dim=8
    ),
    recipe=dict(n_local=2, local_size=16),
)
DINOV3 = dict(
    objective={**DINO["objective"], "type": "vssl.objectives.DINOv3", "gram_scale": 1, "gram_every": 2},
    recipe=DINO["recipe"],
)
MAE = dict(
    objective=dict(_delete_=True, type="vssl.objectives.MAE", decoder_dim=16, decoder_depth=2, decoder_heads=2),
    recipe=dict(n_global=1),
)


@pytest.fixture
def counting():
    """A backend that runs graphs as they are and counts them (`graphs`) and their calls (`calls`)."""
    count = SimpleNamespace(graphs=0, calls=0)

    def counting_backend(graph, example_inputs):
        count.graphs += 1

        def call(*inputs):
            count.calls += 1
            return graph(*inputs)

        return call

    torch._dynamo.register_backend(counting_backend)
    yield count
    for registered in (torch._dynamo.backends.registry._BACKENDS, torch._dynamo.backends.registry._COMPILER_FNS):
        registered.pop("counting_backend", None)


def compiled(config, backend, **options):
    config = copy.deepcopy(config)
    config["compile"] = dict(backend=backend, **options)
    return config


def train_counted(config, work_dir, count):
    """A run of which the trial on one small function is not counted."""
    runner = build_runner(compiled(config, "counting_backend"), work_dir, seed=0)
    before = count.graphs, count.calls
    runner.train()
    return count.graphs - before[0], count.calls - before[1]


def weights(run):
    return torch.load(run / "checkpoint.pth", weights_only=True)["learner"]


def assert_same(one, other, **tolerance):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, msg=lambda m, name=name: f"{name}: {m}", **tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {},
        DINO,
        DINOV3,
        MAE,
        {"backbone.grad_checkpointing": True},
        {"precision": "bf16"},
        {"backbone.drop_path_rate": 0.2},
    ],
    ids=["simclr", "dino", "dinov3", "mae", "grad_checkpointing", "bf16", "drop_path"],
)
def test_compiled_steps_give_the_weights_of_steps_as_written(fixed_config, tmp_path, change):
    """aot_eager traces forward and backward as inductor does, and runs the same kernels. Compiled last blocks are run
    whole, which rounds otherwise (vssl/learner/last_block.py)."""
    fixed_config.merge_from_dict(copy.deepcopy(change))  # it takes `_delete_` out
    fixed_config.optimizer = dict(type="torch.optim.SGD", lr=0.1)  # AdamW makes steps of rounding (test_ranks.py)
    as_written = train(copy.deepcopy(fixed_config), tmp_path / "as_written")
    other = train(compiled(fixed_config, "aot_eager"), tmp_path / "compiled")
    assert_same(weights(as_written), weights(other), atol=1e-6, rtol=1e-5)


@pytest.mark.slow
def test_inductor_gives_the_weights_of_steps_as_written(designed_config, tmp_path):
    designed_config.optimizer = dict(type="torch.optim.SGD", lr=0.1)  # AdamW makes steps of rounding (test_ranks.py)
    as_written = train(copy.deepcopy(designed_config), tmp_path / "as_written")
    designed_config["compile"] = True
    assert_same(weights(as_written), weights(train(designed_config, tmp_path / "run")), atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "calls"),
    [({}, 3), (DINO, 3 * 3), (DINOV3, 4 * 3), (MAE, 3 + 2)],
    ids=["simclr", "dino", "dinov3", "mae"],
)  # 3 blocks; DINO: student on both sizes and teacher; DINOv3: the Gram teacher too; MAE: 2 decoder blocks
def test_only_the_learners_step_runs_compiled_code(designed_config, tmp_path, counting, change, calls):
    """Meta steps, feedback, RankMe and the one-step probe call the same blocks as written."""
    designed_config.merge_from_dict(copy.deepcopy(change))
    designed_config.merge_from_dict({"one_step_probe": dict(interval=2)})
    for pool in designed_config.feedback.pools.values():
        pool.heldout, pool.train, pool.meta = 4, 8, 4
    graphs, called = train_counted(designed_config, tmp_path / "run", counting)
    assert (tmp_path / "run/one_step.jsonl").is_file()
    assert called == (6 + 1) * calls  # one step more for the warm-up
    assert graphs <= 3  # per kind and size, not per block


@pytest.mark.slow
def test_every_rate_of_drop_path_is_compiled(fixed_config, tmp_path, counting):
    """torch's limit of eight versions would leave the later of these blocks as written, or refuse them."""
    fixed_config.merge_from_dict({"backbone.depth": 10, "backbone.drop_path_rate": 0.3, "budget.steps": 1})
    assert train_counted(fixed_config, tmp_path / "run", counting) == (10, 2 * 10)


@pytest.mark.slow
def test_a_second_run_of_a_process_is_compiled_too(fixed_config, tmp_path, counting):
    fixed_config.budget = dict(steps=1)
    for number in range(10):
        fixed_config.backbone.embed_dim = 32 + 4 * number  # another version each
        assert train_counted(fixed_config, tmp_path / str(number), counting) == (1, 2 * 3)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["as_written", "compiled"])
def test_a_run_resumes_across_compiled_and_as_written(designed_config, tmp_path, first):
    configs = dict(as_written=copy.deepcopy(designed_config), compiled=compiled(designed_config, "aot_eager"))
    whole = train(copy.deepcopy(designed_config), tmp_path / "whole")
    part = build_runner(configs.pop(first), tmp_path / "part", seed=0)
    progress = part.train_loop.budget.progress
    part.train_loop.budget.progress = lambda step: 1.0 if step == 4 else progress(step)  # stops as if killed
    part.train()
    (then,) = configs.values()
    resumed = train(then, tmp_path / "part", resume=True)
    assert_same(weights(whole), weights(resumed), atol=1e-6, rtol=1e-5)
    exported = [load_file(run / "backbone.safetensors") for run in (whole, resumed)]
    assert_same(*exported, atol=1e-6, rtol=1e-5)


@pytest.mark.slow
def test_compiling_is_not_in_the_budget(fixed_config, tmp_path, counting):
    runner = build_runner(compiled(fixed_config, "counting_backend"), tmp_path / "run", seed=0)
    loop, at_start = runner.train_loop, []
    before, start = counting.graphs, loop.budget.start

    def first_start():
        gradients = [p for p in runner.learner.parameters() if p.grad is not None]
        at_start.append((counting.graphs - before, loop.stream.position, loop.step, len(gradients)))
        loop.budget.start = start
        start()

    loop.budget.start = first_start
    runner.train()
    assert at_start == [(1, 0, 0, 0)] and counting.graphs - before == 1


def test_copies_of_a_compiled_learner_are_not_compiled(fixed_config, tmp_path, counting):
    runner = build_runner(compiled(fixed_config, "counting_backend"), tmp_path / "run", seed=0)
    copied, before = copy.deepcopy(runner.learner.student), counting.calls
    copied(torch.rand(2, 3, 32, 32))
    assert counting.calls == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("inductor", "compile='inductor'; True, False or a dict"),
        (dict(backand="inductor"), r"unknown key 'backand'"),
        (dict(backend="nothing"), "compile.backend='nothing'; this torch has .*inductor"),
        (dict(mode="reduce-overhead"), "compile.mode='reduce-overhead'; choose one of default"),
        (dict(mode="default", options=dict(max_autotune=True)), "mode and options"),
        (dict(options=dict(no_such_option=True)), "(?s)does not work on this machine's cpu .*no_such_option"),
    ],
)
def test_impossible_settings_are_refused_before_any_work(fixed_config, tmp_path, wanted, message):
    fixed_config["compile"] = wanted
    with pytest.raises(ConfigError, match=message):
        train(fixed_config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_machine_without_a_compiler_is_named(fixed_config, tmp_path, monkeypatch):
    def missing(graph, example_inputs, **options):
        raise RuntimeError("no C++ compiler found")

    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx", missing)
    fixed_config["compile"] = True
    with pytest.raises(ConfigError, match=r"(?s)does not work.*no C\+\+ compiler found\)\. Give compile=False"):
        train(fixed_config, tmp_path / "run")

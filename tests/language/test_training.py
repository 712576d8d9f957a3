"""Language through the same loop: the four bottlenecks, exact resume, the file that a run leaves, and pass@1."""

import copy
import json

import pytest
import torch

pytest.importorskip("transformers")

from vssl.engine import ConfigError, train
from vssl.engine.training import build_runner
from vssl.learner import open_backbone
from vssl.probes.run import run_probes


def weights(runner):
    return torch.cat([p.detach().flatten() for p in runner.learner.parameters()])


def with_control(config, control):
    config = copy.deepcopy(config)
    config.feedback.control = control
    return config


def without_designer(config):
    config = copy.deepcopy(config)
    config.designer = dict(type="vssl.designers.Identity")
    for key in ("feedback", "value", "designer_optimizer"):
        config.pop(key)
    return config


@pytest.mark.slow
def test_labels_reach_the_learner_through_the_designer_alone(config, trained):
    """Bottlenecks 1, 2 and 4: without φ's step every label says nothing, and the run is next-token prediction."""
    still = copy.deepcopy(config)
    still.designer_optimizer.lr = 0.0
    plain = weights(trained(without_designer(config), "plain"))
    for control in (None, "shuffled_labels", "negated"):
        assert torch.equal(plain, weights(trained(with_control(still, control), f"still {control}")))
    moved = [weights(trained(with_control(config, c), f"moved {c}")) for c in (None, "shuffled_labels")]
    assert not torch.equal(moved[0], moved[1]) and not torch.equal(moved[0], plain)


def test_a_meta_step_leaves_the_learner_alone_and_its_own_step_leaves_phi_alone(config, tmp_path):
    """Bottlenecks 2 and 3."""
    runner = build_runner(config, tmp_path / "run", seed=0)
    loop = runner.train_loop
    runner.model.train()
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    phi = [p.clone() for p in loop.designer.parameters()]
    loop.update_designer()
    assert all(torch.equal(before[name], value) for name, value in runner.model.state_dict().items())
    assert all(p.grad is None for p in runner.model.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(phi, loop.designer.parameters(), strict=True)), "φ did move"
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    loop.designer_update, seen = None, []
    runner.model.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    for p in loop.designer.parameters():
        p.grad = None
    loop.run_iter(progress=0.5)
    assert not seen[0].targets.requires_grad and all(p.grad is None for p in loop.designer.parameters())


@pytest.mark.slow
def test_a_run_that_stopped_resumes_bit_for_bit(config, tmp_path, trained):
    config.checkpoint_interval = 2
    config.sample_views = config.snapshots = 4  # of pictures, which text has not: nothing is written
    whole = trained(config, "whole")
    short = copy.deepcopy(config)
    stopped = build_runner(short, tmp_path / "stopped", seed=0)

    def stop_after_three():
        if stopped.train_loop.step == 3:
            raise KeyboardInterrupt

    iterate = stopped.train_loop.run_iter
    stopped.train_loop.run_iter = lambda progress: (stop_after_three(), iterate(progress))
    with pytest.raises(KeyboardInterrupt), stopped.claim:
        stopped.train()
    torch.manual_seed(99)
    train(config, tmp_path / "stopped", resume=True)
    files = [torch.load(tmp_path / name / "checkpoint.pth", weights_only=True) for name in ("whole", "stopped")]
    for part in ("learner", "designer"):
        assert all(torch.equal(files[0][part][n], files[1][part][n]) for n in files[0][part])
    assert files[0]["designer_update"]["feedback"]["pools"] == files[1]["designer_update"]["feedback"]["pools"]
    names = ("whole", "stopped")
    assert not (tmp_path / "whole" / "views.npz").exists() and not (tmp_path / "whole" / "snapshots").exists()
    exported = [(tmp_path / name / "backbone.safetensors").read_bytes() for name in names]
    assert exported[0] == exported[1]
    lines = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in names
    ]
    assert lines[0] == lines[1] and len(lines[0]) == 2
    assert torch.equal(weights(whole), torch.cat([p.detach().flatten() for p in _learner(tmp_path).parameters()]))


def _learner(tmp_path):
    return open_backbone(tmp_path / "stopped" / "backbone.safetensors")


@pytest.mark.slow
def test_pass_at_1_of_a_run_by_greedy_decoding(config, tmp_path, problems, trained):
    from vssl.datasets.text import read_gsm8k
    from vssl.language.pass_at_1 import PassAt1

    trained(config, "run")
    probe = dict(type=PassAt1, root=problems / "test.jsonl", tokenizer=problems, max_new_tokens=12)
    (result,) = run_probes(tmp_path / "run", {"probes": {"problems": probe}, "device": "cpu"})
    assert 0 <= result["scores"]["pass_at_1"] <= 100 and result["scores"]["answer_loss"] > 0
    assert result["card"]["count"] == 12 and result["score_info"]["pass_at_1"]["unit"] == "%"
    # a model that knows: it says the reference's answer whatever it is asked
    model = open_backbone(tmp_path / "run" / "backbone.safetensors")
    asked = PassAt1(**{key: value for key, value in probe.items() if key != "type"})
    asked.load(None)
    reference = {tuple(q[q >= 0].tolist()): a[a >= 0] for q, a in (asked._pool[i] for i in range(12))}

    def say(ids, **settings):
        rows = [torch.cat([row, reference[tuple(row.tolist())]]) for row in ids]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=settings["pad_token_id"])

    model.lm.generate = say
    (right,) = run_probes(model, {"probes": {"problems": probe}, "device": "cpu"})
    assert right["scores"]["pass_at_1"] == 100 and right["scores"]["answered"] == 100
    assert len(read_gsm8k(problems / "test.jsonl")) == 12


def test_what_text_has_not_is_refused(config, tmp_path):
    for key, value, said in [
        ("compile", True, "give compile=False"),
        ("layer_decay", 0.5, "needs timm's layers"),
        ("designer.dim", 48, "give dim=32"),
        ("value.horizon", 4, "set it to 'ridge'"),
    ]:
        wrong = copy.deepcopy(config)
        wrong.merge_from_dict({key: value})
        with pytest.raises((ConfigError, ValueError), match=said):
            build_runner(wrong, tmp_path / "wrong", seed=0)
    assert not (tmp_path / "wrong" / "config.py").exists()

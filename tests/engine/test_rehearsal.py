"""``--check`` takes the steps of a run, counts what it will need, and leaves nothing behind."""

import os
import shutil
import signal

import pytest

from vssl.commands.train import main
from vssl.engine import collapse
from vssl.engine.rehearsal import Rehearsal, rehearse
from vssl.engine.training import train


@pytest.mark.slow
def test_it_counts_the_steps_and_the_disk_of_the_run(designed_config, tmp_path):
    found = rehearse(designed_config, tmp_path / "run", seed=0)
    assert {kind: count for kind, (count, _) in found.kinds.items()} == {
        "learner": 3,
        "first meta": 1,
        "meta with g_down": 2,
    }
    assert found.steps == 6 and found.saves == 4 and found.seconds > 0
    assert not (tmp_path / "run").exists()
    run = train(designed_config, tmp_path / "run")
    kept = sum(path.stat().st_size for path in run.glob("*.pth")) + (run / "backbone.safetensors").stat().st_size
    one = (run / "checkpoint.pth").stat().st_size
    assert found.disk_mb == pytest.approx((kept + one) / 2**20, rel=0.02)  # and the one that is being written


@pytest.mark.slow
def test_a_budget_in_seconds_becomes_steps(fixed_config, tmp_path):
    fixed_config.budget = dict(seconds=5.0)
    found = rehearse(fixed_config, tmp_path / "run", seed=0)
    assert found.steps > 1 and found.seconds == pytest.approx(5.0, rel=0.5)


def test_what_would_end_the_run_ends_the_check(fixed_config, tmp_path, monkeypatch, capsys):
    fixed_config.dump(tmp_path / "config.py")
    command = [str(tmp_path / "config.py"), "--work-dir", str(tmp_path / "run"), "--check"]
    assert main([*command, "--cfg-options", "batch_size=25"]) == 1  # of 24 images
    assert "batch_size" in capsys.readouterr().err
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("vssl.engine.rehearsal.shutil.disk_usage", lambda path: usage._replace(free=1000))
    assert main(command) == 1
    assert "make room" in capsys.readouterr().err
    assert main([*command, "--launcher", "pytorch"]) == 1
    assert not (tmp_path / "run").exists()


def test_a_check_that_is_stopped_leaves_nothing_behind(fixed_config, tmp_path, monkeypatch, capsys):
    fixed_config.dump(tmp_path / "config.py")
    seen = []

    def stopped(loop, count):
        seen.extend(tmp_path.glob(".vssl-check-*"))
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("vssl.engine.rehearsal.panel_images", stopped)
    before = signal.getsignal(signal.SIGTERM)
    assert main([str(tmp_path / "config.py"), "--work-dir", str(tmp_path / "run"), "--check"]) == 143
    assert "stopped by SIGTERM" in capsys.readouterr().err
    assert len(seen) == 1 and not list(tmp_path.glob(".vssl-check-*"))
    assert signal.getsignal(signal.SIGTERM) is before


def test_one_checkpoint_is_one():
    once, often = (Rehearsal({}, 10, 9.0, 1.0, saves, 1.0, None, 1.0, 1.0).lines()[0] for saves in (1, 3))
    assert "10 steps and 1 checkpoint, which is 10.0 % of it" in once
    assert "10 steps and 3 checkpoints, which are 25.0 % of it" in often


def test_the_first_look_for_collapse_is_taken_too(fixed_config, tmp_path, monkeypatch):
    def ends(student, images):
        raise ValueError(f"{len(images)} images cannot be read")

    monkeypatch.setattr(collapse, "pooled_features", ends)
    with pytest.raises(ValueError, match="images cannot be read"):
        rehearse(fixed_config, tmp_path / "run", seed=0)
    fixed_config.collapse = "off"
    rehearse(fixed_config, tmp_path / "run", seed=0)

"""One directory, one run: refused, replaced, locked, resumed with the same settings only."""

import copy
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vssl.engine import ConfigError
from vssl.engine.run_directory import claimed
from vssl.engine.training import train

ROOT = Path(__file__).parents[2]


def contents(run):
    return {file.name: file.read_bytes() for file in run.iterdir() if file.is_file()}


@pytest.mark.parametrize(
    ("change", "listed"),
    [
        ({"optimizer.lr": 1e-2, "batch_size": 16}, r"optimizer\.lr was 0\.001, now 0\.01; .*|batch_size was 8, now 16"),
        ({"recipe.jitter": None}, r"recipe\.jitter"),
        ({"objective.out_dim": 32}, r"objective\.out_dim was 16, now 32"),
        ({"budget.steps": 4}, r"budget\.steps was 6, now 4"),
        ({"clip_grad": None}, "clip_grad was 1.0, now None"),
    ],
)
def test_resuming_with_other_settings_is_refused_and_changes_nothing(fixed_config, tmp_path, change, listed):
    run = train(copy.deepcopy(fixed_config), tmp_path / "run")
    before = contents(run)
    fixed_config.merge_from_dict({"recipe.jitter": None} if "recipe.jitter" in change else change)
    if "recipe.jitter" in change:
        fixed_config.recipe.jitter = dict(brightness=0.4)
    with pytest.raises(ConfigError, match=listed):
        train(fixed_config, run, resume=True)
    assert contents(run) == before


@pytest.mark.slow
def test_a_resumed_run_may_have_a_larger_budget_and_write_more_often(fixed_config, tmp_path):
    run = train(copy.deepcopy(fixed_config), tmp_path / "run")
    fixed_config.merge_from_dict({"budget.steps": 8, "log_interval": 1})
    train(fixed_config, run, resume=True)
    assert json.loads((run / "run.json").read_text())["steps"] == 8


@pytest.mark.slow
def test_a_checkpoint_that_does_not_fit_leaves_the_directory_as_it_was(fixed_config, tmp_path):
    run = train(copy.deepcopy(fixed_config), tmp_path / "run")
    before = contents(run)
    with pytest.raises(ValueError, match="seed 0, this run seed 3"):
        train(fixed_config, run, seed=3, resume=True)
    assert contents(run) == before


def test_a_run_that_stopped_before_its_first_checkpoint_is_not_overwritten_unasked(fixed_config, tmp_path):
    run = train(copy.deepcopy(fixed_config), tmp_path / "run")
    (run / "checkpoint.pth").unlink()
    (run / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="--overwrite"):
        train(copy.deepcopy(fixed_config), run)
    fixed_config.budget = dict(steps=2)
    train(fixed_config, run, overwrite=True)
    assert [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()] == [2]
    assert (run / "notes.txt").read_text() == "mine"


@pytest.mark.slow
def test_a_directory_that_another_process_holds_is_refused(fixed_config, tmp_path):
    hold = (
        "import sys, time\nfrom pathlib import Path\nfrom vssl.engine.run_directory import claimed\n"
        "with claimed(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        holder.stdout.readline()
        for file in (None, "run.json", "checkpoint.pth"):  # how far the other one is makes no difference
            if file:
                (tmp_path / "run" / file).write_text("")
            with pytest.raises(FileExistsError, match=f"in use by process {holder.pid}"):
                train(fixed_config, tmp_path / "run")
    finally:
        holder.kill()
        holder.wait()
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [".lock", "checkpoint.pth", "run.json"]
    with claimed(tmp_path / "run"):
        pass  # the lock went with its holder


def test_a_work_dir_below_a_file_is_refused(fixed_config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file, not a folder"):
        train(fixed_config, tmp_path / "file" / "run")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 75)])
def test_a_signal_writes_a_checkpoint_and_the_run_resumes_bit_for_bit(fixed_config, tmp_path, number, code):
    fixed_config.merge_from_dict({"budget.steps": 60, "checkpoint_interval": 1000, "rankme_interval": 0})
    fixed_config.dump(tmp_path / "config.py")
    whole = train(copy.deepcopy(fixed_config), tmp_path / "whole")
    command = [sys.executable, str(ROOT / "tools/train.py"), str(tmp_path / "config.py"), "--work-dir"]
    process = subprocess.Popen(
        [*command, str(tmp_path / "part")],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    while not (tmp_path / "part" / "metrics.jsonl").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert "the checkpoint is written" in said and "--resume" in said and "Traceback" not in said
    saved = torch.load(tmp_path / "part" / "checkpoint.pth", weights_only=True)
    assert 0 < saved["step"] < 60, "stopped too late to show anything"
    train(fixed_config, tmp_path / "part", resume=True)
    a, b = (load_file(tmp_path / name / "backbone.safetensors") for name in ("whole", "part"))
    assert all(torch.equal(a[name], b[name]) for name in a) and whole.is_dir()

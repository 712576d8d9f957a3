"""Checkpoints: the last few are kept, damage is noticed, and a run goes on from the last one that is whole."""

import contextlib
import copy
import json
import random

import pytest
import torch
from safetensors.torch import load_file

from vssl.engine import checkpoint, train
from vssl.engine.checkpoint import DamagedCheckpoint


def content(step):
    generator = torch.Generator().manual_seed(step)
    return {"step": step, "learner": {"w": torch.randn(50, 40, generator=generator)}}


def steps(folder):
    return [(path.name, checkpoint.load(path)["step"]) for path in checkpoint.candidates(folder)]


@pytest.mark.parametrize("keep", [1, 2, 4])
def test_the_last_few_are_kept_in_order(tmp_path, keep):
    for step in range(6):
        checkpoint.save(tmp_path / "checkpoint.pth", content(step), keep)
    names = ["checkpoint.pth", "checkpoint.1.pth", "checkpoint.2.pth", "checkpoint.3.pth"]
    assert steps(tmp_path) == list(zip(names, [5, 4, 3, 2], strict=True))[:keep]
    checkpoint.save(tmp_path / "checkpoint.pth", content(6), keep=1)
    assert steps(tmp_path) == [("checkpoint.pth", 6)] and len(list(tmp_path.iterdir())) == 1


def test_a_flipped_bit_anywhere_is_noticed_or_changes_nothing(tmp_path):
    path = tmp_path / "checkpoint.pth"
    checkpoint.save(path, content(1))
    whole, choose, noticed = path.read_bytes(), random.Random(0), 0
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[choose.randrange(len(whole))] ^= 1 << choose.randrange(8)
        path.write_bytes(damaged)
        try:
            found = checkpoint.load(path)
        except DamagedCheckpoint:
            noticed += 1
        else:
            assert torch.equal(found["learner"]["w"], content(1)["learner"]["w"]) and found["step"] == 1
    assert noticed > 150  # what is left are dates and padding of the archive


def test_a_file_cut_off_anywhere_is_noticed(tmp_path):
    path = tmp_path / "checkpoint.pth"
    checkpoint.save(path, content(1))
    whole, choose = path.read_bytes(), random.Random(0)
    for length in [0, 1, len(whole) - 1, *(choose.randrange(len(whole)) for _ in range(40))]:
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedCheckpoint, match=r"checkpoint\.pth is damaged"):
            checkpoint.load(path)


def test_no_moment_of_saving_leaves_a_run_without_a_whole_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pth"
    for step in range(3):
        checkpoint.save(path, content(step), keep=3)
    calls = [0]

    def stop_after(number, act):
        def counted(*args, **kwargs):
            if calls[0] == number:
                raise KeyboardInterrupt
            calls[0] += 1
            return act(*args, **kwargs)

        return counted

    for number in range(8):
        calls[0] = 0
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint.os, "link", stop_after(number, checkpoint.os.link))
            patch.setattr(type(path), "replace", stop_after(number, type(path).replace))
            with contextlib.suppress(KeyboardInterrupt):
                checkpoint.save(path, content(10 + number), keep=3)
        assert checkpoint.load_latest(tmp_path).path == path
        assert checkpoint.load(path)["step"] in (2, *range(10, 18))


def test_a_full_disk_leaves_what_was_saved(tmp_path, monkeypatch):
    path, write = tmp_path / "checkpoint.pth", torch.save
    checkpoint.save(path, content(1), keep=2)

    def full(content, file):
        file.write_bytes(b"half")
        write(content, "/dev/full")

    monkeypatch.setattr(torch, "save", full)
    said = r"could not be written, with .* MiB free .*what was saved before is whole\. Make room"
    with pytest.raises(OSError, match=said):
        checkpoint.save(path, content(2), keep=2)
    assert steps(tmp_path) == [("checkpoint.pth", 1)] and len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut off", "flipped"])
def test_a_run_goes_on_from_the_one_before_a_damaged_checkpoint(fixed_config, tmp_path, damage, capsys):
    whole = train(copy.deepcopy(fixed_config), tmp_path / "whole")
    run = train(copy.deepcopy(fixed_config), tmp_path / "run")
    path = run / "checkpoint.pth"
    bytes_of = bytearray(path.read_bytes())
    middle = len(bytes_of) // 2
    bytes_of[middle] ^= 64
    path.write_bytes(bytes_of if damage == "flipped" else bytes_of[:middle])
    train(fixed_config, run, resume=True)
    a, b = load_file(whole / "backbone.safetensors"), load_file(run / "backbone.safetensors")
    assert all(torch.equal(a[name], b[name]) for name in a)
    said = "checkpoint.pth is damaged; the run goes on from checkpoint.1.pth, step 4"
    assert said in capsys.readouterr().out
    assert said in json.loads((run / "run.json").read_text())["warnings"][0]["text"]
    assert (run / "checkpoint.pth.damaged").is_file()
    assert [step for _, step in steps(run)] == [6, 4]
    assert [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()] == [2, 4, 6]


@pytest.mark.slow
def test_where_no_checkpoint_is_whole_all_are_named_and_nothing_is_changed(fixed_config, tmp_path):
    run = train(fixed_config, tmp_path / "run")
    for path in checkpoint.candidates(run):
        path.write_bytes(path.read_bytes()[:100])
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    fixed_config.budget.steps = 8
    with pytest.raises(DamagedCheckpoint, match=r"checkpoint\.pth.*checkpoint\.1\.pth.*None is whole: .*--overwrite"):
        train(fixed_config, run, resume=True)
    after = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    assert {**after, ".lock": b""} == {**before, ".lock": b""}

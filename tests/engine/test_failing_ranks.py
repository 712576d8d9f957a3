"""A fault of one rank ends all of them with its cause. Ranks are forked: torchrun would end those that wait."""

import os
import socket
import sys
import threading
import time
import traceback
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from vssl import distributed
from vssl.commands import run_command
from vssl.commands.train import parser
from vssl.datasets import UnreadableImage
from vssl.datasets.stream import Stream
from vssl.distributed import average, process_group, rank_and_size
from vssl.engine import train
from vssl.engine.learner_step import LearnerStep
from vssl.engine.training import build_runner

BROKEN = "images/7.png: not a readable image"
HANGS = 100.0  # seconds after which a rank counts as left waiting


@pytest.fixture
def two_ranks(tmp_path):
    """(what a rank does) → by rank, its exit code as a command has it, and what it printed."""

    def run(does) -> list[tuple[int | None, str]]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        processes = []
        for rank in range(2):
            process = os.fork()
            if process == 0:
                os.environ.update(place, RANK=str(rank), LOCAL_RANK=str(rank))
                _as_a_command(does, tmp_path / f"rank{rank}.log")
            processes.append(process)
        codes = [_code(process, time.monotonic() + HANGS) for process in processes]
        return [(code, (tmp_path / f"rank{rank}.log").read_text()) for rank, code in enumerate(codes)]

    return run


def _as_a_command(does, log: Path) -> None:
    """In the forked process; never returns."""
    code = 99
    try:
        file = os.open(log, os.O_CREAT | os.O_WRONLY)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        torch.set_num_threads(1)
        code = run_command(parser(), lambda options: does(), ["config.py"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _code(process: int, ends: float) -> int | None:
    while os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        if time.monotonic() > ends:
            os.kill(process, 9)
            os.waitid(os.P_PID, process, os.WEXITED)
            return None
        time.sleep(0.05)
    return os.waitid(os.P_PID, process, os.WEXITED).si_status


@pytest.mark.parametrize(("fails", "waits"), [(1, "sum"), (0, "sum"), (1, "end"), (0, "end"), (1, "ever"), (0, "ever")])
def test_a_rank_that_waits_for_one_that_failed_ends_with_its_error(two_ranks, monkeypatch, fails, waits):
    """ "ever": nccl does not tell that the rank at the other end is gone."""
    monkeypatch.setattr(distributed, "LOOK", 0.1)
    monkeypatch.setattr(distributed, "PATIENCE", 1.0)

    def does() -> None:
        with process_group("pytorch"):
            average([torch.ones(1)])
            if rank_and_size()[0] == fails:
                error = UnreadableImage(BROKEN)
                error.__notes__ = ["Repair the file."]
                raise error
            if waits == "sum":
                average([torch.ones(1)])
            elif waits == "ever":
                threading.Event().wait()

    found = two_ranks(does)
    assert [code for code, _ in found] == [1, 1], found
    assert f"error: {BROKEN}\nRepair the file.\n" in found[fails][1]
    assert f"error: rank {fails}: {BROKEN}\nRepair the file.\n" in found[1 - fails][1]


def test_ranks_that_fail_alike_tell_their_own_error(two_ranks):
    def does() -> None:
        with process_group("pytorch"):
            average([torch.ones(1)])
            raise ValueError("a key is wrong")

    found = two_ranks(does)
    assert all(code == 1 and "error: a key is wrong" in said for code, said in found), found


@pytest.mark.slow
def test_an_image_that_one_rank_cannot_read_in_the_last_step_ends_both(two_ranks, fixed_config, shared_out, tmp_path):
    config, ordinary = shared_out(fixed_config), Stream.next

    def next_batch(stream: Stream):
        if stream.rank == 1 and stream.position == (config.budget.steps - 1) * stream.batch_size * 2:
            raise UnreadableImage(BROKEN)
        return ordinary(stream)

    def does() -> None:
        Stream.next = next_batch
        train(config, tmp_path / "run", launcher="pytorch")

    found = two_ranks(does)
    assert [code for code, _ in found] == [1, 1], found
    assert f"error: {BROKEN}" in found[1][1] and f"error: rank 1: {BROKEN}" in found[0][1]
    assert all("repair the file, then go on with --resume" in said for _, said in found)


@pytest.mark.slow
def test_a_rollout_that_diverges_on_one_rank_diverges_on_all(two_ranks, designed_config, shared_out, tmp_path):
    """Else that rank leaves out a sum over ranks which the other waits for."""
    config, ordinary = shared_out(designed_config), LearnerStep._backward
    config.feedback.evaluator, config.designer = "ridge", dict(type="vssl.designers.GlobalPolicy")
    config["value"].update(horizon=2, pairs=1, control_variate="end")

    def backward(step, construction, draws, model):
        loss, state, targets = ordinary(step, construction, draws, model)
        alone = model is step.learner and rank_and_size()[0] == 1  # a rollout: the run's own step goes through DDP
        return loss * float("inf") if alone else loss, state, targets

    def does() -> None:
        LearnerStep._backward = backward
        with process_group("pytorch"):
            runner = build_runner(config, tmp_path / "run", seed=0, launcher="pytorch")
            with runner.claim:
                runner.train()
            held = [None, None]
            dist.all_gather_object(held, runner.train_loop.designer.state_dict())
            one, two = held
            assert all(torch.equal(one[name], two[name]) for name in one)

    found = two_ranks(does)
    assert [code for code, _ in found] == [0, 0], found

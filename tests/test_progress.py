"""Progress lines: plain where nobody looks, one live line a task on a terminal, and those of workers kept apart."""

import os
import re
import subprocess
import sys

import pytest

from vssl import progress
from vssl.progress import PlainDisplay, task, track

WORK = "from vssl.progress import say, track\nfor i in track(range(3), 'packing', 'shards'): pass\nsay('done')\n"


def test_plain_lines_without_carriage_returns_where_nothing_is_a_terminal():
    ran = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, check=True)
    assert ran.stdout == "done\n"
    assert re.fullmatch(r"packing: 3 of 3 shards \[0 s\]\n", ran.stderr)
    assert "\r" not in ran.stderr + ran.stdout and "\x1b" not in ran.stderr + ran.stdout


def test_on_a_terminal_the_line_is_live_and_goes_when_the_task_ends():
    """stdout is a pipe: what is said must land there and not on the terminal that shows the line."""
    ours, theirs = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen([sys.executable, "-c", WORK], stdout=-1, stderr=theirs, env=environment) as process:
        os.close(theirs)
        stdout = process.stdout.read().decode()
        shown = _read_all(ours)
    assert stdout == "done\n" and "done" not in shown
    assert "packing" in shown and "3/3 shards" in shown and "\x1b[2K" in shown  # shown, then erased


def test_a_long_task_says_now_and_then_where_it_is(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(progress, "_display", PlainDisplay())
    with task("fixed, seed 0", 100, "steps") as shown:
        for step in range(1, 101):  # a step a second
            clock[0] = float(step)
            shown.update(step, f"loss {100 - step}")
    assert capsys.readouterr().err.splitlines() == [
        "fixed, seed 0: 30 of 100 steps, loss 70 [30 s]",
        "fixed, seed 0: 60 of 100 steps, loss 40 [60 s]",
        "fixed, seed 0: 90 of 100 steps, loss 10 [90 s]",
        "fixed, seed 0: 100 of 100 steps, loss 0 [100 s]",
    ]


def test_a_task_that_breaks_off_is_not_called_finished(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_display", PlainDisplay())
    with pytest.raises(ValueError, match="broken"), task("fixed", 10, "steps") as shown:
        shown.update(4)
        raise ValueError("broken")
    assert capsys.readouterr().err == "fixed: 4 of 10 steps [0 s], stopped\n"


def test_items_come_through_in_order_and_generators_too(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_display", PlainDisplay())
    assert list(track("abc", "letters", "letters")) == ["a", "b", "c"]
    assert list(track((n for n in range(2)), "numbers", "numbers")) == [0, 1]
    assert capsys.readouterr().err == "letters: 3 of 3 letters [0 s]\nnumbers: 2 numbers [0 s]\n"


WORKERS = """
import multiprocessing, os
from vssl.progress import receiving, say, send_to, task

def work(queue, name):
    send_to(queue)
    say(f"{name} begins")
    with task(name, 2, "steps") as shown:
        shown.update(1)
        if name == "b":  # as if killed
            queue.close()
            queue.join_thread()
            os._exit(1)
        shown.update(2)

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    with receiving(queue):
        workers = [context.Process(target=work, args=(queue, name)) for name in "ab"]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
"""


def test_workers_lines_are_shown_by_the_process_that_owns_the_console(tmp_path):
    (tmp_path / "workers.py").write_text(WORKERS)
    ran = subprocess.run([sys.executable, tmp_path / "workers.py"], capture_output=True, text=True, check=True)
    assert sorted(ran.stdout.splitlines()) == ["a begins", "b begins"]
    assert sorted(ran.stderr.splitlines()) == ["a: 2 of 2 steps [0 s]", "b: 1 of 2 steps [0 s], stopped"]


def _read_all(descriptor: int) -> str:
    read = b""
    try:
        while part := os.read(descriptor, 65536):
            read += part
    except OSError:  # the other end is closed
        pass
    os.close(descriptor)
    return read.decode()

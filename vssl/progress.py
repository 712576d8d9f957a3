"""What a user sees while work goes on: one live line per task on a terminal, plain lines now and then elsewhere.

`say` writes a line to stdout; tasks (`track`, `task`) are shown on stderr. Carriage returns never reach a file. Worker
processes send both to the process that owns the console (`send_to`, `receiving`), so that theirs stay apart.
"""

import itertools
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

T = TypeVar("T")

# Seconds between two updates of a line: live, and where every update is a new line.
LIVE_INTERVAL, PLAIN_INTERVAL = 0.25, 30.0


class Display(Protocol):
    """Where lines and tasks are shown. A task is known by a `key` of its own; `done` is None where it is not known."""

    def say(self, line: str) -> None: ...
    def begin(self, key: str, label: str, total: float | None, unit: str, done: float) -> None: ...
    def update(self, key: str, done: float, note: str) -> None: ...
    def end(self, key: str, done: float | None, note: str, finished: bool) -> None: ...


class Task:
    """One line: how much of `total` is done."""

    _numbers = itertools.count()

    def __init__(self, label: str, total: float | None, unit: str, done: float = 0):
        self.key, self.done, self._last = f"{os.getpid()}-{next(self._numbers)}", done, float("-inf")
        self._total, self._note = total, ""
        _display.begin(self.key, label, total, unit, done)

    def update(self, done: float, note: str = "") -> None:
        """`done` of `total` so far, and what else to say, e.g. the loss. Shown at most a few times a second."""
        self.done, self._note, now = done, note, time.monotonic()
        if now - self._last >= LIVE_INTERVAL or done == self._total:
            self._last = now
            _display.update(self.key, done, note)

    def close(self, finished: bool = True) -> None:
        """End the line; `finished` says whether all was done."""
        _display.end(self.key, self.done, self._note, finished)


def say(line: str) -> None:
    """Print a line, above the live ones if there are any."""
    _display.say(line)


@contextmanager
def task(label: str, total: float | None, unit: str) -> Iterator[Task]:
    """A `Task` that is closed at the end, and is not called finished after an error."""
    shown, finished = Task(label, total, unit), False
    try:
        yield shown
        finished = True
    finally:
        shown.close(finished)


def track(items: Iterable[T], label: str, unit: str, total: int | None = None) -> Iterator[T]:
    """Yield `items`, showing how many are done; `total` where they have no length."""
    total = len(items) if total is None and isinstance(items, Sized) else total
    with task(label, total, unit) as shown:
        for number, item in enumerate(items, start=1):
            yield item
            shown.update(number)


class PlainDisplay:
    """Lines for files and pipes: a task says where it is every `PLAIN_INTERVAL` seconds, and when it ends."""

    def __init__(self):
        self._tasks: dict[str, dict] = {}

    def say(self, line: str) -> None:
        print(line, flush=True)

    def begin(self, key: str, label: str, total: float | None, unit: str, done: float) -> None:
        now = time.monotonic()
        self._tasks[key] = dict(label=label, total=total, unit=unit, done=done, begun=now, shown=now, note="")

    def update(self, key: str, done: float, note: str) -> None:
        state = self._tasks[key]
        state.update(done=done, note=note)
        if time.monotonic() - state["shown"] >= PLAIN_INTERVAL:
            state["shown"] = time.monotonic()
            self._print(state)

    def end(self, key: str, done: float | None, note: str, finished: bool) -> None:
        state = self._tasks.pop(key)
        if done is not None:
            state.update(done=done, note=note)
        self._print(state, "" if finished else ", stopped")

    def _print(self, state: dict, more: str = "") -> None:
        of = "" if state["total"] is None else f" of {state['total']:.0f}"
        note = f", {state['note']}" if state["note"] else ""
        spent = time.monotonic() - state["begun"]
        print(
            f"{state['label']}: {state['done']:.0f}{of} {state['unit']}{note} [{spent:.0f} s]{more}",
            file=sys.stderr,
            flush=True,
        )


class LiveDisplay:
    """One line per running task at the bottom of a terminal; a line goes when its task ends."""

    def __init__(self):
        self._console, self._lines = Console(stderr=True), {}
        self._progress: Progress | None = None

    def say(self, line: str) -> None:
        if self._progress is not None and sys.stdout.isatty():
            self._console.print(Text(line), soft_wrap=True)
        else:
            print(line, flush=True)

    def begin(self, key: str, label: str, total: float | None, unit: str, done: float) -> None:
        if self._progress is None:
            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[amount]}", markup=False),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                console=self._console,
                transient=True,
                redirect_stdout=sys.stdout.isatty(),  # else what goes into a file would end on the terminal
            )
            self._progress.start()
        line = self._progress.add_task(
            label, total=total, completed=done, unit=unit, note="", amount=_amount(done, total, unit)
        )
        self._lines[key] = (line, total, unit)

    def update(self, key: str, done: float, note: str) -> None:
        line, total, unit = self._lines[key]
        self._progress.update(line, completed=done, note=note, amount=_amount(done, total, unit))

    def end(self, key: str, done: float | None, note: str, finished: bool) -> None:
        if done is not None:
            self.update(key, done, note)
        line, *_ = self._lines.pop(key)
        self._progress.refresh()
        self._progress.remove_task(line)
        if not self._lines:
            self._progress.stop()
            self._progress = None


class _Sender:
    """The display of a worker process: everything goes to a queue."""

    def __init__(self, queue):
        self._queue = queue

    def __getattr__(self, name: str):
        return lambda *args: self._queue.put((name, args))


def send_to(queue) -> None:
    """From now on this process shows nothing itself; `receiving` shows it in the process that owns the console."""
    global _display
    _display = _Sender(queue)


@contextmanager
def receiving(queue) -> Iterator[None]:
    """Show what worker processes send to `queue` (a multiprocessing queue) until the end of the block.

    Tasks that a worker left open, for it was killed, are closed as stopped.
    """
    open_tasks: set[str] = set()

    def show() -> None:
        while (message := queue.get()) is not None:
            name, args = message
            getattr(_display, name)(*args)
            if name in ("begin", "end"):
                (open_tasks.add if name == "begin" else open_tasks.discard)(args[0])

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        queue.put(None)
        thread.join()
        for key in open_tasks:
            _display.end(key, None, "", False)


def _amount(done: float, total: float | None, unit: str) -> str:
    return f"{done:.0f}/{total:.0f} {unit}" if total is not None else f"{done:.0f} {unit}"


def _chosen() -> Display:
    return LiveDisplay() if sys.stderr.isatty() else PlainDisplay()


_display: Display = _chosen()

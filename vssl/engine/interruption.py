"""Stopping a run from outside without losing what it has learned."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from vssl.distributed import any_rank

# signal -> exit code of the command. 75 is EX_TEMPFAIL of sysexits.h: Slurm can be told to requeue on it. submitit has
# Slurm send SIGUSR2.
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 75, signal.SIGUSR2: 75}


class Interrupted(KeyboardInterrupt):
    """A run stopped at a signal, after it wrote its checkpoint. `exit_code` is the command's."""

    def __init__(self, number: int, step: int, work_dir: str):
        super().__init__(
            f"stopped by {signal.Signals(number).name} after step {step}; the checkpoint is written. "
            f"Go on with the same command and --resume ({work_dir})"
        )
        self.exit_code = EXIT_CODES[signal.Signals(number)]


class Stopped(KeyboardInterrupt):
    """Stopped at a signal; there was nothing to save. `exit_code` is the command's."""

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = EXIT_CODES[signal.Signals(number)]


class StopRequest:
    """The signal that asked the run to stop, if one did."""

    def __init__(self):
        self.signal: int | None = None

    def receive(self, number: int, frame) -> None:
        # the second time at once: the step or the checkpoint may hang. But Slurm may send SIGTERM, and SIGUSR2 after it
        if self.signal is not None and EXIT_CODES[signal.Signals(number)] != 75:
            raise KeyboardInterrupt(f"stopped by {signal.Signals(number).name} a second time; see the last checkpoint")
        self.signal = number

    def agreed(self) -> int | None:
        """The signal that any rank was sent; every rank must ask at the same step."""
        return any_rank(self.signal or 0) or None


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """Inside the block SIGTERM, SIGUSR1 and SIGUSR2 raise `Stopped`, so that what the block has opened is closed.

    By themselves they end Python where it stands. Ctrl-C raises anyway. In another thread than the main one nothing is
    caught.
    """

    def stop(number: int, frame) -> None:
        raise Stopped(number)

    with _handled([number for number in EXIT_CODES if number != signal.SIGINT], stop):
        yield


@contextmanager
def _handled(numbers: Iterable[signal.Signals], handler: Callable) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Inside the block Ctrl-C, SIGTERM, SIGUSR1 and SIGUSR2 are remembered instead of acted upon at once.

    Python delivers signals to the main thread only; elsewhere nothing is caught.
    """
    request = StopRequest()
    with _handled(EXIT_CODES, request.receive):
        yield request

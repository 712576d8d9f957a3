"""The commands, one module each. Here is what they share: quick refusals, one line for every expected failure, and
documented exit codes.

A command is a parser, which needs nothing but the standard library, and a function that imports what it needs when it
runs. So ``--help`` and a mistyped option answer at once.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | refused or failed: one line on stderr says what, where, and what to do |
| 2 | the command line itself is wrong (argparse) |
| 70 | a fault of this library: the traceback is printed |
| 75 | stopped by SIGUSR1 or SIGUSR2 with a checkpoint, as before the end of a Slurm job: go on with ``--resume`` |
| 130, 143 | stopped by Ctrl-C, by SIGTERM |
"""

import argparse
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence

FAILED, FAULT = 1, 70


def run_command(
    parser: argparse.ArgumentParser,
    execute: Callable[[argparse.Namespace], None],
    argv: Sequence[str] | None = None,
    other_words: Mapping[str, str] | None = None,
) -> int:
    """Parse, execute, and turn every failure into one line and an exit code (see the module's table).

    Args:
        execute: does the work; heavy imports belong inside. What a user can cause it raises as ValueError, OSError,
            FloatingPointError, MemoryError or KeyboardInterrupt, with further lines as notes of the exception.
        other_words: options under another name, and their name here. They are taken, with a note.
    """
    parser.add_argument("--debug", action="store_true", help="print the whole traceback of a failure")
    options = parser.parse_args(_in_our_words(sys.argv[1:] if argv is None else argv, other_words or {}))
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _one_line(warnings.showwarning)
            execute(options)
    except KeyboardInterrupt as stopped:
        _say(options, stopped, str(stopped) or "stopped by Ctrl-C")
        return getattr(stopped, "exit_code", 130)
    except (ValueError, OSError, FloatingPointError, MemoryError, ImportError) as error:
        _say(options, error, f"error: {_message(error) or type(error).__name__}")
        return FAILED
    except Exception as error:
        if _is_out_of_memory(error):
            _say(options, error, f"error: {error}; a smaller batch_size or precision='bf16' needs less")
            return FAILED
        traceback.print_exc()
        print("This is a fault of vssl: please report it with the lines above.", file=sys.stderr)
        return FAULT
    return 0


def called(command: str) -> str:
    """How the user calls another command: as they called this one, ``vssl train`` or ``python tools/train.py``."""
    return f"vssl {command}" if sys.argv[0].startswith("vssl ") else f"python tools/{command}.py"


def _in_our_words(argv: Sequence[str], other_words: Mapping[str, str]) -> list[str]:
    ours = []
    for word in argv:
        name, equals, value = word.partition("=")
        if name in other_words:
            print(f"note: {name} is called {other_words[name]} here, and was taken for it", file=sys.stderr)
            word = other_words[name] + equals + value
        ours.append(word)
    return ours


def _one_line(show: Callable) -> Callable:
    """Warnings about data (`DataWarning`) are for users: no source line. Told by name, for nothing is imported here."""

    def say(message, category, *where, **more):
        if "DataWarning" in (kind.__name__ for kind in category.__mro__):
            print(f"warning: {message}", file=sys.stderr)
        else:
            show(message, category, *where, **more)

    return say


def _say(options: argparse.Namespace, error: BaseException, line: str) -> None:
    if options.debug:
        traceback.print_exception(error)
    print("\n".join([line, *getattr(error, "__notes__", ())]), file=sys.stderr)


def _message(error: BaseException) -> str:
    """What it says. To that of a DataLoader's worker torch adds the worker's traceback, which is left out here."""
    caught, marked, original = str(error).partition("\nOriginal Traceback (most recent call last):\n")
    if not marked or not caught.startswith("Caught "):
        return str(error)
    return original.rpartition(f"{type(error).__name__}: ")[2].strip()


def _is_out_of_memory(error: Exception) -> bool:
    """torch.OutOfMemoryError and the CPU allocator's RuntimeError, told without importing torch."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)

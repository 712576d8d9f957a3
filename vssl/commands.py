"""What all commands share: quick refusals, one line for every expected failure, documented exit codes.

A command is a parser, which needs nothing but the standard library, and a function that imports what it needs when it
runs. So ``--help`` and a mistyped option answer at once.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | refused or failed: one line on stderr says what, where, and what to do |
| 2 | the command line itself is wrong (argparse) |
| 70 | a fault of this library: the traceback is printed |
| 75 | stopped by SIGUSR1 with a checkpoint, as before the end of a Slurm job: start it again with ``--resume`` |
| 130, 143 | stopped by Ctrl-C, by SIGTERM |
"""

import argparse
import ast
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

FAILED, FAULT = 1, 70


class OptionText(str):
    """A value as it was typed on the command line; `read_value` says what it means."""


class CfgOptions(argparse.Action):
    """``--cfg-options KEY=VALUE …`` as a dict of keys to `OptionText`. Only the first ``=`` separates."""

    def __call__(self, parser, namespace, values, option_string=None):
        options = dict(getattr(namespace, self.dest) or {})
        for text in values:
            key, separator, value = text.partition("=")
            if not separator or not key.strip():
                raise argparse.ArgumentError(self, f"{text!r}: expected KEY=VALUE, e.g. budget.steps=100")
            options[key.strip()] = OptionText(value)
        setattr(namespace, self.dest, options)


def read_value(text: str, instead_of: Any = None) -> Any:
    """A value from the command line: a Python literal, ``dict(key=value, …)`` included, else the text itself.

    Args:
        instead_of: the value that it replaces. Where that is text, what looks like a number stays text: a folder may be
            called 2024. ``None`` is None everywhere; ``"'None'"`` is the text.

    Raises:
        ValueError: it begins like settings (``dict(`` or ``{``) and cannot be read as such.
    """
    stripped = text.strip()
    try:
        value = _literal(ast.parse(stripped, mode="eval").body)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        if stripped.startswith(("dict(", "{")):
            raise ValueError(f"{text}: not settings that can be read ({error}); write dict(key=value, …)") from error
        return {"true": True, "false": False, "none": None}.get(stripped, str(text))
    keeps_text = isinstance(instead_of, str) and not isinstance(value, str) and value is not None
    return str(text) if keeps_text else value


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        if node.args or any(keyword.arg is None for keyword in node.keywords):
            raise ValueError("only key=value is understood inside dict(…)")
        return {keyword.arg: _literal(keyword.value) for keyword in node.keywords}
    return ast.literal_eval(node)


def run_command(
    parser: argparse.ArgumentParser, execute: Callable[[argparse.Namespace], None], argv: Sequence[str] | None = None
) -> int:
    """Parse, execute, and turn every failure into one line and an exit code (see the module's table).

    Args:
        execute: does the work; heavy imports belong inside. What a user can cause it raises as ValueError, OSError,
            FloatingPointError, MemoryError or KeyboardInterrupt, with further lines as notes of the exception.
    """
    parser.add_argument("--debug", action="store_true", help="print the whole traceback of a failure")
    options = parser.parse_args(argv)
    try:
        execute(options)
    except KeyboardInterrupt as stopped:
        _say(options, stopped, str(stopped) or "stopped by Ctrl-C")
        return getattr(stopped, "exit_code", 130)
    except (ValueError, OSError, FloatingPointError, MemoryError, ImportError) as error:
        _say(options, error, f"error: {_describe(error)}")
        return FAILED
    except Exception as error:
        if _is_out_of_memory(error):
            _say(options, error, f"error: {error}; a smaller batch_size or precision='bf16' needs less")
            return FAILED
        traceback.print_exc()
        print("This is a fault of vssl: please report it with the lines above.", file=sys.stderr)
        return FAULT
    return 0


def _say(options: argparse.Namespace, error: BaseException, line: str) -> None:
    if options.debug:
        traceback.print_exception(error)
    print("\n".join([line, *getattr(error, "__notes__", ())]), file=sys.stderr)


def _describe(error: BaseException) -> str:
    """The message; for the operating system's own errors also the file, which their text leaves out when there are
    two, and for exceptions without a text their class."""
    return str(error) or type(error).__name__


def _is_out_of_memory(error: Exception) -> bool:
    """torch.OutOfMemoryError and the CPU allocator's RuntimeError, told without importing torch."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)

"""Settings given on a command line: ``--cfg-options KEY=VALUE …``."""

import argparse
import ast
from typing import Any


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


def add_cfg_options(parser: argparse.ArgumentParser, example: str) -> None:
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=CfgOptions,
        default={},
        metavar="KEY=VALUE",
        help=f"override settings of the config, e.g. {example}",
    )


def read_value(text: str, instead_of: Any = None) -> Any:
    """A value from the command line: a Python literal, ``dict(key=value, …)`` included, else the text itself.

    Args:
        instead_of: the value that it replaces. Where that is text, what looks like a number stays text: a folder may be
            called 2024. ``None`` is None everywhere; ``"'None'"`` is the text.

    Raises:
        ValueError: it begins like settings (``dict(`` or ``{``) and cannot be read as such.

    Example::

        >>> read_value("1e-4"), read_value("[1, 2]"), read_value("data/my photos")
        (0.0001, [1, 2], 'data/my photos')
    """
    stripped = text.strip()
    try:
        value = _literal(ast.parse(stripped, mode="eval").body)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        if stripped.startswith(("dict(", "{")):
            raise ValueError(f"{text}: not settings that can be read ({error}); write dict(key=value, …)") from error
        return {"true": True, "false": False}.get(stripped, str(text))
    keeps_text = isinstance(instead_of, str) and not isinstance(value, str) and value is not None
    return str(text) if keeps_text else value


def read_option(config: Any, key: str, value: Any) -> Any:
    """The value of one option: text from a command line read against what `config` holds under its dotted key; settings
    written as text (``"dict(steps=3)"``) read wherever they come from; anything else as it is."""
    if not isinstance(value, OptionText) and not (isinstance(value, str) and value.startswith(("dict(", "{"))):
        return value
    replaced = config
    for part in key.split("."):
        replaced = replaced.get(part) if hasattr(replaced, "get") else None
    try:
        return read_value(value, replaced)
    except ValueError as error:
        raise ValueError(f"--cfg-options {key}={error}") from error


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        if node.args or any(keyword.arg is None for keyword in node.keywords):
            raise ValueError("only key=value is understood inside dict(…)")
        return {keyword.arg: _literal(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {ast.literal_eval(key): _literal(value) for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.List | ast.Tuple):
        items = [_literal(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    return ast.literal_eval(node)

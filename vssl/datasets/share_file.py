"""Shares of the sources of a stream as a file, so that what a run learned is a fixed recipe of other runs."""

from collections.abc import Mapping
from pathlib import Path

from vssl.number_file import NumberFile

_FILE = NumberFile("vssl-sources", "shares", "sources", "a file of shares", "save_shares")


def save_shares(shares: Mapping[str, float], path: str | Path, note: str = "") -> None:
    """Writes shares for ``UnlabeledMixture(shares=path)``, e.g. those of `SourceWeights.learned_shares`.

    Args:
        path: .yaml or .yml.
        note: kept in the file, e.g. the run that it comes from.
    """
    _FILE.write(shares, path, note)


def read_shares(path: str | Path) -> dict[str, float]:
    """What `save_shares` wrote; raises as `NumberFile.read` does."""
    return _FILE.read(path)


def check_new_shares(path: str | Path) -> None:
    """Raises before any work what `save_shares` would: ValueError; and FileExistsError where something is already."""
    if _FILE.named(path).exists():
        raise FileExistsError(f"{path} already exists; choose another name, or remove it")

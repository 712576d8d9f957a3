"""Recording without being asked: ``VSSL_RESULTS`` names the store, and train, probe and compare put into it what they
finish."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vssl.compat import add_note

if TYPE_CHECKING:  # SQLAlchemy is an extra, which those who record nothing do without
    from vssl.results.scanning import Scan
    from vssl.results.store import Added, Store

VARIABLE = "VSSL_RESULTS"


@contextmanager
def recorded(*places: str | Path) -> Iterator[None]:
    """Put what is below `places` into the store when the block ends, and what was finished of it when it fails.

    Without the variable, or without places, nothing is done. The store is opened before the block: a wrong one is an
    error before the work.

    Raises:
        ValueError, OSError, ImportError: the store cannot be used; or after the block, something could not be recorded.
    """
    where = os.environ.get(VARIABLE)
    if not where or not places:
        yield
        return
    try:
        from vssl.results.store import Store

        store = Store(where, create=True)
    except (ValueError, OSError, ImportError) as error:
        add_note(error, f"{VARIABLE} names this store; unset it to record nothing.")
        raise
    try:
        yield
    except BaseException:
        with suppress(FileNotFoundError):  # nothing was finished
            _record(store, places, failed=True)
        raise
    _record(store, places)


def add(store: "Store", places: Iterable[str | Path], replace: bool = False) -> "tuple[Scan, Added]":
    """Scan `places` and add what is there."""
    from vssl.results.scanning import Scan

    scan = Scan(places)
    return scan, store.add(scan.entries, replace)


def told(scan: "Scan", added: "Added") -> list[str]:
    """What was not recorded, a line each."""
    lines = [f"{entry.name}: {entry.columns['path']} differs from what was recorded of {path}; that is kept"
             for entry, path in added.changed]  # fmt: skip
    return [*lines, *(f"not read: {line}" for line in scan.unreadable)]


def _record(store: "Store", places: Iterable[str | Path], failed: bool = False) -> None:
    """With `failed` the work has an error of its own to report, and what goes wrong here is only printed."""
    command = " ".join(["vssl results add", *map(str, places)])
    try:
        scan, added = add(store, places)
        if lines := told(scan, added):
            command += " --replace" if added.changed else ""
            raise ValueError(f"{len(lines)} results were not recorded in {store.shown}: {lines[0]}")
    except ValueError as error:
        if failed:
            return print(f"not recorded: {error}", file=sys.stderr)
        add_note(error, f"The work itself is done. To record it: {command}")
        raise
    if added.new:
        print(f"recorded in {store.shown}: {len(added.new)} new")

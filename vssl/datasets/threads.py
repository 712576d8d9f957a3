"""Files read and decoded by a few threads, in order."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """`function` of every item, in order; a few at a time are decoded ahead (Pillow lets go of the GIL)."""
    workers = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(workers) as executor:
        for start in range(0, len(items), 16 * workers):
            yield from executor.map(function, items[start : start + 16 * workers])

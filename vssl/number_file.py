"""Small YAML files of named numbers that runs learned: shares of sources, weights of a loss."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from vssl.known_keys import refuse_other_format, refuse_unknown
from vssl.whole_files import write_text

VERSION = 1


@dataclass(frozen=True)
class NumberFile:
    """What one kind of file holds.

    Args:
        format: its ``format`` in the file.
        key: of the numbers.
        of: what they are numbers of, for messages.
        kind: for messages, such as "a file of shares".
        written_by: the function that users call, for messages.
    """

    format: str
    key: str
    of: str
    kind: str
    written_by: str

    def write(self, numbers: Mapping[str, float], path: str | Path, note: str) -> None:
        """Raises ValueError for a name that does not end in .yaml or .yml."""
        numbers = {name: float(number) for name, number in numbers.items()}
        document = {"format": self.format, "version": VERSION, "note": note, self.key: numbers}
        write_text(self.named(path), yaml.safe_dump(document, sort_keys=False))

    def read(self, path: str | Path) -> dict[str, float]:
        """By name, the numbers.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not such a file, another version, an unknown key, fewer than two numbers, or one that is no
                number above 0.
        """
        file = self.named(path)
        if not file.is_file():
            raise FileNotFoundError(f"{path}: no such file; {self.written_by} writes it")
        try:
            document = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not readable as YAML: {error}") from error
        refuse_other_format(document, (self.format, VERSION), path, self.kind, self.written_by)
        refuse_unknown(document, ("format", "version", "note", self.key), str(path))
        found = document.get(self.key)
        if not isinstance(found, Mapping) or len(found) < 2 or not all(map(_is_above_0, found.values())):
            raise ValueError(
                f"{path}: {self.key} are {found!r}; give two or more {self.of}, each with a number above 0"
            )
        return {str(name): float(number) for name, number in found.items()}

    def named(self, path: str | Path) -> Path:
        """The path; raises ValueError for a name that does not end in .yaml or .yml."""
        if Path(path).suffix not in {".yaml", ".yml"}:
            raise ValueError(f"{path}: {self.kind} ends in .yaml or .yml")
        return Path(path)


def _is_above_0(number: object) -> bool:
    return isinstance(number, (int, float)) and not isinstance(number, bool) and 0 < number < math.inf

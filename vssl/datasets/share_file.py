"""Shares of the sources of a stream as a file, so that what a run learned is a fixed recipe of other runs."""

import math
from collections.abc import Mapping
from pathlib import Path

import yaml

from vssl.known_keys import refuse_other_format, refuse_unknown
from vssl.whole_files import write_text

FORMAT, VERSION = "vssl-sources", 1
_KEYS = ("format", "version", "note", "shares")


def save_shares(shares: Mapping[str, float], path: str | Path, note: str = "") -> None:
    """Writes shares for ``UnlabeledMixture(shares=path)``, e.g. those of `SourceWeights.learned_shares`.

    Args:
        path: .yaml or .yml.
        note: kept in the file, e.g. the run that it comes from.
    """
    document = {"format": FORMAT, "version": VERSION, "note": note, "shares": {n: float(s) for n, s in shares.items()}}
    write_text(_named(Path(path)), yaml.safe_dump(document, sort_keys=False))


def read_shares(path: str | Path) -> dict[str, float]:
    """What `save_shares` wrote.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of shares, another version, an unknown key, or a share that is no number above 0.
    """
    try:
        document = yaml.safe_load(_named(Path(path)).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not readable as YAML: {error}") from error
    refuse_other_format(document, (FORMAT, VERSION), path, "a file of shares", "save_shares")
    refuse_unknown(document, _KEYS, str(path))
    shares = document.get("shares")
    if not isinstance(shares, Mapping) or not all(_is_share(share) for share in shares.values()):
        raise ValueError(f"{path}: shares are {shares!r}; give each source, by name, a number above 0")
    return {str(name): float(share) for name, share in shares.items()}


def _is_share(share: object) -> bool:
    return isinstance(share, (int, float)) and not isinstance(share, bool) and 0 < share < math.inf


def _named(path: Path) -> Path:
    if path.suffix not in {".yaml", ".yml"}:
        raise ValueError(f"{path}: a file of shares ends in .yaml or .yml")
    return path

"""MATLAB files up to version 7 (version 7.3 is HDF5, see `vssl.datasets.prepare.nyuv2`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from scipy.io import loadmat


def read_mat(path: Path, names: Sequence[str], file: BinaryIO | None = None) -> dict[str, Any]:
    """Variables of a .mat file, as scipy makes them.

    Args:
        file: its content where it does not lie under `path`, which then only names it.

    Raises:
        ValueError: not a whole .mat file, or variables missing.
    """
    try:
        content = loadmat(path if file is None else file, variable_names=tuple(names))
    except FileNotFoundError:
        raise
    except Exception as error:  # scipy lets out whatever its parser stumbles over, IndexError and zlib.error too
        raise ValueError(f"{path}: not a readable MATLAB file ({error}). Download it again") from error
    if missing := [name for name in names if name not in content]:
        raise ValueError(f"{path}: no {', '.join(missing)} in it; expected {', '.join(names)}. Is it another file?")
    return content

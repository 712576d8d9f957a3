"""Config files by path, or by their name below the configs that come with the package."""

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from vssl.compat import replace_package_queries

if TYPE_CHECKING:
    from mmengine.config import Config

CONFIGS = Path(__file__).parent / "configs"


def config_file(name: str | Path, below: str = "") -> Path:
    """The file that `name` means: a path, or the name of a config of this package.

    ``configs/scenes/demo.py``, ``scenes/demo.py`` and ``scenes/demo`` all name the package's demo, wherever one is.
    A file at the path itself comes first.

    Args:
        below: a folder of the package's configs, for what an error suggests.

    Raises:
        FileNotFoundError: there is no such file; the message has the nearest names.
    """
    path = Path(name)
    if path.is_file():
        return path
    parts = path.parts[1:] if path.parts[:1] == ("configs",) else path.parts
    if parts and not path.is_absolute() and ".." not in parts:
        packaged = CONFIGS.joinpath(*parts)
        for file in (packaged, packaged.with_name(packaged.name + ".py")):
            if file.is_file():
                return file
    raise FileNotFoundError(f"config {name} does not exist; {_advice(path, below)}")


def read_config(path: str | Path) -> "Config":
    """mmengine's `Config` of a file, which may lie anywhere: ``from vssl.configs.scenes.demo import *`` works in it."""
    from mmengine.config import Config

    replace_package_queries()
    return Config.fromfile(str(path))


def _advice(path: Path, below: str) -> str:
    known = sorted(p.relative_to(CONFIGS).with_suffix("").as_posix() for p in CONFIGS.rglob("[!_]*.py"))
    known = [name for name in known if name.startswith(below) and "_base_" not in name]
    near = difflib.get_close_matches(path.with_suffix("").as_posix().removeprefix("configs/"), known, n=3)
    if near:
        return "did you mean " + " or ".join(near) + "?"
    return "there are " + ", ".join(known) if len(known) <= 12 else f"see configs/{below}"

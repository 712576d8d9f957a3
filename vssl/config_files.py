"""Config files by path, or by their name below the configs that come with the package."""

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from vssl.compat import replace_package_queries

if TYPE_CHECKING:
    from mmengine.config import Config

CONFIGS = Path(__file__).parent / "configs"

# Modules whose classes a config, or the config.py of an old run, may name by their former path.
RENAMED = {
    "vssl.datasets.retrieval": "vssl.datasets.revisited",
    "vssl.designers.masks": "vssl.designers.blur_mask",
    "vssl.feedback.classification": "vssl.feedback.image_classification",
    "vssl.feedback.tasks": "vssl.feedback.dense_tasks",
    "vssl.language.feedback": "vssl.language.answer_feedback",
    "vssl.language.learner": "vssl.language.causal_lm",
    "vssl.language.probe": "vssl.language.pass_at_1",
    "vssl.language.views": "vssl.language.token_views",
    "vssl.objectives.heads": "vssl.objectives.dino_head",
    "vssl.objectives.masks": "vssl.objectives.patch_masks",
    "vssl.views.policy": "vssl.views.view_policy",
}
_OLD_NAME = re.compile(rf"\b({'|'.join(map(re.escape, RENAMED))})\b")


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
    """mmengine's `Config` of a file, which may lie anywhere: ``from vssl.configs.scenes.demo import *`` works in it.

    Raises:
        ImportError: the file names a module by a name that it no longer has; the message has the new one.
    """
    from mmengine.config import Config

    replace_package_queries()
    if old := _OLD_NAME.search(Path(path).read_text(encoding="utf-8")):
        raise ImportError(f"{path} names {old[0]}, which is now {RENAMED[old[0]]}: write the new name there")
    return Config.fromfile(str(path))


def _advice(path: Path, below: str) -> str:
    known = sorted(p.relative_to(CONFIGS).with_suffix("").as_posix() for p in CONFIGS.rglob("[!_]*.py"))
    known = [name for name in known if name.startswith(below) and "_base_" not in name]
    near = difflib.get_close_matches(path.with_suffix("").as_posix().removeprefix("configs/"), known, n=3)
    if near:
        return "did you mean " + " or ".join(near) + "?"
    return "there are " + ", ".join(known) if len(known) <= 12 else f"see configs/{below}"

"""Config files by path, or by their name below the configs that come with the package."""

import difflib
import re
import shlex
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
    "vssl.feedback.heads": "vssl.feedback.task_heads",
    "vssl.feedback.tasks": "vssl.feedback.dense_tasks",
    "vssl.language.feedback": "vssl.language.answer_feedback",
    "vssl.language.learner": "vssl.language.causal_lm",
    "vssl.language.probe": "vssl.language.pass_at_1",
    "vssl.language.views": "vssl.language.token_views",
    "vssl.objectives.heads": "vssl.objectives.dino_head",
    "vssl.objectives.masks": "vssl.objectives.patch_masks",
    "vssl.probes.classification": "vssl.probes.image.classification",
    "vssl.probes.curves": "vssl.probes.dense.curves",
    "vssl.probes.dense_grid": "vssl.probes.dense.grid",
    "vssl.probes.depth": "vssl.probes.dense.depth",
    "vssl.probes.embedding": "vssl.probes.image.embedding",
    "vssl.probes.heads": "vssl.probes.dense.heads",
    "vssl.probes.linear_grid": "vssl.probes.image.linear_grid",
    "vssl.probes.losses": "vssl.probes.dense.losses",
    "vssl.probes.retrieval": "vssl.probes.image.retrieval",
    "vssl.probes.segmentation": "vssl.probes.dense.segmentation",
    "vssl.probes.transforms": "vssl.probes.dense.transforms",
    "vssl.views.plan": "vssl.views.view_plan",
    "vssl.views.policy": "vssl.views.view_policy",
}
_OLD_NAME = re.compile(rf"\b({'|'.join(map(re.escape, RENAMED))})\b")


class ConfigError(ValueError):
    """A config that cannot be run; the message names the file or key, and the fix."""


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
        ImportError: the file names a module by a name that it no longer has; the message has the new one, and the
            command that writes the new names into the file.
        ValueError: the file cannot be run; the message has the cause.
    """
    from mmengine.config import Config

    replace_package_queries()
    if old := sorted(set(_OLD_NAME.findall(Path(path).read_text(encoding="utf-8")))):
        told = " and ".join(f"{name}, which is now {RENAMED[name]}" for name in old)
        edits = "; ".join(rf"s/\b{re.escape(name)}\b/{RENAMED[name]}/g" for name in old)
        raise ImportError(f"{path} names {told}. Write new names there: perl -pi -e '{edits}' {shlex.quote(str(path))}")
    try:
        return Config.fromfile(str(path))
    except Exception as error:  # a config is a program: anything can go wrong in it
        raise ValueError(f"config {path} cannot be read ({type(error).__name__}: {error}){_cause(error)}") from error


def _cause(error: Exception) -> str:
    """What to do about the two that mmengine does not explain."""
    if "not found! It means" in str(error):
        return (
            "; elsewhere than beside the config that it was copied from, a config imports by full name: "
            "from vssl.configs.dino.vitb_ade20k import *"
        )
    if type(error) is RuntimeError and not error.args:
        return (
            "; what a config with read_base imports is a name alone and cannot be called in it: write "
            "dict(type=NAME, …) for what is to be built, and settings.to_dict() to copy settings"
        )
    return ""


def _advice(path: Path, below: str) -> str:
    known = sorted(p.relative_to(CONFIGS).with_suffix("").as_posix() for p in CONFIGS.rglob("[!_]*.py"))
    known = [name for name in known if name.startswith(below) and "_base_" not in name]
    near = difflib.get_close_matches(path.with_suffix("").as_posix().removeprefix("configs/"), known, n=3)
    if near:
        return "did you mean " + " or ".join(near) + "?"
    return "there are " + ", ".join(known) if len(known) <= 12 else f"see configs/{below}"

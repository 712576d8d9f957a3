"""What is exported: a backbone, and the run that made it, where there is one."""

from dataclasses import dataclass, field
from pathlib import Path

from vssl.learner import TimmBackbone, open_backbone
from vssl.learner.backbone_file import read_card
from vssl.whole_files import exported_file


@dataclass(frozen=True)
class Source:
    """A backbone in eval mode; `about` is the card in its file, {} for a file of others.

    run: the run directory that the file lies in, or None.
    """

    backbone: TimmBackbone
    about: dict = field(default_factory=dict)
    run: Path | None = None


def open_source(
    source: Path, model: str | None = None, checkpoint_key: str | None = None, model_args: dict | None = None
) -> Source:
    """Open a run directory, a ``backbone.safetensors``, or with `model` a checkpoint of others.

    Raises:
        FileNotFoundError, ValueError: see `open_backbone`.
    """
    path = exported_file(source)
    backbone = open_backbone(path, model, checkpoint_key=checkpoint_key, **(model_args or {}))
    if model is None:
        about = read_card(path)["card"]
        run = path.parent if (path.parent / "run.json").is_file() else None
    else:
        about, run = {"start": path.name, **({"checkpoint_key": checkpoint_key} if checkpoint_key else {})}, None
    return Source(backbone.eval().requires_grad_(False), about, run)

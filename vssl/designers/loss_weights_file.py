"""Learned weights of a loss as a file, and a designer that keeps to them in other runs, to the last bit."""

import math
from collections.abc import Mapping
from pathlib import Path

import yaml
from torch import nn

from vssl.designers.base import Designer
from vssl.designers.loss_weights import LossWeights
from vssl.known_keys import nearest, refuse_other_format, refuse_unknown
from vssl.views.recipes import Recipe
from vssl.whole_files import write_text

FORMAT, VERSION = "vssl-loss-weights", 1
_KEYS = ("format", "version", "note", "weights")


def save_loss_weights(designer: Designer, path: str | Path, note: str = "") -> None:
    """Writes what a `LossWeights` has learned, alone or in `Together`.

    Args:
        path: .yaml or .yml.
        note: kept in the file, e.g. the run that it comes from.

    Raises:
        ValueError: the designer has no `LossWeights`, or another name of the file.
    """
    learned = next((part for part in designer.modules() if isinstance(part, LossWeights)), None)
    if learned is None:
        raise ValueError(f"{type(designer).__name__} has no LossWeights that could be saved")
    document = {"format": FORMAT, "version": VERSION, "note": note, "weights": learned.learned()}
    write_text(_named(Path(path)), yaml.safe_dump(document, sort_keys=False))


class SavedLossWeights(LossWeights):
    """The weights of a file, fixed: from the first step they are what the run of the file ended with.

    In a config ``designer=dict(type=SavedLossWeights, path="weights.yaml")``, or as ``loss`` of `Together` beside a
    designer that learns. Weights multiply what the objective's settings count already, such as DINOv2's
    `koleo_weight`: keep those as they were in the run of the file.

    Args:
        path: a file of `save_loss_weights`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file, another version, an unknown key, fewer than two components, or a weight that is no
            number above 0.
    """

    def __init__(self, recipe: Recipe, path: str | Path):
        super().__init__(recipe, _read(Path(path)))
        self.path = path
        self.requires_grad_(False)

    def learned_numbers(self) -> tuple[list[dict[str, str]], list[nn.Parameter]]:
        return [], []

    def check(self, objective: nn.Module) -> None:
        """Raises ValueError unless the objective's loss has the components of the file, and no others."""
        known = objective.component_weights()
        kind = type(objective).__name__
        if unknown := [f"{name!r}{nearest(name, known)}" for name in self.start if name not in known]:
            raise ValueError(
                f"{self.path}: {kind}'s loss has no component {', '.join(unknown)}; it has {', '.join(known)}. The "
                "weights are of another objective, or of other settings of this one"
            )
        if missing := [name for name in known if name not in self.start]:
            raise ValueError(
                f"{self.path} has no weight of {', '.join(missing)}, which {kind}'s loss has too; give the objective "
                "the settings of the run that the weights come from"
            )


def _read(path: Path) -> dict[str, float]:
    if not _named(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; save_loss_weights writes it")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not readable as YAML: {error}") from error
    refuse_other_format(document, (FORMAT, VERSION), path, "a file of loss weights", "save_loss_weights")
    refuse_unknown(document, _KEYS, str(path))
    weights = document.get("weights")
    if not isinstance(weights, Mapping) or len(weights) < 2 or not all(map(_is_weight, weights.values())):
        raise ValueError(f"{path}: weights are {weights!r}; give two or more components, each with a number above 0")
    return {str(name): float(weight) for name, weight in weights.items()}


def _is_weight(weight: object) -> bool:
    return isinstance(weight, (int, float)) and not isinstance(weight, bool) and 0 < weight < math.inf


def _named(path: Path) -> Path:
    if path.suffix not in {".yaml", ".yml"}:
        raise ValueError(f"{path}: a file of loss weights ends in .yaml or .yml")
    return path

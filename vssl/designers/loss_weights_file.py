"""Learned weights of a loss as a file, and a designer that keeps to them in other runs, to the last bit."""

from pathlib import Path

from torch import nn

from vssl.designers.base import Designer
from vssl.designers.loss_weights import LossWeights
from vssl.known_keys import nearest
from vssl.number_file import NumberFile
from vssl.views.recipes import Recipe

_FILE = NumberFile("vssl-loss-weights", "weights", "components", "a file of loss weights", "save_loss_weights")


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
    _FILE.write(learned.learned(), path, note)


class SavedLossWeights(LossWeights):
    """The weights of a file, fixed: from the first step they are what the run of the file ended with.

    In a config ``designer=dict(type=SavedLossWeights, path="weights.yaml")``, or as ``loss`` of `Together` beside a
    designer that learns. Weights multiply what the objective's settings count already, such as DINOv2's
    `koleo_weight`: keep those as they were in the run of the file.

    Args:
        path: a file of `save_loss_weights`.

    Raises:
        FileNotFoundError, ValueError: see `NumberFile.read`.
    """

    def __init__(self, recipe: Recipe, path: str | Path):
        super().__init__(recipe, _FILE.read(path))
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

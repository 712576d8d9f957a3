"""The SSL losses, one file each, differentiable in the views.

An objective is registered by being here: every public subclass of `Objective` in a module of this package is a name of
the package (``from vssl.objectives import DINO``) and an entry of `OBJECTIVES`.
"""

from importlib import import_module
from pkgutil import iter_modules

from vssl.objectives.base import Objective


def _found() -> dict[str, type[Objective]]:
    classes = []
    for module in iter_modules(__path__):
        name = f"{__name__}.{module.name}"
        members = vars(import_module(name)).values()
        classes += [c for c in members if isinstance(c, type) and issubclass(c, Objective) and c.__module__ == name]
    return {c.__name__: c for c in classes if c is not Objective and not c.__name__.startswith("_")}


OBJECTIVES: dict[str, type[Objective]] = _found()
"""Every objective by its class's name."""

globals().update(OBJECTIVES)
__all__ = ["OBJECTIVES", "Objective", *sorted(OBJECTIVES)]

"""The SSL losses, one file each, differentiable in the views."""

from vssl.objectives.base import Objective
from vssl.objectives.dino import DINO
from vssl.objectives.mae import MAE
from vssl.objectives.simclr import SimCLR

__all__ = ["DINO", "MAE", "Objective", "SimCLR"]

"""simclr_fixed.py with a policy over the whole space: every number of the recipe, and every op that it does not use.

Nothing is chosen by hand: which numbers move is decided by how sure their gradients are (`vssl.designers.Garrote`).

Command:  python tools/train.py configs/scenes/simclr_whole.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/simclr_start.py)
Expected: docs/benchmark.md, "The whole space in three worlds"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.scenes_feedback import *
    from .simclr_fixed import *

from vssl.designers import Garrote, GlobalPolicy

recipe.update(extra="space")
designer = dict(type=GlobalPolicy, centres=False, gates="straight_through")
designer_optimizer = dict(type=Garrote, lr=0.3)
value.update(period=3, burn_in=20, freeze_after=140)

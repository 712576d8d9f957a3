"""MAE whose hidden patches are chosen by the credit of each hidden patch (docs/value.md#credit).

Command:  python tools/train.py configs/scenes/mae_start.py --work-dir runs/mae_start
          python tools/train.py configs/scenes/mae_token_mask.py --cfg-options continue_run=runs/mae_start
          (whose recipe, objective and decoder this continues)
Expected: not yet measured
"""

from mmengine.config import read_base

with read_base():
    from .._base_.scenes_feedback import *
    from .mae_start import *

from vssl.designers import TokenMask

designer = dict(type=TokenMask, patch_size=4, entropy=0.01)
# A meta step that costs less than a learner step: docs/value.md, "What a run costs".
backbone.update(aligned_blocks=1)
value.update(batch_size=16, g_down_every=15)

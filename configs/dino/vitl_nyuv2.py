"""DINOv3 ViT-L, settings selected for NYUv2: V-Pretraining (arXiv 2601.22108, the row of its settings table).

Command:  python tools/train.py configs/dino/vitl_nyuv2.py
          at the baseline's wall-clock: --cfg-options budget.seconds=S, S from run.json of vitl_nyuv2_fixed.py
Data:     ImageNet-1k, ADE20K, NYUv2 (data/README.md); the released DINOv3 weights through timm (their own licence)
Memory:   not yet measured
Expected: paper: 0.5522 m RMSE; not yet run here
"""

from mmengine.config import read_base

with read_base():
    from .._base_.dino_feedback import *
    from .vitl_nyuv2_fixed import *

from vssl.designers import UNetMask

# The designed crops make the teacher's targets too: without that path φ's gradient is not the value's.
objective.update(flow_through_teacher=True)
designer = dict(type=UNetMask, keep_ratio=0.4, sparsity=0.401, smoothness=0.159)
designer_optimizer.update(lr=8.03e-4)
value.update(period=2, batch_size=32)
value.combine.weights.update(segmentation=32.0, depth=16.0)

"""DINOv3 ViT-L, settings selected for ADE20K: V-Pretraining (arXiv 2601.22108, the row of its settings table).

Command:  python tools/train.py configs/dino/vitl_ade20k.py
          at the baseline's wall-clock: --cfg-options budget.seconds=S, S from run.json of vitl_ade20k_fixed.py
Data:     ImageNet-1k, ADE20K, NYUv2 (data/README.md); the released DINOv3 weights through timm (their own licence)
Memory:   not yet measured
Expected: paper: 52.47 mIoU; not yet run here
"""

from mmengine.config import read_base

with read_base():
    from .._base_.dino_feedback import *
    from .vitl_ade20k_fixed import *

from vssl.designers import UNetMask

# The designed crops make the teacher's targets too: without that path φ's gradient is not the value's.
objective.update(flow_through_teacher=True)
designer = dict(type=UNetMask, keep_ratio=0.5, sparsity=0.196, smoothness=0.0399)
designer_optimizer.update(lr=2.17e-4)
value.update(period=4, batch_size=16)
value.combine.weights.update(segmentation=4.0, depth=1.0)

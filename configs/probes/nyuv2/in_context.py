"""NYUv2 depth in context: nothing is trained, a memory of training patches answers.

Command:  python tools/probe.py configs/probes/nyuv2/in_context.py --model vit_base_patch16_dinov3.lvd1689m
Data:     data/nyuv2 (tools/prepare_data.py nyuv2)
Memory:   not measured
Expected: not yet measured
Source:   arXiv 2306.01667: a patch's label is the mean depth of its pixels. k and temperature are those that its open
          reproduction (github.com/vpariza/open-hummingbird-eval) has for segmentation
Ours:     - patches of a memory that does not hold all are drawn uniformly
          - training images are remembered once, without augmentation
"""

from mmengine.config import read_base

with read_base():
    from ..._base_.probe_in_context import *
    from ..._base_.probe_nyuv2 import *

from vssl.probes.dense.in_context import InContextDepthProbe

train.update(pipeline=[load, metres, full, pack])
probes = dict(
    nyuv2_in_context=dict(
        type=InContextDepthProbe,
        train=train,
        val=val,
        size=image,
        **in_context,
        min_depth=1e-3,
        max_depth=10.0,
        eigen_crop=True,
        open_range=True,
        **efficiency,
    )
)

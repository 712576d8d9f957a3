"""ADE20K segmentation in context: nothing is trained, a memory of training patches answers.

Command:  python tools/probe.py configs/probes/ade20k/in_context.py --model vit_base_patch16_dinov3.lvd1689m
Data:     data/ade20k: 20 210 training and 2 000 validation images (tools/prepare_data.py ade20k)
Memory:   not measured. 10 240 000 patches of width 768 with their shares of 150 classes are 38 GB on the device
          (memory=1_024_000: 3.8 GB)
Expected: not yet measured
Source:   arXiv 2306.01667 and its reproduction github.com/vpariza/open-hummingbird-eval: k 30, temperature 0.02,
          512×512 px, 10 240 000 patches, rare classes first
Ours:     - training images are remembered once, without augmentation; both take two augmented epochs
          - unlabeled pixels count for nothing; the reproduction takes them for class 0
          - mIoU at the label files' own size, search over all of the memory
"""

from mmengine.config import read_base

with read_base():
    from ..._base_.probe_ade20k import *
    from ..._base_.probe_in_context import *

from vssl.probes.dense.in_context import InContextSegmentationProbe

resize = dict(type=Resize, scale=crop)
train.update(pipeline=[load, labels, resize, pack])
val.update(pipeline=[load, resize, labels, pack])
probes = dict(
    ade20k_in_context=dict(
        type=InContextSegmentationProbe,
        train=train,
        val=val,
        size=crop,
        **in_context,
        **efficiency,
    )
)

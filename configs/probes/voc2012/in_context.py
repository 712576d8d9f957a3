"""PASCAL VOC 2012 segmentation in context: nothing is trained, a memory of training patches answers.

Command:  python tools/probe.py configs/probes/voc2012/in_context.py --model vit_base_patch16_224.dino \
              --model-args img_size=512
Data:     as linear.py
Memory:   not measured. 10 240 000 patches of width 768 with their shares of 21 classes are 32 GB in the device's memory
Expected: DINO ViT-B/16: 55.9 mIoU (paper), 55.7 (its reproduction); DINOv2 ViT-B/14 at 504 px: 76.9 (reproduction).
          All remember two augmented epochs. Not run here
Source:   arXiv 2306.01667; github.com/vpariza/open-hummingbird-eval, whose table these numbers are from
Ours:     configs/probes/ade20k/in_context.py. Borders (255) count for nothing in the memory
"""

from mmengine.config import read_base

with read_base():
    from ..._base_.probe_in_context import *
    from .linear import *

from vssl.probes.dense.in_context import InContextSegmentationProbe

resize = dict(type=Resize, scale=crop)
train.update(pipeline=[load, labels, resize, pack])
val.update(pipeline=[load, resize, labels, pack])
probes = dict(
    voc2012_in_context=dict(
        type=InContextSegmentationProbe,
        train=train,
        val=val,
        size=crop,
        **in_context,
        **efficiency,
    )
)

"""A linear head on segmentation sets beside ADE20K: configs/probes/{voc2012,cityscapes,coco_stuff}/linear.py.

Head, losses and schedule are those that DINOv3 has for ADE20K (configs/probes/ade20k/dinov3.py). Its own settings for
other sets are not in the code that was followed, so that scores are no repetition of published ones.
"""

from mmengine.config import read_base

with read_base():
    from ..probes.ade20k.dinov3 import *

linear = ade20k

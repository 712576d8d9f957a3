"""Feedback from NYUv2's training images: 13 classes and depth, 704 labeled images each; the rule is that of the scenes.

The images are 256 px and more on the short side, and crops of 64 px are drawn from a tenth to all of them: what is near
the size at which probes see them, and what shows a room.
"""

from mmengine.config import read_base

with read_base():
    from .scenes_feedback import designer_optimizer, feedback, value

feedback["tasks"]["segmentation"].update(num_classes=13)
for _task, _folder in (("segmentation", "nyuv2_seg13"), ("depth", "nyuv2")):
    feedback["pools"][_task].update(train=512, meta=192, batch_size=64, meta_batch_size=192)
    feedback["pools"][_task]["dataset"].update(root=f"data/photos/{_folder}")
    feedback["pools"][_task]["dataset"]["transform"].update(size=64, scale=(0.1, 1.0))
del _task, _folder

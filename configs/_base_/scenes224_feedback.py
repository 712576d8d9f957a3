"""Feedback of the 32-px study at 224 px: its pools, evaluator and rule, with the paper's period and meta batch."""

from mmengine.config import read_base

with read_base():
    from .scenes_feedback import feedback, value

for _task, _layout in (("segmentation", "ade20k"), ("depth", "nyuv2")):
    feedback["pools"][_task].update(batch_size=32, meta_batch_size=32)
    feedback["pools"][_task]["dataset"].update(root=f"data/scenes224/{_layout}")
    feedback["pools"][_task]["dataset"]["transform"].update(size=224)
del _task, _layout
value.update(period=4, burn_in=4, freeze_after=None, batch_size=32)

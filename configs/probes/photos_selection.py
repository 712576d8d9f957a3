"""configs/probes/photos.py within NYUv2's training images: heads of the first 636, scores of the other 159.

    python tools/probe.py configs/probes/photos_selection.py --backbone runs/NAME/backbone.safetensors

Numbers follow the recordings, so that neighbouring frames of a room stay on one side. For choosing settings.
"""

from mmengine.config import read_base

with read_base():
    from .photos import *

_first = 636
probes = {name: probes[name] for name in ("segmentation", "depth")}
for _probe in probes.values():
    _train, _val = _probe["train"], _probe["val"]
    _val.update(data_prefix=_train["data_prefix"], indices=list(range(_first, 795)))
    _train.update(indices=list(range(_first)))
del _probe, _train, _val

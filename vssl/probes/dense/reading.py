"""Dense probes decode images as training does: mmseg's own reader is replaced wherever a pipeline names it.

OpenCV, which mmcv reads with, takes 16-bit grey, float and truncated files for something else than Pillow does: the
same folder would be one set of images to the feedback and another to the probe.
"""

import copy
from pathlib import Path

from mmcv.transforms import BaseTransform
from mmengine.config import ConfigDict

from vssl.datasets.files import read_image

REPLACED = "LoadImageFromFile"


class ReadImage(BaseTransform):
    """mmseg's `LoadImageFromFile` through `vssl.datasets.files.read_image`: (H, W, 3) uint8, BGR, upright.

    Raises:
        UnreadableImage: names the file.
    """

    def transform(self, results: dict) -> dict:
        rgb = read_image(Path(results["img_path"]))
        results["img"] = rgb[:, :, ::-1].copy()
        results["img_shape"] = results["ori_shape"] = rgb.shape[:2]
        return results


def with_own_reader(pipeline: list[dict]) -> list[dict]:
    """The pipeline with `ReadImage` in the place of mmseg's reader.

    Raises:
        ValueError: the reader was given settings that `ReadImage` does not have.
    """
    steps = []
    for step in pipeline:
        if _name(step) == REPLACED:
            if settings := sorted(step.keys() - {"type"}):
                raise ValueError(
                    f"{REPLACED} with {', '.join(settings)}: images are read by vssl's own decoder; leave them away"
                )
            step = ConfigDict(type=ReadImage) if isinstance(step, ConfigDict) else {"type": ReadImage}
        steps.append(copy.deepcopy(step))
    return steps


def _name(step: dict) -> str:
    kind = step["type"]
    return (kind if isinstance(kind, str) else kind.__name__).rsplit(".", 1)[-1]

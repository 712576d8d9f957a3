"""Dense probes decode images and depth as training does: mmseg's own readers are replaced where a pipeline names them.

OpenCV, which mmcv reads with, takes 16-bit grey, float and truncated files for something else than Pillow does: the
same folder would be one set of images to the feedback and another to the probe.
"""

import copy
from pathlib import Path

import numpy as np
from mmcv.transforms import BaseTransform

from vssl.datasets.files import read_depth, read_image


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


class ReadDepth(BaseTransform):
    """mmseg's `LoadDepthAnnotation` through `vssl.datasets.files.read_depth`: (H, W) float32.

    Args:
        depth_rescale_factor: metres in one step of the values, where the dataset's `depth_scale` does not say it.

    Raises:
        UnreadableImage: names the file.
    """

    def __init__(self, depth_rescale_factor: float = 1.0, to_float32: bool = True):
        self.factor = depth_rescale_factor

    def transform(self, results: dict) -> dict:
        factor = 1 / results["depth_scale"] if "depth_scale" in results else self.factor
        results["gt_depth_map"] = read_depth(Path(results["depth_map_path"])).astype(np.float32) * np.float32(factor)
        results["seg_fields"].append("gt_depth_map")
        results["depth_rescale_factor"] = factor
        return results


# mmseg's reader -> ours, and what it may be told
_OURS = {
    "LoadImageFromFile": (ReadImage, set()),
    "LoadDepthAnnotation": (ReadDepth, {"depth_rescale_factor", "to_float32"}),
}


def with_own_reader(pipeline: list[dict]) -> list[dict]:
    """The pipeline with `ReadImage` and `ReadDepth` in the place of mmseg's readers.

    Raises:
        ValueError: a reader was given settings that ours does not have.
    """
    steps = []
    for step in pipeline:
        if _name(step) in _OURS:
            reader, allowed = _OURS[_name(step)]
            if settings := sorted(step.keys() - {"type"} - allowed):
                raise ValueError(
                    f"{_name(step)} with {', '.join(settings)}: files are read by vssl's own decoder; leave them away"
                )
            step = type(step)({**step, "type": reader})
        steps.append(copy.deepcopy(step))
    return steps


def _name(step: dict) -> str:
    kind = step["type"]
    return (kind if isinstance(kind, str) else kind.__name__).rsplit(".", 1)[-1]

"""From an image to its prediction: whole or in windows, averaged over scales and flips."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from mmseg.models.segmentors import DepthEstimator, EncoderDecoder
from mmseg.models.utils import resize
from torch import Tensor
from torch.nn import functional as F

MODES = {"whole": (), "slide": ("crop_size", "stride")}


def inference_settings(config: dict | None) -> dict:
    """A probe's `inference`, checked, with its defaults: whole image, one scale, no flip.

    Args:
        config: ``mode="whole"``, or ``mode="slide"`` with ``crop_size`` and ``stride`` as (height, width), px. Further
            ``scales``, factors of the input's size, and ``flip=True`` for left and right as well; predictions of all
            of them are averaged.

    Raises:
        ValueError: unknown or missing keys, or windows that would leave gaps.
    """
    config = {"mode": "whole", "scales": [1.0], "flip": False, **(config or {})}
    if config["mode"] not in MODES:
        raise ValueError(f"inference mode={config['mode']!r}; one of {list(MODES)} is needed")
    expected = {"mode", "scales", "flip", *MODES[config["mode"]]}
    if set(config) != expected:
        raise ValueError(f"inference has {sorted(config)}; mode {config['mode']!r} takes {sorted(expected)}")
    if not config["scales"] or min(config["scales"]) <= 0:
        raise ValueError(f"inference scales={config['scales']}; positive factors are needed")
    if config["mode"] == "slide" and any(
        not 0 < stride <= crop for stride, crop in zip(config["stride"], config["crop_size"], strict=True)
    ):
        raise ValueError(f"inference stride={config['stride']} must be in 1..crop_size={config['crop_size']}, or gaps")
    return config


class _Averaging(EncoderDecoder, ABC):
    """mmseg's inference over several looks at an image.

    Replaces mmseg's `inference` (its depth estimator runs slide mode, then overwrites it with whole-image:
    depth_estimator.py:324). Each look is scaled, predicted, scaled back, flipped back, and averaged.
    """

    def inference(self, inputs: Tensor, batch_img_metas: Sequence[dict]) -> Tensor:
        looks = [
            (scale, flip) for scale in self.test_cfg["scales"] for flip in (False, True)[: 1 + self.test_cfg["flip"]]
        ]
        outputs = (self._look(inputs, batch_img_metas, *look) for look in looks)
        first = next(outputs)
        return first if len(looks) == 1 else sum(map(self.averaged, outputs), self.averaged(first)) / len(looks)

    def _look(self, inputs: Tensor, metas: Sequence[dict], scale: float, flip: bool) -> Tensor:
        size = inputs.shape[2:]
        images = inputs.flip(3) if flip else inputs
        if scale != 1:
            images = F.interpolate(images, size=[max(round(side * scale), 1) for side in size], mode="bilinear")
        # A torch.Size is what mmseg's heads enlarge their output to; the metas are copied because slide changes them.
        metas = [{**meta, "img_shape": images.shape[2:]} for meta in metas]
        way = self.slide_inference if self.test_cfg["mode"] == "slide" else self.whole_inference
        output = resize(way(images, metas), size=size, mode="bilinear", align_corners=self.align_corners)
        return output.flip(3) if flip else output

    @staticmethod
    @abstractmethod
    def averaged(output: Tensor) -> Tensor:
        """What of a prediction is averaged over looks."""


class Segmentor(_Averaging):
    """Class logits. Windows average logits; looks average probabilities, as mmseg did when the papers used it."""

    @staticmethod
    def averaged(output: Tensor) -> Tensor:
        return torch.softmax(output, dim=1)


class DepthSegmentor(_Averaging, DepthEstimator):
    """Metres, averaged as they are."""

    @staticmethod
    def averaged(output: Tensor) -> Tensor:
        return output

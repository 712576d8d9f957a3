"""Pipeline steps that mmseg lacks."""

from collections.abc import Callable

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmseg.datasets.transforms import PhotoMetricDistortion
from torchvision.transforms import functional as T


class NYUCrop(BaseTransform):
    """Cut off the white frame of NYUv2's images: columns 43..608, rows 45..472 of 640×480, scaled with the image.

    The box of AdaBins' code, which the depth probes of DINOv2 and DINOv3 train on. Edges are cut to whole pixels
    towards the top and left. Crops the image and every label.
    """

    left, top, right, bottom = 43, 45, 608, 472

    def transform(self, results: dict) -> dict:
        height, width = results["img"].shape[:2]
        rows = slice(self.top * height // 480, self.bottom * height // 480)
        columns = slice(self.left * width // 640, self.right * width // 640)
        for key in ("img", *results.get("seg_fields", [])):
            results[key] = results[key][rows, columns]
        results["img_shape"] = results["img"].shape[:2]
        return results


class KITTICrop(BaseTransform):
    """The lower middle of KITTI's images, 352 rows and 1216 columns, where the laser measures. Crops every label too.

    Of smaller images all is kept in that direction.
    """

    height, width = 352, 1216

    def transform(self, results: dict) -> dict:
        height, width = results["img"].shape[:2]
        rows = slice(max(height - self.height, 0), height)
        left = max(width - self.width, 0) // 2
        columns = slice(left, left + min(self.width, width))
        for key in ("img", *results.get("seg_fields", [])):
            results[key] = results[key][rows, columns]
        results["img_shape"] = results["img"].shape[:2]
        return results


class ColorAug(BaseTransform):
    """Gamma, brightness, and a factor for each channel, of the depth probes of DINOv2 and DINOv3 (after AdaBins).

    With probability `prob` image^γ · brightness · colour, clipped, on values 0..255, so that γ changes the brightness
    most: 0.9 and 1.1 take 128 to 79 and 208. The image becomes float32.

    Args:
        gamma_range, brightness_range, color_range: factors are uniform in them; three of the last.
    """

    def __init__(
        self,
        prob: float = 0.5,
        gamma_range: tuple[float, float] = (0.9, 1.1),
        brightness_range: tuple[float, float] = (0.75, 1.25),
        color_range: tuple[float, float] = (0.9, 1.1),
    ):
        self.prob, self.gamma, self.brightness, self.color = prob, gamma_range, brightness_range, color_range

    def transform(self, results: dict) -> dict:
        if np.random.rand() < self.prob:
            gamma, brightness = np.random.uniform(*self.gamma), np.random.uniform(*self.brightness)
            colors = np.random.uniform(*self.color, size=3)
            image = results["img"].astype(np.float32) ** gamma * brightness * colors
            results["img"] = image.clip(0, 255).astype(np.float32)
        return results


class TorchvisionDistortion(PhotoMetricDistortion):
    """mmseg's photometric distortion with torchvision's saturation and hue, as in DINOv3's segmentation probe.

    Saturation blends with the gray image in place of scaling HSV's S. Hue moves by up to ± half a turn; mmseg's by
    ± 0.1.
    """

    def saturation(self, img: np.ndarray) -> np.ndarray:
        return self._sometimes(img, T.adjust_saturation, self.saturation_lower, self.saturation_upper)

    def hue(self, img: np.ndarray) -> np.ndarray:
        return self._sometimes(img, T.adjust_hue, -0.5, 0.5)

    def _sometimes(self, img: np.ndarray, change: Callable, low: float, high: float) -> np.ndarray:
        if not np.random.randint(2):
            return img
        rgb = torch.from_numpy(img[..., ::-1].copy()).permute(2, 0, 1)
        return change(rgb, np.random.uniform(low, high)).permute(1, 2, 0).numpy()[..., ::-1].copy()

"""Augmentations of the published probes."""

import numpy as np
import pytest
import torch
from torchvision.transforms import functional as T

from vssl.probes.dense.transforms import ColorAug, TorchvisionDistortion


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)


def test_color_aug_is_gamma_brightness_and_channels_on_0_to_255():
    np.random.seed(3)
    out = ColorAug(prob=1.0)(dict(img=picture()))["img"]
    np.random.seed(3)
    np.random.rand()
    gamma, brightness = np.random.uniform(0.9, 1.1), np.random.uniform(0.75, 1.25)
    colors = np.random.uniform(0.9, 1.1, 3)
    expected = np.clip(picture().astype(float) ** gamma * brightness * colors, 0, 255)
    np.testing.assert_allclose(out, expected, rtol=1e-5)
    assert out.dtype == np.float32


def test_color_aug_leaves_half_of_the_images():
    np.random.seed(0)
    kept = [np.array_equal(ColorAug()(dict(img=picture()))["img"], picture()) for _ in range(400)]
    assert np.mean(kept) == pytest.approx(0.5, abs=0.07)


def test_hue_moves_by_up_to_half_a_turn_and_saturation_is_torchvisions():
    distortion, rgb = TorchvisionDistortion(), torch.from_numpy(picture()[..., ::-1].copy()).permute(2, 0, 1)
    for name, change, low, high in (
        ("hue", T.adjust_hue, -0.5, 0.5),
        ("saturation", T.adjust_saturation, 0.5, 1.5),
    ):
        changed = 0
        for seed in range(8):
            np.random.seed(seed)
            out = getattr(distortion, name)(picture())
            np.random.seed(seed)
            if np.random.randint(2):
                expected = change(rgb, np.random.uniform(low, high)).permute(1, 2, 0).numpy()[..., ::-1]
                changed += 1
            else:
                expected = picture()
            assert np.array_equal(out, expected)
        assert 0 < changed < 8

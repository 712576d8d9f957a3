"""Surface normals as feedback: the direction that each pixel's surface faces, in the camera's frame.

Files are 8-bit RGB PNG: round(255 × (n + 1) / 2) for n = (x, y, z) of length 1, x to the right of the image, y up,
z towards the camera; (0, 0, 0) = missing. ROOT/annotations/SPLIT/NAME.png lies beside ROOT/images/SPLIT/NAME.jpg.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from vssl.datasets import AnnotatedImages
from vssl.datasets.files import read_image
from vssl.datasets.labeled import channels_first
from vssl.feedback.base import FeedbackTask, checked_stride, every, mean_over
from vssl.feedback.task_heads import LinearHead

# Of a stored vector. 8 bits change the length of a unit vector by less than 1 %; averaged pixels are shorter.
LENGTHS = (0.9, 1.1)
ENCODING = "Write round(255 × (n + 1) / 2), x right, y up, z towards the camera, as 8-bit RGB PNG; (0, 0, 0) = missing"


def encode_normals(normals: Float[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """Unit normals as pixels of the file; zero vectors, which mean missing, as black."""
    pixels = np.round(255 * (np.clip(normals, -1, 1) + 1) / 2).astype(np.uint8)
    return np.where(np.any(normals != 0, -1, keepdims=True), pixels, np.uint8(0))


def decode_normals(pixels: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "H W 3"]:
    """Unit normals of the file's pixels; zeros where the pixel is missing or holds no unit vector."""
    vectors = pixels.astype(np.float32) * np.float32(2 / 255) - 1
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where((length >= LENGTHS[0]) & (length <= LENGTHS[1]), vectors / np.maximum(length, 1e-6), np.float32(0))


class NormalImages(AnnotatedImages):
    """Items are (image, normals): (3, H, W) uint8 and (3, H, W) float32 unit vectors, zeros = missing.

    A left-right flip turns x around. Arguments and errors: see `AnnotatedImages`.
    """

    splits = ("train", "test")

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[UInt8[Tensor, "3 H W"], Float32[Tensor, "3 H W"]]:
        image, normals = self._arrays(key)
        return channels_first(image), channels_first(normals)

    def _read(self, path: Path) -> np.ndarray:
        return decode_normals(read_image(path))

    @staticmethod
    def mirrored(normals: np.ndarray) -> np.ndarray:
        """Of normals whose pixels were flipped left to right, (H, W, 3): x points the other way."""
        return normals * np.array([-1, 1, 1], normals.dtype)


class SurfaceNormals(FeedbackTask):
    """Mean of 1 - cosine between predicted and true normal over valid pixels; score: mean angular error in degrees.

    Args:
        dim: width of the backbone's tokens.
        label_stride: the loss looks at every n-th label pixel in both directions; neighbours say almost the same.
    """

    score_unit, higher_is_better = "°", False

    def __init__(self, dim: int, label_stride: int = 1):
        super().__init__()
        self.label_stride = checked_stride(label_stride)
        self.head = LinearHead(dim, 3)

    def loss(
        self, features: Float[Tensor, "batch dim rows columns"], normals: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, ""]:
        cosine, valid = self._cosine(features, every(normals, self.label_stride))
        return mean_over((1 - cosine)[valid].sum(), valid.sum().float())

    def score(
        self, features: Float[Tensor, "batch dim rows columns"], normals: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, ""]:
        """Mean angular error in degrees over valid pixels, all of them whatever `label_stride` is."""
        cosine, valid = self._cosine(features, normals)
        degrees = torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))
        return mean_over(degrees[valid].sum(), valid.sum().float())

    def targets(
        self, normals: Float[Tensor, "batch 3 height width"], grid: tuple[int, int]
    ) -> tuple[Float[Tensor, "batch 3 rows columns"], Bool[Tensor, "batch rows columns"]]:
        """Normals in the middles of the grid's cells, and which of them count."""
        normals = F.interpolate(normals, grid, mode="nearest-exact")
        return normals, _valid(normals)

    def check_files(self, paths: Sequence[Path], dataset: Dataset) -> str:
        """Raises ValueError when most pixels of a file hold no unit vector, or most vectors face away."""
        for path in paths:
            pixels = read_image(path)
            present, normals = pixels.any(-1), decode_normals(pixels)
            if present.any() and not (normals[present] != 0).any(-1).mean() > 0.5:
                raise ValueError(f"{path}: most pixels hold no vector of length 1. {ENCODING}")
            if np.median(normals[..., 2][present] if present.any() else 1) < 0:
                raise ValueError(f"{path}: most normals point away from the camera, z < 0. {ENCODING}")
        return ""

    def check(self, normals: Float[Tensor, "3 height width"], where: str) -> None:
        """Raises ValueError when no pixel is valid: nothing could be learned from it."""
        if normals.ndim != 3 or len(normals) != 3 or not _valid(normals[None]).any():
            raise ValueError(f"{where}: no normal of length 1 in labels of shape {tuple(normals.shape)}. {ENCODING}")

    def _cosine(self, features: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
        predicted = F.interpolate(self.head(features).float(), normals.shape[-2:], mode="bilinear")
        return F.cosine_similarity(predicted, normals, dim=1), _valid(normals)


def _valid(normals: Float[Tensor, "batch 3 height width"]) -> Bool[Tensor, "batch height width"]:
    return (normals != 0).any(1)

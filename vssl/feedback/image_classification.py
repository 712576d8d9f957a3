"""Image classification as feedback: folders of classes, and a linear classifier on the mean of the patch tokens."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from vssl.data_folders import found_in
from vssl.datasets import JointTransform
from vssl.datasets.class_folders import class_folders
from vssl.datasets.files import read_image
from vssl.datasets.labeled import channels_first
from vssl.datasets.sampler import index_and_position
from vssl.feedback.base import FeedbackTask, mean_over
from vssl.feedback.task_heads import LinearHead


class ClassFolders(Dataset):
    """ROOT/SPLIT/CLASS/…/NAME.jpg. Items are (image, label): (3, H, W) uint8 and () int64.

    Labels number the folders in ROOT/SPLIT in the order of their names (torchvision's ImageFolder). An image's folder
    is its label, so that the image is its own label file.

    Args:
        transform: of the image; None keeps it as it is, and all images must then have one size.
        in_memory: decode each file once and keep it (in each worker process); for a few hundred images.

    Raises:
        FileNotFoundError: no such folder, or a class without images.
        ValueError: fewer than two classes, or folders that are splits.
        UnreadableImage: (when an item is read) a broken file.
    """

    def __init__(
        self, root: str | Path, split: str = "train", transform: JointTransform | None = None, in_memory: bool = False
    ):
        self.root, self.split, self.transform = Path(root), split, transform
        folder = self.root / split
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder ({self.root} holds: {found_in(self.root)})")
        self.classes, self._items = class_folders(folder, least=2)
        self._decoded: dict[int, np.ndarray] | None = {} if in_memory else None

    def __len__(self) -> int:
        return len(self._items)

    def paths(self, index: int) -> tuple[Path, Path]:
        """The file behind an index, as image and as label."""
        return self._items[index][0], self._items[index][0]

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[UInt8[Tensor, "3 H W"], Int[Tensor, ""]]:
        index, position = index_and_position(key)
        image = self._image(index)
        if self.transform is not None:
            image, _ = self.transform(image, None, position)
        return channels_first(image), torch.tensor(self._items[index][1])

    def _image(self, index: int) -> np.ndarray:
        if self._decoded is None:
            return read_image(self._items[index][0])
        if index not in self._decoded:
            self._decoded[index] = read_image(self._items[index][0])
        return self._decoded[index]


class Classification(FeedbackTask):
    """Cross-entropy of a linear classifier on the mean patch token; score: top-1 accuracy in percent.

    Evaluator ``"ridge"`` has one row an image here: give `head_steps` × `batch_size` several times `dim` images, or it
    fits them without error and g_down is large and empty. With fewer images take ``"heads"``.

    Args:
        dim: width of the backbone's tokens.
        num_classes: number of classes C; labels are 0..C-1. A config may leave it out: then it is the folders' number.
    """

    score_unit, higher_is_better = "%", True

    @classmethod
    def stated_by(cls, dataset: Dataset) -> dict[str, Any]:
        """The number of class folders."""
        return {"num_classes": len(classes)} if (classes := getattr(dataset, "classes", ())) else {}

    def __init__(self, dim: int, num_classes: int):
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"classification: num_classes={num_classes}, expected 2 or more")
        self.num_classes = num_classes
        self.head = LinearHead(dim, num_classes)

    def regressed(self, features: Float[Tensor, "batch dim rows columns"]) -> Float[Tensor, "batch dim 1 1"]:
        """The mean patch token of each image."""
        return features.mean((2, 3), keepdim=True)

    def loss(
        self, features: Float[Tensor, "batch dim rows columns"], labels: Int[Tensor, "batch"]
    ) -> Float[Tensor, ""]:
        total = F.cross_entropy(self._logits(features), labels, reduction="sum")
        return mean_over(total, total.new_tensor(float(len(labels))))

    def score(
        self, features: Float[Tensor, "batch dim rows columns"], labels: Int[Tensor, "batch"]
    ) -> Float[Tensor, ""]:
        """Top-1 accuracy in percent."""
        right = (self._logits(features).argmax(1) == labels).float()
        return 100 * mean_over(right.sum(), right.new_tensor(float(len(labels))))

    def targets(
        self, labels: Int[Tensor, "batch"], grid: tuple[int, int]
    ) -> tuple[Float[Tensor, "batch classes 1 1"], Bool[Tensor, "batch 1 1"]]:
        """One-hot labels, all of which count."""
        one_hot = F.one_hot(labels, self.num_classes).float()
        return one_hot[:, :, None, None], torch.ones(len(labels), 1, 1, dtype=torch.bool, device=labels.device)

    def check(self, labels: Int[Tensor, ""], where: str) -> None:
        """Raises ValueError when the label is not in 0..C-1."""
        if labels.ndim or not 0 <= int(labels) < self.num_classes:
            given = f"shape {tuple(labels.shape)}" if labels.ndim else f"label {int(labels)}"
            raise ValueError(
                f"{where}: {given}, expected one number in 0..{self.num_classes - 1}. "
                "Set num_classes to the number of class folders"
            )

    def _logits(self, features: Tensor) -> Tensor:
        return self.head(self.regressed(features)).flatten(1).float()

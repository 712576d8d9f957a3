"""What a downstream task is: its head, loss, targets and score, and how its labels are checked.

A new task is one file: a dataset that reads and augments the labels, and a `FeedbackTask` that checks and scores them
(docs/extending.md).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.data import Dataset

from vssl.distributed import average


class FeedbackTask(nn.Module, ABC):
    """A downstream task that values a step. Its first argument is `dim`, the width of the backbone's tokens.

    `features` are always the backbone's patch tokens as a map, (batch, dim, rows, columns); `labels` are a batch of the
    labels that the pool's dataset gives, of any shape: a map, or one value an image.

    Attributes:
        label_kind: what the mask analysis makes of the labels: ``"classes"`` (H, W), ``"metres"`` (H, W), or None for
            nothing.
        score_unit: unit of `score`.
        higher_is_better: direction of `score`.
    """

    label_kind: ClassVar[str | None] = None
    score_unit: ClassVar[str]
    higher_is_better: ClassVar[bool]

    @classmethod
    def stated_by(cls, dataset: Dataset) -> dict[str, Any]:
        """Arguments of the constructor that the pool's dataset knows; those that a config names come before them."""
        return {}

    @abstractmethod
    def loss(self, features: Float[Tensor, "batch dim rows columns"], labels: Tensor) -> Float[Tensor, ""]:
        """Loss of the head, the mean over all valid labels of all ranks (`mean_over`); differentiable in features."""

    @abstractmethod
    def score(self, features: Float[Tensor, "batch dim rows columns"], labels: Tensor) -> Float[Tensor, ""]:
        """What the field reports for the task, in `score_unit`: the mean over the batch's valid labels."""

    @abstractmethod
    def check(self, labels: Tensor, where: str) -> None:
        """Raises ValueError, with `where` and the fix, when one image's label is not what the task takes."""

    def check_files(self, paths: Sequence[Path], dataset: Dataset) -> str:
        """Raises ValueError for what only the whole set of label files shows; nothing by default.

        Args:
            dataset: the pool's, which may know what the numbers in its files mean.

        Returns: a line for the log about what the files hold, or "".
        """
        return ""

    def regressed(self, features: Float[Tensor, "batch dim rows columns"]) -> Float[Tensor, "batch dim r c"]:
        """The features that the ridge evaluator regresses `targets` on: every patch by default."""
        return features

    def targets(
        self, labels: Tensor, grid: tuple[int, int]
    ) -> tuple[Float[Tensor, "batch values r c"], Bool[Tensor, "batch r c"]]:
        """Real values on the grid (r, c) of `regressed`, and which of them count; for the ridge evaluator alone."""
        raise TypeError(f"{type(self).__name__} has no targets for evaluator='ridge'; use 'heads'")

    @property
    def has_targets(self) -> bool:
        """Whether the task can be solved by ``evaluator="ridge"``."""
        return type(self).targets is not FeedbackTask.targets


def mean_over(total: Tensor, count: Tensor) -> Tensor:
    """total / count, where `count` is taken over all ranks: the mean over the whole batch once ranks are averaged."""
    (count,) = average([count])
    return total / count.clamp_min(1.0)


def every(labels: Tensor, stride: int) -> Tensor:
    """Labels in the middles of stride×stride squares; the last two dimensions are rows and columns."""
    return labels[..., stride // 2 :: stride, stride // 2 :: stride]


def checked_stride(stride: int) -> int:
    """`stride`, in pixels of the labels; ValueError below 1."""
    if stride < 1:
        raise ValueError(f"label_stride={stride} must be 1 or more")
    return stride

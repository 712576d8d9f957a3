"""g_down from every label: heads are fitted on some of the images and the gradient is taken on the others, by turns.

The gradient comes in groups of images, so that one can ask how much it depends on which images were labeled.
"""

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from torch import Tensor

from vssl.datasets.stream import Stream
from vssl.feedback.feedback import Feedback, eval_mode
from vssl.feedback.pool import LabeledPool, Pool, part_of
from vssl.learner.backbone import TimmBackbone


class FoldPool(LabeledPool):
    """One fold of a pool's labeled images as `meta`, all others as `train`.

    Attributes:
        groups: the images of the fold in nearly equal parts, each as batches.
    """

    def __init__(self, pool: Pool, folds: Sequence[Sequence[int]], fold: int, groups: int, control: str | None):
        self.dataset, self.indices = pool.dataset, pool.indices
        self._batch_size, self._device = pool.meta.batch_size, pool.meta.device

        others = [index for number, of in enumerate(folds) if number != fold for index in of]
        batch_size = min(pool.train.batch_size, len(others))
        rest = part_of(pool.dataset, others, control, fold)
        self.train = Stream(rest, batch_size, seed=pool.train.seed, device=self._device)
        self.streams = {"train": self.train}
        self._groups = [
            part_of(pool.dataset, some.tolist(), control, fold) for some in np.array_split(folds[fold], groups)
        ]

    def groups(self) -> list[list[tuple[Tensor, ...]]]:
        return [self._batches(group) for group in self._groups]

    def _batches(self, group) -> list[tuple[Tensor, ...]]:
        count = math.ceil(len(group) / self._batch_size)
        stream = Stream(group, math.ceil(len(group) / count), seed=0, device=self._device)
        return [stream.next() for _ in range(count)]


def grouped_gradients(
    feedback: Feedback,
    backbone: TimmBackbone,
    folds: int = 4,
    groups_per_fold: int = 3,
    seed: int = 0,
    autocast: Callable = nullcontext,
) -> dict[str, list[list[Tensor]]]:
    """g_down of each task on each group of its labeled images, over S; their mean is that of all labels.

    Heads begin anew for every fold. The feedback is left as it was.

    Args:
        folds: parts of each pool; with each, heads are fitted on the other parts.
        groups_per_fold: gradients on each part.

    Raises:
        ValueError: a pool with fewer than two images a group.
    """
    pools, beginning = feedback.pools, copy.deepcopy((feedback.state_dict(), feedback.extra_state()))
    least = 2 * folds * groups_per_fold
    for name, pool in pools.items():
        if len(pool.indices) < least:
            raise ValueError(
                f"feedback.pools.{name}: {len(pool.indices)} labeled images are too few; {least} or more are needed, "
                "and a few hundred say something"
            )
    parts = {name: dealt(pool.indices, folds, seed) for name, pool in pools.items()}
    gradients: dict[str, list[list[Tensor]]] = {name: [] for name in pools}
    parameters = list(backbone.aligned_parameters().values())
    try:
        for fold in range(folds):
            feedback.pools = pools
            _load(feedback, beginning)
            of_fold: dict[str, Any] = {  # a feedback takes of a pool what FoldPool has
                name: FoldPool(pool, parts[name], fold, groups_per_fold, feedback.control)
                for name, pool in pools.items()
            }
            feedback.pools = of_fold
            feedback.fit_heads(backbone, autocast)
            feedback.tasks.eval()
            for name, of_task in of_fold.items():
                for batches in of_task.groups():
                    with eval_mode(backbone), autocast():
                        _, gradient = feedback.gradient_on(backbone, name, batches, parameters)
                    gradients[name].append(gradient)
    finally:
        feedback.pools = pools
        _load(feedback, beginning)
    return gradients


def dealt(indices: Sequence[int], folds: int, seed: int) -> list[list[int]]:
    order = np.random.default_rng(seed).permutation(sorted(indices))
    return [part.tolist() for part in np.array_split(order, folds)]


def _load(feedback: Feedback, beginning: tuple[dict, dict]) -> None:
    heads, rest = copy.deepcopy(beginning)
    feedback.load_state_dict(heads)
    feedback.load_extra_state(rest)

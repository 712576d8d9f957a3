"""Labeled images of one task in disjoint parts: one fits the head, one gives g_down, a third may check predictions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from vssl.datasets import disjoint_splits, third_split
from vssl.datasets.stream import Stream

SHUFFLED = "shuffled_labels"  # the control whose labels are paired wrongly


class ShuffledLabels(Dataset):
    """Control: every image with the label of another one (a fixed permutation without fixed points)."""

    def __init__(self, dataset: Dataset, seed: int):
        self.dataset = dataset
        order = np.random.default_rng(seed).permutation(len(dataset))
        self.other = {int(a): int(b) for a, b in zip(order, np.roll(order, 1), strict=True)}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        index, position = key
        return self.dataset[index, position][0], self.dataset[self.other[index], position][1]


class LabeledPool:
    """What pools have in common: the labeled examples `indices` of a `dataset`, and `streams` over parts of them."""

    dataset: Any
    indices: list[int]
    streams: dict[str, Stream]

    def label_files(self) -> list[Path]:
        """The label files of all parts, each once: several examples may share a file."""
        return list(dict.fromkeys(self.dataset.paths(index)[1] for index in self.indices))

    def labels(self) -> Iterator[tuple[Tensor, Path]]:
        """Every label of all parts, with its file."""
        for index in self.indices:
            yield self.dataset[index, 0][1], self.dataset.paths(index)[1]

    def state_dict(self) -> dict:
        return {name: stream.state_dict() for name, stream in self.streams.items()}

    def load_state_dict(self, state: dict) -> None:
        for name, stream in self.streams.items():
            stream.load_state_dict(state[name])


class Pool(LabeledPool):
    """The two streams of a task's labeled images.

    Args:
        dataset: yields (image, label) for a key (index, position); ``paths(index)`` gives the files of both.
        train, meta: number of images in either part.
        heldout: number of images in a third part, for measurements that must see no other; 0 for none.
        batch_size, meta_batch_size: images per batch on this rank.
        control: the feedback's; with ``"shuffled_labels"`` every image has another one's label.
        stream: keyword arguments for both `Stream`s (rank, world_size, num_workers, device).
    """

    def __init__(
        self,
        dataset,
        train: int,
        meta: int,
        batch_size: int,
        meta_batch_size: int,
        seed: int,
        control: str | None = None,
        heldout: int = 0,
        **stream,
    ):
        train_indices, meta_indices = disjoint_splits(len(dataset), train, meta, seed=0)
        heldout_indices = third_split(len(dataset), train, meta, heldout, seed=0) if heldout else []
        self.dataset, self.indices = dataset, train_indices + meta_indices + heldout_indices
        parts = [
            part_of(dataset, indices, control, seed)
            for indices in (train_indices, meta_indices, heldout_indices)
            if indices
        ]
        self.train = Stream(parts[0], batch_size, seed=seed * 2 + 1, **stream)
        self.meta = Stream(parts[1], meta_batch_size, seed=seed * 2 + 2, **stream)
        self.streams = {"train": self.train, "meta": self.meta}
        self.heldout: Dataset | None = parts[2] if heldout else None


def part_of(dataset: Dataset, indices: list[int], control: str | None, seed: int) -> "PoolPart | ShuffledLabels":
    """Those examples of a dataset, as the feedback's control shows their labels; `seed` deals shuffled ones."""
    part = PoolPart(dataset, indices)
    return ShuffledLabels(part, seed) if control == SHUFFLED else part


class PoolPart(Dataset):
    """Some of a dataset's examples. torch's Subset would not pass the position of a draw on."""

    def __init__(self, dataset: Dataset, indices: list[int]):
        self.dataset, self.indices = dataset, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        index, position = key
        return self.dataset[self.indices[index], position]

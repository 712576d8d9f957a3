"""The unlabeled stream: any folder tree of images, or shards."""

import os
import warnings
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from vssl.data_folders import found_in, next_step, refuse_missing
from vssl.datasets.files import EXTENSIONS, SkippedImage, UnreadableImage, image_paths, read_image
from vssl.datasets.label_folders import refuse_labels
from vssl.datasets.sampler import index_and_position
from vssl.datasets.shards import open_index, read_member

SKIPPED = 0.01  # share of unreadable files that is tolerated unless a config says otherwise


class _Unlabeled(Dataset, ABC):
    """Images as (3, size, size) uint8 tensors, with a few unreadable ones tolerated.

    Images stay uint8 until they are on the device (a quarter of the memory and of the copying); there
    ``batch.float() / 255`` makes the float32 in [0, 1] that everything else expects (`Stream` does it). The short side
    is resized to `size`, antialiased, and the middle is cropped.

    Keys are (index, position) from `PositionSampler`, or a plain index.
    """

    def __init__(self, root: str | Path, size: int, skip_corrupt: float):
        if size < 1 or not (0 <= skip_corrupt < 1 or skip_corrupt == int(skip_corrupt) >= 1):
            raise ValueError(
                f"size {size}, skip_corrupt {skip_corrupt}: expected size >= 1, and skip_corrupt a share below 1 or a "
                "whole number of files"
            )
        self.root, self.size, self.skip_corrupt = Path(root), size, skip_corrupt
        refuse_missing(root)
        self._list: Path | None = None
        self._reasons: dict[int, str] = {}  # of what this process could not read

    def _begin(self) -> None:
        """To be called once the length is known."""
        share = 0 < self.skip_corrupt < 1
        # One file never ends a run that tolerates any.
        some = min(max(1, int(self.skip_corrupt * len(self))), len(self) - 1)
        self.tolerated = some if share else int(self.skip_corrupt)
        # What cannot be read, one byte an image. Shared with the worker processes, which find different files.
        self._unreadable = torch.zeros(len(self), dtype=torch.uint8).share_memory_()

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, index: int) -> UInt8[np.ndarray, "size size 3"]:
        """One image, resized and cropped. Raises UnreadableImage."""

    def __getitem__(self, key: int | tuple[int, int]) -> UInt8[Tensor, "3 size size"]:
        index, _ = index_and_position(key)
        if not -len(self) <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        for other in range(index, index + len(self)):
            other %= len(self)
            if self._unreadable[other]:
                continue
            try:
                image = self.read(other)
            except (UnreadableImage, FileNotFoundError, PermissionError) as error:
                self._report(other, error)
                continue
            return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        raise UnreadableImage(f"{self.root}: none of its {len(self)} images can be read")

    @property
    def unreadable(self) -> int:
        """How many images could not be read so far, in all processes of this rank."""
        return int(self._unreadable.sum())

    def list_unreadable(self, file: Path) -> None:
        """From now on names in `file` what cannot be read: its number, and the reason with its path, one a line.

        What was found before is named now. To be called before worker processes begin.
        """
        self._list = file
        for index in self._reasons:
            self._name(index)

    def _name(self, index: int) -> None:
        known = self._list.read_text(encoding="utf-8") if self._list.is_file() else ""
        line = f"image {index}\t{' '.join(self._reasons[index].split())}"
        if line not in known.splitlines():
            with self._list.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def _report(self, index: int, error: Exception) -> None:
        count = self.unreadable + 1
        if count > self.tolerated:
            others = "; ".join(list(self._reasons.values())[:5])
            raise UnreadableImage(
                f"{error}. That is file {count} of {len(self)} that cannot be read, and skip_corrupt="
                f"{self.skip_corrupt:g} tolerates {self.tolerated}{': ' + others if others else ''}. Remove or replace "
                "them, or tolerate more with skip_corrupt (a share, or a number of files)"
            ) from error
        self._unreadable[index], self._reasons[index] = 1, str(error)
        if self._list is not None:
            self._name(index)
        warnings.warn(
            f"{error}; the next file takes its place ({count} of {self.tolerated} tolerated)",
            SkippedImage,
            stacklevel=3,
        )


class UnlabeledImages(_Unlabeled):
    """All images below a folder, in the order of folders and names; see `_Unlabeled` for what items are.

    Of the file names only one compact array is kept.

    Args:
        root: folder; ImageNet's ``train`` and any other tree will do. Links are followed.
        size: pixels.
        skip_corrupt: how many unreadable files to tolerate, on each rank: a share of all below 1, but one file at
            least; a number of files from 1 on; or 0 for none. Each is replaced by the next file that can be read,
            always the same one, and reported once by a warning.

    Raises:
        FileNotFoundError: no such folder, or no images in it.
        ValueError: some of its images are the label files of others.
        UnreadableImage: (when an item is read) more files are unreadable than `skip_corrupt` tolerates.
    """

    def __init__(self, root: str | Path, size: int, skip_corrupt: float = SKIPPED):
        super().__init__(root, size, skip_corrupt)
        # Fixed-width bytes: a list of a million str costs each worker a copy of all of them (reference counts).
        self._paths = np.array([os.fsencode(path) for path in image_paths(self.root)], dtype=np.bytes_)
        if not len(self._paths):
            shards = ". Shards are read by UnlabeledShards" if any(self.root.glob("*.tar")) else ""
            raise FileNotFoundError(
                f"{root}: no images ({', '.join(EXTENSIONS)}) in it or below (found: {found_in(self.root)}){shards}. "
                f"{next_step(root)}"
            )
        refuse_labels(self.root, [os.fsdecode(bytes(path)) for path in self._paths])
        self._begin()

    def __len__(self) -> int:
        return len(self._paths)

    def path(self, index: int) -> Path:
        """The file behind an index."""
        return self.root / os.fsdecode(bytes(self._paths[index]))

    def read(self, index: int) -> UInt8[np.ndarray, "size size 3"]:
        return read_image(self.path(index), self.size)


class UnlabeledShards(_Unlabeled):
    """All images of a folder of tar shards, in their order; made by ``tools/prepare_data.py shards``.

    Packed from a folder, they come in the same order as `UnlabeledImages` gives that folder, and a run on either is the
    same run. Reading is by offset: any order, any start, any share of ranks and workers. The index is memory-mapped (16
    bytes an image), so that processes share it.

    Args:
        root: folder of the shards, their index and `dataset.json`.
        size, skip_corrupt: see `UnlabeledImages`.

    Raises:
        FileNotFoundError: no such folder, no index in it, or a shard is missing.
        ValueError: a shard is not as long as when it was indexed.
        UnreadableImage: (when an item is read) more images are unreadable than `skip_corrupt` tolerates.
    """

    def __init__(self, root: str | Path, size: int, skip_corrupt: float = SKIPPED):
        super().__init__(root, size, skip_corrupt)
        self._shards, self._index = open_index(self.root)
        self._begin()

    def __len__(self) -> int:
        return len(self._index)

    def path(self, index: int) -> Path:
        """The shard and the member's name in it, as one path."""
        return read_member(self._shards, self._index[index])[0]

    def read(self, index: int) -> UInt8[np.ndarray, "size size 3"]:
        path, content = read_member(self._shards, self._index[index])
        return read_image(path, self.size, content)

"""Features on disk: computed once per backbone and protocol, read back memory-mapped.

Everything in the folder can be deleted at any time; it is computed again.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

KEY_FILE = "key.json"


class FeatureCache:
    """A folder of feature arrays by key.

    Args:
        folder: made when it is missing. ``<digest of the key>/`` holds ``key.json`` and ``0.npy``, ``1.npy``, … (one
            per layer); it appears under its name only when it is whole.
        half: keep features as float16, in half the room. Whoever takes them from here makes float32 of what they use.
    """

    def __init__(self, folder: str | Path, half: bool = False):
        self.folder, self.half = Path(folder), half

    def features(
        self, key: dict, images: int, batches: Iterable[Sequence[Shaped[Tensor, "batch *shape"]]]
    ) -> list[Shaped[Tensor, "images *shape"]]:
        """What `batches` (lists of tensors, one per layer) yields, concatenated; memory-mapped, on the CPU.

        Args:
            key: plain values that the features depend on; see `ProbeRun.features`.
            images: how many rows all batches together have.
            batches: is not touched when the features are in the folder already.

        Raises:
            ValueError: another number of rows than `images`, an entry that is damaged, or values beyond float16's
                range (65504) with `half`.
            OSError: the disk has no room; what was written is removed.
        """
        text = json.dumps(key, sort_keys=True, default=str)
        entry = self.folder / hashlib.sha256(text.encode()).hexdigest()[:32]
        if not (entry / KEY_FILE).is_file():
            self._write(entry, text, images, batches)
        return self._read(entry, images)

    def _write(self, entry: Path, key: str, images: int, batches: Iterable[Sequence[Tensor]]) -> None:
        partial = entry.with_name(f"{entry.name}.partial-{os.getpid()}")
        partial.mkdir(parents=True, exist_ok=True)
        files: list[BinaryIO] = []
        rows = 0
        try:
            for batch in batches:
                arrays = [(halved(layer) if self.half else layer).cpu().numpy() for layer in batch]
                if not files:
                    files = [_begin(partial / f"{i}.npy", a, images) for i, a in enumerate(arrays)]
                for file, array in zip(files, arrays, strict=True):
                    # not through a memory map: a full disk is an OSError here and would be a SIGBUS there
                    file.write(np.ascontiguousarray(array).tobytes())
                rows += len(arrays[0])
            for file in files:
                file.close()
            if rows != images:
                raise ValueError(f"features of {rows} images were computed, {images} were announced")
            (partial / KEY_FILE).write_text(key)
            if not entry.exists():  # another process may have been faster
                partial.rename(entry)
        finally:
            for file in files:
                file.close()
            shutil.rmtree(partial, ignore_errors=True)

    def _read(self, entry: Path, images: int) -> list[Tensor]:
        try:
            # copy-on-write: torch wants writable memory, and nothing reaches the file
            layers = [np.load(file, mmap_mode="c") for file in sorted(entry.glob("*.npy"), key=lambda f: int(f.stem))]
        except (OSError, ValueError) as error:
            raise ValueError(f"cached features {entry} cannot be read ({error}); delete this folder") from error
        if not layers or any(len(layer) != images for layer in layers):
            raise ValueError(f"cached features {entry} are not of {images} images; delete this folder")
        return [torch.from_numpy(layer) for layer in layers]


def halved(features: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """In float16; ValueError where that would turn a number into infinity."""
    half = features.half()
    if half.isinf().any() and not features.isinf().any():
        raise ValueError(
            f"features up to {features.abs().max().item():g} are beyond float16's range; leave --cache-half away"
        )
    return half


def _begin(path: Path, first: np.ndarray, images: int):
    """An open .npy file of `images` rows like those of `first`, its header written."""
    needed, free = first[0].nbytes * images, shutil.disk_usage(path.parent).free
    if needed > free:
        raise OSError(
            f"the feature cache needs {needed / 2**30:.1f} GiB in {path.parents[1]}, {free / 2**30:.1f} GiB are free; "
            "give another folder, or none to keep features in memory"
        )
    file = path.open("wb")
    header = {"descr": np.lib.format.dtype_to_descr(first.dtype), "fortran_order": False}
    np.lib.format.write_array_header_2_0(file, {**header, "shape": (images, *first.shape[1:])})
    return file


def weights_digest(module: nn.Module) -> str:
    """sha256 over the names, types, shapes and values of a module's state."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        value = value.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def files_digest(paths: Iterable[str | Path]) -> str:
    """sha256 over paths, sizes and times of change: other files, or changed ones, are other data."""
    digest = hashlib.sha256()
    for path in paths:
        about = os.stat(path)
        digest.update(f"{os.path.abspath(path)} {about.st_size} {about.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def concatenated(batches: Iterator[Sequence[Tensor]]) -> list[Tensor]:
    """The same without a folder: one tensor per layer, where the batches are."""
    return [torch.cat(layers) for layers in zip(*batches, strict=True)]

"""Tar shards (WebDataset's layout) and an index of where each image begins, for random access by offset.

FOLDER/*.tar             one image file per sample; other members of a sample (.cls, .json) are left out
FOLDER/index.npy         one row of `ROW` per image
FOLDER/dataset.json      names and sizes of the shards, among others

Own code, because webdataset 1.0 reads shards from front to back only (its random access, `wids`, is gone, and kept
every member's name in each process): an order that resumes anywhere, and is the same for any number of ranks and
workers, needs access by offset.
"""

import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from vssl.data_folders import found_in
from vssl.datasets.files import EXTENSIONS, UnreadableImage

INDEX, DESCRIPTION = "index.npy", "dataset.json"
ROW = np.dtype([("shard", "<u4"), ("size", "<u4"), ("offset", "<u8")])  # offset of the content, bytes
NEXT_STEP = "Run tools/prepare_data.py shards --source (a folder of images, or this folder to index its shards)"


def open_index(root: Path) -> tuple[list[Path], Shaped[np.ndarray, " images"]]:
    """The shards of a folder and the memory-mapped index, after every shard was found to be as long as it was.

    Raises:
        FileNotFoundError: no index, or a shard is missing.
        ValueError: a shard has another size, or the index is broken.
    """
    if not (root / DESCRIPTION).is_file() or not (root / INDEX).is_file():
        raise FileNotFoundError(f"{root}: no {INDEX} and {DESCRIPTION} in it (found: {found_in(root)}). {NEXT_STEP}")
    sizes = json.loads((root / DESCRIPTION).read_text()).get("shards")
    if not sizes:
        raise ValueError(f"{root / DESCRIPTION}: describes no shards. {NEXT_STEP}")
    for name, size in sizes.items():
        if not (root / name).is_file():
            raise FileNotFoundError(f"{root}: shard {name} is missing; copy it again")
        if (there := (root / name).stat().st_size) != size:
            raise ValueError(f"{root / name}: {there} bytes, but {size} when it was indexed; copy it again")
    return [root / name for name in sizes], load_index(root / INDEX, len(sizes))


def load_index(file: Path, shards: int) -> Shaped[np.ndarray, " images"]:
    """The memory-mapped index of this many shards. Raises ValueError when it is none."""
    index = np.load(file, mmap_mode="r")
    if index.dtype != ROW or not len(index) or index["shard"].max() >= shards:
        raise ValueError(f"{file}: not the index of these {shards} shards. {NEXT_STEP}")
    return index


def read_member(shards: Sequence[Path], row: np.void) -> tuple[Path, bytes]:
    """A member's name, as a path below its shard, and its content.

    Raises:
        UnreadableImage: the shard holds something else there.
        OSError: it could not be read.
    """
    shard, offset, size = shards[row["shard"]], int(row["offset"]), int(row["size"])
    with shard.open("rb", buffering=0) as file:  # opened anew: thousands of shards, few of them twice in a row
        file.seek(offset - tarfile.BLOCKSIZE)
        return member_of(shard, offset, file.read(tarfile.BLOCKSIZE + size))


def member_of(shard: Path, offset: int, block: bytes) -> tuple[Path, bytes]:
    """As `read_member`, of the member's header and content."""
    try:
        header = tarfile.TarInfo.frombuf(block[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise UnreadableImage(f"{shard}: no file begins at byte {offset} ({error}). {NEXT_STEP}") from error
    return shard / header.name, block[tarfile.BLOCKSIZE :]


def index_shard(path: Path) -> tuple[list[tuple[int, int]], int]:
    """(size, offset) of every image in a shard, in order, and the number of other files in it.

    Raises:
        ValueError: not a whole, uncompressed tar.
    """
    rows, others = [], 0
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                # WebDataset's rule: the sample's key ends at the first dot, so that a.mask.png belongs to a.jpg
                extension = "." + member.name.rsplit("/", 1)[-1].partition(".")[2].lower()
                if member.isreg() and extension in EXTENSIONS:
                    rows.append((member.size, member.offset_data))
                elif member.isreg():
                    others += 1
                archive.members.clear()  # type: ignore[attr-defined]  # tarfile has it, undocumented, and keeps them all
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"{path}: not a whole, uncompressed tar ({error})") from error
    return rows, others

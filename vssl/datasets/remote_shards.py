"""Tar shards on a server or in a bucket, read shard by shard through a local cache."""

import hashlib
import json
import os
import tarfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from vssl.compat import file_digest
from vssl.datasets.files import read_image
from vssl.datasets.remote import RemoteFolder, cache_folder, is_remote, locked
from vssl.datasets.sampler import ShardOrder, index_and_position
from vssl.datasets.shards import DESCRIPTION, INDEX, load_index, member_of, read_member
from vssl.datasets.unlabeled import SKIPPED, _Unlabeled
from vssl.whole_files import whole

BESIDE = 4  # shards that a cache must hold beside those of the buffer: what is fetched ahead, of two streams
REMOTE_STEP = "Run tools/prepare_data.py shards --source 'URL/{000..123}.tar' --out FOLDER and give that folder"


class RemoteShards(_Unlabeled):
    """All images of tar shards behind a URL; see `UnlabeledImages` for what items are.

    A `Stream` reads them in `ShardOrder`: shards in a random order, their images mixed over `buffer_shards` of them.
    Each shard is fetched whole, once for all processes of a machine, into a local cache, and the next one meanwhile.
    The order depends on the seed alone: it is the same for any number of ranks and workers, and resumes anywhere.
    Single images, which probes of a run look at, are read by ranges of bytes.

    Args:
        root: URL of a folder with the shards and their index, such as ``https://host/path`` or ``s3://bucket/prefix``;
            or the local folder in which ``tools/prepare_data.py shards --source URL --out FOLDER`` indexed shards that
            have none. Credentials: see `RemoteFolder`.
        size, skip_corrupt: see `UnlabeledImages`. An unreachable shard is never skipped.
        buffer_shards: how far images are mixed; 1 or more.
        cache: folder; None for one of its own in ``VSSL_CACHE`` or ``~/.cache/vssl``. It is kept for the next run.
        cache_gb: 10⁹ bytes that shards in the cache may take; the ones not used for longest go first.
        tries: see `RemoteFolder`.

    Raises:
        RemoteError: the index cannot be had; (when an item is read) a shard cannot, or is not the one that was indexed.
        ValueError: an index of something else, credentials in the URL, or a cache too small for the buffer.
        UnreadableImage: (when an item is read) more images are unreadable than `skip_corrupt` tolerates.
    """

    def __init__(
        self,
        root: str | Path,
        size: int,
        skip_corrupt: float = SKIPPED,
        buffer_shards: int = 8,
        cache: str | Path | None = None,
        cache_gb: float = 20.0,
        tries: int = 6,
    ):
        if buffer_shards < 1:
            raise ValueError(f"buffer_shards {buffer_shards}: expected 1 or more")
        about, self._index, self._remote, self._cache = _opened(str(root), cache, tries)
        super().__init__(self._cache, size, skip_corrupt)
        self.root, self.buffer_shards, self._limit = str(root), buffer_shards, int(cache_gb * 1e9)  # type: ignore[assignment]  # messages name it
        self._names, self._sizes = list(about["shards"]), list(about["shards"].values())
        if (needed := sum(sorted(self._sizes)[-(buffer_shards + BESIDE) :])) > self._limit:
            raise ValueError(
                f"cache_gb={cache_gb:g}: {buffer_shards} shards of the buffer and {BESIDE} beside them take up to "
                f"{needed / 1e9:.3g} GB; give a larger cache or a smaller buffer_shards"
            )
        self._paths = [self._cache / name.replace("/", "_") for name in self._names]
        self._ahead = (-1, -1)  # process and shard of the last thread
        self._begin()

    def __len__(self) -> int:
        return len(self._index)

    def shard(self, index: int) -> int:
        """Where an image is."""
        return int(self._index["shard"][index])

    def in_order(self, seed: int, **place: Any) -> tuple[Dataset, ShardOrder]:
        """What a `Stream` reads, and the order in which it does; see `PositionSampler` for the arguments."""
        order = ShardOrder(self._index["shard"], self.buffer_shards, seed, **place)
        return _InOrder(self, order), order

    def bring(self, shard: int) -> Path:
        """Where a shard is in the cache, after it was fetched if it was not there."""
        path = self._paths[shard]
        if not path.is_file():
            self._remote.fetch(self._names[shard], self._sizes[shard], path)
            self._make_room()
        return path

    def bring_ahead(self, shard: int) -> None:
        """Fetch a shard meanwhile. A failure is left to whoever needs it."""
        if self._paths[shard].is_file() or self._ahead == (os.getpid(), shard):
            return
        self._ahead = os.getpid(), shard

        def fetch() -> None:
            with suppress(OSError, RuntimeError):  # RuntimeError: the interpreter is ending
                self.bring(shard)

        threading.Thread(target=fetch, daemon=True).start()

    def _make_room(self) -> None:
        with locked(self._cache / "room.lock"):
            there = []
            for path in self._paths:
                try:
                    there.append((path.stat().st_mtime, path.stat().st_size, path))
                except FileNotFoundError:
                    continue
            taken = sum(size for _, size, _ in there)
            for _, size, path in sorted(there):
                if taken <= self._limit:
                    break
                path.unlink(missing_ok=True)  # whoever has it open reads on
                taken -= size

    def read(self, index: int) -> UInt8[np.ndarray, "size size 3"]:
        row = self._index[index]
        shard, offset, size = int(row["shard"]), int(row["offset"]), int(row["size"])
        try:
            path, content = read_member(self._paths, row)
        except FileNotFoundError:  # not in the cache, or no longer
            block = self._remote.read(self._names[shard], offset - tarfile.BLOCKSIZE, offset + size)
            path, content = member_of(Path(self._names[shard]), offset, block)
        return read_image(path, self.size, content)


class _InOrder(Dataset):
    """The images of a `RemoteShards` in a `ShardOrder`: each is read from a whole shard in the cache."""

    def __init__(self, images: RemoteShards, order: ShardOrder):
        self._images, self._order = images, order
        self._epoch, self._following = -1, np.empty(0, np.int64)  # the shard that is needed after each

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, key: int | tuple[int, int]) -> UInt8[Tensor, "3 size size"]:
        index, position = index_and_position(key)
        shard = self._images.shard(index)
        if (epoch := position // len(self)) != self._epoch:
            shards = self._order.shards_of(epoch)
            self._following = np.empty_like(shards)
            self._following[shards] = [*shards[1:], self._order.shards_of(epoch + 1)[0]]
            self._epoch = epoch
        path = self._images.bring(shard)
        with suppress(FileNotFoundError):  # another process made room meanwhile
            os.utime(path)  # used just now
        self._images.bring_ahead(int(self._following[shard]))
        return self._images[index, position]


def _opened(
    root: str, cache: str | Path | None, tries: int
) -> tuple[dict[str, Any], Shaped[np.ndarray, " images"], RemoteFolder, Path]:
    """What `dataset.json` says, the index, where the shards are, and the folder of the cache."""
    if is_remote(root):
        remote = RemoteFolder(root, tries)
        described, index = remote.read(DESCRIPTION), None
    else:
        for name in (DESCRIPTION, INDEX):
            if not Path(root, name).is_file():
                raise FileNotFoundError(f"{root}: no {name} in it. {REMOTE_STEP}")
        described, index = Path(root, DESCRIPTION).read_bytes(), Path(root, INDEX)
    about = json.loads(described)
    if not about.get("shards"):
        raise ValueError(f"{root}/{DESCRIPTION}: describes no shards. {REMOTE_STEP}")
    if index is None:
        url = root
    elif (url := about.get("url")) is None:
        raise ValueError(f"{root}/{DESCRIPTION}: its shards are here, not behind a URL; read them by UnlabeledShards")
    # Other shards have another description, and so another folder.
    name = f"shards-{hashlib.sha256(url.encode() + described).hexdigest()[:16]}"
    folder = cache_folder(name) if cache is None else Path(cache) / name
    folder.mkdir(parents=True, exist_ok=True)
    if index is None:
        index = folder / INDEX
        with locked(folder / "index.lock"):
            if not index.is_file():
                with whole(index) as partial:
                    partial.write_bytes(remote.read(INDEX))
    if (found := file_digest(index)) != (told := about.get("hashes", {}).get("index_sha256", found)):
        raise ValueError(
            f"{index}: not the index that {DESCRIPTION} describes ({found[:12]}…, not {told[:12]}…); remove it"
        )
    return about, load_index(index, len(about["shards"])), RemoteFolder(url, tries), folder

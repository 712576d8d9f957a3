"""A mixture of folders of unlabeled images, in the proportions that a config asks for."""

import copy
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8, UInt32
from torch import Tensor
from torch.utils.data import Dataset

from vssl.data_folders import found_in, refuse_missing
from vssl.datasets.sampler import index_and_position
from vssl.datasets.shards import INDEX
from vssl.datasets.share_file import read_shares
from vssl.datasets.unlabeled import SKIPPED, UnlabeledImages, UnlabeledShards


class UnlabeledMixture(Dataset):
    """The images of several folders, each a folder tree (`UnlabeledImages`) or shards (`UnlabeledShards`).

    Without `shares` an epoch is all images once, as if they lay in one folder. With them an epoch is as long, and each
    source has its share of it, to one image. A source then goes through all of its images, in an order drawn once,
    before any comes again: a small one with a large share comes around several times an epoch, a large one with a
    small share takes several epochs. Which image stands at a position depends on the position and the seed alone, so
    runs resume and ranks share exactly. In a config::

        unlabeled = dict(type=UnlabeledMixture, roots=dict(streets="data/streets", web="data/web"), size=224,
                         shares=dict(streets=0.7, web=0.3))

    Args:
        roots: by name, the folders; or a folder, of which each folder is a source by its name.
        size: pixels.
        shares: by name, how much of the stream each source is, above 0; they are divided by their sum. Or a file of
            them (`save_shares`).
        skip_corrupt: see `UnlabeledImages`; of each source.

    Raises:
        FileNotFoundError, ValueError: see `UnlabeledImages` and `UnlabeledShards`; fewer than two sources, other names
            in `shares`, or a share that is not one image of an epoch.
        UnreadableImage: (when an item is read) more files of a source are unreadable than `skip_corrupt` tolerates.
    """

    def __init__(
        self,
        roots: Mapping[str, str | Path] | str | Path,
        size: int,
        shares: Mapping[str, float] | str | Path | None = None,
        skip_corrupt: float = SKIPPED,
    ):
        if isinstance(shares, (str, Path)):
            shares = read_shares(shares)
        if isinstance(roots, (str, Path)):
            roots = _folders_in(Path(roots))
        if not isinstance(roots, Mapping) or len(roots) < 2:
            raise ValueError(f"roots={roots!r}: give two or more folders by name, or UnlabeledImages for one")
        if shares is not None and shares.keys() != roots.keys():
            raise ValueError(f"shares are of {sorted(shares)}, roots of {sorted(roots)}; give the same names")
        if shares is not None and not all(0 < share < math.inf for share in shares.values()):
            raise ValueError(f"shares={dict(shares)} must be above 0; leave a source out that is not wanted")
        self.names = sorted(roots)  # a saved config comes back with its keys sorted
        self.sources = [_opened(Path(roots[name]), size, skip_corrupt) for name in self.names]
        self.root = ", ".join(str(source.root) for source in self.sources)
        lengths = [len(source) for source in self.sources]
        weights = np.array(lengths if shares is None else [shares[name] for name in self.names], dtype=np.float64)
        self._length, self._taken = sum(lengths), [0] * len(lengths)
        self.shares = dict(zip(self.names, (weights / weights.sum()).tolist(), strict=True))
        """By name, how much of the stream each source is; they add up to 1."""
        self.per_epoch = self._per_epoch(weights)
        """How many images of an epoch are of each source."""
        if not self.per_epoch.all():
            name = self.names[int(self.per_epoch.argmin())]
            raise ValueError(f"shares: {name} has less than one of the {sum(lengths)} images of an epoch; give it more")
        self._orders = None if shares is None else self._drawn_orders()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, key: int | tuple[int, int]) -> UInt8[Tensor, "3 size size"]:
        source, image = self._find(key)
        return self.sources[source][image]

    def _find(self, key: int | tuple[int, int]) -> tuple[int, int]:
        """(number of the source, image in it)."""
        index, position = index_and_position(key)
        if not -len(self) <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        index %= len(self)
        ends = np.cumsum(self.per_epoch)
        source = int(np.searchsorted(ends, index, side="right"))
        place = index - int(ends[source] - self.per_epoch[source])
        if self._orders is None:
            return source, place
        order, earlier = self._orders[source], position // len(self) * int(self.per_epoch[source])
        return source, int(order[(self._taken[source] + earlier + place) % len(order)])

    def _per_epoch(self, weights: Float[np.ndarray, " sources"]) -> Int[np.ndarray, " sources"]:
        return np.diff(np.rint(np.cumsum(weights) / weights.sum() * len(self)).astype(int), prepend=0)

    def _drawn_orders(self) -> list[UInt32[np.ndarray, " images"]]:
        lengths = [len(source) for source in self.sources]
        return [np.random.default_rng((0, n)).permutation(n).astype(np.uint32) for n in lengths]

    def dealt(self, shares: Mapping[str, float], taken: Mapping[str, int]) -> "UnlabeledMixture":
        """The same sources in other shares, for a stream that begins anew.

        Args:
            shares: by name. A source whose share is less than one image of an epoch gets one.
            taken: by name, how many images of each source were drawn before (`taken`); it goes on with the next.
        """
        other, wanted = copy.copy(self), np.array([shares[name] for name in self.names])
        at_least = np.maximum(wanted / wanted.sum(), 1 / len(self))
        other.per_epoch = self._per_epoch(at_least)
        while not other.per_epoch.all():  # two ends were rounded to one
            few, many = int(other.per_epoch.argmin()), int(other.per_epoch.argmax())
            other.per_epoch[few] += 1
            other.per_epoch[many] -= 1
        other.shares = dict(zip(self.names, (other.per_epoch / len(self)).tolist(), strict=True))
        other._orders = self._orders or self._drawn_orders()
        other._taken = [taken[name] for name in self.names]
        return other

    def taken(self, position: int) -> dict[str, int]:
        """By name, how many images of each source are gone when the stream of this mixture is at `position`.

        Those that the epoch at hand has left are counted too: whoever goes on from there does not draw them.
        """
        epochs = -(-position // len(self))
        each = zip(self.names, self._taken, self.per_epoch.tolist(), strict=True)
        return {name: before + epochs * many for name, before, many in each}

    def comes_twice(self, batch_size: int) -> str | None:
        """The source of which every other batch, or more of them, holds an image twice; None without one."""
        together = batch_size * (batch_size - 1) / (len(self) * (len(self) - 1))  # how likely two of an epoch meet
        for name, source, many in zip(self.names, self.sources, self.per_epoch.tolist(), strict=True):
            times, more = divmod(many, len(source))
            pairs = (len(source) - more) * math.comb(times, 2) + more * math.comb(times + 1, 2)
            if pairs * together >= 0.5:
                return name
        return None

    def source_of(self, key: int | tuple[int, int]) -> str:
        """The name of the source that an image comes from."""
        return self.names[self.number_of(key)]

    def number_of(self, key: int | tuple[int, int]) -> int:
        """The place of that source in `names`."""
        return self._find(key)[0]

    def path(self, index: int) -> Path:
        """The file behind an index in the first epoch."""
        source, image = self._find((index, 0))
        return self.sources[source].path(image)

    @property
    def unreadable(self) -> int:
        """How many images could not be read so far, in all processes of this rank."""
        return sum(source.unreadable for source in self.sources)

    def list_unreadable(self, file: Path) -> None:
        """See `UnlabeledImages`; numbers are those of a source, paths say of which."""
        for source in self.sources:
            source.list_unreadable(file)


class Numbered(Dataset):
    """(image, number of its source) of a mixture."""

    def __init__(self, mixture: UnlabeledMixture):
        self.mixture = mixture

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[UInt8[Tensor, "3 size size"], int]:
        return self.mixture[key], self.mixture.number_of(key)


def _folders_in(root: Path) -> dict[str, Path]:
    refuse_missing(root)
    folders = {entry.name: entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")}
    if len(folders) < 2:
        raise ValueError(f"roots={str(root)!r}: expected two or more folders in it, found: {found_in(root)}")
    return folders


def _opened(root: Path, size: int, skip_corrupt: float) -> UnlabeledImages | UnlabeledShards:
    kind = UnlabeledShards if (root / INDEX).is_file() else UnlabeledImages
    return kind(root, size, skip_corrupt)

"""ILSVRC2012_devkit_t12: the labels of the validation images. Followed: torchvision.datasets.imagenet."""

import io
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vssl.datasets.matlab import read_mat

META, TRUTH = "data/meta.mat", "data/ILSVRC2012_validation_ground_truth.txt"


@dataclass(frozen=True)
class Devkit:
    """Labels of the validation images.

    Attributes:
        wnids: the devkit's own class number (1..1000, not in the order of the wnids) -> WordNet id.
        truth: class number of validation image k + 1.
    """

    wnids: dict[int, str]
    truth: list[int]

    def class_of(self, name: str, where: Path) -> str:
        """The WordNet id of ``ILSVRC2012_val_00000001.JPEG``, whatever folder it is in."""
        number = re.fullmatch(r"(?:.*/)?ILSVRC2012_val_(\d{8})\.\w+", name)
        if not number or not 1 <= int(number[1]) <= len(self.truth):
            raise ValueError(f"{where / name}: expected ILSVRC2012_val_00000001.JPEG to …{len(self.truth):08d}.JPEG")
        return self.wnids[self.truth[int(number[1]) - 1]]


def read_devkit(path: Path) -> Devkit:
    """Reads the folder or the .tar.gz.

    Raises:
        FileNotFoundError: no such file, or not all of the devkit in it.
        ValueError: not a tar archive, or content that cannot be.
    """
    files = _from_folder(path) if path.is_dir() else _from_archive(path)
    if missing := [name for name in (META, TRUTH) if name not in files]:
        raise FileNotFoundError(f"{path}: no {', '.join(missing)} in it; expected ILSVRC2012_devkit_t12")
    synsets = read_mat(path / META, ("synsets",), io.BytesIO(files[META]))["synsets"].ravel()
    wnids = {
        int(np.ravel(synset["ILSVRC2012_ID"])[0]): str(np.ravel(synset["WNID"])[0])
        for synset in synsets
        if int(np.ravel(synset["num_children"])[0]) == 0  # the others are groups of classes
    }
    truth = [int(line) for line in files[TRUTH].split()]
    if unknown := set(truth) - wnids.keys():
        raise ValueError(f"{path}: class number {min(unknown)} in {TRUTH}, which {META} does not name")
    return Devkit(wnids, truth)


def _from_folder(path: Path) -> dict[str, bytes]:
    root = next((p for p in (path, path / "ILSVRC2012_devkit_t12") if (p / META).is_file()), path)
    return {name: (root / name).read_bytes() for name in (META, TRUTH) if (root / name).is_file()}


def _from_archive(path: Path) -> dict[str, bytes]:
    try:
        with tarfile.open(path) as archive:
            wanted = {name: m for m in archive for name in (META, TRUTH) if m.isfile() and m.name.endswith(name)}
            return {name: archive.extractfile(member).read() for name, member in wanted.items()}
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"{path}: not a whole tar archive ({error}). Download it again") from error

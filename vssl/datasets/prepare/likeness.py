"""Which folders of unlabeled images are like labeled ones, by the features of a frozen backbone.

As DINOv2 retrieves images near curated ones (Oquab et al. 2023, arXiv 2304.07193, section 3), of whole folders.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from vssl.datasets.mixture import UnlabeledMixture
from vssl.datasets.prepare.image_features import Features, finite, image_features, unit
from vssl.datasets.unlabeled import UnlabeledImages, UnlabeledShards

ROWS = 512
"""Labeled images that are compared at a time."""


class Likeness(NamedTuple):
    """Of each labeled image and each folder.

    Attributes:
        cosine: mean over the image's nearest ones in the folder.
        share: of the image's nearest ones in all folders together, how many lie in this one; a row adds up to 1.
    """

    cosine: Float[np.ndarray, "labeled folders"]
    share: Float[np.ndarray, "labeled folders"]


class Interval(NamedTuple):
    """A mean over labeled images, with Student's 95 % interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Float[np.ndarray, " labeled"]) -> "Interval":
        mean = float(values.mean())
        half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
        return cls(mean, mean - half, mean + half)


class Folders(NamedTuple):
    """What `measure_likeness` looked at.

    Attributes:
        names: of the folders, sorted.
        labeled: images.
        sampled: images of each folder.
        likeness: a column for each of `names`.
    """

    names: list[str]
    labeled: int
    sampled: int
    likeness: Likeness


def measure_likeness(
    roots: Mapping[str, str | Path] | str | Path,
    like: Sequence[str | Path],
    features: Features,
    size: int,
    neighbours: int = 4,
    per_folder: int = 2000,
    batch_size: int = 64,
    seed: int = 0,
    centred: bool = True,
) -> Folders:
    """The likeness of folders to labeled images.

    Of every folder the same number of images is drawn: `per_folder`, or as many as the smallest one has. Unreadable
    images are left out, as many as a run would tolerate, and so many of the other folders.

    Args:
        roots: see `UnlabeledMixture`.
        like: folder trees of labeled images, all of which count; their labels are not read.
        features: of a batch, one vector an image.
        size: pixels; the short side is resized and the middle cropped, as a run does.
        neighbours: how many nearest images count. DINOv2 takes 4.
        seed: of the images that are drawn. The same images, features and seed give the same numbers.
        centred: see `find_likeness`.

    Raises:
        FileNotFoundError, ValueError: see `UnlabeledMixture` and `UnlabeledImages`; fewer than two labeled images,
            fewer images of a folder than `neighbours`, or features that are not finite.
        UnreadableImage: more files are unreadable than is tolerated.
    """
    mixture, labeled = UnlabeledMixture(roots, size), [UnlabeledImages(root, size) for root in like]
    _check_counts(mixture, labeled, neighbours, per_folder)
    few = min(per_folder, *map(len, mixture.sources))
    pool = []
    for name, source in zip(mixture.names, mixture.sources, strict=True):
        drawn = np.random.default_rng(seed).permutation(len(source))[:few]
        pool.append(_features(source, drawn.tolist(), features, batch_size, name))
    looked = [_features(found, range(len(found)), features, batch_size, "labeled images") for found in labeled]
    few = min(map(len, pool))  # of those that could be read
    if few < neighbours or sum(map(len, looked)) < 2:
        raise ValueError(
            f"{sum(map(len, looked))} labeled images and {few} of each folder could be read; expected two and "
            f"{neighbours}, the number of nearest images, or more"
        )
    likeness = find_likeness(np.concatenate(looked), [rows[:few] for rows in pool], neighbours, centred)
    return Folders(mixture.names, len(likeness.cosine), few, likeness)


def find_likeness(
    labeled: Float[np.ndarray, "labeled dim"],
    folders: Sequence[Float[np.ndarray, "images dim"]],
    neighbours: int,
    centred: bool = True,
) -> Likeness:
    """By cosines of features. Images that are equally near share the places that are left for them.

    Args:
        folders: equally many images of each, at least `neighbours`.
        centred: of the directions in which features differ from the mean of the folders' images. DINOv2 takes the
            features as they are; what all images share says nothing, and may be most of a feature.

    Raises:
        ValueError: features that are not finite.
    """
    looked, pool = unit(finite(labeled)), [unit(finite(rows)) for rows in folders]
    if centred:
        mean = np.concatenate(pool).mean(0)
        looked, pool = unit(looked - mean), [unit(rows - mean) for rows in pool]
    nearest = np.stack([_nearest(looked, rows, neighbours) for rows in pool], axis=1)
    last = np.sort(nearest.reshape(len(looked), -1), axis=1)[:, -neighbours, None]  # the least near of all that count
    nearer, as_near = (nearest > last[..., None]).sum(2), (nearest == last[..., None]).sum(2)
    left = neighbours - nearer.sum(1, keepdims=True)
    share = (nearer + as_near * left / as_near.sum(1, keepdims=True)) / neighbours
    return Likeness(nearest.mean(2), share)


def shares_by_likeness(
    names: Sequence[str],
    share: Float[np.ndarray, " folders"],
    least: float = 0.05,
    first_alone: bool = False,
) -> dict[str, float]:
    """By name, shares of the stream: least + (1 − folders · least) · share.

    Args:
        share: of the nearest images; they add up to 1.
        least: what a folder has at least, above 0: a mixture has no use for a folder without a share.
        first_alone: the folder with the largest share takes those of the others.

    Raises:
        ValueError: the least shares leave nothing to divide.
    """
    if not 0 < least < 1 / len(names):
        raise ValueError(f"least share {least:g}: expected above 0 and below 1/{len(names)}, with {len(names)} folders")
    if first_alone:
        share = np.eye(len(names))[int(np.argmax(share))]
    return dict(zip(names, (least + (1 - len(names) * least) * np.asarray(share, dtype=float)).tolist(), strict=True))


def _check_counts(
    mixture: UnlabeledMixture, labeled: Sequence[UnlabeledImages], neighbours: int, per_folder: int
) -> None:
    if per_folder < neighbours:
        raise ValueError(f"{neighbours} nearest of {per_folder} images a folder: take more images, or fewer nearest")
    if sum(map(len, labeled)) < 2:
        raise ValueError(f"{labeled[0].root} has one image; give two or more labeled images")
    for source in mixture.sources:
        if not 1 <= neighbours <= len(source):
            raise ValueError(
                f"{neighbours} nearest images: expected 1 to {len(source)}, the number of images in {source.root}; or "
                "leave that folder out"
            )


def _features(
    images: UnlabeledImages | UnlabeledShards, numbers: Sequence[int], features: Features, batch_size: int, label: str
) -> Float[np.ndarray, "images dim"]:
    tolerated = min(images.tolerated, len(numbers) - 1)
    return image_features(numbers, images.read, features, batch_size, tolerated, label)[1]


def _nearest(
    looked: Float[np.ndarray, "labeled dim"], rows: Float[np.ndarray, "images dim"], neighbours: int
) -> Float[np.ndarray, "labeled neighbours"]:
    """Cosines of the nearest rows, in no order."""
    found = [
        np.partition(looked[start : start + ROWS] @ rows.T, -neighbours, axis=1)[:, -neighbours:]
        for start in range(0, len(looked), ROWS)
    ]
    return np.concatenate(found)

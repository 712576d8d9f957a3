"""One folder of images as several sources: clusters of their features, for `UnlabeledMixture`.

OUT/sources/cluster_0/…     links to the images of the largest cluster, below the folders that they have in the source
OUT/clusters.png            a row for each cluster: what is nearest its centre, and others of it
OUT/dataset.json            how many images each has, and what the clusters come from
"""

import hashlib
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from vssl.counts import counted
from vssl.datasets.prepare.contact_sheet import write_contact_sheet
from vssl.datasets.prepare.image_features import Features, finite, image_features, unit
from vssl.datasets.prepare.writing import begin, finish
from vssl.datasets.unlabeled import UnlabeledImages
from vssl.parts import optional_package
from vssl.progress import track

SOURCES, SHEET = "sources", "clusters.png"
FITTED = 100_000
"""Centres are fitted on so many images at most, drawn at random; every image then goes to the nearest centre."""
SHOWN = 6
"""Images in either half of a row of the contact sheet."""


class Clusters(NamedTuple):
    """The largest cluster is number 0.

    Attributes:
        of: the cluster of each image.
        likeness: cosine between the centre of an image's cluster and its features, less what is the mean of all images.
    """

    of: Int[np.ndarray, " images"]
    likeness: Float[np.ndarray, " images"]


def prepare_clusters(
    images: str | Path,
    out: str | Path,
    features: Features,
    about: Mapping[str, Any],
    clusters: int,
    size: int,
    batch_size: int = 64,
    seed: int = 0,
) -> Path:
    """Lays the images below `images` out as `clusters` folders of links; returns the path of `dataset.json`.

    Unreadable images are left out, as many as a run would tolerate (`UnlabeledImages`).

    Args:
        features: of a batch, one vector an image.
        about: what the features depend on, as JSON values; another run with others is refused.
        size: pixels; the short side is resized and the middle cropped, as a run does.
        seed: of the centres. The same images, features and seed give the same clusters.

    Raises:
        FileNotFoundError: no such folder, or no images in it.
        ValueError: fewer than two clusters, more than images, fewer different images than clusters, features that are
            not finite, or `out` within `images`.
        UnreadableImage: more files are unreadable than is tolerated.
        FileExistsError: see `begin`.
        ImportError: scikit-learn is not installed.
    """
    optional_package("sklearn", "prepare_data.py clusters")
    images, out = Path(images), Path(out)
    if Path(os.path.realpath(out)).is_relative_to(os.path.realpath(images)):
        raise ValueError(f"--out {out} lies within {images}, so its links would be taken for images; choose another")
    dataset = UnlabeledImages(images, size)
    if not 2 <= clusters <= len(dataset):
        raise ValueError(f"--clusters {clusters}: expected 2 to {len(dataset)}, the number of images in {images}")
    paths = [dataset.path(index) for index in range(len(dataset))]
    options = {"images": str(images), "clusters": clusters, "size": size, "seed": seed, **about}
    options["names_and_sizes_sha256"] = _listing_hash(images, paths)
    if not begin(out, options, (SOURCES, SHEET)):
        return out / "dataset.json"
    kept, rows = image_features(range(len(dataset)), dataset.read, features, batch_size, dataset.tolerated)
    found = find_clusters(rows, clusters, seed)
    names = [f"cluster_{number:0{len(str(clusters - 1)):d}d}" for number in range(clusters)]
    _link([paths[row] for row in kept], images, [names[number] for number in found.of], out / SOURCES)
    table = _table([paths[row] for row in kept], images, names, found, seed, out / SHEET)
    return finish(
        out,
        options,
        files=[f"{SOURCES}/{name}" for name in names],
        name=f"{clusters} clusters of {images.name}",
        source=str(images),
        counts={name: row["images"] for name, row in table.items()},
        clusters=table,
        unreadable=[printable(paths[row].relative_to(images)) for row in sorted({*range(len(paths))} - {*kept})],
        licence="that of the images",
    )


def find_clusters(features: Float[np.ndarray, "images dim"], clusters: int, seed: int = 0) -> Clusters:
    """k-means of the directions in which features differ from their mean, by scikit-learn.

    On one thread, so that the result is always the same.

    Raises:
        ValueError: features that are not finite, or fewer different ones than clusters.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    if len(finite(features)) < clusters:
        raise ValueError(f"--clusters {clusters}: only {len(features)} images could be read; ask for fewer")
    directions = unit(features)
    directions -= directions.mean(0)  # what all images share says nothing, and may be most of a feature
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), np.finfo(directions.dtype).tiny)
    rows: Any = slice(None)
    if len(directions) > FITTED:
        rows = np.sort(np.random.default_rng(seed).choice(len(directions), FITTED, replace=False))
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fewer different features than clusters: refused below
        fitted = KMeans(clusters, n_init=4, random_state=seed).fit(directions[rows])
        found = fitted.predict(directions)
    counts = np.bincount(found, minlength=clusters)
    if not counts.all():
        raise ValueError(
            f"--clusters {clusters}: the images are only {np.count_nonzero(counts)} different ones to this backbone; "
            "ask for fewer clusters, or give another backbone"
        )
    order = np.argsort(-counts, kind="stable")
    centres = unit(fitted.cluster_centers_)
    return Clusters(np.argsort(order)[found], np.einsum("nd,nd->n", directions, centres[found]))


def printable(path: str | Path) -> str:
    """A path for JSON and terminals, whatever bytes it has."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _listing_hash(root: Path, paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(os.fsencode(f"{path.relative_to(root)} {path.stat().st_size}\n"))
    return digest.hexdigest()


def _link(paths: Sequence[Path], root: Path, clusters: Sequence[str], sources: Path) -> None:
    """A link for every image; `sources` appears when all are there."""
    partial = sources.with_name(sources.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    for path, cluster in zip(track(paths, "linking", "images"), clusters, strict=True):
        link = partial / cluster / path.relative_to(root)
        link.parent.mkdir(parents=True, exist_ok=True)
        # relative, so that images and links can be moved or mounted elsewhere together
        link.symlink_to(os.path.relpath(os.path.realpath(path), os.path.realpath(link.parent)))
    shutil.rmtree(sources, ignore_errors=True)  # of a set that had lost some
    partial.rename(sources)


def _table(
    paths: Sequence[Path], root: Path, names: Sequence[str], found: Clusters, seed: int, sheet: Path
) -> dict[str, dict[str, Any]]:
    """What each cluster is, in numbers and, in the file `sheet`, in pictures."""
    generator = np.random.default_rng(seed)
    table, shown = {}, []
    for number, name in enumerate(names):
        own = np.flatnonzero(found.of == number)
        nearest = own[np.argsort(-found.likeness[own], kind="stable")][:SHOWN]
        others = generator.permutation(np.setdiff1d(own, nearest))[:SHOWN]
        share = len(own) / len(found.of)
        table[name] = {
            "images": len(own),
            "share": share,
            "likeness": float(found.likeness[own].mean()),
            "nearest": [printable(paths[row].relative_to(root)) for row in nearest],
        }
        title = f"{name}: {counted(len(own), 'image')}, {100 * share:.1f} %"
        shown.append((title, [paths[row] for row in nearest], [paths[row] for row in others]))
    write_contact_sheet(sheet, shown, SHOWN)
    return table

"""Revisited Oxford 5k and Paris 6k: the images that gnd_*.mat names, out of whatever folders they were unpacked to."""

from dataclasses import dataclass
from pathlib import Path

from vssl.compat import file_digest
from vssl.data_folders import found_in
from vssl.datasets.files import image_paths, read_image
from vssl.datasets.prepare.writing import ContentHash, begin, finish, link_or_write
from vssl.datasets.revisited import ground_truth_file, read_ground_truth
from vssl.datasets.threads import in_threads
from vssl.progress import track


@dataclass(frozen=True)
class Benchmark:
    """One of the two, as published."""

    name: str
    database: int
    queries: int
    archives: str


ROXFORD5K = Benchmark("roxford5k", 4993, 70, "oxbuild_images.tgz")
RPARIS6K = Benchmark("rparis6k", 6322, 70, "paris_1.tgz and paris_2.tgz")


def prepare_retrieval(source: str | Path, out: str | Path, benchmark: Benchmark) -> Path:
    """Checks that every image named is there and whole, lays them out, and returns the path of `dataset.json`.

    Args:
        source: folder with ``gnd_<name>.mat`` and, anywhere below, the unpacked images. Files are hard-linked where
            the file system allows it.

    Raises:
        FileNotFoundError: no ground truth (a pickle is not one), or images missing.
        ValueError: another benchmark's ground truth, or a broken one.
        UnreadableImage: a broken image.
        FileExistsError: see `begin`.
    """
    source, out = Path(source), Path(out)
    if not source.is_dir():
        raise FileNotFoundError(f"{source}: no such folder (found: {found_in(source.parent)})")
    file = source / f"gnd_{benchmark.name}.mat"
    file = file if file.is_file() else ground_truth_file(source)
    names, queries, _, _ = read_ground_truth(file)
    if (file.name, len(names), len(queries)) != (f"gnd_{benchmark.name}.mat", benchmark.database, benchmark.queries):
        raise ValueError(
            f"{file}: {len(names)} images and {len(queries)} queries, expected gnd_{benchmark.name}.mat with "
            f"{benchmark.database} and {benchmark.queries}"
        )
    places = {Path(path).stem: source / path for path in image_paths(source) if path.lower().endswith(".jpg")}
    wanted = sorted({*names, *queries})
    missing = [name for name in wanted if name not in places]
    if missing:
        raise FileNotFoundError(
            f"{source}: {len(missing)} of {len(wanted)} images of {file.name} are not below it, e.g. {missing[0]}.jpg. "
            f"Unpack {benchmark.archives} there"
        )
    options = {"ground_truth_sha256": file_digest(file)}
    if begin(out, options, ("jpg", file.name)):
        contents = ContentHash()
        bar = track(in_threads(_read, [places[n] for n in wanted]), "images", "images", len(wanted))
        for name, content in zip(wanted, bar, strict=True):
            contents.add(name, content)
            link_or_write(places[name], content, out / "jpg" / f"{name}.jpg")
        link_or_write(file, file.read_bytes(), out / file.name)
        finish(
            out,
            options,
            files=["jpg"],
            name=benchmark.name,
            source=f"{benchmark.archives}, {file.name}",
            counts={"database": len(names), "queries": len(queries)},
            hashes={**options, "images_sha256": contents.hexdigest()},
            licence="photos from Flickr, each its owner's; annotations by Radenović et al., CVPR 2018, for research",
        )
    return out / "dataset.json"


def _read(path: Path) -> bytes:
    """The content, after it was decoded whole."""
    content = path.read_bytes()
    read_image(path, content=content)
    return content

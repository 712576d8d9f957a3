"""Packs a folder of images into tar shards, or indexes shards that are there."""

import hashlib
import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

from vssl.compat import file_digest
from vssl.data_folders import found_in
from vssl.datasets.files import EXTENSIONS, image_paths
from vssl.datasets.label_folders import refuse_labels
from vssl.datasets.prepare.remote_index import index_remote
from vssl.datasets.prepare.writing import begin, finish, write_index
from vssl.datasets.remote import is_remote
from vssl.datasets.shards import INDEX, index_shard
from vssl.datasets.threads import in_threads
from vssl.progress import track
from vssl.whole_files import whole


def prepare_shards(source: str | Path, out: str | Path | None = None, images_per_shard: int = 1000) -> Path:
    """Packs the images below `source` as they are, in the order of folders and names; returns `dataset.json`.

    Same source, same bytes. When killed, whole shards are kept. A folder of tars without `out` is indexed in place;
    shards behind a URL are indexed into `out` (vssl/datasets/prepare/remote_index.py).

    Raises:
        FileNotFoundError: no such folder, or nothing to pack in it.
        ValueError: an empty file, a broken tar, shards together with `out`, or label files among the images.
        FileExistsError: see `begin`.
    """
    if is_remote(source):
        return index_remote(str(source), out)
    source = Path(source)
    if not source.is_dir():
        raise FileNotFoundError(f"{source}: no such folder (found: {found_in(source.parent)})")
    if images_per_shard < 1:
        raise ValueError(f"images_per_shard {images_per_shard}: expected at least 1")
    if out is None:
        return _index_in_place(source)
    out = Path(out)
    names = list(image_paths(source))
    if not names:
        hint = ". These are shards already: leave --out away to index them" if any(source.glob("*.tar")) else ""
        raise FileNotFoundError(f"{source}: no images ({', '.join(EXTENSIONS)}) below it{hint}")
    refuse_labels(source, names)
    options = {"images_per_shard": images_per_shard, "names_and_sizes_sha256": _listing_hash(source, names)}
    firsts = range(0, len(names), images_per_shard)
    shards = [out / f"shard-{number:06d}.tar" for number in range(len(firsts))]
    if begin(out, options, (INDEX, shards[0].name)) or not all(path.is_file() for path in shards):
        for first, path in zip(track(firsts, "packing", "shards"), shards, strict=True):
            if not path.is_file():
                _pack(source, names[first : first + images_per_shard], first, path)
        _finish(out, shards, options, source.name, "that of the images")
    return out / "dataset.json"


def _index_in_place(folder: Path) -> Path:
    shards = sorted(folder.glob("*.tar"))
    if not shards:
        raise FileNotFoundError(f"{folder}: no .tar in it (found: {found_in(folder)}). To pack images, give --out")
    options = {"indexed_in_place": True}
    begin(folder, options)  # refuses a folder of another making; indexing again is cheap
    _finish(folder, shards, options, folder.name, "that of the shards")
    return folder / "dataset.json"


def _finish(out: Path, shards: Sequence[Path], options: dict, source: str, licence: str) -> None:
    rows, others = [], 0
    for number, path in enumerate(track(shards, "indexing", "shards")):
        found, more = index_shard(path)
        rows += [(number, size, offset) for size, offset in found]
        others += more
    write_index(out, rows, f"{out}: no images ({', '.join(EXTENSIONS)}) in its {len(shards)} shards")
    finish(
        out,
        options,
        name=f"shards of {source}",
        source=source,
        counts={"images": len(rows), "shards": len(shards), "other_files": others},
        shards={path.name: path.stat().st_size for path in shards},
        hashes={"index_sha256": file_digest(out / INDEX)},
        licence=licence,
    )


def _listing_hash(source: Path, names: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for name in track(names, "listing", "images"):
        if not (size := (source / name).stat().st_size):
            raise ValueError(f"{source / name}: an empty file; remove or replace it")
        digest.update(os.fsencode(f"{name} {size}\n"))
    return digest.hexdigest()


def _pack(source: Path, names: Sequence[str], first: int, target: Path) -> None:
    """One shard, whole or not at all."""
    with whole(target) as partial, tarfile.open(partial, "w") as archive:
        contents = in_threads(Path.read_bytes, [source / name for name in names])
        for number, (name, content) in enumerate(zip(names, contents, strict=True), start=first):
            member = tarfile.TarInfo(_member_name(name, number))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
            archive.members.clear()  # type: ignore[attr-defined]  # see vssl/datasets/shards.py


def _member_name(name: str, number: int) -> str:
    """WebDataset takes the name up to its first dot for the sample's key, which must be its own: hence the number."""
    path = Path(name)
    return str(path.with_name(f"{number:08d}-{path.stem.replace('.', '_')}{path.suffix.lower()}"))

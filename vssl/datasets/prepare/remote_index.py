"""Indexes tar shards that lie on a server or in a bucket, for `RemoteShards`."""

import re
import tempfile
from pathlib import Path

from vssl.compat import file_digest
from vssl.datasets.files import EXTENSIONS
from vssl.datasets.prepare.writing import begin, finish, write_index
from vssl.datasets.remote import RemoteFolder
from vssl.datasets.shards import INDEX, index_shard
from vssl.progress import track


def index_remote(source: str, out: str | Path | None) -> Path:
    """Writes `index.npy` and `dataset.json` into `out`; returns the latter. Each shard is fetched once, and not kept.

    Args:
        source: ``https://host/path/part-{000..123}.tar``, or a bucket's folder (``s3://bucket/prefix``), whose tars
            are listed.

    Raises:
        ValueError: no `out`, a source of another form, a broken tar, or no images.
        RemoteError: a shard cannot be had, or the server does not answer requests for ranges of bytes.
    """
    if out is None:
        raise ValueError(f"--source {source}: give --out, the local folder for its index")
    out, options = Path(out), {"indexed": source}
    url, _, last = source.rpartition("/")
    if last.endswith(".tar"):
        remote, names = RemoteFolder(url), expanded(last)
    else:
        remote = RemoteFolder(source)
        names = [] if source.startswith("http") else remote.names("*.tar")
        if not names:
            raise ValueError(
                f"--source {source}: no shards found; name them, as in {source.rstrip('/')}/{{000..123}}.tar"
            )
    if not begin(out, options, (INDEX,)):
        return out / "dataset.json"
    remote.check_ranges(names[0])
    rows, others, sizes = [], 0, {}
    for number, name in enumerate(track(names, "indexing", "shards")):
        with tempfile.TemporaryDirectory(dir=out) as folder:
            file, sizes[name] = Path(folder, "shard.tar"), remote.size(name)
            remote.fetch(name, sizes[name], file)
            try:
                found, more = index_shard(file)
            except ValueError as error:
                raise ValueError(f"{remote.url}/{name}: {str(error).partition(': ')[2]}") from error
        rows += [(number, size, offset) for size, offset in found]
        others += more
    write_index(out, rows, f"{source}: no images ({', '.join(EXTENSIONS)}) in its {len(names)} shards")
    return finish(
        out,
        options,
        name=f"shards of {source}",
        source=source,
        url=remote.url,
        counts={"images": len(rows), "shards": len(names), "other_files": others},
        shards=sizes,
        hashes={"index_sha256": file_digest(out / INDEX)},
        licence="that of the shards",
    )


def expanded(name: str) -> list[str]:
    """``part-{08..10}.tar`` as part-08.tar, part-09.tar, part-10.tar; a name without braces as it is."""
    braces = re.fullmatch(r"(.*)\{(\d+)\.\.(\d+)\}(.*)", name)
    if braces is None:
        return [name]
    before, first, last, after = braces.groups()
    if not int(first) <= int(last):
        raise ValueError(f"{name}: {first} is above {last}")
    return [f"{before}{number:0{len(first)}d}{after}" for number in range(int(first), int(last) + 1)]

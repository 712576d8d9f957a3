"""Shards: the same images in the same order as the folder, whoever reads them; resumable; and what can be wrong."""

import io
import json
import pickle
import shutil
import tarfile
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image

from vssl.datasets import PositionSampler, UnlabeledImages, UnlabeledShards, UnreadableImage
from vssl.datasets.prepare import shard_packing
from vssl.datasets.prepare.shard_packing import prepare_shards
from vssl.datasets.stream import Stream

COUNT, PER_SHARD = 23, 5


def encoded(value: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 9, 3), value, np.uint8)).save(file, format=kind)
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """23 images of 23 colours in two folders, with names that would clash as WebDataset keys."""
    root = tmp_path_factory.mktemp("folder") / "images"
    for k in range(COUNT):
        kind = ("jpg", "png")[k % 2]
        path = root / "ab"[k % 3 == 0] / f"photo.{k // 2:02d}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(10 * k, kind.upper().replace("JPG", "JPEG")))
    (root / "ä ö").mkdir()
    (root / "ä ö" / "z.PNG").write_bytes(encoded(250))
    return root


@pytest.fixture(scope="module")
def packed(folder, tmp_path_factory) -> Path:
    return prepare_shards(folder, tmp_path_factory.mktemp("shards") / "out", PER_SHARD).parent


def test_shards_hold_the_folders_images_in_its_order(folder, packed):
    ours, theirs = UnlabeledShards(packed, 8), UnlabeledImages(folder, 8)
    assert len(ours) == len(theirs) == COUNT + 1
    for index in range(COUNT + 1):
        assert torch.equal(ours[index], theirs[index])
    assert sorted(path.name for path in packed.glob("*.tar")) == [f"shard-{k:06d}.tar" for k in range(5)]
    assert ours.path(0) == packed / "shard-000000.tar" / "a" / "00000000-photo_00.png"
    about = json.loads((packed / "dataset.json").read_text())
    assert about["counts"] == {"images": 24, "shards": 5, "other_files": 0}
    assert np.load(packed / "index.npy").nbytes == 16 * 24


def test_webdataset_reads_them_too(folder, packed):
    urls = [str(path) for path in sorted(packed.glob("*.tar"))]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert len(samples) == COUNT + 1
    images = UnlabeledImages(folder, 8)
    for index, sample in enumerate(samples):
        (content,) = [value for key, value in sample.items() if not key.startswith("__")]
        assert content == images.path(index).read_bytes()


def epoch(dataset, rank: int = 0, world_size: int = 1, workers: int = 0, batches: int = 6, start: dict | None = None):
    """Batches of 2 per rank, each image shown by its colour."""
    stream = Stream(dataset, 2, seed=3, rank=rank, world_size=world_size, num_workers=workers)
    if start is not None:
        stream.load_state_dict(start)
    colours = [(stream.next()[0][:, 0, 4, 4] * 255).round().int().tolist() for _ in range(batches)]
    return colours, stream.state_dict()


@pytest.mark.slow
def test_two_ranks_of_two_workers_share_an_epoch_without_duplicates_or_gaps(packed):
    dataset = UnlabeledShards(packed, 8)
    ranks = [epoch(dataset, rank, 2, workers=2)[0] for rank in (0, 1)]
    seen = [colour for batches in ranks for batch in batches for colour in batch]
    everything = [int(dataset[k][0, 4, 4]) for k in range(24)]
    assert sorted(seen) == sorted(everything) and len(set(seen)) == 24
    whole, _ = epoch(dataset, batches=12)  # one rank, no worker
    woven = [ranks[i % 2][i // 4][i // 2 % 2] for i in range(24)]
    assert woven == list(chain(*whole))


@pytest.mark.slow
def test_a_run_stopped_within_an_epoch_goes_on_as_if_it_had_not_been(packed, folder):
    dataset = UnlabeledShards(packed, 8)
    for rank in (0, 1):
        whole, _ = epoch(dataset, rank, 2, workers=2, batches=10)
        first, state = epoch(dataset, rank, 2, workers=2, batches=4)
        rest, _ = epoch(UnlabeledShards(packed, 8), rank, 2, workers=1, batches=6, start=state)
        assert first + rest == whole
        assert whole == epoch(UnlabeledImages(folder, 8), rank, 2, batches=10)[0]  # a folder gives the same run


def test_spawned_workers_get_the_index_and_nothing_more(packed):
    content = pickle.dumps(UnlabeledShards(packed, 8))
    assert len(content) < 2500
    assert torch.equal(pickle.loads(content)[7], UnlabeledShards(packed, 8)[7])


def test_same_source_same_bytes_and_packing_again_writes_nothing(folder, packed, tmp_path):
    again = prepare_shards(folder, tmp_path / "out", PER_SHARD).parent
    for path in packed.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes()
    stamps = {path: path.stat().st_mtime_ns for path in again.iterdir()}
    prepare_shards(folder, again, PER_SHARD)
    assert {path: path.stat().st_mtime_ns for path in again.iterdir()} == stamps
    (again / "shard-000001.tar").unlink()
    prepare_shards(folder, again, PER_SHARD)
    assert (again / "shard-000001.tar").read_bytes() == (packed / "shard-000001.tar").read_bytes()
    with pytest.raises(FileExistsError, match="images_per_shard: there 5, asked for 6"):
        prepare_shards(folder, again, 6)


def test_a_killed_packing_keeps_whole_shards_and_is_completed(folder, packed, tmp_path, monkeypatch):
    out, read_bytes, count = tmp_path / "out", Path.read_bytes, []

    def dies(path):
        count.append(path)
        if len(count) > 13:  # within the third shard
            raise KeyboardInterrupt
        return read_bytes(path)

    monkeypatch.setattr(shard_packing.Path, "read_bytes", dies)
    with pytest.raises(KeyboardInterrupt):
        prepare_shards(folder, out, PER_SHARD)
    monkeypatch.undo()
    assert sorted(path.name for path in out.glob("*.tar")) == ["shard-000000.tar", "shard-000001.tar"]
    with pytest.raises(FileNotFoundError, match=r"no index\.npy and dataset\.json in it"):
        UnlabeledShards(out, 8)
    prepare_shards(folder, out, PER_SHARD)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == {p.name: p.read_bytes() for p in packed.iterdir()}


def foreign_shard(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_shards_of_others_are_indexed_where_they_lie(tmp_path):
    for k in range(2):
        members = {f"x/{k}{j}.cls": b"7" for j in range(3)}
        members |= {f"x/{k}{j}.jpg": encoded(40 * k + j, "JPEG") for j in range(3)}
        foreign_shard(tmp_path / f"train-{k}.tar", members | {f"x/{k}0.mask.png": encoded(99), "x/é" * 50: b"long"})
    about = json.loads(prepare_shards(tmp_path).read_text())
    assert about["counts"] == {"images": 6, "shards": 2, "other_files": 10}
    dataset = UnlabeledShards(tmp_path, 8)
    assert [int(dataset[k][0, 0, 0]) for k in range(6)] == [0, 1, 2, 40, 41, 42]
    foreign_shard(tmp_path / "train-2.tar", {"a.png": encoded(200)})
    prepare_shards(tmp_path)
    assert int(UnlabeledShards(tmp_path, 8)[6][0, 0, 0]) == 200


def test_a_missing_or_shortened_shard_is_named_at_the_start(packed, tmp_path):
    root = shutil.copytree(packed, tmp_path / "copy")
    (root / "shard-000002.tar").write_bytes((root / "shard-000002.tar").read_bytes()[:-512])
    with pytest.raises(ValueError, match=r"shard-000002\.tar: \d+ bytes, but \d+ when it was indexed"):
        UnlabeledShards(root, 8)
    (root / "shard-000002.tar").unlink()
    with pytest.raises(FileNotFoundError, match=r"shard shard-000002\.tar is missing"):
        UnlabeledShards(root, 8)


def test_a_corrupt_image_is_named_with_its_shard_and_may_be_skipped(packed, tmp_path):
    root = shutil.copytree(packed, tmp_path / "copy")
    row = np.load(root / "index.npy")[6]
    with (root / "shard-000001.tar").open("r+b") as file:
        file.seek(int(row["offset"]))
        file.write(bytes(int(row["size"])))
    with pytest.raises(UnreadableImage, match=r"shard-000001\.tar/a/00000006-photo_\d+\.\w+: not a readable image"):
        UnlabeledShards(root, 8, skip_corrupt=0)[6]
    tolerant = UnlabeledShards(root, 8, skip_corrupt=1)
    with pytest.warns(UserWarning, match="next file takes its place"):
        assert torch.equal(tolerant[6], tolerant[7])


def test_an_index_of_other_shards_is_noticed(packed, tmp_path):
    root = shutil.copytree(packed, tmp_path / "copy")
    index = np.load(root / "index.npy")
    index["offset"] += 100
    np.save(root / "index.npy", index)
    with pytest.raises(UnreadableImage, match="no file begins at byte"):
        UnlabeledShards(root, 8, skip_corrupt=0)[3]


def test_what_cannot_be_packed_is_said_before_anything_is_written(folder, packed, tmp_path):
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no images"):
        prepare_shards(tmp_path / "empty", out)
    with pytest.raises(FileNotFoundError, match="These are shards already: leave --out away"):
        prepare_shards(packed, out)
    with pytest.raises(FileNotFoundError, match=r"no \.tar in it .* To pack images, give --out"):
        prepare_shards(folder)
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "a" / "photo.00.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"photo\.00\.png: an empty file"):
        prepare_shards(copy, out)
    with pytest.raises(FileNotFoundError, match="Shards are read by UnlabeledShards"):
        UnlabeledImages(packed, 8)
    (tmp_path / "empty" / "x.tar").write_bytes(b"x" * 2000)
    with pytest.raises(ValueError, match=r"x\.tar: not a whole, uncompressed tar"):
        prepare_shards(tmp_path / "empty")
    assert not out.exists()


def test_the_samplers_order_is_read_by_offset_from_anywhere(packed):
    dataset = UnlabeledShards(packed, 8)
    keys = list(islice(PositionSampler(24, seed=1, start=10**9), 5))
    assert [torch.equal(dataset[key], dataset[key[0]]) for key in keys] == [True] * 5

"""Shards behind a URL: the folder's images, an order that few shards serve, resumable; and a server that fails."""

import http.server
import io
import json
import os
import re
import shutil
import socket
import tarfile
import threading
from collections import Counter
from itertools import islice
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image

from vssl.datasets import RemoteShards, UnlabeledShards, remote
from vssl.datasets.prepare.remote_index import expanded
from vssl.datasets.prepare.shard_packing import prepare_shards
from vssl.datasets.remote import RemoteError, RemoteFolder
from vssl.datasets.sampler import ShardOrder
from vssl.datasets.stream import Stream

SHARDS, IN_EACH = 6, 5


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder, ranges too. `faults`: by file name, what happens to its next requests, one after the other."""

    daemon_threads = True

    def __init__(self, folder: Path):
        self.folder, self.faults, self.asked, self.ranges, self.accepts = folder, {}, Counter(), True, "bytes"
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        """Clients that hang up are no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer(with_body=False)

    def do_GET(self):
        self._answer(with_body=True)

    def _answer(self, with_body):
        name, server = self.path.rpartition("/")[2], self.server
        server.asked[name, self.command] += 1
        fault = server.faults[name].pop(0) if server.faults.get(name) else None
        file = server.folder / name
        if fault == "dropped":
            return self._hang_up()
        if isinstance(fault, int) or not file.is_file():
            self.send_response(fault or 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = file.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")) if server.ranges else None
        if asked:
            content = content[int(asked[1]) : int(asked[2]) + 1]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content)))
        if server.accepts:
            self.send_header("Accept-Ranges", server.accepts)
        self.end_headers()
        if with_body:
            self.wfile.write(content[: len(content) // 2] if fault == "cut" else content)
            if fault == "cut":
                self._hang_up()
        elif fault == "cut":
            self._hang_up()

    def _hang_up(self):
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def log_message(self, *arguments):
        pass


def shard(values) -> bytes:
    """A tar of one grey PNG for each value, with a label beside each."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for value in values:
            picture = io.BytesIO()
            Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(picture, "PNG")
            for name, content in ((f"{value:06d}.png", picture.getvalue()), (f"{value:06d}.cls", b"1")):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


@pytest.fixture
def folder(tmp_path) -> Path:
    """30 images of 30 greys, 5 a shard."""
    place = tmp_path / "served"
    place.mkdir()
    for k in range(SHARDS):
        (place / f"part-{k:02d}.tar").write_bytes(shard(range(IN_EACH * k, IN_EACH * (k + 1))))
    prepare_shards(place)
    return place


@pytest.fixture
def server(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("VSSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote.time, "sleep", lambda seconds: None)
    fsspec.filesystem("http").clear_instance_cache()
    with Server(folder) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield running
        running.shutdown()


def greys(stream: Stream, batches: int) -> list[int]:
    return [round(255 * float(image[0, 0, 0])) for _ in range(batches) for image in stream.next()[0]]


def test_single_images_come_by_ranges_without_fetching_shards(server, folder):
    ours, theirs = RemoteShards(server.url, 8), UnlabeledShards(folder, 8)
    assert len(ours) == len(theirs) == 30
    assert all(torch.equal(ours[index], theirs[index]) for index in (0, 7, 29))
    assert sum(server.asked[f"part-{k:02d}.tar", "GET"] for k in range(SHARDS)) == 3
    assert not list(Path(os.environ["VSSL_CACHE"]).rglob("*.tar"))


def test_a_stream_fetches_every_shard_once_whoever_reads(server):
    expected = greys(Stream(RemoteShards(server.url, 8, buffer_shards=2), 5, seed=1), 12)
    assert sorted(expected[:30]) == sorted(expected[30:]) == list(range(30)) != expected[:30]
    assert {server.asked[f"part-{k:02d}.tar", "GET"] for k in range(SHARDS)} == {1}
    images = RemoteShards(server.url, 8, buffer_shards=2)  # another process, with the cache
    two = [greys(Stream(images, 5, seed=1, rank=rank, world_size=2), 6) for rank in (0, 1)]
    assert [value for pair in zip(*two, strict=True) for value in pair] == expected
    assert {server.asked[f"part-{k:02d}.tar", "GET"] for k in range(SHARDS)} == {1}


@pytest.mark.slow
def test_it_resumes_anywhere_with_any_number_of_workers(server):
    images = RemoteShards(server.url, 8, buffer_shards=3)
    expected = greys(Stream(images, 4, seed=3), 16)
    for begun in (1, 7, 8):
        with_workers = Stream(RemoteShards(server.url, 8, buffer_shards=3), 4, seed=3, num_workers=2)
        with_workers.load_state_dict({"position": 4 * begun})
        assert greys(with_workers, 3) == expected[4 * begun : 4 * (begun + 3)]


def test_an_order_of_few_shards():
    shards = np.repeat(np.arange(40), 25)
    order = ShardOrder(shards, buffer=4, seed=0)
    first, again, second = order.order(0), order.order(0), order.order(1)
    assert np.array_equal(first, again) and not np.array_equal(first, second)
    assert np.array_equal(np.sort(first), np.arange(1000))
    places = np.argsort(order.shards_of(0))[shards[first]]  # of each image's shard, in the order of the stream
    begun = [int((places == k).argmax()) for k in range(40)]
    assert begun == sorted(begun)  # shards_of is the order in which they are first needed
    open_shards = [len({int(p) for p in places[i:]} & {int(p) for p in places[:i]}) for i in range(0, 1000, 50)]
    assert max(open_shards) <= 5  # 4, and one at the edge
    assert len(set(places[200:225].tolist())) >= 3  # and they are mixed
    position = list(islice(ShardOrder(shards, 4, 0, rank=1, world_size=2, start=990), 8))
    assert [index for index, _ in position] == [*first[991::2], *second[1:6:2]][:8]


@pytest.mark.parametrize("fault", [500, 503, 429, "dropped", "cut"])
def test_what_passes_is_tried_again(server, capsys, fault):
    server.faults["part-03.tar"] = [fault] * 5  # looks and reads
    assert sorted(greys(Stream(RemoteShards(server.url, 8), 5, seed=1), 6)) == list(range(30))
    assert "trying again" in capsys.readouterr().out
    assert server.asked["part-03.tar", "GET"] + server.asked["part-03.tar", "HEAD"] >= 6


@pytest.mark.parametrize(("fault", "match"), [(500, "3 times.*--resume"), (403, "may read it"), (401, "may read it")])
def test_what_does_not_pass_is_named(server, fault, match):
    images = RemoteShards(server.url, 8, tries=3)
    server.faults = {f"part-{k:02d}.tar": [fault] * 99 for k in range(SHARDS)}
    with pytest.raises(RemoteError, match=rf"part-\d\d.tar: .*{match}"):
        greys(Stream(images, 5, seed=1), 6)


def test_a_missing_shard_ends_the_run_and_no_image_takes_its_place(server, folder):
    images = RemoteShards(server.url, 8, skip_corrupt=29)
    (folder / "part-02.tar").unlink()
    with pytest.raises(RemoteError, match=r"part-02\.tar"):
        greys(Stream(images, 5, seed=1), 6)


@pytest.mark.parametrize("content", [shard(range(10, 15))[:4096], shard(range(5, 15))])
def test_a_shard_that_was_cut_off_or_changed_is_refused(server, folder, content):
    images = RemoteShards(server.url, 8, skip_corrupt=29)
    (folder / "part-02.tar").write_bytes(content)
    with pytest.raises(RemoteError, match=r"part-02.tar: \d+ bytes, but \d+ when it was indexed"):
        greys(Stream(images, 5, seed=1), 6)


def test_a_server_without_ranges_is_refused(server):
    images = RemoteShards(server.url, 8)
    server.ranges = False
    with pytest.raises(RemoteError, match="ranges of bytes"):
        images[3]


def test_an_unreadable_image_is_skipped_and_listed(server, folder, tmp_path):
    spoilt = bytearray((folder / "part-01.tar").read_bytes())
    place = spoilt.find(b"IDAT") + 4
    spoilt[place : place + 6] = b"broken"
    (folder / "part-01.tar").write_bytes(spoilt)
    images = RemoteShards(server.url, 8)
    images.list_unreadable(tmp_path / "bad_files.txt")
    with pytest.warns(UserWarning, match="the next file takes its place"):
        assert sorted(greys(Stream(images, 5, seed=1), 6)) == [*range(5), 6, *range(6, 30)]
    assert "part-01.tar/000005.png" in (tmp_path / "bad_files.txt").read_text()


def test_the_cache_keeps_within_its_limit(server, folder):
    size = (folder / "part-00.tar").stat().st_size
    with pytest.raises(ValueError, match="cache_gb"):
        RemoteShards(server.url, 8, buffer_shards=1, cache_gb=4 * size / 1e9)
    images = RemoteShards(server.url, 8, buffer_shards=1, cache_gb=5.5 * size / 1e9)
    assert sorted(greys(Stream(images, 5, seed=1), 6)) == list(range(30))
    assert len(list(Path(os.environ["VSSL_CACHE"]).rglob("*.tar"))) <= 6  # one may be under way


def test_shards_of_others_are_indexed_from_their_urls(server, folder, tmp_path):
    (folder / "index.npy").unlink(), (folder / "dataset.json").unlink()
    with pytest.raises(RemoteError, match=r"dataset.json.*See that it is there"):
        RemoteShards(server.url, 8)
    made = prepare_shards(f"{server.url}/part-{{00..05}}.tar", tmp_path / "index")
    assert json.loads(made.read_text())["counts"] == {"images": 30, "shards": 6, "other_files": 30}
    assert sorted(greys(Stream(RemoteShards(tmp_path / "index", 8), 5, seed=1), 6)) == list(range(30))
    assert sorted(p.name for p in (tmp_path / "index").iterdir()) == ["dataset.json", "index.npy"]


@pytest.mark.parametrize("said", [None, "none"])
def test_a_server_without_ranges_is_found_out_before_shards_are_indexed(server, tmp_path, said):
    server.ranges, server.accepts = False, said
    with pytest.raises(RemoteError, match=r"part-00.tar: the server does not answer requests for ranges.*nginx.*copy"):
        prepare_shards(f"{server.url}/part-{{00..05}}.tar", tmp_path / "index")
    assert {name for name, _ in server.asked} == {"part-00.tar"}
    assert not (tmp_path / "index" / "dataset.json").exists()


def test_a_broken_tar_is_no_shard(server, folder, tmp_path):
    (folder / "part-00.tar").write_bytes((folder / "part-00.tar").read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"part-00.tar: .*uncompressed tar"):
        prepare_shards(f"{server.url}/part-{{00..05}}.tar", tmp_path / "index")


def test_another_file_system_of_fsspec(folder, tmp_path, monkeypatch):
    """What s3:// does, apart from s3fs: here fsspec's file system in memory."""
    monkeypatch.setenv("VSSL_CACHE", str(tmp_path / "cache"))
    memory = fsspec.filesystem("memory")
    for file in folder.glob("*.tar"):
        memory.pipe(f"/bucket/prefix/{file.name}", file.read_bytes())
    try:
        prepare_shards("memory://bucket/prefix", tmp_path / "index")
        images = RemoteShards(tmp_path / "index", 8)
        assert torch.equal(images[7], UnlabeledShards(folder, 8)[7])
        assert sorted(greys(Stream(images, 5, seed=1), 6)) == list(range(30))
    finally:
        memory.rm("/bucket", recursive=True)


@pytest.mark.parametrize("url", ["https://me:secret@host/x", "https://host/x?X-Amz-Signature=secret", "s3://key@b/p"])
def test_credentials_are_refused_and_not_repeated(url):
    with pytest.raises(ValueError, match="credentials") as caught:
        RemoteFolder(url)
    assert "secret" not in str(caught.value)


def test_what_is_wrong_with_the_index(server, folder, tmp_path):
    with pytest.raises(ValueError, match="UnlabeledShards"):
        RemoteShards(folder, 8)
    shutil.copy(folder / "index.npy", tmp_path / "other.npy")
    np.save(folder / "index.npy", np.load(tmp_path / "other.npy")[:-1])
    with pytest.raises(ValueError, match=r"not the index that dataset\.json describes"):
        RemoteShards(server.url, 8)


def test_braces():
    assert expanded("a-{008..010}.tar") == ["a-008.tar", "a-009.tar", "a-010.tar"]
    assert expanded("a.tar") == ["a.tar"]
    with pytest.raises(ValueError, match="5 is above 3"):
        expanded("{5..3}.tar")

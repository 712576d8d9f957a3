"""Shards in an S3-compatible store: moto's server in this process, by s3fs as users have it."""

import copy
import logging
import urllib.request

import fsspec
import pytest
import torch
from safetensors.torch import load_file

from vssl.datasets import RemoteShards, UnlabeledShards, remote
from vssl.datasets.prepare.shard_packing import prepare_shards
from vssl.datasets.remote import RemoteError, RemoteFolder
from vssl.engine import train
from vssl.engine.training import build_runner

ThreadedMotoServer = pytest.importorskip("moto.server").ThreadedMotoServer  # make test-oldest has none
boto3 = pytest.importorskip("boto3")  # moto's
Config = pytest.importorskip("botocore.config").Config
pytestmark = pytest.mark.slow
ROOT = "s3://bucket/shards"


def client(address: str):
    """Sends one thing after another and tries again: s3fs gives up where a connection takes five seconds."""
    return boto3.client("s3", endpoint_url=address, config=Config(retries={"max_attempts": 5}))


@pytest.fixture
def store(monkeypatch, tmp_path):
    """A store with an empty bucket, where the environment says that it is; its address."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    for name, value in {
        "AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "mine",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1", "VSSL_CACHE": str(tmp_path / "cache"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote.time, "sleep", lambda seconds: None)
    files = fsspec.filesystem("s3")
    files.clear_instance_cache()
    client(address).create_bucket(Bucket="bucket")
    yield address
    urllib.request.urlopen(f"{address}/moto-api/reset", data=b"")
    server.stop()
    files.clear_instance_cache()


@pytest.fixture
def shards(miniature, tmp_path):
    """The miniature's 24 images, 5 a shard."""
    prepare_shards(miniature / "imagenet" / "train", tmp_path / "shards", images_per_shard=5)
    return tmp_path / "shards"


@pytest.fixture
def bucket(store, shards):
    """The same in the store."""
    for file in shards.iterdir():
        client(store).put_object(Bucket="bucket", Key=f"shards/{file.name}", Body=file.read_bytes())
    return store


def test_a_run_reads_shards_from_a_bucket_and_goes_on_exactly(bucket, fixed_config, tmp_path, cut_short):
    fixed_config.unlabeled = dict(type="vssl.datasets.RemoteShards", root=ROOT, size=32, buffer_shards=2)
    fixed_config.num_workers = 2
    whole = train(copy.deepcopy(fixed_config), tmp_path / "whole")
    cut_short(build_runner(copy.deepcopy(fixed_config), tmp_path / "part", seed=0), 3)
    part = train(copy.deepcopy(fixed_config), tmp_path / "part", resume=True)
    a, b = (load_file(run / "backbone.safetensors") for run in (whole, part))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert len(list((tmp_path / "cache").rglob("*.tar"))) == 5


def test_a_bucket_is_listed_and_indexed(bucket, shards, tmp_path):
    prepare_shards(ROOT, tmp_path / "index")
    images = RemoteShards(tmp_path / "index", 32)
    assert torch.equal(images[7], UnlabeledShards(shards, 32)[7])


def test_what_is_not_there_or_may_not_be_read_is_named(bucket, tmp_path, monkeypatch):
    with pytest.raises(RemoteError, match=r"s3://bucket/shard/dataset.json: FileNotFoundError: .* it is there"):
        RemoteShards("s3://bucket/shard", 32)
    with pytest.raises(RemoteError, match=r"s3://buckets/shards/dataset.json: .*bucket does not exist.* it is there"):
        RemoteShards("s3://buckets/shards", 32)
    with pytest.raises(RemoteError, match=r"s3://buckets/shards: .*bucket does not exist"):
        prepare_shards("s3://buckets/shards", tmp_path / "index")
    images = RemoteShards(ROOT, 32)
    fsspec.filesystem("s3").rm(f"{ROOT}/shard-000001.tar")
    with pytest.raises(RemoteError, match=r"shard-000001.tar: .*key does not exist"):
        images[7]

    ask_who_one_is_after(bucket, b"0")
    try:
        with pytest.raises(RemoteError, match=r"dataset.json: PermissionError: .* you may read it"):
            RemoteShards(ROOT, 32)
        with pytest.raises(RemoteError, match=r"s3://bucket/shards: PermissionError: .* you may read it"):
            prepare_shards(ROOT, tmp_path / "index")
    finally:
        ask_who_one_is_after(bucket, b"inf")


def ask_who_one_is_after(address: str, requests: bytes) -> None:
    asked = urllib.request.Request(f"{address}/moto-api/reset-auth", requests, {"Content-Type": "text/plain"})
    urllib.request.urlopen(asked).read()


def test_a_store_that_does_not_answer_is_asked_again(store, monkeypatch, capsys):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody is there
    fsspec.filesystem("s3").clear_instance_cache()
    fsspec.filesystem("s3").retries = 1
    with pytest.raises(RemoteError, match=r"EndpointConnectionError.*, 2 times. Go on with --resume"):
        RemoteFolder(ROOT, tries=2).read("dataset.json")
    assert "trying again" in capsys.readouterr().out

import pytest
import torch
import torch.distributed as dist
from mmengine.dist import get_dist_info

from vssl.distributed import alone, process_group, rank_and_size


def test_alone_hides_the_process_group_and_brings_it_back(tmp_path):
    with alone():
        assert not dist.is_initialized()
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        world = dist.group.WORLD
        with alone():
            assert not dist.is_initialized() and get_dist_info() == (0, 1) and rank_and_size() == (0, 1)
        assert dist.group.WORLD is world and dist.is_initialized()
    finally:
        dist.destroy_process_group()


def test_a_process_group_ends_with_its_block_even_after_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "RANK": "0", "WORLD_SIZE": "1"}
    for key, value in place.items():
        monkeypatch.setenv(key, value)
    with process_group("none"):
        assert not dist.is_initialized()
    with process_group("pytorch"):
        assert rank_and_size() == (0, 1) and dist.is_initialized()
        with process_group("pytorch"):  # somebody else's
            pass
        assert dist.is_initialized()
    assert not dist.is_initialized()
    with pytest.raises(ValueError, match="boom"), process_group("pytorch"):
        raise ValueError("boom")
    assert not dist.is_initialized()


def test_on_gpus_ranks_are_known_before_mmengine_joins(monkeypatch):
    """Streams are dealt out to ranks before the Runner is built: ranks that joined with it would all be rank 0."""
    joined = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: joined.append(index))
    monkeypatch.setattr(dist, "init_process_group", lambda backend: joined.append(backend))
    monkeypatch.setenv("LOCAL_RANK", "3")
    with process_group("pytorch"):
        assert joined == [3, "nccl"]
    with process_group("none"):
        assert joined == [3, "nccl"]

import torch.distributed as dist
from mmengine.dist import get_dist_info

from vssl.distributed import alone, rank_and_size


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

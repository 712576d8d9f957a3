"""From the data sets as they are published to folders that the loaders read, each with a `dataset.json`."""

from vssl.datasets.prepare.ade20k import prepare_ade20k
from vssl.datasets.prepare.camvid import prepare_camvid
from vssl.datasets.prepare.folder import prepare_folder
from vssl.datasets.prepare.imagenet import prepare_imagenet
from vssl.datasets.prepare.nyuv2 import prepare_nyuv2
from vssl.datasets.prepare.nyuv2_folders import prepare_nyuv2_folders
from vssl.datasets.prepare.nyuv2_lists import prepare_nyuv2_lists
from vssl.datasets.prepare.oxford_paris import prepare_retrieval
from vssl.datasets.prepare.seven_scenes import prepare_seven_scenes
from vssl.datasets.prepare.shard_packing import prepare_shards
from vssl.datasets.prepare.tiny_imagenet import prepare_tiny_imagenet

__all__ = [
    "prepare_ade20k",
    "prepare_camvid",
    "prepare_folder",
    "prepare_imagenet",
    "prepare_nyuv2",
    "prepare_nyuv2_folders",
    "prepare_nyuv2_lists",
    "prepare_retrieval",
    "prepare_seven_scenes",
    "prepare_shards",
    "prepare_tiny_imagenet",
]

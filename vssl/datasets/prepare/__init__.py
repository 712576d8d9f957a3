"""From the data sets as they are published to folders that the loaders read, each with a `dataset.json`."""

from vssl.datasets.prepare.ade20k import prepare_ade20k
from vssl.datasets.prepare.folder import prepare_folder
from vssl.datasets.prepare.imagenet import prepare_imagenet
from vssl.datasets.prepare.nyuv2 import prepare_nyuv2
from vssl.datasets.prepare.nyuv2_lists import prepare_nyuv2_lists
from vssl.datasets.prepare.retrieval import prepare_retrieval
from vssl.datasets.prepare.shards import prepare_shards

__all__ = [
    "prepare_ade20k",
    "prepare_folder",
    "prepare_imagenet",
    "prepare_nyuv2",
    "prepare_nyuv2_lists",
    "prepare_retrieval",
    "prepare_shards",
]

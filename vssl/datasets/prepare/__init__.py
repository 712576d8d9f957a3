"""From the data sets as they are published to folders that the loaders read, each with a `dataset.json`."""

from vssl.datasets.prepare.ade20k import prepare_ade20k
from vssl.datasets.prepare.nyuv2 import prepare_nyuv2
from vssl.datasets.prepare.nyuv2_lists import prepare_nyuv2_lists

__all__ = ["prepare_ade20k", "prepare_nyuv2", "prepare_nyuv2_lists"]

"""The embedded data: rendered indoor scenes with exact depth and labels."""

from vssl.datasets.scenes.families import DEFAULT_FAMILY, FAMILIES
from vssl.datasets.scenes.furniture import CLASSES, PROMINENT
from vssl.datasets.scenes.ray_casting import RENDERER_VERSION, Rendering, render
from vssl.datasets.scenes.room_retrieval import write_retrieval
from vssl.datasets.scenes.scene_files import SPLITS, write_scenes
from vssl.datasets.scenes.sheet import write_sheet

__all__ = [
    "CLASSES",
    "DEFAULT_FAMILY",
    "FAMILIES",
    "PROMINENT",
    "RENDERER_VERSION",
    "SPLITS",
    "Rendering",
    "render",
    "write_retrieval",
    "write_scenes",
    "write_sheet",
]

"""Prepare data: render the embedded sets, or check and lay out published ones (data/README.md).

Each command that writes a data set writes a dataset.json, which every protocol card quotes.
"""

import argparse
import sys
from collections.abc import Sequence

from vssl.commands import clusters, run_command, shares

# Known here too, so that help and a mistyped name need no heavy import; a test compares them with the parsers.
NAMES = {
    "scenes": "render indoor scenes with exact depth and labels",
    "scenes_retrieval": "render rooms seen from several places, for image retrieval",
    "scenes_pairs": "render rooms from two places each, with exact correspondences",
    "ade20k": "ADE20K SceneParse150",
    "nyuv2": "NYU Depth v2",
    "imagenet": "ImageNet-1k",
    "tiny_imagenet": "Tiny ImageNet",
    "camvid": "CamVid, 11 classes",
    "seven_scenes": "a scene of 7-Scenes",
    "roxford5k": "revisited Oxford5k",
    "rparis6k": "revisited Paris6k",
    "word_problems": "arithmetic word problems with answers, for language models",
    "folder": "your own images with masks or depth",
    "shards": "tar shards for streaming",
    "clusters": "one folder of images as clusters, the sources of a mixture",
    "shares": "shares of folders of unlabeled images, by their likeness to labeled ones",
}
LOOKING = {module.NAME: module for module in (clusters, shares)}
"""Commands that look at images through a backbone."""


def parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the command that `argv` names, or of the names alone."""
    whole = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = whole.add_subparsers(dest="command", required=True, metavar="NAME")
    if argv and argv[0] in LOOKING:
        LOOKING[argv[0]].add_command(commands)
    elif argv and argv[0] in NAMES:
        from vssl.datasets.prepare.command import add_commands

        add_commands(commands)
    else:
        for name, what in NAMES.items():
            commands.add_parser(name, help=what)
    return whole


def execute(options: argparse.Namespace) -> None:
    print(options.prepare(options))


def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    return run_command(parser(argv), execute, argv, {"--work-dir": "--out"})

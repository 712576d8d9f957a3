"""A scene of 7-Scenes (Microsoft Research), in NYUv2's layout.

SOURCE/TrainSplit.txt, TestSplit.txt         lines: sequence1
SOURCE/seq-01/frame-000000.color.png         SOURCE/seq-01/frame-000000.depth.png     millimetres, 65535 = invalid
OUT/images/{train,test}/seq-01/frame-000000.png      OUT/annotations/…                millimetres, 0 = invalid

Depth is as the Kinect gives it, not aligned with the colour image: their views differ by some pixels.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from vssl.data_folders import found_in
from vssl.datasets.prepare.annotations import DepthFiles
from vssl.datasets.prepare.pairs import Layout, digest, files_by_name, matched
from vssl.datasets.prepare.splits import Split
from vssl.datasets.prepare.writing import begin, finish, prepared

LISTS = {"train": "TrainSplit.txt", "test": "TestSplit.txt"}
INVALID = 65535
FARTHEST = 10.0  # metres; the Kinect ends before


def prepare_seven_scenes(source: str | Path, out: str | Path, every: int = 10, val_share: float | None = None) -> Path:
    """Checks every frame that is taken and lays the set out; returns the path of `dataset.json`.

    Args:
        source: a scene's folder, its sequences unpacked; or a folder of frames without lists.
        every: take every n-th frame of a sequence: neighbours show nearly the same.
        val_share: without lists, the share of frames for test, the last ones (default 0.2).

    Raises:
        FileNotFoundError: no frames, or a sequence that a list names is missing.
        ValueError: a line of a list that is none, depth without a colour image or not in millimetres.
        UnreadableImage: a broken file, or depth of another size. FileExistsError: see `begin`.
    """
    source, out = Path(source), Path(out)
    if every < 1:
        raise ValueError(f"--every {every}: expected at least 1")
    listed = (source / LISTS["train"]).is_file()
    if listed and val_share is not None:
        raise ValueError(
            f"--val-share {val_share:g}: {source} has {' and '.join(LISTS.values())}; leave the option away"
        )
    pairs = matched(files_by_name(source, ".color"), files_by_name(source, ".depth"))
    if listed:
        sides: Sequence[list[str]] = [
            [n for s in _sequences(source, name) for n in pairs if n.startswith(f"{s}/")] for name in LISTS.values()
        ]
        words = "published"
    else:
        split = Split(val_share=val_share)
        sides, words = split.of(list(pairs)), split.words()
    taken = {split: {n: pairs[n] for n in names[::every]} for split, names in zip(LISTS, sides, strict=True)}
    options = {"scene": source.name, "every": every, "split": words, "files_sha256": digest(taken)}
    if prepared(out, options):
        return out / "dataset.json"
    layout = Layout(taken, DepthFiles(1000, (INVALID,)).read)
    about = layout.depth(str(source), FARTHEST)
    if begin(out, options, ("images", "annotations")):
        hashes = layout.write(out)
        finish(
            out,
            options,
            files=layout.folders(),
            name=f"7-Scenes, {source.name}",
            source=str(source.name),
            split=words,
            counts=layout.counts,
            depth="as measured, not aligned with colour",
            hashes=hashes,
            licence="non-commercial use, see the terms of the download; cite Shotton et al., CVPR 2013",
            **about,
        )
    return out / "dataset.json"


def _sequences(source: Path, name: str) -> list[str]:
    if not (source / name).is_file():
        raise FileNotFoundError(f"{source}: no {name} (found: {found_in(source)})")
    folders = []
    for line in (source / name).read_text().split():
        number = re.fullmatch(r"sequence(\d+)", line)
        if not number:
            raise ValueError(f"{source / name}: line {line!r}, expected sequence1")
        folders.append(f"seq-{int(number[1]):02d}")
    if missing := [folder for folder in folders if not (source / folder).is_dir()]:
        raise FileNotFoundError(
            f"{source / name}: no folder {missing[0]}; unpack {missing[0]}.zip (found: {found_in(source)})"
        )
    return folders

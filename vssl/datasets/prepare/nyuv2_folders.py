"""NYU Depth v2, labeled, as image folders: what the preparation of ESANet (github.com/TUI-NICR/ESANet) writes.

SOURCE/{train,test}/rgb/NNNN.png     SOURCE/{train,test}/depth/NNNN.png, depth_raw/NNNN.png    millimetres
                                     SOURCE/{train,test}/labels_13/NNNN.png, labels_40/…       0 = void, 1.. = classes
SOURCE/class_names_1+13.txt, …       a line a class, void first

One set is written at a time: depth in NYUv2's layout, or classes in ADE20K's.
"""

from collections.abc import Mapping
from pathlib import Path

from vssl.data_folders import found_in
from vssl.datasets.prepare.annotations import DepthFiles, NumberMasks, read_classes
from vssl.datasets.prepare.nyuv2 import FARTHEST, LICENCE, NYUv2Release
from vssl.datasets.prepare.pairs import Layout, Pair, digest, files_by_name, matched
from vssl.datasets.prepare.writing import begin, finish, prepared

DEPTHS = {"raw": "depth_raw", "filled": "depth"}


def prepare_nyuv2_folders(
    source: str | Path,
    out: str | Path,
    depth: str = "raw",
    labels: int | None = None,
    counts: Mapping[str, int] | None = None,
) -> Path:
    """Checks every file and lays one set out; returns the path of `dataset.json`.

    Args:
        depth: ``"raw"`` or ``"filled"``; it changes RMSE.
        labels: write the segmentation in so many classes, 13 or 40, and no depth.

    Raises:
        FileNotFoundError: a folder or the class names are missing.
        ValueError: other counts than the published, numbers that are no class, depth that is not in millimetres.
        UnreadableImage: a broken file, or an annotation of another size. FileExistsError: see `begin`.
    """
    source, out, counts = Path(source), Path(out), dict(counts or NYUv2Release().counts)
    kind = DEPTHS[depth] if labels is None else f"labels_{labels}"
    pairs = {split: _pairs(source / split, kind, count) for split, count in counts.items()}
    options = {"layout": "folders", **({"depth": depth} if labels is None else {"labels": labels})}
    names = [] if labels is None else [source / f"class_names_1+{labels}.txt"]
    options["files_sha256"] = digest(pairs, [path for path in names if path.is_file()])
    if prepared(out, options):
        return out / "dataset.json"
    if labels is None:
        layout = Layout(pairs, DepthFiles(1000).read)
        about = {"name": "NYU Depth v2, labeled", "depth": depth, **layout.depth(str(source), FARTHEST)}
    else:
        classes = read_classes(source / f"class_names_1+{labels}.txt", ["void"])
        masks = [mask for part in pairs.values() for _, mask in part.values()]
        splits = dict(zip(("training", "validation"), pairs.values(), strict=True))
        layout = Layout(splits, NumberMasks(classes, masks, first=0).read)
        about = {"name": f"NYU Depth v2, {labels} classes", "classes": classes.kept, "label_values": "1..C"}
        about["pixel_share"] = layout.shares(classes.kept)
    if begin(out, options, ("images", "annotations")):
        hashes = layout.write(out)
        source_name = f"image folders, {kind}"
        finish(
            out,
            options,
            files=layout.folders(),
            source=source_name,
            counts=layout.counts,
            hashes=hashes,
            licence=LICENCE,
            **about,
        )
    return out / "dataset.json"


def _pairs(folder: Path, kind: str, count: int) -> dict[str, Pair]:
    for part in ("rgb", kind):
        if not (folder / part).is_dir():
            raise FileNotFoundError(f"{folder}: no folder {part} (found: {found_in(folder)})")
    pairs = matched(files_by_name(folder / "rgb"), files_by_name(folder / kind))
    if len(pairs) != count:
        raise ValueError(f"{folder / kind}: {len(pairs)} files, expected {count}")
    return pairs

"""`prepare_data.py shares`: folders in the shares in which they are like labeled images (docs/your_data.md)."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vssl.commands.backbone_options import add_backbone_options, look
from vssl.data_folders import refuse_missing

if TYPE_CHECKING:
    from vssl.datasets.prepare.likeness import Folders

NAME = "shares"


def add_command(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        NAME,
        help="shares of folders of unlabeled images, by their likeness to labeled ones",
        description="Compares labeled images with those of several folders, by the features of a frozen backbone, and "
        "writes shares of these folders that UnlabeledMixture reads. No label is read.",
    )
    parser.add_argument(
        "--images",
        nargs="+",
        required=True,
        metavar="NAME=DIR",
        help="folders of unlabeled images or shards; or one DIR, of which each folder is a source",
    )
    parser.add_argument(
        "--like", nargs="+", type=Path, required=True, metavar="DIR", help="folder trees of labeled images"
    )
    parser.add_argument("--out", type=Path, default=Path("shares.yaml"), help="file to write (default: %(default)s)")
    parser.add_argument(
        "--neighbours", type=int, default=4, metavar="K", help="nearest images of a labeled one (default: %(default)s)"
    )
    parser.add_argument(
        "--per-folder", type=int, default=2000, metavar="N", help="images of each folder (default: %(default)s)"
    )
    parser.add_argument(
        "--least", type=float, default=0.05, metavar="SHARE", help="of any folder (default: %(default)s)"
    )
    parser.add_argument("--first-alone", action="store_true", help="the folder with most neighbours takes all others'")
    parser.add_argument("--plain", action="store_true", help="cosines of features as they are, as DINOv2 takes them")
    parser.add_argument("--seed", type=int, default=0, help="of the images drawn (default: %(default)s)")
    add_backbone_options(parser)
    parser.set_defaults(prepare=prepare)


def prepare(options: argparse.Namespace) -> Path:
    roots = _roots(options.images)
    if options.per_folder < 1:
        raise ValueError(f"--per-folder {options.per_folder}: expected at least 1")
    for folder in (*options.like, *(roots.values() if isinstance(roots, dict) else [roots])):
        refuse_missing(folder)

    from vssl.datasets import UnlabeledMixture, save_shares
    from vssl.datasets.prepare.likeness import measure_likeness, shares_by_likeness
    from vssl.datasets.share_file import check_new_shares

    check_new_shares(options.out)
    names = UnlabeledMixture(roots, 1).names
    shares_by_likeness(names, [1 / len(names)] * len(names), options.least)  # refuses what it would refuse below
    through = look(options)
    found = measure_likeness(
        roots,
        options.like,
        through.features,
        through.size,
        options.neighbours,
        options.per_folder,
        options.batch_size,
        options.seed,
        not options.plain,
    )
    shares = shares_by_likeness(found.names, found.likeness.share.mean(0), options.least, options.first_alone)
    _say_what_was_found(found, options.neighbours, shares)
    like = ", ".join(map(str, options.like))
    how = f"{found.sampled} images a folder, {options.neighbours} neighbours, seed {options.seed}"
    rule = f"least {options.least:g}" + (", first alone" if options.first_alone else "")
    kind = "plain" if options.plain else "centred"
    weights = through.about["weights_sha256"][:12]
    save_shares(
        shares,
        options.out,
        f"likeness to {found.labeled} labeled images in {like}; {through.about['backbone']}, weights {weights}, "
        f"{options.pool} pooled, {through.size} px, {kind}; {how}; {rule}",
    )
    print("for a config:")
    print("from vssl.datasets import UnlabeledMixture")
    print(f"unlabeled = dict(type=UnlabeledMixture, roots={roots!r}, size={through.size}, shares={str(options.out)!r})")
    return options.out


def _roots(images: list[str]) -> dict[str, str] | str:
    if len(images) == 1 and Path(images[0]).is_dir():
        return images[0]
    roots: dict[str, str] = {}
    for text in images:
        name, equals, folder = text.partition("=")
        if not (name and equals and folder):
            raise ValueError(f"--images {text}: give NAME=DIR for two or more folders, or a folder of folders")
        if name in roots:
            raise ValueError(f"--images: two folders are called {name}; give each a name of its own")
        roots[name] = folder
    return roots


def _say_what_was_found(found: "Folders", neighbours: int, shares: dict[str, float]) -> None:
    from vssl.datasets.prepare.likeness import Interval

    print(f"{found.labeled} labeled images, {found.sampled} images of each folder; 95 % intervals over labeled images")
    width, cosines, share = max(map(len, found.names)), f"cosine, {neighbours} nearest", "neighbours (%)"
    print(f"{'':{width}}  {cosines:>23}  {share:>19}  share of the stream")
    for column, name in enumerate(found.names):
        near, of = (Interval.of(values[:, column]) for values in found.likeness)
        in_words = f"{near.mean:.3f} [{near.low:.3f}, {near.high:.3f}]"
        percent = f"{100 * of.mean:.1f} [{100 * of.low:.1f}, {100 * of.high:.1f}]"
        print(f"{name:{width}}  {in_words:>23}  {percent:>19}  {shares[name]:.4f}")

"""Anyone's images, masks and depth: every kind of mask, every way to split, and what is refused before writing."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vssl.commands.data import main
from vssl.datasets import DepthImages, SegmentationImages
from vssl.probes.datasets import NYUDepth, SceneSegmentation

NAMES = ("wall", "floor", "chair")
COLOURS = ((200, 0, 0), (0, 200, 0), (0, 0, 200))


def numbers(k: int) -> np.ndarray:
    """Class numbers 0..2 and -1 for unlabeled, 6 × 8; every one occurs."""
    found = np.random.default_rng(k).integers(-1, 3, (6, 8))
    found.flat[:4] = (-1, 0, 1, 2)
    return found


class Source:
    """A folder of somebody's: images/, masks/, depth/, names.txt."""

    def __init__(self, root: Path, names=tuple(f"frame_{k}" for k in range(10))):
        self.root, self.names, self.out = root, names, root / "out"
        rng = np.random.default_rng(0)
        for name in names:
            self.save(f"images/{name}.jpg", rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        self.classes("\n".join(NAMES))

    def save(self, name: str, array: np.ndarray, mode: str | None = None) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array) if name.endswith(".npy") else Image.fromarray(array, mode).save(path)

    def classes(self, text: str) -> None:
        (self.root / "names.txt").write_text(text)

    def masks(self, of, folder: str = "masks", suffix: str = "") -> None:
        for k, name in enumerate(self.names):
            self.save(f"{folder}/{name}{suffix}.png", of(numbers(k)))

    def run(self, *options) -> int:
        images = ["--images", self.root / "images", "--out", self.out]
        return main([str(o) for o in ("folder", *images, *options)])

    def run_masks(self, *options) -> int:
        return self.run("--masks", self.root / "masks", "--classes", self.root / "names.txt", *options)

    def labels(self, name: str, split: str = "training") -> np.ndarray:
        return np.asarray(Image.open(self.out / f"ade20k/annotations/{split}/{name}.png"))

    @property
    def description(self) -> dict:
        return json.loads((self.out / "dataset.json").read_text())


@pytest.fixture
def source(tmp_path) -> Source:
    return Source(tmp_path)


def from_zero(found):
    return np.where(found < 0, 255, found).astype(np.uint8)


def from_one(found):
    return (found + 1).astype(np.uint8)


def coloured(found):
    return np.array([(0, 0, 0), *COLOURS], np.uint8)[found + 1]


@pytest.mark.parametrize(
    ("of", "classes", "options"),
    [
        (from_zero, "\n".join(NAMES), ()),
        (from_one, "\n".join(NAMES), ()),
        (from_one, "\n".join(NAMES), ("--first-class", 1)),
        (lambda n: from_zero(n).astype(np.uint16), "\n".join(NAMES), ()),
        (lambda n: np.where(n < 0, 77, n).astype(np.uint8), "\n".join(NAMES), ("--first-class", 0, "--ignore", 77)),
        (coloured, "wall 200 0 0\nfloor 0 200 0\nchair 0 0 200\nvoid 0 0 0", ("--ignore", "void")),
        (coloured, "name,r,g,b\nvoid,0,0,0\nwall,200,0,0\nfloor,0,200,0\nchair,0,0,200\n", ("--ignore", "void")),
        (coloured, "0 0 0\tvoid\n200 0 0\twall\n0 200 0\tfloor\n0 0 200\tchair", ("--ignore", "void")),
        (coloured, "void #000000\nwall #c80000\nfloor #00C800\nchair #0000c8", ("--ignore", "void")),
        (from_one, "void\n" + "\n".join(NAMES), ("--first-class", 0, "--ignore", "void")),
    ],
)  # fmt: skip
def test_every_kind_of_mask_becomes_the_same_files(source, of, classes, options, capsys):
    source.masks(of)
    source.classes(classes)
    assert source.run_masks(*options) == 0
    for k, name in enumerate(source.names):
        split = "validation" if k >= 8 else "training"
        np.testing.assert_array_equal(source.labels(name, split), numbers(k) + 1)
    assert source.description["classes"] == list(NAMES)
    told = capsys.readouterr().out
    every = np.concatenate([numbers(k) for k in range(8)])
    share = 100 * (every == 2).sum() / (every >= 0).sum()
    assert f"chair {share:.2f}".split() == next(line for line in told.splitlines() if "chair" in line).split()[:2]


def test_a_palettes_indices_are_numbers_or_its_colours_are_classes(source):
    for k, name in enumerate(source.names):
        image = Image.fromarray(from_zero(numbers(k)), "P")
        # an order of its own: index 0 is chair by its colour
        image.putpalette([*COLOURS[2], *COLOURS[0], *COLOURS[1], *[0] * (252 * 3), 0, 0, 0])
        path = source.root / f"masks/{name}.png"
        path.parent.mkdir(exist_ok=True)
        image.save(path)
    assert source.run_masks() == 0
    np.testing.assert_array_equal(source.labels("frame_0"), numbers(0) + 1)
    source.classes("void 0 0 0\nwall 200 0 0\nfloor 0 200 0\nchair 0 0 200")
    source.out = source.root / "coloured"
    assert source.run_masks("--ignore", "void") == 0
    np.testing.assert_array_equal(source.labels("frame_0"), np.array([0, 3, 1, 2])[numbers(0) + 1])


@pytest.mark.slow
def test_loaders_and_probes_read_what_was_written_classes_and_all(source, capsys):
    source.masks(from_zero)
    for k, name in enumerate(source.names):
        source.save(f"depth/{name}.png", np.full((6, 8), 5000 + 10 * k, np.uint16))
    source.save("images/frame_99.jpg", np.zeros((6, 8, 3), np.uint8))
    assert source.run_masks("--depth", source.root / "depth", "--depth-scale", 5000) == 0
    _, labels = SegmentationImages(source.out / "ade20k", "training")[1]
    np.testing.assert_array_equal(labels, np.where(numbers(1) < 0, 255, numbers(1)))
    assert DepthImages(source.out / "nyuv2", "test")[1][1].unique().item() == pytest.approx(1.018)
    scored = SceneSegmentation(
        str(source.out / "ade20k"),
        data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"),
        pipeline=[],
    )
    assert len(scored) == 2 and scored.metainfo["classes"] == NAMES
    prefix = dict(img_path="images/train", depth_map_path="annotations/train")
    assert len(NYUDepth(data_root=str(source.out / "nyuv2"), data_prefix=prefix, pipeline=[])) == 8
    told = source.description
    assert told["counts"] == {"training": 8, "validation": 2, "train": 8, "test": 2}
    assert told["images_without_label"] == 1 and told["depth_range_m"] == [1.0, 1.018]
    assert told["label_values"] == "1..C" and told["depth_scale"] == 1000
    assert "depth: 1 to 1.018 m; 0.0 % of the pixels have none" in capsys.readouterr().out
    assert sum(told["pixel_share"]["training"][name] for name in NAMES) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("make", "scale", "metres"),
    [
        (lambda d: (1000 * d).astype(np.uint16), 1000, 2.5),
        (lambda d: (256 * d).astype(np.uint16), 256, 2.5),
        (lambda d: d.astype(np.float32), 1, 2.5),
    ],
)
def test_depth_of_any_scale_becomes_millimetres(source, make, scale, metres):
    depth = np.full((6, 8), metres)
    for name in source.names:
        array = make(depth)
        if array.dtype == np.float32:
            array[0, :3] = np.nan, np.inf, -1
        else:
            array[0, :3] = 0, 65535, 65535
        source.save(f"depth/{name}.{'npy' if scale == 1 else 'png'}", array)
    assert source.run("--depth", source.root / "depth", "--depth-scale", scale, "--depth-invalid", 65535) == 0
    found = np.asarray(Image.open(source.out / "nyuv2/annotations/train/frame_0.png"))
    assert (found[0, :3] == 0).all() and (found.flat[3:] == 2500).all()


def test_endings_of_names_are_taken_away(source):
    for path in (source.root / "images").iterdir():
        path.rename(path.with_stem(f"{path.stem}_leftImg8bit"))
    source.masks(from_zero, suffix="_labelIds")
    source.masks(from_one, suffix="_color")
    assert source.run_masks("--image-suffix", "_leftImg8bit", "--mask-suffix", "_labelIds") == 0
    np.testing.assert_array_equal(source.labels("frame_3"), numbers(3) + 1)
    assert (source.out / "ade20k/images/training/frame_3.jpg").is_file()


def test_splits_by_share_are_the_last_frames_of_every_folder_in_natural_order(tmp_path):
    source = Source(tmp_path, tuple(f"{room}/frame_{k}" for room in "ab" for k in range(12)))
    source.masks(from_zero)
    assert source.run_masks("--val-share", 0.25) == 0
    val = {p.relative_to(source.out / "ade20k/images/validation").with_suffix("").as_posix()
           for p in (source.out / "ade20k/images/validation").rglob("*.jpg")}  # fmt: skip
    assert val == {f"{room}/frame_{k}" for room in "ab" for k in (9, 10, 11)}
    assert source.description["split"] == "the last 25 % of every folder, in the order of names"


def test_splits_by_folder_and_by_list(tmp_path):
    source = Source(tmp_path, ("train/a", "train/b", "val/c"))
    source.masks(from_zero)
    assert source.run_masks("--val-folder", "val") == 0
    assert source.description["counts"] == {"training": 2, "validation": 1}
    (tmp_path / "val.txt").write_text("images/b.jpg\n\n")
    (tmp_path / "train.txt").write_text("val/c\n")
    source.out = tmp_path / "listed"
    assert source.run_masks("--val-list", tmp_path / "val.txt", "--train-list", tmp_path / "train.txt") == 0
    assert source.labels("val/c").size and source.labels("train/b", "validation").size
    assert source.description["counts"] == {"training": 1, "validation": 1}


def test_running_again_does_nothing_and_other_options_are_refused(source, capsys):
    source.masks(from_zero)
    assert source.run_masks() == 0
    stamp = (source.out / "dataset.json").stat().st_mtime_ns
    assert source.run_masks() == 0 and (source.out / "dataset.json").stat().st_mtime_ns == stamp
    assert source.run_masks("--val-share", 0.5) == 1
    assert "prepared with other options (split: " in capsys.readouterr().err


CASES = {
    "ambiguous": (lambda s: s.masks(lambda n: n.clip(0).astype(np.uint8)), (), "Give --first-class 0 or"),
    "too few names": (
        lambda s: s.masks(lambda n: np.where(n == 2, 9, n.clip(0)).astype(np.uint8)),
        (),
        "masks hold the number 9, but {root}/names.txt has 3 classes: add the names that are missing, or, for what "
        "marks unlabeled pixels, give --ignore 9",
    ),
    "too large": (
        lambda s: s.masks(lambda n: np.where(n == 2, 9, from_zero(n)).astype(np.uint8)),
        ("--first-class", 0),
        "number 9, but {root}/names.txt has 3 classes, 0 to 2. If it marks unlabeled pixels, give --ignore 9",
    ),
    "colours without colours": (lambda s: s.masks(coloured), (), "give each class its colour in --classes: NAME R G B"),
    "unlisted colour": (
        lambda s: (s.masks(coloured), s.classes("wall 200 0 0\nfloor 0 200 0\nchair 0 0 200")),
        (),
        "colour (0, 0, 0) in",
    ),
    "some colours": (lambda s: (s.masks(coloured), s.classes("wall 200 0 0\nfloor")), (), "line 'floor' has no colour"),
    "one colour twice": (lambda s: (s.masks(coloured), s.classes("a 1 1 1\nb 1 1 1")), (), "colour (1, 1, 1) twice"),
    "class twice": (lambda s: (s.masks(from_zero), s.classes("a\nb\na")), (), "class 'a' twice"),
    "ignored stranger": (lambda s: s.masks(from_zero), ("--ignore", "Void"), "Void: neither a number nor a class"),
    "no match": (lambda s: s.masks(from_zero, suffix="_L"), (), "an ending that they add is given by --mask-suffix"),
    "other size": (
        lambda s: (s.masks(from_zero), s.save("masks/frame_3.png", np.zeros((4, 8), np.uint8))),
        (),
        "frame_3.png: 8 × 4 pixels, but its image",
    ),
    "broken image": (
        lambda s: (s.masks(from_zero), (s.root / "images/frame_2.jpg").write_bytes(b"no jpeg")),
        (),
        "frame_2.jpg: not a readable image",
    ),
    "two ways": (lambda s: s.masks(from_zero), ("--val-share", 0.1, "--val-folder", "v"), "give one of --val-list"),
    "empty side": (lambda s: s.masks(from_zero), ("--val-folder", "val"), "10 images for training and 0 for"),
    "no list": (lambda s: s.masks(from_zero), ("--val-list", "none.txt"), "none.txt: no such file"),
    "no masks": (lambda s: None, (), "masks: no such folder"),
    "no classes": (lambda s: (s.masks(from_zero), (s.root / "names.txt").unlink()), (), "names.txt: no such file"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_one_line_before_anything_is_written(source, case, capsys):
    change, options, message = CASES[case]
    change(source)
    assert source.run_masks(*options) == 1
    error = capsys.readouterr().err.splitlines()
    error = [line for line in error if line.startswith("error: ")]
    assert len(error) == 1 and message.format(root=source.root) in error[0]
    assert not source.out.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--depth-scale", 0), "the value of one metre is needed"),
        (("--depth-scale", 0.01), "Is the scale right?"),
        ((), "--depth and --depth-scale go together"),
    ],
)
def test_a_wrong_unit_of_depth_is_refused(source, capsys, options, message):
    for name in source.names:
        source.save(f"depth/{name}.png", np.full((6, 8), 3, np.uint16))
    assert source.run("--depth", source.root / "depth", *options) == 1
    assert message in capsys.readouterr().err
    assert not source.out.exists()


def test_masks_or_depth_are_needed(source, capsys):
    assert source.run() == 1
    assert "give --masks with --classes, or --depth with --depth-scale" in capsys.readouterr().err

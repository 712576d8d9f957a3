"""NYUv2 from a miniature v7.3 .mat with MATLAB's own axis order, and from list files: every pixel."""

import json
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from vssl.datasets import DepthImages, UnreadableImage
from vssl.datasets.prepare import nyuv2, nyuv2_lists
from vssl.datasets.prepare.nyuv2 import NYUv2Release, prepare_nyuv2, read_splits, to_millimetres
from vssl.datasets.prepare.nyuv2_lists import prepare_nyuv2_lists

RELEASE = NYUv2Release({"train": 3, "test": 2})
SCENES = ["kitchen_0004", "kitchen_0004", "bedroom_0010", "office_kitchen_0001a", "cafe_0001a"]


def scene(index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image (480, 640, 3), filled depth and raw depth (480, 640) in metres, as MATLAB shows them."""
    rng = np.random.default_rng(index)
    y, x = np.mgrid[:480, :640]
    image = np.stack([x * 255 / 639, y * 255 / 479, np.full(x.shape, 40.0 * index)], -1).astype(np.uint8)
    depth = (0.8 + 8 * x / 639 + y / 479 + 0.01 * index).astype(np.float32)
    raw = np.where(rng.random(depth.shape) < 0.2, 0, depth).astype(np.float32)
    return image, depth, raw


def write_mat(path: Path, count: int = 5, **changes) -> None:
    """A MATLAB v7.3 file: HDF5 behind 512 bytes of header, every array with its axes reversed."""
    arrays = [np.stack(part, -1) for part in zip(*(scene(k) for k in range(count)), strict=True)]
    matlab = dict(zip(("images", "depths", "rawDepths"), arrays, strict=True)) | changes
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in matlab.items():
            stored = file.create_dataset(name, data=array.transpose())  # H×W×3×N in MATLAB is (N, 3, W, H) here
            stored.attrs["MATLAB_class"] = np.bytes_("single" if array.dtype.kind == "f" else "uint8")
        cells = file.create_dataset("scenes", (1, count), dtype=h5py.ref_dtype)
        for k in range(count):
            text = file.create_dataset(f"#refs#/{k}", data=np.array([[ord(c)] for c in SCENES[k % 5]], np.uint16))
            cells[0, k] = text.ref
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(124) + b"\x00\x02IM")


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("nyu")
    write_mat(folder / "nyu_depth_v2_labeled.mat")
    savemat(folder / "splits.mat", {"trainNdxs": np.array([[5], [1], [3]]), "testNdxs": np.array([[2], [4]])})
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("depth", ["raw", "filled"])
def test_every_pixel_has_its_place_and_its_millimetres(source, tmp_path, depth):
    about = json.loads(prepare_nyuv2(source, tmp_path, depth, "png", RELEASE).read_text())
    places = {
        "train": {"kitchen_0004_0001": 0, "bedroom_0010_0003": 2, "cafe_0001a_0005": 4},
        "test": {"kitchen_0004_0002": 1, "office_kitchen_0001a_0004": 3},
    }
    for split, names in places.items():
        assert {p.stem for p in (tmp_path / "images" / split).iterdir()} == set(names)
        for name, index in names.items():
            image, filled, raw = scene(index)
            written = np.asarray(Image.open(tmp_path / f"annotations/{split}/{name}.png"))
            assert written.dtype == np.uint16 and written.shape == (480, 640)
            assert (written == np.rint(1000.0 * (raw if depth == "raw" else filled))).all()
            assert (np.asarray(Image.open(tmp_path / f"images/{split}/{name}.png")) == image).all()
    assert about["depth"] == about["options"]["depth"] == depth and about["counts"] == {"train": 3, "test": 2}
    assert about["invalid_share"] == pytest.approx(0.2 if depth == "raw" else 0.0, abs=0.005)
    assert about["depth_range_m"][0] > 0.8 and about["depth_range_m"][1] < 9.9
    assert set(about["hashes"]) == {"mat_sha256", "splits_sha256", "depth/train_sha256", "depth/test_sha256"}


@pytest.mark.slow
def test_jpeg_images_are_mmsegs_layout_and_read_in_metres(source, tmp_path):
    prepare_nyuv2(source, tmp_path, "raw", release=RELEASE)
    dataset = DepthImages(tmp_path, "test")
    assert [dataset.paths(k)[0].name for k in range(2)] == ["kitchen_0004_0002.jpg", "office_kitchen_0001a_0004.jpg"]
    for k, index in enumerate((1, 3)):
        image, depth = dataset[k]
        expected, _, raw = scene(index)
        assert np.abs(image.permute(1, 2, 0).numpy().astype(int) - expected).mean() < 1
        assert np.abs(depth.numpy() - raw).max() < 6e-4


@pytest.mark.slow
def test_a_killed_preparation_is_completed_and_other_options_are_refused(source, tmp_path, monkeypatch):
    prepare_nyuv2(source, tmp_path / "whole", release=RELEASE)
    write_whole, out = nyuv2.write_whole, tmp_path / "out"

    def dies(path, content):
        write_whole(path, content)
        if path.name == "cafe_0001a_0005.png":
            raise KeyboardInterrupt

    monkeypatch.setattr(nyuv2, "write_whole", dies)
    with pytest.raises(KeyboardInterrupt):
        prepare_nyuv2(source, out, release=RELEASE)
    assert not (out / "dataset.json").exists()
    monkeypatch.undo()
    prepare_nyuv2(source, out, release=RELEASE)
    contents = [{p.relative_to(f): p.read_bytes() for p in f.rglob("*.*")} for f in (out, tmp_path / "whole")]
    assert contents[0] == contents[1] and len(contents[0]) == 11
    with pytest.raises(FileExistsError, match="depth: there 'raw', asked for 'filled'"):
        prepare_nyuv2(source, out, "filled", release=RELEASE)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_set(tmp_path):
    peaks = []
    for count in (3, 7):
        folder = tmp_path / str(count)
        folder.mkdir()
        write_mat(folder / "nyu_depth_v2_labeled.mat", count)
        savemat(folder / "splits.mat", {"trainNdxs": np.arange(2, count + 1), "testNdxs": np.array([1])})
        tracemalloc.start()
        prepare_nyuv2(folder, folder / "out", release=NYUv2Release({"train": count - 1, "test": 1}))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.05 * peaks[0]  # 4 more images would be 14 MB


def test_wrong_files_are_named_before_anything_is_written(source, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(FileNotFoundError, match=r"no nyu_depth_v2_labeled\.mat \(found: nothing\)"):
        prepare_nyuv2(_folder(tmp_path / "empty"), out, release=RELEASE)
    with pytest.raises(ValueError, match=r"depth 'Raw'.*expected raw or filled"):
        prepare_nyuv2(source, out, "Raw", release=RELEASE)
    with pytest.raises(
        ValueError, match=r"\{'train': 3, 'test': 2\} images per split, expected \{'train': 795, 'test': 654\}"
    ):
        prepare_nyuv2(source, out)
    broken = _folder(tmp_path / "broken")
    (broken / "splits.mat").write_bytes((source / "splits.mat").read_bytes())
    mat = broken / "nyu_depth_v2_labeled.mat"
    mat.write_bytes((source / mat.name).read_bytes()[:100000])
    with pytest.raises(ValueError, match=r"not a whole MATLAB v7\.3"):
        prepare_nyuv2(broken, out, release=RELEASE)
    write_mat(mat, images=np.zeros((5, 3, 640, 480), np.uint8))  # as numpy users save it: not reversed by MATLAB
    with pytest.raises(ValueError, match=r"'images' has shape \(480, 640, 3, 5\), expected"):
        prepare_nyuv2(broken, out, release=RELEASE)
    assert not out.exists()


@pytest.mark.slow
def test_depth_in_another_unit_than_metres_is_refused(source, tmp_path):
    filled = np.stack([scene(k)[1] for k in range(5)], -1)
    for factor, message in (
        (1000, "expected metres"),
        (1e-3, "published in millimetres"),
        (3, "expected at most 15 m"),
    ):
        folder = _folder(tmp_path / str(factor))
        (folder / "splits.mat").write_bytes((source / "splits.mat").read_bytes())
        write_mat(folder / "nyu_depth_v2_labeled.mat", depths=(filled * factor).astype(np.float32))
        with pytest.raises(ValueError, match=message):
            prepare_nyuv2(folder, folder / "out", "filled", release=RELEASE)
        assert not (folder / "out" / "dataset.json").exists()


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [([0, 1, 2], [3, 4], "numbers 0..4"), ([1, 2, 3], [3, 5], "1 of them twice"), ([1, 2, 3], [4, 6], "numbers 1..6")],
)
def test_splits_count_from_one_and_share_no_image(tmp_path, train, test, message):
    savemat(tmp_path / "splits.mat", {"trainNdxs": np.array(train), "testNdxs": np.array(test)})
    with pytest.raises(ValueError, match=message):
        read_splits(tmp_path / "splits.mat", 5, RELEASE.counts)


def test_invalid_depth_becomes_zero():
    metres = np.array([[np.nan, np.inf, -1.0, 0.0, 1.2345, 65.535]])
    assert to_millimetres(metres, "x").tolist() == [[0, 0, 0, 0, 1234, 65535]]


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.fixture
def lists(tmp_path) -> Path:
    """The 24k set's files: three training pairs (one line without depth beside them) and two test pairs."""
    folder = tmp_path / "lists"
    for split, below, entries in (
        ("train", "sync", ["kitchen_0028b/rgb_00045", "kitchen_0028b/rgb_00046", "cafe_0001a/rgb_00045"]),
        ("test", "official_splits/test", ["bathroom/rgb_00046", "bathroom/rgb_00507"]),
    ):
        lines = []
        for k, entry in enumerate(entries):
            image, filled, _ = scene(k)
            depth = entry.replace("rgb_", "sync_depth_")
            (folder / below / entry).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / below / f"{entry}.jpg")
            Image.fromarray((filled * 1000).astype(np.uint16)).save(folder / below / f"{depth}.png")
            lines.append(f"/{entry}.jpg /{depth}.png 518.8579")
        lines += ["/nowhere/rgb_00001.jpg None 518.8579"] if split == "train" else []
        (folder / f"nyudepthv2_{split}_files_with_gt.txt").write_text("\n".join(lines) + "\n")
    return folder


LISTED = {"train": 4, "test": 2}


def test_list_files_become_the_same_layout_byte_for_byte(lists, tmp_path):
    about = json.loads(prepare_nyuv2_lists(lists, tmp_path / "out", LISTED).read_text())
    for split, name, origin in (
        ("train", "kitchen_0028b_00046", "sync/kitchen_0028b/{}00046"),
        ("train", "cafe_0001a_00045", "sync/cafe_0001a/{}00045"),
        ("test", "bathroom_00507", "official_splits/test/bathroom/{}00507"),
    ):
        for kind, prefix, suffix in (("images", "rgb_", ".jpg"), ("annotations", "sync_depth_", ".png")):
            written = tmp_path / "out" / kind / split / f"{name}{suffix}"
            assert written.read_bytes() == (lists / f"{origin.format(prefix)}{suffix}").read_bytes()
    assert about["counts"] == {"train": 3, "test": 2} and about["left_out"] == {"train": 1, "test": 0}
    assert len(DepthImages(tmp_path / "out", "train")) == 3


def test_list_files_that_are_wrong_are_named(lists, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ValueError, match=r"nyudepthv2_train_files_with_gt\.txt: 4 lines, expected 24231"):
        prepare_nyuv2_lists(lists, out)
    (lists / "sync/cafe_0001a/sync_depth_00045.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"cafe_0001a/sync_depth_00045\.png is under none of"):
        prepare_nyuv2_lists(lists, out, LISTED)
    assert not out.exists()


def test_list_files_in_centimetres_or_of_another_size_are_refused(lists, tmp_path):
    paths = sorted(lists.rglob("*.png"))
    for path in paths:
        Image.fromarray(np.asarray(Image.open(path)) // 10).save(path)
    with pytest.raises(ValueError, match="published in millimetres"):
        prepare_nyuv2_lists(lists, tmp_path / "a", LISTED)
    Image.fromarray(np.full((48, 64), 1000, np.uint16)).save(paths[0])
    with pytest.raises(UnreadableImage, match="64 × 48 pixels, expected 640 × 480"):
        prepare_nyuv2_lists(lists, tmp_path / "b", LISTED)


def test_the_published_counts_are_the_default():
    assert NYUv2Release().counts == {"train": 795, "test": 654} and nyuv2_lists.COUNTS == {"train": 24231, "test": 654}

"""CamVid, 7-Scenes, Tiny ImageNet and NYUv2's folders from miniature originals."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vssl.commands.data import main
from vssl.datasets import DepthImages, SegmentationImages, UnreadableImage
from vssl.datasets.prepare import camvid, nyuv2_folders, tiny_imagenet
from vssl.datasets.prepare.camvid import prepare_camvid
from vssl.datasets.prepare.nyuv2_folders import prepare_nyuv2_folders
from vssl.datasets.prepare.seven_scenes import prepare_seven_scenes
from vssl.datasets.prepare.tiny_imagenet import TinyImageNetRelease, prepare_tiny_imagenet
from vssl.probes.datasets import ClassFolder, SceneSegmentation

RNG = np.random.default_rng(0)


def save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def photo(height: int = 6, width: int = 8) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def about(description: Path) -> dict:
    return json.loads(description.read_text())


def probe_classes(root: Path) -> tuple[str, ...]:
    prefix = dict(img_path="images/validation", seg_map_path="annotations/validation")
    return SceneSegmentation(str(root), data_prefix=prefix, pipeline=[]).metainfo["classes"]


# --- CamVid -----------------------------------------------------------------------------------------------------------
COUNTS = {"train": 3, "val": 2, "test": 1}


@pytest.fixture
def tutorial(tmp_path) -> Path:
    """Folders, lists with the authors' paths, and labels 0..11 as in the tutorial's repository."""
    root = tmp_path / "CamVid"
    for split, count in COUNTS.items():
        lines = []
        for k in range(count):
            save(root / f"{split}/0001TP_{k}.png", photo())
            labels = np.arange(48).reshape(6, 8) % 12
            save(root / f"{split}annot/0001TP_{k}.png", labels.astype(np.uint8))
            lines.append(f"/SegNet/CamVid/{split}/0001TP_{k}.png /SegNet/CamVid/{split}annot/0001TP_{k}.png")
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return root


def test_camvid_has_its_published_split_and_void_is_unlabeled(tutorial, tmp_path):
    told = about(prepare_camvid(tutorial, tmp_path / "out", counts=COUNTS))
    assert told["counts"] == {"training": 3, "validation": 2} and told["split"] == "published: train, val"
    _, labels = SegmentationImages(tmp_path / "out", "training")[0]
    values = np.arange(48).reshape(6, 8) % 12
    np.testing.assert_array_equal(labels, np.where(values == 11, 255, values))
    assert probe_classes(tmp_path / "out") == camvid.CLASSES
    told = about(prepare_camvid(tutorial, tmp_path / "test", "test", COUNTS))
    assert told["counts"] == {"training": 3, "validation": 1}


def test_what_is_prepared_is_not_decoded_again(tutorial, tmp_path, monkeypatch):
    prepare_camvid(tutorial, tmp_path / "out", counts=COUNTS)
    monkeypatch.setattr("vssl.datasets.prepare.pairs.read_image", lambda path: pytest.fail("decoded again"))
    prepare_camvid(tutorial, tmp_path / "out", counts=COUNTS)
    save(tutorial / "train/0001TP_0.png", photo(9, 9))
    with pytest.raises(FileExistsError, match="files_sha256"):
        prepare_camvid(tutorial, tmp_path / "out", counts=COUNTS)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda root: (root / "train/0001TP_1.png").unlink(), FileNotFoundError, "names train/0001TP_1.png, which"),
        (lambda root: (root / "val.txt").unlink(), FileNotFoundError, "no val.txt (found: "),
        (lambda root: (root / "val.txt").write_text("a b\n"), ValueError, "1 pairs of paths, expected 2"),
        (lambda root: save(root / "valannot/0001TP_0.png", np.full((6, 8), 12, np.uint8)), ValueError, "number 12"),
        (lambda root: save(root / "valannot/0001TP_0.png", np.zeros((6, 9), np.uint8)), UnreadableImage, "9 × 6 pix"),
    ],
)  # fmt: skip
def test_camvid_names_what_is_wrong(tutorial, tmp_path, change, error, message):
    change(tutorial)
    with pytest.raises(error) as caught:
        prepare_camvid(tutorial, tmp_path / "out", counts=COUNTS)
    assert message in str(caught.value) and not (tmp_path / "out").exists()


# --- 7-Scenes ---------------------------------------------------------------------------------------------------------
def frames(folder: Path, count: int) -> None:
    for k in range(count):
        save(folder / f"frame-{k:06d}.color.png", photo())
        depth = np.full((6, 8), 1500 + k, np.uint16)
        depth[0, 0] = 65535
        save(folder / f"frame-{k:06d}.depth.png", depth)
        (folder / f"frame-{k:06d}.pose.txt").write_text("1 0 0 0")


def test_a_scene_has_its_published_split_and_every_tenth_frame(tmp_path):
    root = tmp_path / "redkitchen"
    for number in (1, 2, 3):
        frames(root / f"seq-{number:02d}", 12)
    (root / "TrainSplit.txt").write_text("sequence1\nsequence3\n")
    (root / "TestSplit.txt").write_text("sequence2\n")
    told = about(prepare_seven_scenes(root, tmp_path / "out", every=10))
    assert told["counts"] == {"train": 3, "test": 2}  # 24 frames in a row, and 12
    test = DepthImages(tmp_path / "out", "test")
    assert [p.name for p in (test.paths(0)[0], test.paths(1)[0])] == ["frame-000000.png", "frame-000010.png"]
    depth = test[1][1]
    assert depth[0, 0] == 0 and depth.flatten()[1:].unique().item() == pytest.approx(1.510)
    with pytest.raises(ValueError, match="leave the option away"):
        prepare_seven_scenes(root, tmp_path / "other", val_share=0.5)
    (root / "TestSplit.txt").write_text("sequence7\n")
    with pytest.raises(FileNotFoundError, match=r"no folder seq-07; unpack seq-07.zip"):
        prepare_seven_scenes(root, tmp_path / "other")
    (root / "TestSplit.txt").write_text("seq-02\n")
    with pytest.raises(ValueError, match="line 'seq-02', expected sequence1"):
        prepare_seven_scenes(root, tmp_path / "other")


def test_frames_without_lists_are_split_into_a_beginning_and_an_end(tmp_path):
    frames(tmp_path / "data", 10)
    told = about(prepare_seven_scenes(tmp_path / "data", tmp_path / "out", every=1, val_share=0.3))
    assert told["counts"] == {"train": 7, "test": 3} and told["split"].startswith("the last 30 %")
    assert DepthImages(tmp_path / "out", "test").paths(0)[0].name == "frame-000007.png"


# --- Tiny ImageNet ----------------------------------------------------------------------------------------------------
RELEASE = TinyImageNetRelease(classes=2, counts={"train": 6, "val": 4})


@pytest.fixture
def tiny(tmp_path) -> Path:
    root = tmp_path / "tiny-imagenet-200"
    lines = []
    for number, wnid in enumerate(("n01443537", "n01629819")):
        for k in range(3):
            save(root / f"train/{wnid}/images/{wnid}_{k}.JPEG", photo())
        (root / f"train/{wnid}/{wnid}_boxes.txt").write_text("")
        for k in (number, number + 2):
            save(root / f"val/images/val_{k}.JPEG", photo())
            lines.append(f"val_{k}.JPEG\t{wnid}\t0\t32\t44\t62")
    (root / "val/val_annotations.txt").write_text("\n".join(lines) + "\n")
    return root


def test_tiny_imagenet_becomes_class_folders(tiny, tmp_path):
    told = about(prepare_tiny_imagenet(tiny, tmp_path / "out", release=RELEASE))
    assert told["counts"] == {"train": 6, "val": 4} and told["classes"] == ["n01443537", "n01629819"]
    val = ClassFolder(tmp_path / "out/val")
    assert [(Path(p).name, c) for p, c in val.samples] == [
        ("val_0.JPEG", 0), ("val_2.JPEG", 0), ("val_1.JPEG", 1), ("val_3.JPEG", 1),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="the source has a val of its own"):
        prepare_tiny_imagenet(tiny, tmp_path / "other", 0.2, RELEASE)


def test_class_folders_alone_hold_back_the_last_images_of_each(tmp_path):
    for wnid in ("n01", "n02"):
        for k in range(10):
            save(tmp_path / f"part/{wnid}/{wnid}_{k}.jpg", photo())
    told = about(prepare_tiny_imagenet(tmp_path / "part", tmp_path / "out", val_share=0.2))
    assert told["counts"] == {"train": 16, "val": 4}
    assert sorted(p.name for p in (tmp_path / "out/val/n02").iterdir()) == ["n02_8.jpg", "n02_9.jpg"]
    with pytest.raises(FileNotFoundError, match="--val-share holds back a part of each class"):
        prepare_tiny_imagenet(tmp_path / "part", tmp_path / "other")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda root: (root / "val/images/val_2.JPEG").unlink(), FileNotFoundError, "names val_2.JPEG"),
        (lambda root: (root / "val/val_annotations.txt").unlink(), FileNotFoundError, "no val/val_annotations.txt"),
        (lambda root: next(root.glob("train/*/images/*")).unlink(), ValueError, "Was it unpacked completely?"),
        (lambda root: (root / "val/images/val_0.JPEG").write_bytes(b""), UnreadableImage, "val_0.JPEG: not a readable"),
    ],
)
def test_tiny_imagenet_names_what_is_wrong(tiny, tmp_path, change, error, message):
    change(tiny)
    with pytest.raises(error) as caught:
        prepare_tiny_imagenet(tiny, tmp_path / "out", release=RELEASE)
    assert message in str(caught.value) and not (tmp_path / "out").exists()


# --- NYUv2 as image folders -------------------------------------------------------------------------------------------
NYU = {"train": 3, "test": 2}


@pytest.fixture
def esanet(tmp_path) -> Path:
    root = tmp_path / "nyuv2"
    for split, count in NYU.items():
        for k in range(1, count + 1):
            save(root / f"{split}/rgb/{k:04d}.png", photo())
            save(root / f"{split}/depth/{k:04d}.png", np.full((6, 8), 2500, np.uint16))
            raw = np.full((6, 8), 2400, np.uint16)
            raw[0] = 0
            save(root / f"{split}/depth_raw/{k:04d}.png", raw)
            save(root / f"{split}/labels_13/{k:04d}.png", (np.arange(48).reshape(6, 8) % 14).astype(np.uint8))
    (root / "class_names_1+13.txt").write_text("void\n" + "".join(f"c{k}\n" for k in range(1, 14)))
    return root


@pytest.mark.slow
def test_nyuv2_folders_give_depth_of_either_kind_and_classes(esanet, tmp_path):
    told = about(prepare_nyuv2_folders(esanet, tmp_path / "raw", counts=NYU))
    assert told["depth"] == "raw" and told["invalid_share"] == pytest.approx(1 / 6, abs=1e-4)
    assert told["counts"] == NYU
    prepare_nyuv2_folders(esanet, tmp_path / "filled", "filled", counts=NYU)
    assert DepthImages(tmp_path / "raw", "train")[0][1].max() == pytest.approx(2.4)
    assert DepthImages(tmp_path / "filled", "train")[0][1].min() == pytest.approx(2.5)
    told = about(prepare_nyuv2_folders(esanet, tmp_path / "seg13", labels=13, counts=NYU))
    assert told["counts"] == {"training": 3, "validation": 2}
    assert probe_classes(tmp_path / "seg13") == tuple(f"c{k}" for k in range(1, 14))
    values = np.arange(48).reshape(6, 8) % 14
    np.testing.assert_array_equal(
        SegmentationImages(tmp_path / "seg13", "validation")[0][1], np.where(values == 0, 255, values - 1)
    )


@pytest.mark.parametrize(
    ("change", "labels", "error", "message"),
    [
        (lambda root: (root / "test/rgb/0001.png").unlink(), None, ValueError, "no image has this name"),
        (lambda root: (root / "test/depth_raw/0001.png").unlink(), None, ValueError, "1 files, expected 2"),
        (lambda root: None, 40, FileNotFoundError, "no folder labels_40 (found: depth/"),
        (lambda root: (root / "class_names_1+13.txt").unlink(), 13, FileNotFoundError, "class_names_1+13.txt: no such"),
    ],
)
def test_nyuv2_folders_name_what_is_wrong(esanet, tmp_path, change, labels, error, message):
    change(esanet)
    with pytest.raises(error) as caught:
        prepare_nyuv2_folders(esanet, tmp_path / "out", labels=labels, counts=NYU)
    assert message in str(caught.value) and not (tmp_path / "out").exists()


# --- the commands -----------------------------------------------------------------------------------------------------
def test_the_commands_find_the_layouts(tutorial, tiny, esanet, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(camvid, "COUNTS", COUNTS)
    monkeypatch.setattr(nyuv2_folders, "NYUv2Release", lambda: type("R", (), {"counts": NYU}))
    monkeypatch.setattr(tiny_imagenet, "TinyImageNetRelease", lambda: RELEASE)
    frames(tmp_path / "data", 4)
    runs = {
        "camvid": ["camvid", "--source", tutorial],
        "tiny": ["tiny_imagenet", "--source", tiny],
        "depth": ["nyuv2", "--source", esanet, "--depth", "filled"],
        "seg13": ["nyuv2", "--source", esanet, "--labels", "13"],
        "seven": ["seven_scenes", "--source", tmp_path / "data", "--every", "1", "--val-share", "0.5"],
    }
    for name, command in runs.items():
        assert main([str(c) for c in (*command, "--out", tmp_path / name)]) == 0
        assert capsys.readouterr().out.strip() == str(tmp_path / name / "dataset.json")
    assert main(["nyuv2", "--source", str(tmp_path), "--labels", "13", "--out", str(tmp_path / "no")]) == 1
    assert "no folder train/rgb" in capsys.readouterr().err

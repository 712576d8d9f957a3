"""ADE20K from a miniature zip or folder: every byte, and everything that can be wrong with the source."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vssl.datasets import SegmentationImages, UnreadableImage
from vssl.datasets.prepare import ade20k
from vssl.datasets.prepare.ade20k import ADE20KRelease, prepare_ade20k

CLASSES = 5
COUNTS = {"training": 4, "validation": 2}


def encoded(array: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, format=kind)
    return file.getvalue()


def original(seed: int = 0) -> dict[str, bytes]:
    """The files of a release with 5 classes, all of which occur."""
    rng = np.random.default_rng(seed)
    files = {"objectInfo150.txt": b"Idx\tRatio\tTrain\tVal\tStuff\tName\n" + b"".join(
        f"{k}\t0.1\t1\t1\t1\tclass{k}, other name\n".encode() for k in range(1, CLASSES + 1)
    )}  # fmt: skip
    for split, count in COUNTS.items():
        for k in range(1, count + 1):
            name = f"{split}/ADE_{split[:-3]}_{k:08d}"
            files[f"images/{name}.jpg"] = encoded(rng.integers(0, 256, (12, 17, 3), dtype=np.uint8), "JPEG")
            labels = rng.integers(0, CLASSES + 1, (12, 17), dtype=np.uint8)
            files[f"annotations/{name}.png"] = encoded(labels, "PNG")
    return files


def zipped(path: Path, files: dict[str, bytes]) -> tuple[Path, ADE20KRelease]:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"ADEChallengeData2016/{name}", content)
    return path, ADE20KRelease(hashlib.sha1(path.read_bytes()).hexdigest(), COUNTS, CLASSES)


def unpacked(path: Path, files: dict[str, bytes]) -> tuple[Path, ADE20KRelease]:
    for name, content in files.items():
        target = path / "ADEChallengeData2016" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return path, ADE20KRelease("of the zip", COUNTS, CLASSES)


def written(out: Path) -> dict[str, bytes]:
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}


@pytest.mark.parametrize("form", [zipped, unpacked])
def test_every_byte_arrives_and_the_loader_reads_the_labels(tmp_path, form):
    files = original()
    source, release = form(tmp_path / "source", files)
    out = prepare_ade20k(source, tmp_path / "out", release).parent
    del files["objectInfo150.txt"]
    assert {name: content for name, content in written(out).items() if name != "dataset.json"} == files
    dataset = SegmentationImages(out, "validation")
    for index in range(2):
        image, labels = dataset[index]
        path = f"annotations/validation/ADE_validat_{index + 1:08d}.png"
        raw = np.asarray(Image.open(io.BytesIO(files[path]))).astype(int)
        assert (labels.numpy() == np.where(raw == 0, 255, raw - 1)).all()
        jpeg = Image.open(io.BytesIO(files[path.replace("annotations", "images").replace("png", "jpg")]))
        assert (image.permute(1, 2, 0).numpy() == np.asarray(jpeg)).all()


def test_the_description_says_what_was_prepared_and_both_forms_have_the_same_content(tmp_path):
    files = original()
    source, release = zipped(tmp_path / "a.zip", files)
    about = json.loads(prepare_ade20k(source, tmp_path / "out", release).read_text())
    assert about["source"] == "a.zip" and about["counts"] == COUNTS and "BSD" in about["licence"]
    assert about["classes"] == [f"class{k}" for k in range(1, 6)]
    assert about["hashes"].pop("zip_sha1") == release.zip_sha1
    folder, release = unpacked(tmp_path / "folder", files)
    again = json.loads(prepare_ade20k(folder, tmp_path / "again", release).read_text())
    assert again["hashes"] == about["hashes"] and len(about["hashes"]) == 4
    names = sorted(n for n in files if n.startswith("annotations/training"))
    lines = "".join(f"{n}\n{hashlib.sha256(files[n]).hexdigest()}\n" for n in names)
    assert about["hashes"]["annotations/training_sha256"] == hashlib.sha256(lines.encode()).hexdigest()


def test_preparing_again_changes_nothing_and_another_source_is_refused(tmp_path):
    source, release = zipped(tmp_path / "a.zip", original())
    out = prepare_ade20k(source, tmp_path / "out", release).parent
    stamps = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    prepare_ade20k(source, out, release)
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == stamps
    other, its_release = zipped(tmp_path / "b.zip", original(seed=1))
    with pytest.raises(FileExistsError, match=r"source: there 'a\.zip', asked for 'b\.zip'"):
        prepare_ade20k(other, out, its_release)


def test_a_killed_preparation_is_completed_and_a_lost_file_comes_back(tmp_path, monkeypatch):
    files = original()
    source, release = zipped(tmp_path / "a.zip", files)
    link_or_write, out = ade20k.link_or_write, tmp_path / "out"

    def dies(from_path, content, target):
        link_or_write(from_path, content, target)
        if target.name.endswith("3.jpg"):
            raise KeyboardInterrupt

    monkeypatch.setattr(ade20k, "link_or_write", dies)
    with pytest.raises(KeyboardInterrupt):
        prepare_ade20k(source, out, release)
    half = written(out)
    assert "dataset.json" not in half and "dataset.json.unfinished" in half and 3 < len(half) < 12
    assert all(half[name] == files[name] for name in half if not name.startswith("dataset.json"))
    monkeypatch.undo()
    prepare_ade20k(source, out, release)
    whole = written(out)
    assert len(whole) == 13 and "dataset.json.unfinished" not in whole
    (out / "annotations/validation/ADE_validat_00000001.png").unlink()
    prepare_ade20k(source, out, release)
    assert written(out) == whole


def relabeled(change) -> dict[str, bytes]:
    files = original()
    for name in files:
        if name.startswith("annotations"):
            files[name] = encoded(change(np.asarray(Image.open(io.BytesIO(files[name])))), "PNG")
    return files


def test_shifted_labels_are_refused_whether_unlabeled_became_255_or_was_clipped(tmp_path):
    for name, change in {
        "wrapped": lambda x: x - np.uint8(1),
        "clipped": lambda x: np.maximum(x, 1) - np.uint8(1),
    }.items():
        source, release = unpacked(tmp_path / name, relabeled(change))
        with pytest.raises(ValueError, match=r"shifted beforehand.*0 = unlabeled and 1..5; 1 is subtracted once"):
            prepare_ade20k(source, tmp_path / f"{name} out", release)
        assert not (tmp_path / f"{name} out" / "dataset.json").exists()


def test_a_label_beyond_the_classes_is_named_with_its_file(tmp_path):
    files = original()
    name = "annotations/training/ADE_train_00000002.png"
    files[name] = encoded(np.full((12, 17), 6, np.uint8), "PNG")
    source, release = unpacked(tmp_path / "a", files)
    with pytest.raises(ValueError, match=rf"{name}: label 6, but there are 5 classes"):
        prepare_ade20k(source, tmp_path / "out", release)


def test_wrong_hash_counts_and_layout_are_found_before_anything_is_written(tmp_path):
    files, out = original(), tmp_path / "out"
    source, release = zipped(tmp_path / "a.zip", files)
    source.write_bytes(source.read_bytes() + b"x")
    with pytest.raises(ValueError, match=rf"a\.zip: SHA-1 [0-9a-f]+, expected {release.zip_sha1}"):
        prepare_ade20k(source, out, release)
    source.write_bytes(source.read_bytes()[:200])
    with pytest.raises(ValueError, match="not a zip file, or not all of it"):
        prepare_ade20k(source, out, release)
    folder, release = unpacked(tmp_path / "folder", files)
    (folder / "ADEChallengeData2016/annotations/training/ADE_train_00000001.png").unlink()
    with pytest.raises(
        ValueError, match=r"1 image of training without annotation, e\.g\. annotations/training/ADE_train"
    ):
        prepare_ade20k(folder, out, release)
    (folder / "ADEChallengeData2016/images/training/ADE_train_00000001.jpg").unlink()
    with pytest.raises(ValueError, match="3 images under images/training, expected 4"):
        prepare_ade20k(folder, out, release)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no images under images/training \(found: nothing\)"):
        prepare_ade20k(tmp_path / "empty", out, release)
    with pytest.raises(FileNotFoundError, match="nowhere: no such file or folder"):
        prepare_ade20k(tmp_path / "nowhere", out, release)
    assert not out.exists()


def test_broken_files_and_sizes_are_named(tmp_path):
    for change, message in {
        "cut": r"ADE_train_00000001\.png: not a readable image",
        "size": r"ADE_train_00000001\.png: 5 × 4 pixels, but its image has 17 × 12",
    }.items():
        files = original()
        name = "annotations/training/ADE_train_00000001.png"
        files[name] = files[name][:80] if change == "cut" else encoded(np.ones((4, 5), np.uint8), "PNG")
        source, release = zipped(tmp_path / f"{change}.zip", files)
        with pytest.raises(UnreadableImage, match=message):
            prepare_ade20k(source, tmp_path / change, release)


def test_the_real_release_is_the_default():
    release = ADE20KRelease()
    assert release.counts == {"training": 20210, "validation": 2000} and release.classes == 150
    assert release.zip_sha1 == "219e1696abb36c8ba3a3afe7fb2f4b4606a897c7"

"""The written layouts: same bytes whoever writes them, safe to interrupt, and never mixed up."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vssl.commands.data import main
from vssl.datasets.scenes import CLASSES, PROMINENT, SPLITS, render, scene_files, write_scenes, write_sheet
from vssl.datasets.scenes.furniture import label_of

COUNTS = dict(imagenet_train=9, imagenet_val=9, ade_train=2, ade_val=1, nyu_train=2, nyu_val=1)


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reference") / "scenes"
    write_scenes(out, size=24, counts=COUNTS, workers=1)
    return out


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_number_of_workers(reference, tmp_path):
    write_scenes(tmp_path / "a", size=24, counts=COUNTS, workers=3)
    assert digests(tmp_path / "a") == digests(reference)


def test_another_seed_gives_other_bytes(reference, tmp_path):
    write_scenes(tmp_path / "a", size=24, seed=1, counts=COUNTS, workers=1)
    ours, theirs = digests(tmp_path / "a"), digests(reference)
    assert ours.keys() == theirs.keys()
    assert not any(ours[name] == theirs[name] for name in ours)


def test_the_layouts_are_the_real_ones(reference):
    names = [name for name in digests(reference)]
    assert len(names) == 1 + 18 + 2 * 6
    for split in ("train", "val"):
        classes = sorted(path.name for path in (reference / "imagenet" / split).iterdir())
        assert classes == sorted(PROMINENT)
    assert "ade20k/images/training/scene_000001.jpg" in names
    assert "ade20k/annotations/validation/scene_000000.png" in names
    assert "nyuv2/annotations/test/scene_000000.png" in names


def test_the_description_tells_what_is_there(reference):
    description = json.loads((reference / "dataset.json").read_text())
    assert description["counts"] == COUNTS
    assert (description["size"], description["seed"], description["renderer"]) == (24, 0, 2)
    assert description["family"] == "mixed"
    assert description["classes"] == list(CLASSES) and description["image_classes"] == list(PROMINENT)


def test_annotations_hold_the_rendered_labels_and_zero_only_on_outlines_and_clutter(reference):
    with Image.open(reference / "ade20k/annotations/training/scene_000001.png") as image:
        assert image.mode == "L"
        written = np.asarray(image)
    labels = render(0, SPLITS["ade_train"].stream, 1, 24).labels
    zero = written == 0
    assert (written[~zero] == labels[~zero]).all()
    assert 0 < zero.mean() < 0.35
    inner = np.zeros_like(zero)
    inner[:-1, :-1] = (labels[:-1, :-1] == labels[1:, :-1]) & (labels[:-1, :-1] == labels[:-1, 1:])
    assert (labels[zero & inner] == 0).all()


def test_depth_is_uint16_millimetres_with_holes_where_a_sensor_sees_nothing():
    for index in range(12):
        scene = render(0, SPLITS["nyu_train"].stream, index, 48)
        depth = scene_files.measured_depth(scene, np.random.default_rng(0))
        valid = depth > 0
        assert depth.dtype == np.uint16
        assert np.abs(depth[valid] / 1000 - scene.depth[valid]).max() <= 0.00051
        assert not valid[scene.labels == label_of("window")].any()
        not_glass = scene.labels != label_of("window")
        assert 0.002 < 1 - valid[not_glass].mean() < 0.3


def test_written_depth_is_16_bit(reference):
    with Image.open(reference / "nyuv2/annotations/train/scene_000000.png") as image:
        assert image.mode == "I;16" and np.asarray(image).dtype == np.uint16
        assert 300 < np.median(np.asarray(image)) < 10_000


def test_no_scene_is_in_two_splits(tmp_path):
    streams = [split.stream for split in SPLITS.values()]
    assert len(set(streams)) == len(streams)
    scenes = [render(0, stream, 4, 16).depth.tobytes() for stream in streams]
    assert len(set(scenes)) == len(scenes)


def test_running_again_renders_nothing(reference, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in reference.rglob("*")}
    monkeypatch.setattr(scene_files, "render", lambda *arguments: pytest.fail("rendered again"))
    write_scenes(reference, size=24, counts=COUNTS, workers=1)
    assert {path: path.stat().st_mtime_ns for path in reference.rglob("*")} == before


@pytest.mark.parametrize("files_before_death", [1, 13, 25])
def test_a_killed_run_is_completed_by_the_next_one(reference, tmp_path, monkeypatch, files_before_death):
    class Killed(BaseException):
        pass

    written = []
    replace = scene_files.os.replace

    def dying_replace(source, target):
        if len(written) == files_before_death:
            raise Killed
        written.append(target)
        replace(source, target)

    monkeypatch.setattr(scene_files.os, "replace", dying_replace)
    with pytest.raises(Killed):
        write_scenes(tmp_path / "a", size=24, counts=COUNTS, workers=1)
    monkeypatch.undo()
    assert not (tmp_path / "a" / "dataset.json").exists()
    write_scenes(tmp_path / "a", size=24, counts=COUNTS, workers=1)
    assert digests(tmp_path / "a") == digests(reference)


@pytest.mark.slow
def test_after_sigkill_no_worker_is_left_and_running_again_completes(tmp_path):
    counts = COUNTS | dict(imagenet_train=400)
    out, tool = tmp_path / "a", Path(__file__).parents[2] / "tools" / "prepare_data.py"
    command = [sys.executable, str(tool), "scenes", "--out", str(out), "--size", "24", "--workers", "2", "--counts"]
    command += [f"{name}={count}" for name, count in counts.items()]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, cwd=tool.parents[1])
    while process.poll() is None and len(list(out.rglob("*.jpg"))) < 20:
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=30)  # returns once the workers, which hold the pipe too, have ended
    assert process.returncode == -signal.SIGKILL and not (out / "dataset.json").exists()
    write_scenes(out, size=24, counts=counts, workers=2)
    assert len(list(out.rglob("*.jpg"))) == 400 + 9 + 6
    first = render(0, 0, 0, 24).image.astype(float)
    with Image.open(SPLITS["imagenet_train"].files(out, 0)[0]) as image:
        assert np.abs(np.asarray(image) - first).mean() < 8  # JPEG


def test_a_deleted_file_comes_back(reference, tmp_path):
    out = tmp_path / "a"
    write_scenes(out, size=24, counts=COUNTS, workers=1)
    (out / "nyuv2/annotations/train/scene_000001.png").unlink()
    write_scenes(out, size=24, counts=COUNTS, workers=1)
    assert digests(out) == digests(reference)


def test_other_options_are_refused_with_the_difference_and_the_way_out(reference):
    before = digests(reference)
    with pytest.raises(FileExistsError, match=r"size: there 24, asked for 32.*--overwrite"):
        write_scenes(reference, size=32, counts=COUNTS, workers=1)
    with pytest.raises(FileExistsError, match="ade_val: there 1, asked for 3"):
        write_scenes(reference, size=24, counts=COUNTS | dict(ade_val=3), workers=1)
    assert digests(reference) == before


def test_an_unfinished_run_with_other_options_is_refused_too(tmp_path, monkeypatch):
    monkeypatch.setattr(scene_files, "_render_all", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_scenes(tmp_path / "a", size=24, counts=COUNTS, workers=1)
    with pytest.raises(FileExistsError, match="seed: there 0, asked for 2"):
        write_scenes(tmp_path / "a", size=24, seed=2, counts=COUNTS, workers=1)


def test_overwrite_replaces_everything(reference, tmp_path):
    out = tmp_path / "a"
    write_scenes(out, size=16, seed=3, counts=COUNTS | dict(nyu_val=4), workers=1)
    write_scenes(out, size=24, counts=COUNTS, workers=1, overwrite=True)
    assert digests(out) == digests(reference)


def test_foreign_files_are_never_touched(tmp_path):
    (tmp_path / "imagenet").mkdir()
    (tmp_path / "imagenet" / "mine.jpg").write_text("mine")
    with pytest.raises(FileExistsError, match=r"already holds imagenet, but no dataset\.json"):
        write_scenes(tmp_path, size=24, counts=COUNTS, workers=1, overwrite=True)
    assert (tmp_path / "imagenet" / "mine.jpg").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(size=8), "size 8 px: expected 16..1024"),
        (dict(seed=-1), "seed -1: expected 0 or more"),
        (dict(counts=dict(ade=3)), "unknown splits ade: expected imagenet_train"),
        (dict(counts=dict(imagenet_val=5)), "imagenet_val=5: expected at least 9, one for each class"),
        (dict(counts=dict(nyu_val=0)), "nyu_val=0: expected at least 1"),
    ],
)
def test_bad_options_are_named_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write_scenes(tmp_path / "a", **options)
    assert not (tmp_path / "a").exists()


def test_the_command_line_writes_refuses_and_explains(tmp_path, reference, capsys):
    counts = [f"{name}={count}" for name, count in COUNTS.items()]
    command = ["scenes", "--out", str(tmp_path / "a"), "--size", "24", "--workers", "1", "--counts", *counts]
    assert main(command) == 0
    assert digests(tmp_path / "a") == digests(reference)
    assert main([*command, "--seed", "1"]) == 1
    assert "seed: there 0, asked for 1" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["scenes", "--counts", "ade_train"])
    assert "expected SPLIT=N" in capsys.readouterr().err


def test_the_sample_sheet_is_a_picture(tmp_path):
    with Image.open(write_sheet(tmp_path / "new" / "sheet.png", columns=2, rows=1, size=24)) as sheet:
        assert sheet.width == 2 * 28 - 4 and sheet.height > 3 * 28

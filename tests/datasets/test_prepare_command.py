"""The commands of tools/prepare_data.py: what they print, refuse and explain; and a death in the middle."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vssl.commands.data import main
from vssl.datasets import UnlabeledImages, UnlabeledShards

TOOL = Path(__file__).parents[2] / "tools" / "prepare_data.py"


@pytest.fixture
def tool():
    return lambda *arguments: main([str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for k in range(400):
        path = tmp_path / "images" / f"{k % 4}" / f"{k:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(path)
    return tmp_path / "images"


@pytest.mark.slow
def test_after_sigkill_no_half_shard_has_a_final_name_and_running_again_completes(tool, folder, tmp_path):
    out = tmp_path / "out"
    command = ["shards", "--source", str(folder), "--out", str(out), "--per-shard", "1"]
    process = subprocess.Popen([sys.executable, str(TOOL), *command], stderr=subprocess.DEVNULL, cwd=TOOL.parents[1])
    while process.poll() is None and len(list(out.glob("*.tar"))) < 20:
        time.sleep(0.002)
    process.kill()
    process.wait(timeout=30)
    assert process.returncode == -signal.SIGKILL and not (out / "dataset.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    assert tool(*command) == 0
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items()) and len(list(out.glob("*.tar"))) == 400
    ours, theirs = UnlabeledShards(out, 12), UnlabeledImages(folder, 12)
    assert all((ours[k] == theirs[k]).all() for k in range(400))
    assert not list(out.glob("*.partial"))


def test_shards_without_out_are_indexed_where_they_lie(tool, folder, tmp_path, capsys):
    assert tool("shards", "--source", folder, "--out", tmp_path / "packed", "--per-shard", 100) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "packed" / "dataset.json")
    others = tmp_path / "others"
    others.mkdir()
    for path in (tmp_path / "packed").glob("*.tar"):
        path.rename(others / path.name)
    assert tool("shards", "--source", others) == 0
    assert len(UnlabeledShards(others, 12)) == 400
    assert tool("shards", "--source", folder) == 1
    assert "To pack images, give --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["ade20k"], "no images under images/training (found: 0/, 1/, 2/, 3/)"),
        (["nyuv2"], "no nyu_depth_v2_labeled.mat (found: 0/, 1/, 2/, 3/)"),
        (["imagenet"], "no folder train (found: 0/, 1/, 2/, 3/)"),
        (["roxford5k"], "no gnd_roxford5k.mat or gnd_rparis6k.mat"),
        (["shards", "--per-shard", "0"], "images_per_shard 0: expected at least 1"),
    ],
)
def test_a_wrong_source_is_one_line_and_exit_code_1(tool, folder, tmp_path, capsys, command, message):
    assert tool(*command, "--source", folder, "--out", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_list_files_have_the_depth_that_they_have(tool, tmp_path, capsys):
    for split in ("train", "test"):
        (tmp_path / f"nyudepthv2_{split}_files_with_gt.txt").write_text("/a/rgb_0.jpg /a/sync_depth_0.png 518.8579\n")
    assert tool("nyuv2", "--source", tmp_path, "--out", tmp_path / "out") == 1
    assert "1 lines, expected 24231" in capsys.readouterr().err
    assert tool("nyuv2", "--source", tmp_path, "--depth", "raw") == 1
    assert "leave the option away" in capsys.readouterr().err

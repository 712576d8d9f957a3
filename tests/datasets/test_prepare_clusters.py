"""`prepare_data.py clusters`: a folder becomes sources of like images, by links, the same at every run."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from vssl.commands.data import main
from vssl.datasets import UnlabeledImages, UnlabeledMixture
from vssl.datasets.prepare.clustering import find_clusters, prepare_clusters
from vssl.learner import export_backbone

COLOURS = {"red": (230, 20, 20), "green": (20, 230, 20), "blue": (20, 20, 230)}
COUNTS = {"red": 7, "green": 5, "blue": 3}


@pytest.fixture
def folder(tmp_path):
    """Images of three colours, below folders that do not tell them apart, under names that need care."""
    rng, number = np.random.default_rng(0), 0
    for colour, count in COUNTS.items():
        for k in range(count):
            home = tmp_path / "photos" / ("deep/er folder" if k % 2 else "a")
            home.mkdir(parents=True, exist_ok=True)
            pixels = np.clip(np.array(COLOURS[colour]) + rng.integers(-15, 16, (16, 16, 3)), 0, 255).astype(np.uint8)
            odd = ["", "ünï ", "#%'\"", "\n"][number % 4]
            Image.fromarray(pixels).save(tmp_path / "photos" / home / f"{odd}{number:02d}.PNG")
            number += 1
    raw = os.fsencode(tmp_path / "photos" / "a") + b"/\xff.png"  # a name that is no UTF-8
    shutil.copy(tmp_path / "photos/a/00.PNG", raw)
    return tmp_path / "photos"


def mean_colour(images):
    return images.float().mean((2, 3))


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def cluster(folder, out, features=mean_colour, **settings):
    settings = dict(clusters=3, size=8, batch_size=4) | settings
    return json.loads(prepare_clusters(folder, out, features, {"features": "colour"}, **settings).read_text())


def test_like_images_become_a_source_and_every_image_is_in_one(folder, tmp_path):
    told = cluster(folder, tmp_path / "out")
    assert told["counts"] == {"cluster_0": 8, "cluster_1": 5, "cluster_2": 3} and told["unreadable"] == []
    mixture = UnlabeledMixture(tmp_path / "out/sources", 8)
    assert mixture.names == list(told["counts"]) and mixture.shares["cluster_0"] == 8 / 16
    strongest = {name: set() for name in mixture.names}
    for number in range(16):
        strongest[mixture.source_of(number)].add(int(mixture[number].float().mean((1, 2)).argmax()))
    assert strongest == {"cluster_0": {0}, "cluster_1": {1}, "cluster_2": {2}}
    files = [mixture.path(i) for i in range(16)]
    assert all(file.is_symlink() and not os.path.isabs(os.readlink(file)) for file in files)
    whole = UnlabeledImages(folder, 8)
    assert {os.path.realpath(file) for file in files} == {os.path.realpath(whole.path(i)) for i in range(16)}
    for source in mixture.sources:  # below the folders of the source
        assert all((folder / source.path(i).relative_to(source.root)).is_file() for i in range(len(source)))


def test_the_same_seed_gives_the_same_bytes_and_running_again_does_nothing(folder, tmp_path):
    first, second = (cluster(folder, tmp_path / out, seed=4) for out in ("one", "two"))
    assert first == second
    listed = [
        sorted(os.fsencode(p.relative_to(tmp_path / out)) for p in (tmp_path / out).rglob("*"))
        for out in ("one", "two")
    ]
    assert listed[0] == listed[1]
    assert (tmp_path / "one/clusters.png").read_bytes() == (tmp_path / "two/clusters.png").read_bytes()
    stamp = (tmp_path / "one/sources").stat().st_mtime_ns
    assert cluster(folder, tmp_path / "one", features=None, seed=4) == first  # not looked at again
    assert (tmp_path / "one/sources").stat().st_mtime_ns == stamp
    with pytest.raises(FileExistsError, match="clusters: there 3, asked for 2"):
        cluster(folder, tmp_path / "one", seed=4, clusters=2)
    shutil.rmtree(tmp_path / "one/sources/cluster_1")
    assert (
        cluster(folder, tmp_path / "one", seed=4) == first and len(UnlabeledMixture(tmp_path / "one/sources", 8)) == 16
    )


def test_a_kill_leaves_no_half_sources(folder, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("vssl.datasets.prepare.clustering._table", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        patched.setattr("pathlib.Path.rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            cluster(folder, tmp_path / "out")
    assert not (tmp_path / "out/sources").exists() and not (tmp_path / "out/dataset.json").exists()
    cluster(folder, tmp_path / "out")
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == ["clusters.png", "dataset.json", "sources"]


def test_clusters_are_found_where_they_were_planted():
    """Whatever the lengths of the features, which are not looked at; the largest is number 0."""
    rng = np.random.default_rng(0)
    planted = rng.permutation(np.repeat([0, 1, 2], [60, 30, 10]))
    centres = np.linalg.qr(rng.normal(size=(16, 3)))[0].T
    features = (centres[planted] + 0.05 * rng.normal(size=(100, 16))) * rng.uniform(0.1, 10, (100, 1))
    found = find_clusters(features.astype(np.float32), 3, seed=1)
    assert (found.of == planted).all()
    own = unit(unit(features) - unit(features).mean(0))
    means = unit(np.stack([own[planted == k].mean(0) for k in range(3)]))
    assert found.likeness == pytest.approx((own * means[planted]).sum(1), abs=1e-5)
    shifted = find_clusters((unit(features) + 5 * np.ones(16)).astype(np.float32), 3, seed=1)
    assert (shifted.of == planted).all()  # nor what all images have in common


def test_centres_from_a_part_of_the_images_serve_all(monkeypatch):
    rng = np.random.default_rng(0)
    features = np.eye(4, dtype=np.float32)[rng.integers(0, 4, 400)] + 0.01 * rng.normal(size=(400, 4)).astype(
        np.float32
    )
    whole = find_clusters(features, 4)
    monkeypatch.setattr("vssl.datasets.prepare.clustering.FITTED", 50)
    assert (find_clusters(features, 4).of == whole.of).all()


def test_what_is_wrong_is_told_before_anything_is_written(folder, tmp_path):
    for settings, told in [
        (dict(clusters=1), "expected 2 to 16, the number of images"),
        (dict(clusters=17), "expected 2 to 16"),
        (dict(features=lambda images: torch.full((len(images), 3), torch.nan)), "16 of 16 images are not finite"),
        (dict(features=lambda images: torch.ones(len(images), 3)), "only 1 different ones to this backbone"),
    ]:
        with pytest.raises(ValueError, match=told):
            cluster(folder, tmp_path / "out", **settings)
        assert not (tmp_path / "out/sources").exists()
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    with pytest.raises(ValueError, match="lies within"):
        cluster(folder, folder / "out")
    (tmp_path / "out/sources").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="already holds sources"):
        cluster(folder, tmp_path / "out")


def test_unreadable_images_are_left_out_and_named_and_many_are_refused(folder, tmp_path):
    (folder / "a/bad.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match="1 of 17 images left out"):
        told = cluster(folder, tmp_path / "out")
    assert told["unreadable"] == ["a/bad.png"] and sum(told["counts"].values()) == 16
    (folder / "a/worse.png").write_bytes(b"")
    with pytest.raises(ValueError, match="file 2 of 18 that cannot be read, and 1 are tolerated"):
        cluster(folder, tmp_path / "other")


def test_a_folder_of_folders_is_a_mixture(folder, tmp_path):
    (tmp_path / "three/.hidden").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"expected two or more folders in it, found: \.hidden/"):
        UnlabeledMixture(tmp_path / "three", 8)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        UnlabeledMixture(tmp_path / "four", 8)
    by_name = UnlabeledMixture({name: folder / name for name in ("a", "deep")}, 8)
    of_folder = UnlabeledMixture(str(folder), 8)
    assert of_folder.names == by_name.names and of_folder.shares == by_name.shares


def test_the_command_says_what_it_found_and_what_to_write(folder, tmp_path, backbone, capsys):
    export_backbone(backbone, tmp_path / "backbone.safetensors")
    command = ["clusters", "--images", str(folder), "--clusters", "3", "--out", str(tmp_path / "out")]
    assert main([*command, "--backbone", str(tmp_path / "backbone.safetensors")]) == 0
    said = capsys.readouterr().out
    told = json.loads((tmp_path / "out/dataset.json").read_text())
    counts = ", ".join(f"{name}={count}" for name, count in told["counts"].items())
    assert f"designer = dict(type=SourceWeights, sources=dict({counts}))" in said
    assert f"unlabeled = dict(type=UnlabeledMixture, roots={str(tmp_path / 'out/sources')!r}, size=16)" in said
    assert told["options"]["backbone"] == backbone.name and len(told["options"]["weights_sha256"]) == 64
    for wrong, message in [([], "no backbone"), (["--backbone", "missing.safetensors"], "does not exist")]:
        assert main([*command, *wrong]) == 1
        assert message in capsys.readouterr().err

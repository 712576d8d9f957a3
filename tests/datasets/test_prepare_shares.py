"""`prepare_data.py shares`: folders get shares by their likeness to labeled images, the same at every run."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from vssl.commands.data import main
from vssl.datasets import UnlabeledMixture
from vssl.datasets.prepare.likeness import Interval, find_likeness, measure_likeness, shares_by_likeness
from vssl.datasets.prepare.shard_packing import prepare_shards
from vssl.learner import export_backbone

COLOURS = {"red": (230, 20, 20), "green": (20, 230, 20), "blue": (20, 20, 230)}


def paint(folder, colour, count, seed):
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.clip(np.array(colour) + rng.integers(-15, 16, (16, 16, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")


@pytest.fixture
def folders(tmp_path):
    """Three folders of unlabeled images, of a colour each, and labeled images that are red."""
    for seed, (name, count) in enumerate({"red": 9, "green": 6, "blue": 8}.items()):
        paint(tmp_path / "sources" / name, COLOURS[name], count, seed)
    paint(tmp_path / "labeled", COLOURS["red"], 5, 7)
    return tmp_path


def mean_colour(images):
    return images.float().mean((2, 3))


def measure(folders, like=("labeled",), **settings):
    settings = dict(features=mean_colour, size=8, batch_size=4) | settings
    return measure_likeness(folders / "sources", [folders / name for name in like], **settings)


def test_the_folder_that_looks_like_the_labeled_images_is_found(folders):
    found = measure(folders)
    assert found.names == ["blue", "green", "red"] and found.labeled == 5
    assert found.sampled == 6  # as many of each as the smallest has
    assert (found.likeness.share == [0, 0, 1]).all()
    assert found.likeness.cosine.mean(0).argmax() == 2 and found.likeness.cosine[:, :2].max() < 0
    assert measure(folders, per_folder=4).sampled == 4
    plain = measure(folders, centred=False).likeness
    assert (plain.share == [0, 0, 1]).all() and plain.cosine[:, :2].min() > 0  # colours are above 0


def test_several_folders_of_labeled_images_count_by_their_images(folders):
    paint(folders / "more", COLOURS["green"], 15, 9)
    found = measure(folders, ("labeled", "more"))
    assert found.labeled == 20
    assert found.likeness.share.mean(0) == pytest.approx([0, 0.75, 0.25])


def test_the_same_seed_draws_the_same_images(folders):
    paint(folders / "sources/red/later", (200, 60, 40), 40, 3)
    first, second, other = (measure(folders, per_folder=5, seed=seed).likeness.cosine for seed in (1, 1, 2))
    assert (first == second).all() and not (first == other).all()


def test_likeness_is_that_of_nearest_neighbours_by_scikit_learn(monkeypatch):
    monkeypatch.setattr("vssl.datasets.prepare.likeness.ROWS", 7)  # several blocks
    rng = np.random.default_rng(0)
    labeled = rng.normal(size=(20, 6)).astype(np.float32)
    pool = [rng.normal(size=(30, 6)).astype(np.float32) + shift for shift in (0, 0.5, -0.5)]
    found = find_likeness(labeled, pool, 5, centred=False)
    for column, rows in enumerate(pool):
        distance, _ = NearestNeighbors(n_neighbors=5, metric="cosine").fit(rows).kneighbors(labeled)
        assert found.cosine[:, column] == pytest.approx(1 - distance.mean(1), abs=1e-5)
    _, nearest = NearestNeighbors(n_neighbors=5, metric="cosine").fit(np.concatenate(pool)).kneighbors(labeled)
    counts = np.stack([(nearest // 30 == column).mean(1) for column in range(3)], axis=1)
    assert found.share == pytest.approx(counts)


def test_centred_likeness_knows_nothing_of_what_all_images_share():
    """Directions that differ by little from one that all have: plain cosines are all 1, centred ones are not."""
    rng = np.random.default_rng(0)
    centres = np.linalg.qr(rng.normal(size=(8, 3)))[0].T
    near = [np.ones(8) + 0.01 * (centres[k] + 0.1 * rng.normal(size=(40, 8))) for k in (0, 1, 1)]
    labeled, *pool = (rows.astype(np.float32) for rows in (near[1][:10], near[0], near[2]))
    assert find_likeness(labeled, pool, 4, centred=False).cosine.min() > 0.9999
    centred = find_likeness(labeled, pool, 4).cosine
    assert centred[:, 0].max() < 0 and centred[:, 1].min() > 0.9


def test_equally_near_images_share_the_places_that_are_left():
    """Whatever the order of the folders."""
    same = np.ones((4, 2), np.float32)
    other = np.array([[1, -1]] * 4, np.float32)
    looked = np.ones((3, 2), np.float32)
    assert find_likeness(looked, [same, same, other], 3, centred=False).share == pytest.approx(
        np.tile([0.5, 0.5, 0], (3, 1))
    )
    one = np.concatenate([same[:1], other[:3]])  # the nearest, then two places for images that are equally near
    assert find_likeness(looked, [one, other], 3, centred=False).share[0] == pytest.approx(
        [(1 + 2 * 2 / 5) / 3, 2 * 3 / 5 / 3]
    )


def test_shares_add_up_and_none_is_below_the_least():
    names = ["a", "b", "c"]
    assert shares_by_likeness(names, np.array([0, 0, 1])) == pytest.approx({"a": 0.05, "b": 0.05, "c": 0.9})
    soft = shares_by_likeness(names, np.array([0.2, 0.3, 0.5]), least=0.1)
    assert soft == pytest.approx({"a": 0.24, "b": 0.31, "c": 0.45}) and sum(soft.values()) == pytest.approx(1)
    first = shares_by_likeness(names, np.array([0.3, 0.4, 0.3]), least=0.1, first_alone=True)
    assert first == pytest.approx({"a": 0.1, "b": 0.8, "c": 0.1})
    for least in (0, 1 / 3, 0.5, float("nan")):
        with pytest.raises(ValueError, match="above 0 and below 1/3"):
            shares_by_likeness(names, np.array([0, 0, 1]), least)


def test_the_interval_is_students():
    values = np.random.default_rng(0).normal(size=12)
    found = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert Interval.of(values) == pytest.approx((values.mean(), found.low, found.high))
    assert Interval.of(np.ones(3)) == (1, 1, 1)


def test_a_source_may_be_shards(folders):
    prepare_shards(folders / "sources/red", folders / "packed")
    roots = {name: folders / "sources" / name for name in ("blue", "green")} | {"red": folders / "packed"}
    packed = measure_likeness(roots, [folders / "labeled"], mean_colour, 8)
    whole = measure(folders)
    assert (packed.likeness.cosine == whole.likeness.cosine).all()


def test_unreadable_images_are_left_out_and_the_folders_stay_equal(folders):
    (folders / "sources/green/bad.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match="1 of 7 images left out"):
        assert measure(folders).sampled == 6
    (folders / "sources/green/worse.png").write_bytes(b"")
    with pytest.raises(ValueError, match="file 2 of 8 that cannot be read, and 1 are tolerated"):
        measure(folders)


def test_what_is_wrong_is_told(folders):
    paint(folders / "one", COLOURS["red"], 1, 0)
    with pytest.raises(ValueError, match="give two or more labeled images"):
        measure(folders, ("one",))
    with pytest.raises(ValueError, match="7 nearest images: expected 1 to 6, the number of images in"):
        measure(folders, neighbours=7)
    with pytest.raises(ValueError, match="4 nearest of 3 images a folder: take more images"):
        measure(folders, neighbours=4, per_folder=3)
    with pytest.raises(ValueError, match="of 5 images are not finite"):
        measure(folders, features=lambda images: torch.full((len(images), 3), torch.nan))


@pytest.fixture
def command(folders, backbone):
    export_backbone(backbone, folders / "backbone.safetensors")
    return [
        "shares", "--images", *(f"{name}={folders / 'sources' / name}" for name in COLOURS),
        "--like", str(folders / "labeled"), "--backbone", str(folders / "backbone.safetensors"),
        "--out", str(folders / "shares.yaml"),
    ]  # fmt: skip


def test_the_command_writes_shares_that_a_mixture_reads(folders, command, capsys):
    assert main([*command, "--first-alone"]) == 0
    said = capsys.readouterr().out
    roots = {name: str(folders / "sources" / name) for name in COLOURS}
    mixture = UnlabeledMixture(roots, 16, shares=folders / "shares.yaml")
    assert sorted(mixture.shares.values()) == pytest.approx([0.05, 0.05, 0.9])
    assert f"roots={roots!r}, size=16, shares={str(folders / 'shares.yaml')!r})" in said
    assert "5 labeled images, 6 images of each folder" in said and "4 nearest" in said
    note = (folders / "shares.yaml").read_text()
    assert "likeness to 5 labeled images" in note and "first alone" in " ".join(note.split())
    assert main(command) == 1
    assert "shares.yaml already exists" in capsys.readouterr().err


def test_one_folder_of_folders_is_enough(folders, command, capsys):
    start = command.index("--images") + 1
    command[start : start + 3] = [str(folders / "sources")]
    assert main(command) == 0
    assert sum(UnlabeledMixture(folders / "sources", 16, shares=folders / "shares.yaml").shares.values()) == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--images", "red"], "--images red: give NAME=DIR"),
        (["--images", "a=x", "a=y"], "two folders are called a"),
        (["--images", "a=x", "b=y"], "x"),
        (["--like", "missing"], "missing: no such folder ("),
        (["--least", "0.4"], "above 0 and below 1/3"),
        (["--per-folder", "0"], "--per-folder 0: expected at least 1"),
        (["--neighbours", "0"], "0 nearest images: expected 1 to"),
        (["--out", "shares.json"], "ends in .yaml or .yml"),
        (["--backbone", "missing.safetensors"], "does not exist"),
        (["--batch-size", "0"], "--batch-size 0"),
    ],
)
def test_a_wrong_option_is_refused_and_nothing_is_written(folders, command, capsys, wrong, message):
    assert main([*command, *wrong]) == 1
    assert message in capsys.readouterr().err and not (folders / "shares.yaml").exists()

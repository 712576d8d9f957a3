"""The unlabeled stream: decoding, and what it says about missing and broken files."""

import pickle
import warnings
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.transforms.v2 import functional as F

from vssl.datasets import PositionSampler, UnlabeledImages, UnreadableImage
from vssl.datasets.files import DataWarning


def save(path: Path, array: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for k in range(5):
        save(tmp_path / "tree" / "ab"[k % 2] / f"{k}.png", np.full((8, 8, 3), 10 * k, np.uint8))
    return tmp_path / "tree"


def test_any_tree_is_read_in_the_order_of_folders_and_names(tree):
    (tree / "notes.txt").write_text("no image")
    save(tree / ".hidden" / "x.png", noise(8, 8, 3))
    dataset = UnlabeledImages(tree, 4)
    assert [int(dataset[k][0, 0, 0]) for k in range(len(dataset))] == [0, 20, 40, 10, 30]
    assert dataset.path(3) == tree / "b" / "1.png"


def test_items_are_uint8_of_the_asked_size_whatever_the_file_is(tmp_path):
    save(tmp_path / "a.png", noise(30, 50))
    save(tmp_path / "b.png", noise(50, 30, 4))
    Image.fromarray(noise(40, 40, 3)).convert("CMYK").save(tmp_path / "c.JPEG")
    Image.fromarray(noise(9, 200, 3)).convert("P").save(tmp_path / "d.png")
    for item in (UnlabeledImages(tmp_path, 16)[k] for k in range(4)):
        assert item.shape == (3, 16, 16) and item.dtype == torch.uint8


def test_resizing_is_torchvisions_short_side_antialiased_centre_crop(tmp_path):
    array = noise(60, 90, 3)
    save(tmp_path / "a.png", array)
    item = UnlabeledImages(tmp_path, 20)[0]
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    expected = F.center_crop(F.resize(tensor, 20, F.InterpolationMode.BICUBIC, antialias=True), 20)
    assert (item.int() - expected.int()).abs().max() <= 1


def test_large_jpegs_decoded_at_reduced_scale_look_the_same(tmp_path):
    y, x = np.mgrid[:800, :1000] / 100
    smooth = np.stack([np.sin(x) * np.cos(y), np.sin(y), np.cos(x + y)], -1) * 100 + 128
    save(tmp_path / "a.jpg", smooth.astype(np.uint8), quality=95)
    save(tmp_path / "b.png", smooth.astype(np.uint8))
    dataset = UnlabeledImages(tmp_path, 64)
    assert (dataset[0].int() - dataset[1].int()).abs().float().mean() < 1.5


def test_keys_of_the_sampler_and_plain_indices_read_the_same_image(tree):
    dataset = UnlabeledImages(tree, 4)
    assert torch.equal(dataset[3, 1000], dataset[3])
    with pytest.raises(IndexError, match="image 5 of 5"):
        dataset[5]


def test_workers_deliver_the_samplers_order(tree):
    dataset = UnlabeledImages(tree, 4)
    sampler = PositionSampler(len(dataset), seed=1)
    expected = torch.stack([dataset[key] for key in islice(sampler, 12)])
    loader = DataLoader(dataset, batch_size=4, sampler=sampler, num_workers=2)
    assert torch.equal(torch.cat(list(islice(loader, 3))), expected)


def test_only_a_compact_index_is_kept(tree):
    assert len(pickle.dumps(UnlabeledImages(tree, 4))) < 1000


def test_missing_and_empty_roots_say_what_is_there_and_what_to_do(tmp_path):
    (tmp_path / "imagenet_train").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no such folder .*imagenet_train/.*prepare_data"):
        UnlabeledImages(tmp_path / "train", 8)
    (tmp_path / "imagenet_train" / "archive.tar").write_text("x")
    with pytest.raises(FileNotFoundError, match=r"no images .*found: archive\.tar"):
        UnlabeledImages(tmp_path / "imagenet_train", 8)


def broken(path: Path, how: str) -> None:
    whole = save(path, noise(64, 64, 3)).read_bytes()
    contents = {"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"<html>404</html>", "header": whole[:30]}
    path.write_bytes(contents[how])


@pytest.mark.parametrize("how", ["truncated", "empty", "text", "header"])
@pytest.mark.parametrize("extension", ["jpg", "png"])
def test_a_corrupt_file_is_an_error_that_names_it(tmp_path, how, extension):
    broken(tmp_path / f"bad.{extension}", how)
    with pytest.raises(UnreadableImage, match=rf"bad\.{extension}: not a readable image .*file 1 of 1 .*skip_corrupt"):
        UnlabeledImages(tmp_path, 16)[0]


def test_random_damage_never_escapes_as_another_error(tmp_path):
    rng = np.random.default_rng(0)
    for extension in ("jpg", "png"):
        path = tmp_path / f"x.{extension}"
        whole = save(path, noise(40, 40, 3)).read_bytes()
        dataset = UnlabeledImages(tmp_path, 16)
        for _ in range(150):
            damaged = bytearray(whole)
            for at in rng.integers(0, len(whole), 8):
                damaged[at] = rng.integers(256)
            path.write_bytes(damaged)
            try:
                assert dataset[0].shape == (3, 16, 16)
            except UnreadableImage as error:
                assert path.name in str(error)
        path.unlink()


def test_skip_corrupt_takes_the_next_file_and_warns_once(tree):
    (tree / "a" / "2.png").write_bytes(b"")
    dataset = UnlabeledImages(tree, 4, skip_corrupt=1)
    with pytest.warns(UserWarning, match=r"2\.png.*next file takes its place \(1 of 1 tolerated\)"):
        item = dataset[1]
    assert torch.equal(item, dataset[2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(dataset[1], item)


def test_one_corrupt_file_more_than_tolerated_is_an_error_naming_all(tree):
    for name in ("a/2.png", "a/4.png"):
        (tree / name).write_bytes(b"")
    dataset = UnlabeledImages(tree, 4, skip_corrupt=1)
    with (
        pytest.warns(DataWarning),
        pytest.raises(UnreadableImage, match=r"4\.png.*file 2 of 5.*=1 tolerates 1.*2\.png"),
    ):
        dataset[1]


def test_a_file_that_vanished_is_replaced_like_a_corrupt_one(tree):
    dataset = UnlabeledImages(tree, 4)
    (tree / "a" / "0.png").unlink()
    with pytest.warns(DataWarning, match=r"No such file .*0\.png.*next file takes its place"):
        assert torch.equal(dataset[0], dataset[1])


@pytest.mark.parametrize(
    ("skip_corrupt", "tolerated"), [(0, 0), (1, 1), (7, 7), (0.01, 1), (0.3, 6), (0.999, 19), (1e-9, 1)]
)
def test_a_share_below_one_or_a_number_of_files(tmp_path, skip_corrupt, tolerated):
    for number in range(20):
        save(tmp_path / f"{number}.png", np.full((4, 4, 3), number, np.uint8))
    assert UnlabeledImages(tmp_path, 4, skip_corrupt=skip_corrupt).tolerated == tolerated


def test_workers_count_together_and_name_every_file_once(tmp_path):
    for number in range(40):
        save(tmp_path / "i" / f"{number:02}.png", noise(4, 4, 3, seed=number))
    bad = [4, 11, 12, 30]
    for number in bad:
        (tmp_path / "i" / f"{number:02}.png").write_bytes(b"")

    def epoch(dataset):
        dataset.list_unreadable(tmp_path / "bad_files.txt")
        sampler = PositionSampler(len(dataset), seed=1)
        return list(islice(DataLoader(dataset, batch_size=4, sampler=sampler, num_workers=2), 20))

    dataset = UnlabeledImages(tmp_path / "i", 4, skip_corrupt=0.1)
    epoch(dataset)
    assert dataset.unreadable == 4
    lines = (tmp_path / "bad_files.txt").read_text().splitlines()
    assert sorted(line.split("\t")[0] for line in lines) == [f"image {number}" for number in (11, 12, 30, 4)]
    assert all(f"{int(line.split()[1]):02}.png: not a readable image" in line for line in lines)
    with pytest.raises(UnreadableImage, match=r"file 4 of 40 that cannot be read, and skip_corrupt=3 tolerates 3"):
        epoch(UnlabeledImages(tmp_path / "i", 4, skip_corrupt=3))


def test_rendered_scenes_are_read_too(scenes):
    dataset = UnlabeledImages(scenes / "imagenet" / "train", 32)
    assert len(dataset) == 18
    assert 20 < dataset[4].float().mean() < 235

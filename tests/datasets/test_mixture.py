"""A mixture of folders: its proportions, that no image is left out, that it resumes and is dealt to ranks exactly."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from vssl.datasets import PositionSampler, UnlabeledImages, UnlabeledMixture
from vssl.datasets.stream import Stream

COUNTS = {"a": 12, "b": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of one colour, which says which they are: 0 to 11 in a, 12 to 15 in b."""
    root = tmp_path_factory.mktemp("mixture")
    for first, (name, count) in zip((0, 12), COUNTS.items(), strict=True):
        (root / name).mkdir()
        for number in range(count):
            pixels = np.full((8, 8, 3), 10 * (first + number), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number:02d}.png")
    return root


def mixture(folder, **shares):
    return UnlabeledMixture({name: folder / name for name in COUNTS}, 8, shares or None)


def drawn(dataset, count, **sampler):
    keys = islice(PositionSampler(len(dataset), seed=3, **sampler), count)
    return [int(dataset[key][0, 0, 0]) // 10 for key in keys]


def test_without_shares_it_is_one_folder(folder):
    assert drawn(mixture(folder), 40) == drawn(UnlabeledImages(folder, 8), 40)


@pytest.mark.parametrize(
    ("shares", "of_b"), [({"a": 1, "b": 1}, 8), ({"a": 0.75, "b": 0.25}, 4), ({"a": 7, "b": 1}, 2)]
)
def test_every_epoch_has_the_shares_and_every_image_of_a_source_comes_as_often(folder, shares, of_b):
    dataset = mixture(folder, **shares)
    images = drawn(dataset, 12 * len(dataset))
    for epoch in range(12):
        assert sum(image >= 12 for image in images[16 * epoch : 16 * (epoch + 1)]) == of_b
    times = Counter(images)
    assert len(times) == 16
    for source in (range(12), range(12, 16)):
        assert max(times[i] for i in source) - min(times[i] for i in source) <= 1
    assert dataset.source_of((15, 0)) == "b" and dataset.path(0).parent.name == "a"


def test_a_stream_goes_on_and_is_dealt_to_ranks_exactly(folder):
    dataset = mixture(folder, a=1, b=2)
    whole = Stream(dataset, 4, seed=0)
    batches = [whole.next()[0] for _ in range(9)]
    resumed = Stream(dataset, 4, seed=0)
    resumed.load_state_dict({**resumed.state_dict(), "position": 20})
    assert torch.equal(resumed.next()[0], batches[5])
    ranks = [Stream(dataset, 2, seed=0, rank=rank, world_size=2) for rank in (0, 1)]
    for batch in batches:
        assert torch.equal(torch.stack([rank.next()[0] for rank in ranks], dim=1).flatten(0, 1), batch)


def test_what_is_wrong_is_told(folder):
    roots = {name: folder / name for name in COUNTS}
    for given, told in [
        (dict(roots={"a": folder / "a"}), "two or more folders"),
        (dict(roots=roots, shares={"a": 1.0}), r"shares are of \['a'\]"),
        (dict(roots=roots, shares={"a": 1.0, "b": 0.0}), "must be above 0"),
        (dict(roots=roots, shares={"a": 1.0, "b": 0.001}), "b has less than one of the 16 images"),
    ]:
        with pytest.raises(ValueError, match=told):
            UnlabeledMixture(size=8, **given)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        UnlabeledMixture({"a": folder / "a", "c": folder / "c"}, 8)


def test_a_source_that_comes_twice_in_a_batch_is_told(folder):
    even = mixture(folder, a=0.5, b=0.5)  # b has four images
    assert even.comes_twice(8) == "b" and even.comes_twice(2) is None
    assert mixture(folder).comes_twice(8) is None  # in proportion: each image once an epoch


def test_a_stream_that_is_dealt_anew_has_the_new_shares_and_images_that_did_not_come(folder):
    stream = Stream(mixture(folder, a=3, b=1), 4, seed=0)
    for _ in range(2):
        stream.next()
    assert stream.shares == {"a": 0.75, "b": 0.25}
    stream.deal({"a": 0.25, "b": 0.75})
    assert stream.shares == {"a": 0.25, "b": 0.75} and stream.dataset.shares == {"a": 0.75, "b": 0.25}
    images = [image for _ in range(4) for image in stream.next()[0]]
    sources = [int(image[0, 0, 0] * 255) // 10 >= 12 for image in images]
    assert sum(sources) == 12
    assert images[0].shape == (3, 8, 8) and stream.position == 24
    of_a = {int(image[0, 0, 0] * 255) // 10 for image, of_b in zip(images, sources, strict=True) if not of_b}
    assert len(of_a) == 4


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_stream_that_was_dealt_goes_on_exactly_on_all_ranks(folder, num_workers):
    def numbers(stream, count):
        batches = [stream.next()[0] for _ in range(count)]
        assert all(batch.shares == stream.shares for batch in batches)
        return torch.stack([batch[:, 0, 0, 0] for batch in batches])

    whole = Stream(mixture(folder, a=3, b=1), 4, seed=0)
    ranks = [Stream(mixture(folder, a=3, b=1), 2, seed=0, rank=r, world_size=2) for r in range(2)]
    for shares in ({"a": 0.5, "b": 0.5}, {"a": 0.001, "b": 0.999}):
        for stream in (whole, *ranks):
            numbers(stream, 3)
            stream.deal(shares)
    later = Stream(mixture(folder, a=3, b=1), 4, seed=0, num_workers=num_workers)
    numbers(whole, 5)
    later.load_state_dict(whole.state_dict())
    expected = numbers(whole, 7)
    assert torch.equal(numbers(later, 7), expected)
    for rank in ranks:
        numbers(rank, 5)
    assert torch.equal(torch.stack([numbers(rank, 7) for rank in ranks], dim=2).flatten(1), expected)
    assert whole.shares == {"a": 1 / 16, "b": 15 / 16}  # no source is left out


def test_streams_ahead_in_other_shares_have_other_images_for_each_beginning(folder):
    """Two rollouts of an option, and those of the next meta step, are no copies of each other."""
    stream = Stream(mixture(folder, a=3, b=1), 4, seed=0)
    shares = {"a": 0.5, "b": 0.5}

    def ahead(batches):
        return stream.ahead(batches, shares).next()[0][:, 0, 0, 0].tolist()

    drawn = [ahead(batches) for batches in range(1, 4)]
    stream.skip(1)
    assert ahead(1) == drawn[1]  # the beginning counts, not whence it is looked at
    assert len({tuple(images) for images in drawn}) == 3


def test_images_of_one_source_are_not_dealt(folder):
    with pytest.raises(TypeError, match="UnlabeledMixture"):
        Stream(UnlabeledImages(folder, 8), 4, seed=0).deal({"a": 1.0})

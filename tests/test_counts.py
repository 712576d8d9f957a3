"""Numbers of things are worded as one says them."""

import pytest

from vssl.counts import counted


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [
        (1, "image", "1 image"), (0, "image", "0 images"), (2, "other shape", "2 other shapes"),
        (1, "class", "1 class"), (3, "class", "3 classes"), (2, "batch", "2 batches"),
        (2, "box", "2 boxes"), (2, "key", "2 keys"),
    ],
)  # fmt: skip
def test_one_thing_is_not_plural(number, noun, said):
    assert counted(number, noun) == said

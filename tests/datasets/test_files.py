import pytest

from vssl.datasets.files import next_step


@pytest.mark.parametrize(
    ("folder", "command"),
    [
        ("data/scenes/imagenet/train", "prepare_data.py scenes --out data/scenes,"),
        ("data/benchmark/ade20k", "prepare_data.py scenes --seed 2 --out data/benchmark,"),
        ("/elsewhere/imagenet/train", "prepare_data.py imagenet --source"),
        ("somewhere", "prepare_data.py --help,"),
    ],
)
def test_the_next_step_makes_the_folder_that_is_missing(folder, command):
    assert command in next_step(folder)

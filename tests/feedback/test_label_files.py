"""Label files that cannot be what a task takes them for are refused before training."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vssl.datasets import DepthImages, SegmentationImages
from vssl.feedback import Depth, Feedback, Pool, Segmentation


def pool(root: Path, kind: type, split: str, labels: list[np.ndarray]) -> Pool:
    for number, label in enumerate(labels):
        for folder, array in (("images", np.zeros((8, 8, 3), np.uint8)), ("annotations", label)):
            (root / folder / split).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / folder / split / f"{number}.png")
    return Pool(kind(root, split), 3, 2, batch_size=1, meta_batch_size=1, seed=0)


def test_labels_that_count_from_0_are_refused_unless_the_key_says_so(tmp_path):
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, 6, (8, 8), dtype=np.uint8) for _ in range(5)]
    tasks = {"segmentation": Segmentation(4, 5)}
    good = pool(tmp_path / "good", SegmentationImages, "training", labels)
    Feedback(tasks, {"segmentation": good}).check_pools()
    shifted = pool(tmp_path / "shifted", SegmentationImages, "training", [label - np.uint8(1) for label in labels])
    with pytest.raises(ValueError, match=r"hold 0 to 4 and 255, and never 5"):
        Feedback(tasks, {"segmentation": shifted}).check_pools()
    (tmp_path / "shifted/dataset.json").write_text('{"label_values": "0..C-1", "classes": ["a", "b", "c", "d", "e"]}')
    same = SegmentationImages(tmp_path / "shifted", "training")
    pools = {"segmentation": Pool(same, 3, 2, batch_size=1, meta_batch_size=1, seed=0)}
    assert Feedback(tasks, pools).check_pools()["segmentation"].startswith('label_values="0..C-1": ')
    for index in range(5):
        assert torch.equal(same[index][1], good.dataset[index][1])


@pytest.mark.parametrize("factor", [1, 100, 256, 5000])
def test_depth_in_another_unit_is_read_with_its_scale(tmp_path, factor):
    rng = np.random.default_rng(0)
    metres = [rng.uniform(0.7, 9.9, (8, 8)) for _ in range(5)]
    for name, scale in (("good", 1000), ("wrong", factor)):
        labels = [np.rint(scale * depth).astype(np.uint16) for depth in metres]
        feedback = Feedback({"depth": Depth(4)}, {"depth": pool(tmp_path / name, DepthImages, "train", labels)})
        if name == "good" or factor == 256:  # 0.18 to 2.5 m: nothing in the values speaks against it, the line says it
            assert "steps a metre: " in feedback.check_pools()["depth"]
        else:
            with pytest.raises(ValueError, match="set depth_scale, the steps of the values in a metre: "):
                feedback.check_pools()
    scaled = DepthImages(tmp_path / "wrong", "train", depth_scale=factor)
    for index, depth in enumerate(metres):
        assert scaled[index][1].numpy() == pytest.approx(depth, abs=0.51 / factor)

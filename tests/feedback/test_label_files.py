"""Label files that cannot be what a task takes them for are refused before training."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vssl.datasets import DepthImages, SegmentationImages
from vssl.feedback import Depth, Feedback, Pool, Segmentation


def pool(root: Path, kind: type, split: str, labels: list[np.ndarray]) -> Pool:
    for number, label in enumerate(labels):
        for folder, array in (("images", np.zeros((8, 8, 3), np.uint8)), ("annotations", label)):
            (root / folder / split).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / folder / split / f"{number}.png")
    return Pool(kind(root, split), 3, 2, batch_size=1, meta_batch_size=1, seed=0)


def test_labels_that_were_shifted_beforehand_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, 6, (8, 8), dtype=np.uint8) for _ in range(5)]
    tasks = {"segmentation": Segmentation(4, 5)}
    good = pool(tmp_path / "good", SegmentationImages, "training", labels)
    Feedback(tasks, {"segmentation": good}).check_pools()
    shifted = pool(tmp_path / "shifted", SegmentationImages, "training", [label - np.uint8(1) for label in labels])
    with pytest.raises(ValueError, match=r"shifted beforehand: .*hold 0 and 255, and never 5"):
        Feedback(tasks, {"segmentation": shifted}).check_pools()


@pytest.mark.parametrize(("factor", "unit"), [(1, "hold metres"), (100, "fit centimetres")])
def test_depth_in_the_wrong_unit_is_refused(tmp_path, factor, unit):
    rng = np.random.default_rng(0)
    metres = [rng.uniform(0.7, 9.9, (8, 8)) for _ in range(5)]
    for name, scale in (("good", 1000), ("wrong", factor)):
        labels = [np.rint(scale * depth).astype(np.uint16) for depth in metres]
        feedback = Feedback({"depth": Depth(4)}, {"depth": pool(tmp_path / name, DepthImages, "train", labels)})
        if name == "good":
            feedback.check_pools()
        else:
            with pytest.raises(ValueError, match=unit):
                feedback.check_pools()

"""Classification from class folders: labels, checks, loss, and both evaluators on images that differ by colour."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from vssl.datasets import joint_transform
from vssl.feedback import ClassFolders, Classification, Feedback, Pool


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Three classes of noisy 16-px images, one colour a class."""
    root, rng = tmp_path_factory.mktemp("classes"), np.random.default_rng(0)
    for number, name in enumerate(("blue", "green", "red")):
        for index in range(16):
            image = rng.integers(0, 120, (16, 16, 3), dtype=np.uint8)
            image[..., 2 - number] += 120
            (root / "train" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(root / "train" / name / f"{index:02}.png")
    return root


def feedback_on(folders, **settings) -> Feedback:
    dataset = ClassFolders(folders, transform=joint_transform(16, scale=None), in_memory=True)
    pools = {"classes": Pool(dataset, 24, 12, batch_size=12, meta_batch_size=12, seed=0)}
    return Feedback({"classes": Classification(32, 3)}, pools, head_lr=1e-2, **settings)


def test_labels_are_the_folders_in_order_of_their_names(folders):
    dataset = ClassFolders(folders)
    assert dataset.classes == ["blue", "green", "red"] and len(dataset) == 48
    for index in (0, 17, 47):
        image, label = dataset[index, 0]
        assert dataset.paths(index)[1].parent.name == dataset.classes[label]
        assert image.float().mean((1, 2)).argmax() == 2 - label and image.dtype == torch.uint8


def test_loss_is_cross_entropy_of_the_mean_token():
    task, features, labels = Classification(8, 3).eval(), torch.randn(4, 8, 5, 5), torch.tensor([0, 1, 2, 0])
    logits = features.mean((2, 3)) / (1 + 1e-5) ** 0.5 @ task.head[1].weight.flatten(1).T
    torch.testing.assert_close(task.loss(features, labels), F.cross_entropy(logits, labels))
    expected = 100 * (logits.argmax(1) == labels).float().mean()
    torch.testing.assert_close(task.score(features, labels), expected)


def test_what_is_wrong_with_the_labels_is_named(folders, tmp_path):
    with pytest.raises(ValueError, match=r"label 2, expected one number in 0\.\.1"):
        feedback = feedback_on(folders)
        feedback.tasks["classes"] = Classification(32, 2)
        feedback.check_pools()
    (tmp_path / "train" / "cat").mkdir(parents=True)
    with pytest.raises(ValueError, match="each of 2 or more classes"):
        ClassFolders(tmp_path)
    (tmp_path / "train" / "dog").mkdir()
    with pytest.raises(FileNotFoundError, match="cat: no images"):
        ClassFolders(tmp_path)


def test_a_fitted_head_beats_chance_and_g_down_is_finite(folders, backbone):
    feedback = feedback_on(folders, first_head_steps=60)
    feedback.check_pools()
    feedback.fit_heads(backbone)
    gradients, _ = feedback.gradients(backbone, 0)
    assert all(g.isfinite().all() for g in gradients["classes"]) and any(g.any() for g in gradients["classes"])
    assert feedback.score(backbone, "classes", *feedback.pools["classes"].meta.next()) > 60  # chance: 33


def test_ridge_regresses_on_one_row_an_image(folders, backbone):
    feedback = feedback_on(folders, evaluator="ridge", head_steps=2, ridge_l2=0.1)
    feedback.fit_heads(backbone)
    gradients, losses = feedback.gradients(backbone, 0)
    assert losses["feedback_loss/classes"] < 0.8  # 1 is a constant
    assert any(g.any() for g in gradients["classes"])

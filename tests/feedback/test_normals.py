"""Surface normals of planes, which are exact: encoding, flips, loss, angles, checks, and both evaluators."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from vssl.datasets import joint_transform
from vssl.feedback import Feedback, NormalImages, Pool, SurfaceNormals
from vssl.feedback.normals import decode_normals, encode_normals


def facing(x: float, y: float) -> np.ndarray:
    return np.array([x, y, np.sqrt(1 - x * x - y * y)], np.float32)


@pytest.fixture(scope="module")
def planes(tmp_path_factory):
    """Images of a plane to the left and one to the right; red and green are its x and y, as a light would show them."""
    root, rng = tmp_path_factory.mktemp("planes"), np.random.default_rng(0)
    for kind in ("images", "annotations"):
        (root / kind / "train").mkdir(parents=True)
    for index in range(36):
        normals = np.empty((16, 16, 3), np.float32)
        normals[:, :8], normals[:, 8:] = facing(*rng.uniform(-0.6, 0.6, 2)), facing(*rng.uniform(-0.6, 0.6, 2))
        image = np.round(128 + 120 * normals * [1, 1, 0]).astype(np.uint8)
        Image.fromarray(image).save(root / "images" / "train" / f"{index:02}.png")
        Image.fromarray(encode_normals(normals)).save(root / "annotations" / "train" / f"{index:02}.png")
    return root


def feedback_on(planes, **settings) -> Feedback:
    dataset = NormalImages(planes, "train", joint_transform(16, scale=None), in_memory=True)
    pools = {"normals": Pool(dataset, 24, 12, batch_size=12, meta_batch_size=12, seed=0)}
    return Feedback({"normals": SurfaceNormals(32)}, pools, head_lr=1e-2, **settings)


def test_encoding_keeps_directions_within_half_a_degree_and_missing_pixels_missing():
    normals = torch.nn.functional.normalize(torch.randn(50, 50, 3), dim=-1).numpy()
    normals[0] = 0
    decoded = decode_normals(encode_normals(normals))
    assert not decoded[0].any()
    cosine = (decoded[1:].astype(np.float64) * normals[1:]).sum(-1)
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 0.5
    assert encode_normals(facing(0, 0)[None, None]).tolist() == [[[128, 128, 255]]]


def test_a_flip_moves_the_pixels_and_turns_x_around(planes):
    plain = NormalImages(planes, "train")
    flipping = NormalImages(planes, "train", joint_transform(16, scale=None))
    image, normals = plain[0]
    seen = set()
    for position in range(12):
        moved, turned = flipping[0, position]
        flipped = torch.equal(moved, image.flip(-1))
        seen.add(flipped)
        expected = normals.flip(-1) * torch.tensor([-1.0, 1, 1])[:, None, None] if flipped else normals
        assert torch.equal(turned, expected)
    assert seen == {True, False}


def test_a_transform_that_turns_directions_otherwise_is_refused(planes):
    import albumentations as A

    from vssl.datasets import JointTransform

    with pytest.raises(ValueError, match="left-right flips only"):
        NormalImages(planes, "train", JointTransform([A.VerticalFlip(p=1)]))[0, 0]


def test_loss_is_one_minus_cosine_and_score_is_in_degrees():
    task, features = SurfaceNormals(4).eval(), torch.randn(2, 4, 4, 4)
    predicted = F.normalize(task.head(features).detach(), dim=1)
    axis = F.normalize(torch.linalg.cross(predicted, torch.randn(2, 3, 4, 4), dim=1), dim=1)
    angle = torch.tensor(np.pi / 6)
    labels = predicted * angle.cos() + axis * angle.sin()  # 30 degrees away everywhere
    labels[0, :, 0] = 0  # missing
    torch.testing.assert_close(task.loss(features, labels), 1 - angle.cos(), atol=1e-5, rtol=0)
    torch.testing.assert_close(task.score(features, labels), torch.tensor(30.0), atol=1e-2, rtol=0)
    nothing = task.loss(features, torch.zeros_like(labels))
    nothing.backward()
    assert nothing == 0 and all(p.grad.isfinite().all() for p in task.parameters())


def test_files_of_another_encoding_are_named(tmp_path):
    normals, task = np.broadcast_to(facing(0.2, 0.1), (8, 8, 3)), SurfaceNormals(4)
    for wrong, message in (
        (np.round(127 * normals).astype(np.uint8), "no vector of length 1"),
        (encode_normals(normals * np.float32([1, 1, -1])), "away from the camera"),
    ):
        Image.fromarray(wrong).save(tmp_path / "wrong.png")
        with pytest.raises(ValueError, match=message):
            task.check_files([tmp_path / "wrong.png"], None)
    with pytest.raises(ValueError, match="here: no normal"):
        task.check(torch.zeros(3, 4, 4), "here")


def test_a_fitted_head_reads_the_planes_and_g_down_is_finite(planes, backbone):
    feedback = feedback_on(planes, first_head_steps=60)
    feedback.check_pools()
    batch = feedback.pools["normals"].meta.next()
    untrained = feedback.score(backbone, "normals", *batch)
    feedback.fit_heads(backbone)
    assert feedback.score(backbone, "normals", *batch) < 0.6 * untrained
    gradients, _ = feedback.gradients(backbone, 0)
    assert all(g.isfinite().all() for g in gradients["normals"]) and any(g.any() for g in gradients["normals"])


def test_ridge_explains_the_normals(planes, backbone):
    feedback = feedback_on(planes, evaluator="ridge", head_steps=2)
    feedback.fit_heads(backbone)
    assert feedback.gradients(backbone, 0)[1]["feedback_loss/normals"] < 0.8

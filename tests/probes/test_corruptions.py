"""Corruptions against closed forms and other libraries, and probes on corrupted images."""

import colorsys

import cv2
import numpy as np
import pytest
import torch
from kornia.filters import gaussian_blur2d
from PIL import Image

from vssl.probes.corruptions import CORRUPTIONS, corrupt
from vssl.probes.decoded_images import ProbeData
from vssl.probes.dense.grid import DenseGrid
from vssl.probes.dense.in_context import InContextDepthProbe
from vssl.probes.dense.segmentation import SegmentationProbe
from vssl.probes.image.classification import KNNProbe
from vssl.probes.image.embedding import EmbeddingProbe
from vssl.probes.image.linear_grid import LinearGridProbe
from vssl.probes.robustness import Robustness
from vssl.probes.run import build_probes, run_probes
from vssl.scores import Score

TOP1 = {"top1": Score("top-1", "%")}


@pytest.fixture(scope="module")
def photo():
    """224 × 224 px with structure of every size, 0.1 to 0.9."""
    rng = np.random.default_rng(0)
    coarse = [cv2.resize(rng.random((n, n, 3)), (224, 224), interpolation=cv2.INTER_CUBIC) for n in (3, 12, 56, 224)]
    return np.clip(255 * (0.1 + 0.8 * np.mean(coarse, 0)), 0, 255).astype(np.uint8)


def apply(name, image, severity):
    """Before it is clipped and rounded."""
    return CORRUPTIONS[name](image / 255, severity, np.random.default_rng(0))


def test_noises_have_the_strength_of_imagenet_c():
    grey = np.full((224, 224, 3), 128, np.uint8)
    for severity, sigma in enumerate((0.08, 0.12, 0.18, 0.26, 0.38), start=1):
        assert (apply("gaussian_noise", grey, severity) - 128 / 255).std() == pytest.approx(sigma, rel=0.02)
    for severity, photons in enumerate((60, 25, 12, 5, 3), start=1):
        assert apply("shot_noise", grey, severity).var() == pytest.approx(128 / 255 / photons, rel=0.03)
    for severity, share in enumerate((0.03, 0.06, 0.09, 0.17, 0.27), start=1):
        found = apply("impulse_noise", grey, severity)
        assert (found == 0).mean() == pytest.approx(share / 2, rel=0.06) == (found == 1).mean()


def test_colours_by_closed_form(photo):
    for severity, shift in enumerate((0.1, 0.2, 0.3, 0.4, 0.5), start=1):
        found = apply("brightness", photo, severity)
        for row, column in ((0, 0), (100, 30), (223, 223)):
            h, s, v = colorsys.rgb_to_hsv(*photo[row, column] / 255)
            np.testing.assert_allclose(found[row, column], colorsys.hsv_to_rgb(h, s, min(v + shift, 1)), atol=1e-5)
    for severity, kept in enumerate((0.4, 0.3, 0.2, 0.1, 0.05), start=1):
        found, before = apply("contrast", photo, severity), photo / 255
        np.testing.assert_allclose(found.mean((0, 1)), before.mean((0, 1)))
        np.testing.assert_allclose(found.std((0, 1)), kept * before.std((0, 1)))


def test_blur_pixels_and_jpeg_by_other_libraries(photo):
    tensor = torch.from_numpy(photo / 255).permute(2, 0, 1)
    for severity, sigma in enumerate((1, 2, 3, 4, 6), start=1):
        theirs = gaussian_blur2d(tensor[None], (8 * sigma + 1,) * 2, (float(sigma),) * 2)[0].permute(1, 2, 0).numpy()
        inner = np.s_[4 * sigma : -4 * sigma, 4 * sigma : -4 * sigma]  # they end images in another way
        np.testing.assert_allclose(apply("gaussian_blur", photo, severity)[inner], theirs[inner], atol=1e-6)
    blocks = torch.nn.functional.avg_pool2d(tensor, 2).repeat_interleave(2, 1).repeat_interleave(2, 2)
    halved = apply("pixelate", photo, 2)
    np.testing.assert_allclose(halved, blocks.permute(1, 2, 0), atol=1.01 / 255)  # Pillow rounds each of the two axes
    for severity, quality in enumerate((25, 18, 15, 10, 7), start=1):
        _, file = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        theirs = cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1].astype(int)
        assert np.abs(corrupt(photo, "jpeg", severity, "") - theirs).mean() < 0.5  # two builds of libjpeg


def test_a_point_moves_along_a_line_and_is_out_of_focus_in_a_disk():
    point = np.zeros((224, 224, 3), np.uint8)
    point[112, 112] = 255
    rows, columns = np.nonzero(apply("motion_blur", point, 3)[..., 0])
    assert 15 < len(rows) <= 31 and columns.max() == 112  # 2 · 15 + 1 weights, to one side
    slope = np.polyfit(columns - 112, rows - 112, 1)[0]
    assert abs(slope) <= 1.05 and np.abs(rows - 112 - slope * (columns - 112)).max() < 1
    line = apply("motion_blur", point, 3)[rows, columns, 0]
    distance = np.hypot(rows - 112, columns - 112)
    assert line[distance.argmin()] == line.max() and line.sum() == pytest.approx(1)
    along = np.exp(-(distance**2) / (2 * 8**2))
    np.testing.assert_allclose(line / line.max(), along, atol=0.08)  # steps are rounded to pixels
    disk = apply("defocus_blur", point, 4)[..., 0]
    # ImageNet-C softens the disk of radius 8 beyond its kernel's edge, which adds 1.3 %
    assert disk.sum() == pytest.approx(1, abs=0.02)
    assert (disk > disk.max() / 2).sum() == pytest.approx(np.pi * 8**2, rel=0.05)


def test_fog_is_as_bright_as_the_image_and_lengths_go_with_the_size(photo):
    found = [apply("fog", photo, severity) for severity in range(1, 6)]
    assert all(f.max() <= photo.max() / 255 + 1e-9 and f.min() >= 0 for f in found)
    spread = [np.corrcoef(f.ravel(), photo.ravel())[0, 1] for f in found]
    assert spread[0] > spread[2] > spread[4]  # less and less of the image is seen
    assert apply("fog", photo[:100, :150], 3).shape == (100, 150, 3)
    small = np.asarray(Image.fromarray(photo).resize((56, 56), Image.Resampling.BOX))
    large = cv2.resize(apply("gaussian_blur", photo, 5), (56, 56), interpolation=cv2.INTER_AREA)
    assert np.abs(apply("gaussian_blur", small, 5) - large).mean() < 0.01


def test_what_is_drawn_depends_on_name_corruption_and_severity_alone(photo):
    for name in ("gaussian_noise", "motion_blur", "fog"):
        first = corrupt(photo, name, 3, "left/1.jpg")
        assert first.dtype == np.uint8 and np.array_equal(first, corrupt(photo, name, 3, "left/1.jpg"))
        assert not np.array_equal(first, corrupt(photo, name, 3, "left/2.jpg"))


def test_scores_are_means_relative_to_clean():
    class Split:
        def __init__(self, loss=0):
            self.loss = loss

        def corrupted(self, name, severity):
            return Split({"fog": 10, "jpeg": 2}[name] * severity)

    robustness = Robustness(dict(names=["fog", "jpeg"], severities=[1, 5]))
    added, table = robustness.scores(TOP1, {"top1": 80.0}, Split(), lambda split: {"top1": 80.0 - split.loss})
    assert added == {
        "top1_corrupted": 62.0, "top1_corrupted_share": 62 / 80, "top1@fog": 50.0, "top1@jpeg": 74.0
    }  # fmt: skip
    assert table["fog"] == {"1": {"top1": 70.0}, "5": {"top1": 30.0}, "mean": 50.0, "share_of_clean": 50 / 80}
    assert set(added) == set(robustness.score_info(TOP1))
    lower = Robustness(dict(names=["fog"])).score_info({"RMSE": Score("RMSE", "m", "lower")})
    assert {score.better for score in lower.values()} == {"lower"} and lower["RMSE_corrupted"].unit == "m"


MILD = dict(names=["brightness", "gaussian_noise"], severities=[1, 5])


@pytest.mark.slow
def test_every_kind_of_probe_is_scored_under_corruptions(segmentation, depth, folders, backbone, tmp_path):
    data = {task: {k: s[k] for k in ("train", "val", "size")} for task, s in (("seg", segmentation), ("depth", depth))}
    trained = {**segmentation["schedule"], "steps": 5}
    probes = dict(
        seg=dict(type=SegmentationProbe, **segmentation),
        in_context=dict(type=InContextDepthProbe, **data["depth"], k=3),
        grid=dict(type=DenseGrid, probe=dict(type=SegmentationProbe, **data["seg"], schedule=trained),
                  learning_rates=[0.01]),
        knn=dict(type=KNNProbe, **folders, k=[3]),
        knn_streamed=dict(type=KNNProbe, **folders, k=[3], keep=False),
        linear_grid=dict(type=LinearGridProbe, **folders, learning_rates=[0.1], pools=["avg"], augment=False,
                         schedule=trained),
    )  # fmt: skip
    clean = run_probes(backbone, {"probes": probes, "device": "cpu"})
    config = {"probes": {name: {**probe, "corruptions": MILD} for name, probe in probes.items()}, "device": "cpu"}
    found = run_probes(backbone, config, cache=tmp_path)
    for before, after in zip(clean, found, strict=True):
        main = next(iter(before["scores"]))
        assert {k: after["scores"][k] for k in before["scores"]} == before["scores"]
        table = after["corruptions"]
        assert list(table) == MILD["names"] and list(table["brightness"]) == ["1", "5", "mean", "share_of_clean"]
        values = [table[name][s][main] for name in MILD["names"] for s in ("1", "5")]
        assert after["scores"][f"{main}_corrupted"] == pytest.approx(np.mean(values))
        assert after["card"]["corruptions"]["severities"] == [1, 5] and after["protocol"] != before["protocol"]
        assert set(after["score_info"]) == set(after["scores"])
    by_name = {result["name"]: result for result in found}
    assert by_name["seg"]["scores"]["mIoU_corrupted"] < by_name["seg"]["scores"]["mIoU"]
    assert by_name["knn"]["scores"] == by_name["knn_streamed"]["scores"]
    again = run_probes(backbone, config, cache=tmp_path, only=["knn"])  # other pixels are other entries of the cache
    assert again[0]["scores"] == by_name["knn"]["scores"]


@pytest.mark.slow
def test_a_probe_sees_the_corrupted_pixels_and_keeps_the_labels(segmentation):
    split = ProbeData().dense(segmentation["val"])
    changed = split.corrupted("contrast", 5)
    (clean,), (pale,) = split.batches(64), changed.batches(64)
    assert torch.equal(clean.data_samples[2].gt_sem_seg.data, pale.data_samples[2].gt_sem_seg.data)
    rgb, path = clean.inputs[2].flip(0).permute(1, 2, 0).numpy(), clean.data_samples[2].img_path
    expected = corrupt(rgb, "contrast", 5, "/".join(path.split("/")[-2:]))
    np.testing.assert_array_equal(pale.inputs[2].flip(0).permute(1, 2, 0).numpy(), expected)
    assert split.corruption is None and torch.equal(next(split.batches(64)).inputs[0], clean.inputs[0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(names=["rain"]), r"\['rain'\]; some of gaussian_noise, .*jpeg"),
        (dict(severities=[0]), r"\[0\]; some of 1, 2, 3, 4, 5"),
        (dict(names=[]), r"\[\]; some of"),
        (dict(levels=[1]), r"unknown key 'levels'"),
    ],
)
def test_corruptions_that_do_not_exist(folders, given, message):
    with pytest.raises(ValueError, match=message):
        build_probes({"probes": dict(knn=dict(type=KNNProbe, **folders, corruptions=given))})


def test_a_probe_without_labels_takes_none(folders):
    with pytest.raises(ValueError, match="'e': EmbeddingProbe has no score under corruptions"):
        build_probes({"probes": dict(e=dict(type=EmbeddingProbe, root=folders["val"], size=32, corruptions={}))})

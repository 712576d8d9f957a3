"""Correspondence: SPair-71k's layout, exact pairs of the scenes, and DIFT's rule written out."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from torch.nn import functional as F

from vssl.commands.data import main as prepare
from vssl.datasets.keypoint_pairs import KeypointPairs
from vssl.datasets.scenes.layout import compose
from vssl.datasets.scenes.ray_casting import trace
from vssl.datasets.scenes.scene_pairs import render_pair, visible_in_both
from vssl.probes.dense.correspondence import match
from vssl.probes.run import run_probes

CONFIGS = Path(__file__).parents[3] / "configs/probes"


def write_spair(root: Path) -> None:
    """Two pairs of two categories, of different sizes: one blue spot in each image, found at SPair's own keys."""
    rng, names = np.random.default_rng(0), []
    for number, category in enumerate(("aeroplane", "sheep")):
        about = {"pair_id": number, "category": category, "mirror": 0, "viewpoint_variation": 0, "kps_ids": ["0"]}
        images = []
        for side, (width, height), (x, y) in (("src", (80, 60), (20, 30)), ("trg", (60, 90), (40, 60))):
            image = rng.integers(0, 60, (height, width, 3), np.uint8)
            image[y - 8 : y + 8, x - 8 : x + 8] = [30, 60, 250]
            images.append(f"2008_00{number}_{side}")
            (root / "JPEGImages" / category).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(root / "JPEGImages" / category / f"{images[-1]}.jpg", quality=95)
            about |= {f"{side}_imname": f"{images[-1]}.jpg", f"{side}_imsize": [width, height, 3]}
            about |= {f"{side}_kps": [[x, y]], f"{side}_bndbox": [0, 10, width, height]}
        names.append(f"{number:06}-{images[0]}-{images[1]}:{category}")
        (root / "PairAnnotation/test").mkdir(parents=True, exist_ok=True)
        (root / f"PairAnnotation/test/{names[-1]}.json").write_text(json.dumps(about))
    (root / "Layout/large").mkdir(parents=True)
    (root / "Layout/large/test.txt").write_text("\n".join(names) + "\n")


@pytest.fixture
def spair(tmp_path):
    write_spair(tmp_path / "SPair-71k")
    return tmp_path / "SPair-71k"


def test_matching_is_that_of_dift():
    """Features enlarged as a whole, normalised, compared at every pixel."""
    g = torch.Generator().manual_seed(0)
    source, target = torch.randn(70, 4, 5, generator=g).double(), torch.randn(70, 6, 3, generator=g).double()
    points = torch.tensor([[0.0, 0.0], [17, 9], [39, 31], [22, 30]])
    large = F.normalize(F.interpolate(source[None], size=(32, 40), mode="bilinear")[0], dim=0)
    other = F.normalize(F.interpolate(target[None], size=(48, 24), mode="bilinear")[0], dim=0)
    expected = []
    for x, y in points.long().tolist():
        place = int(torch.einsum("d,dhw->hw", large[:, y, x], other).argmax())
        expected.append([place % 24, place // 24])
    found = match(source, target, (32, 40), (48, 24), points.double(), channels=32)
    assert found.tolist() == expected


def test_the_preset_reads_spair_and_scores_within_the_targets_box(spair, backbone):
    cfg = Config.fromfile(CONFIGS / "spair/spair71k.py")
    probe = cfg.probes.spair71k
    assert probe.dataset.root == "data/SPair-71k" and probe.size == (784, 784)
    probe.dataset.root, probe.size, cfg.device = str(spair), (32, 32), "cpu"
    (result,) = run_probes(backbone, cfg)
    pairs = KeypointPairs(spair).pairs
    assert [(p.category, p.sizes, p.target_box) for p in pairs] == [
        ("aeroplane", ((60, 80), (90, 60)), 80.0), ("sheep", ((60, 80), (90, 60)), 80.0)
    ]  # fmt: skip
    assert result["counts"] == {"pairs": 2, "keypoints": 2, "images": 4} and set(result["per_class"]) == {
        "aeroplane", "sheep"
    }  # fmt: skip
    assert next(iter(result["scores"])) == "pck@0.1" and result["scores"]["pck@0.1"] in (0.0, 50.0, 100.0)
    probe.alphas = [0.3]  # 24 px: the blue spot; chance is about a third
    assert run_probes(backbone, cfg)[0]["scores"] == {"pck@0.3": 100.0, "pck@0.3_point": 100.0}


def test_the_scenes_keypoints_show_the_same_spots(tmp_path, backbone, capsys):
    prepare(["scenes_pairs", "--pairs", "3", "--size", "32", "--out", str(tmp_path / "pairs")])
    data = KeypointPairs(tmp_path / "pairs")
    assert len(data.pairs) == 3 and all(8 <= len(p.source_points) <= 20 for p in data.pairs)
    assert all(p.target_box == 32 and p.sizes == ((32, 32), (32, 32)) for p in data.pairs)
    again = render_pair(0, 1, 32)
    np.testing.assert_allclose(again.points[1], data.pairs[1].target_points, atol=1e-3)
    assert np.abs(again.points[0] - again.points[1]).max() > 1  # the camera has moved
    cfg = Config.fromfile(CONFIGS / "scenes_more.py")
    cfg.probes.correspondence.dataset.root, cfg.device = str(tmp_path / "pairs"), "cpu"
    (result,) = run_probes(backbone, cfg, only=["correspondence"])
    assert 0 <= result["scores"]["pck@0.1"] <= 100 and result["card"]["data"]["name"] == "vssl scenes, pairs"


def test_seen_from_the_same_place_every_pixel_is_its_own():
    scene = compose(np.random.default_rng(0), "sofa")
    hits = trace(scene, 24)
    first, second = visible_in_both(hits, scene, hits)
    assert len(first) == 24 * 24
    np.testing.assert_allclose(first, second, atol=1e-3)


def test_what_is_missing_or_wrong_is_named(spair, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no Layout/large/val\.txt"):
        KeypointPairs(spair, "val")
    file = next((spair / "PairAnnotation/test").glob("*sheep.json"))
    about = json.loads(file.read_text())
    for change, message in (
        ({"src_kps": [[1, 2], [3, 4]]}, "2 and 1 keypoints"),
        ({"trg_kps": [[100, 2]]}, r"trg_kps outside their image of 60 × 90 px"),
        ({"trg_bndbox": None}, "no pair annotation of SPair-71k"),
    ):
        file.write_text(json.dumps({**about, **change}))
        with pytest.raises(ValueError, match=message):
            KeypointPairs(spair)
    file.write_text(json.dumps(about))
    (spair / "JPEGImages/sheep/2008_001_trg.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"2008_001_trg\.jpg, which is not there"):
        KeypointPairs(spair)

"""The revisited protocol against its own definition, and a probe on miniature images."""

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from sklearn.metrics import average_precision_score

from vssl.probes.decoded_images import ProbeData
from vssl.probes.image.retrieval import RetrievalProbe, average_precision, evaluate, places_of, precision_at
from vssl.probes.outcome import ProbeRun
from vssl.probes.run import run_probes

CONFIGS = Path(__file__).parents[3] / "configs/probes/retrieval"
CPU = torch.device("cpu")
EMPTY = np.array([], dtype=np.int64)


def literal_ap(places):
    """The loop of the benchmark's own evaluation, written from its definition."""
    total = 0.0
    for j, place in enumerate(places):
        before = 1.0 if place == 0 else j / place
        total += (before + (j + 1) / (place + 1)) / len(places) / 2
    return total


def test_average_precision_is_the_area_under_the_trapezoids():
    rng = np.random.default_rng(0)
    for _ in range(20):
        places = np.sort(rng.choice(50, rng.integers(1, 20), replace=False))
        assert average_precision(places) == pytest.approx(literal_ap(places), abs=1e-12)
    assert average_precision(np.arange(7)) == 1.0
    assert average_precision(np.array([1])) == 0.25  # (0/1 + 1/2) / 2
    # step-wise AP takes the precision after each positive alone: scikit-learn's lies above by half a step each
    places = np.array([0, 2, 5, 9])
    labels = np.isin(np.arange(12), places)
    step = average_precision_score(labels, -np.arange(12.0))
    after, before = (np.arange(4) + 1) / (places + 1), np.array([1.0, 1 / 2, 2 / 5, 3 / 9])
    assert step == pytest.approx(after.mean()) and average_precision(places) == pytest.approx(
        (step + before.mean()) / 2
    )


def test_junk_is_as_if_it_were_not_there():
    ranked = np.array([4, 0, 3, 1, 2, 5])
    np.testing.assert_array_equal(places_of(ranked, np.array([0, 2]), np.array([4, 3])), [0, 2])
    np.testing.assert_array_equal(places_of(ranked, np.array([0, 2]), EMPTY), [1, 4])
    assert precision_at(np.array([0, 2]), 1) == 1.0 and precision_at(np.array([0, 2]), 10) == pytest.approx(2 / 3)


def test_protocols_and_queries_without_positives():
    ranking = np.array([[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]])
    truth = [
        {"easy": np.array([0]), "hard": np.array([3]), "junk": np.array([1])},
        {"easy": EMPTY, "hard": np.array([0]), "junk": np.array([4])},
    ]
    scores, counts = evaluate(ranking, truth, k=[1])
    assert counts == {"queries_M": 2, "queries_E": 1, "queries_H": 2}
    assert scores["mAP_E"] == 1.0 and scores["mP@1_E"] == 1.0  # 0 at the top; 3 and 1 are junk here
    # medium: 1 is junk, 0 and 3 at places 0 and 2; second query: 0 at place 3 of 3, 2, 1, 0
    assert scores["mAP_M"] == pytest.approx((literal_ap([0, 2]) + literal_ap([3])) / 2)
    # hard: 0 and 1 are junk, 3 at place 1 of 2, 3, 4
    assert scores["mAP_H"] == pytest.approx((literal_ap([1]) + literal_ap([3])) / 2)
    assert evaluate(ranking, [{**t, "easy": EMPTY} for t in truth], k=[1])[0]["mAP_E"] is None


@dataclass
class Miniature:
    """Three colours, two pictures of each at several sizes; queries are boxes of a colour in a picture of two."""

    root: str

    def __post_init__(self):
        folder, rng = Path(self.root), np.random.default_rng(0)
        colours = np.array([[220, 30, 30], [30, 220, 30], [30, 30, 220]])

        def save(name: str, picture: np.ndarray) -> Path:
            noisy = np.clip(picture + rng.integers(-20, 20, picture.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(folder / name)
            return folder / name

        self.database = [
            save(f"{i}{j}.png", np.broadcast_to(colours[i], (40 + 9 * j, 50, 3))) for i in range(3) for j in range(2)
        ]
        self.queries = []
        for i in range(3):
            picture = np.broadcast_to(colours[(i + 1) % 3], (40, 60, 3)).copy()
            picture[8:32, 4:28] = colours[i]
            self.queries.append((save(f"q{i}.png", picture), (4.2, 7.9, 28.0, 31.6)))
        self.ground_truth = [
            {"easy": np.array([2 * i]), "hard": np.array([2 * i + 1]), "junk": EMPTY} for i in range(3)
        ]


def test_queries_are_searched_by_their_box(backbone, tmp_path):
    data = dict(type=Miniature, root=str(tmp_path))
    probe = RetrievalProbe(data, size=32, pool="avg")
    run = ProbeRun(backbone, ProbeData(), 0, CPU)
    result = probe.run(run).result
    assert result["scores"]["mAP_M"] == 1.0 and next(iter(result["scores"])) == "mAP_M"
    whole = probe.load(run.data)
    whole.queries = [(path, (0, 0, 60, 40)) for path, _ in whole.queries]
    probe.load = lambda _: whole
    assert probe.run(run).result["scores"]["mAP_M"] < 0.6, "the background wins when the box is ignored"


def test_several_scales_are_added_up_before_normalising(backbone, tmp_path):
    probe = RetrievalProbe(dict(type=Miniature, root=str(tmp_path)), size=32, scales=(1.0, 0.5), pool="avg+class")
    run, looked = ProbeRun(backbone, ProbeData(), 0, CPU), []

    class Sizes:
        def pooled(self, image, pool):
            looked.append((tuple(image.shape[2:]), pool))
            return torch.tensor([[3.0, 0.0]]) if len(looked) % 2 else torch.tensor([[0.0, 4.0]])

    found = probe.embed([(p, None) for p in probe.load(run.data).database[:2]], Sizes(), run)
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8]] * 2))
    assert looked[:2] == [((26, 32), "avg+class"), ((13, 16), "avg+class")]


@pytest.mark.parametrize("name", ["roxford5k", "rparis6k"])
def test_configs_run_on_miniature_data(name, backbone, tmp_path, monkeypatch):
    module = ModuleType("vssl.datasets.revisited")
    module.RevisitedRetrieval = Miniature
    monkeypatch.setitem(sys.modules, "vssl.datasets.revisited", module)
    config = Config.fromfile(CONFIGS / f"{name}.py")
    assert config.probes[name].dataset.root == f"data/{name}" and list(config.probes) == [name]
    config.probes[name].dataset.root, config.device = str(tmp_path), "cpu"
    (result,) = run_probes(backbone, config)
    assert {f"{m}_{p}" for m in ("mAP", "mP@1", "mP@5", "mP@10") for p in "EMH"} == set(result["scores"])
    assert 0 <= result["scores"]["mAP_H"] <= 1 and result["counts"]["queries_H"] == 3


@pytest.mark.parametrize("change", [dict(scales=()), dict(scales=(2.0,)), dict(size=0), dict(k=[0]), dict(pool="gem")])
def test_settings_out_of_range(change):
    with pytest.raises(ValueError, match="needed"):
        RetrievalProbe(dict(type=Miniature, root="x"), **change)

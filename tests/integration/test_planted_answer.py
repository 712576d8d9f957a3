"""A world in which the answer is known: hue is the label, brightness is chance. Does the policy find both?

Images are four tiles. A tile's class is its hue; its brightness is drawn at random. Augmentation that changes hue hurts
the segmentation that gives the feedback, augmentation that changes brightness keeps the learner from telling images
apart by what means nothing. From one recipe with some of each, the true gradient must lower the one and raise the
other, the negated gradient the opposite, in at least four of five seeds.
"""

import json
from colorsys import hsv_to_rgb

import numpy as np
import pytest
from PIL import Image

from vssl.engine import load_config, train
from vssl.engine.advice import measure
from vssl.reports.advice.effects import effects

SIZE, TILE, CLASSES, SPACING = 16, 8, 4, 0.08  # turns of hue between classes
CONFIG = """
from torch.optim import AdamW, Adam
from vssl.datasets import SegmentationImages, UnlabeledImages, joint_transform
from vssl.designers import GlobalPolicy
from vssl.feedback import Feedback, Pool, Segmentation
from vssl.learner import TimmBackbone
from vssl.objectives import SimCLR
from vssl.value import Cosine, GradientAverage, UnitNorm, forward_difference
from vssl.views import MultiCrop

backbone = dict(
    type=TimmBackbone, name="vit_tiny_patch16_224", img_size=16, patch_size=4, embed_dim=32, depth=2, num_heads=1,
    aligned_blocks=2,
)
objective = dict(type=SimCLR, pool="patch", hidden_dim=64, out_dim=32, temperature=0.2)
recipe = dict(
    type=MultiCrop, global_size=16, n_global=2, global_scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, grayscale=0.0,
    blur=None, jitter=dict(brightness=0.2, hue=0.1, p=1.0),
)
designer = dict(type=GlobalPolicy, learn=("brightness", "hue"), centres=False, gates="fixed")
designer_optimizer = dict(type=Adam, lr=0.02)
optimizer = dict(type=AdamW, lr=1e-3, weight_decay=0.04)
unlabeled = dict(type=UnlabeledImages, root="ROOT/images/training", size=16)
batch_size = 48
feedback = dict(
    type=Feedback,
    tasks=dict(segmentation=dict(type=Segmentation, num_classes=4)),
    pools=dict(
        segmentation=dict(
            type=Pool,
            dataset=dict(
                type=SegmentationImages, root="ROOT", split="training", in_memory=True,
                transform=dict(type=joint_transform, size=16, scale=None),
            ),
            train=128, meta=128, batch_size=128, meta_batch_size=128,
        )
    ),
    evaluator="ridge",
    control=None,
)
value = dict(
    rule=dict(type=Cosine),
    combine=dict(type=UnitNorm, weights=dict(segmentation=1.0)),
    average_g_down=dict(type=GradientAverage, momentum=0.9),
    estimator=dict(type=forward_difference),
    period=1,
    burn_in=5,
    batch_size=96,
)
budget = dict(steps=60)
snapshots = 1
threads = 1
"""


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("tiles"), np.random.default_rng(0)
    images, annotations = root / "images/training", root / "annotations/training"
    images.mkdir(parents=True)
    annotations.mkdir(parents=True)
    for number in range(256):
        pixels, label = np.zeros((SIZE, SIZE, 3)), np.zeros((SIZE, SIZE), np.uint8)
        for y in (0, TILE):
            for x in (0, TILE):
                kind, square = rng.integers(CLASSES), np.s_[y : y + TILE, x : x + TILE]
                label[square] = kind + 1
                pixels[square] = hsv_to_rgb(SPACING * kind + rng.uniform(-0.01, 0.01), 0.8, rng.uniform(0.25, 1.0))
        pixels += rng.normal(0, 0.03, pixels.shape)
        Image.fromarray((pixels.clip(0, 1) * 255).astype(np.uint8)).save(images / f"{number:04d}.png")
        Image.fromarray(label).save(annotations / f"{number:04d}.png")
    return root


def widths(tiles, folder, seed: int, control: str | None, **options) -> dict[str, float]:
    """Width of each learned range over its width at the start."""
    folder.mkdir(exist_ok=True)
    (folder / "config.py").write_text(CONFIG.replace("ROOT", str(tiles)))
    options = {key.replace("__", "."): value for key, value in options.items()}
    config = load_config(folder / "config.py", {"feedback.control": control} | options)
    run = train(config, folder / f"{control}{seed}", seed=seed)
    last = json.loads((run / "policy.jsonl").read_text().splitlines()[-1])
    numbers = {n["name"]: n for n in last["views"][0]["numbers"]}
    return {name: np.ptp(numbers[name]["current"]) / np.ptp(numbers[name]["initial"]) for name in ("hue", "brightness")}


@pytest.mark.slow
def test_the_policy_finds_what_helps_and_what_hurts_and_the_negated_one_the_opposite(tiles, tmp_path):
    right = {}
    for control in (None, "negated"):
        found = [widths(tiles, tmp_path / "runs", seed, control) for seed in range(5)]
        print(control, [{k: round(float(v), 2) for k, v in w.items()} for w in found])
        sign = 1 if control is None else -1
        right[control] = sum(sign * (1 - w["hue"]) > 0.1 and sign * (w["brightness"] - 1) > 0.1 for w in found)
    assert right[None] >= 4 and right["negated"] >= 4


@pytest.mark.slow
def test_two_meta_steps_by_rollouts_find_the_larger_of_the_two(tiles, tmp_path):
    """Rollouts of ten steps with two antithetic pairs: hue matters most, and its sign is found in each seed."""
    settings = dict(value__horizon=10, value__pairs=2, value__sigma=0.3, value__period=10, value__batch_size=48)
    settings |= dict(budget__steps=20, designer_optimizer__lr=0.1)
    for seed in range(2):
        assert widths(tiles, tmp_path / "runs", seed, None, **settings)["hue"] < 0.8
        assert widths(tiles, tmp_path / "runs", seed, "negated", **settings)["hue"] > 1.2


@pytest.mark.slow
def test_advice_finds_both_and_nothing_with_shuffled_labels(tiles, tmp_path):
    """Where the learner stands after 20 steps: less hue helps and more brightness does."""
    (tmp_path / "config.py").write_text(CONFIG.replace("ROOT", str(tiles)))
    plain = {
        "budget.steps": 20,
        "designer": dict(type="vssl.designers.Identity"),
        "designer_optimizer": None,
        "feedback": None,
    }
    start = train(load_config(tmp_path / "config.py", plain), tmp_path / "start", seed=0)
    verdicts = {}
    for control in (None, "shuffled_labels"):
        config = load_config(tmp_path / "config.py", {"feedback.control": control, "continue_run": str(start)})
        measured = measure(config, draws=6, head_steps=0, only=("hue", "brightness"))
        found = effects(measured.values, measured.task_values, measured.columns, len(measured.changes))
        by_name = zip(measured.changes, found, strict=True)
        verdicts[control] = {change["name"]: effect.verdict for change, effect in by_name}
    assert verdicts[None] == {"hue": "less", "brightness": "more"}
    assert verdicts["shuffled_labels"] == {"hue": "unknown", "brightness": "unknown"}

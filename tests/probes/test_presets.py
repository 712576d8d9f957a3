"""Every preset of configs/probes/{ade20k,nyuv2} builds, takes two optimizer steps and scores, on miniature data.

The backbone is shrunk (`SMALL`, the one override of the science); beside it the data's place and the number of steps
are set, as a user would with --cfg-options. Crops, windows, heads, losses and batches are the presets' own.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from mmengine.config import Config
from PIL import Image

from vssl.learner import TimmBackbone
from vssl.probes.run import run_probes

CONFIGS = Path(__file__).parents[2] / "configs/probes"
SMALL = dict(embed_dim=16, depth=4, num_heads=2)
MODELS = {  # the family that each preset is for: patch 14 is no divisor of 512, and DINOv3 is timm's Eva
    "paper": "vit_small_patch16_dinov3",
    "dinov3": "vit_small_patch16_dinov3",
    "dinov2": "vit_small_patch14_dinov2",
}
PROBES = [
    *(("ade20k", preset, "ade20k") for preset in ("paper", "dinov3")),
    *(("ade20k", "dinov2", name) for name in ("ade20k_lin", "ade20k_ms")),
    *(("nyuv2", preset, "nyuv2") for preset in ("paper", "dinov3")),
    *(("nyuv2", "dinov2", name) for name in ("nyuv2_lin1", "nyuv2_lin4")),
]


@pytest.fixture(scope="module")
def miniatures(tmp_path_factory):
    """Two images in each layout: ADE20K's with its numbering, NYUv2's at its own size in millimetres."""
    root, rng = tmp_path_factory.mktemp("miniatures"), np.random.default_rng(0)

    def write(name: str, array: np.ndarray) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(root / name)

    for i, (ade, nyu) in enumerate((("training", "train"), ("validation", "test"))):
        labels = np.kron(rng.integers(0, 151, (4, 4)), np.ones((16, 16))).astype(np.uint8)
        write(f"ade20k/images/{ade}/ADE_{i}.jpg", rng.integers(0, 256, (64, 64, 3), np.uint8))
        write(f"ade20k/annotations/{ade}/ADE_{i}.png", labels)
        depth = np.kron(rng.integers(500, 9000, (6, 8)), np.ones((80, 80))).astype(np.uint16)
        depth[:, :60] = 0
        write(f"nyuv2/images/{nyu}/{i}.jpg", rng.integers(0, 256, (480, 640, 3), np.uint8))
        write(f"nyuv2/annotations/{nyu}/{i}.png", depth)
    return root


@pytest.mark.slow
@pytest.mark.parametrize(("dataset", "preset", "name"), PROBES)
def test_a_preset_builds_takes_two_steps_and_scores(dataset, preset, name, miniatures, monkeypatch):
    cfg = Config.fromfile(CONFIGS / dataset / f"{preset}.py")
    options = {
        "device": "cpu",
        **{f"probes.{name}.{split}.data_root": str(miniatures / dataset) for split in ("train", "val")},
        f"probes.{name}.schedule.steps": 2,
        f"probes.{name}.schedule.warmup_steps": 0,
        f"probes.{name}.num_workers": 0,
    }
    if name == "ade20k_ms":  # its five scales, up to 1920 px, take minutes on one core
        options["probes.ade20k_ms.inference.scales"] = [0.8, 1.0]
    cfg.merge_from_dict(options)
    steps = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda o, *a, **k: (steps.append(_changes(o, step)), None)[1])
    backbone = TimmBackbone(MODELS[preset], aligned_blocks=1, **SMALL)
    (result,) = run_probes(backbone, cfg, only=[name])
    assert len(steps) == 2 and steps[0]  # the last may move nothing: published schedules end near 0
    card = result["card"]
    assert (card["train_images"], card["val_images"]) == (1, 1)
    expected = {"paper": "bf16 backbone, fp32 head and loss"}.get(preset, "fp32")
    assert card["precision"] == expected and card["checkpoint"] == "last"
    assert np.isfinite(list(result["scores"].values())).all()
    assert next(iter(result["scores"])) == {"ade20k": "mIoU", "nyuv2": "RMSE"}[dataset]


@pytest.mark.slow
@pytest.mark.parametrize(("dataset", "score"), [("ade20k", "mIoU"), ("nyuv2", "RMSE")])
def test_an_in_context_preset_scores(dataset, score, miniatures):
    cfg = Config.fromfile(CONFIGS / dataset / "in_context.py")
    name = f"{dataset}_in_context"
    options = {f"probes.{name}.{split}.data_root": str(miniatures / dataset) for split in ("train", "val")}
    cfg.merge_from_dict({**options, "device": "cpu", f"probes.{name}.num_workers": 0})
    (result,) = run_probes(TimmBackbone(MODELS["dinov3"], aligned_blocks=1, **SMALL), cfg)
    assert next(iter(result["scores"])) == score and np.isfinite(result["scores"][score])
    assert result["card"]["k"] == 30 and result["card"]["memory"].startswith("at most 10240000")


def _changes(optimizer: torch.optim.Optimizer, step) -> bool:
    trained = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    before = [p.detach().clone() for p in trained]
    step(optimizer)
    return bool(trained) and all((p.detach() != b).any() for p, b in zip(trained, before, strict=True))


@pytest.mark.parametrize(("dataset", "preset", "name"), PROBES)
def test_image_and_labels_of_a_preset_stay_together_in_every_augmentation(dataset, preset, name):
    """A picture with one dark and one bright half, labeled alike: flips, crops, scales and turns must agree."""
    steps = Config.fromfile(CONFIGS / dataset / f"{preset}.py")["probes"][name]["train"]["pipeline"]
    steps = [step for step in (dict(s) for s in steps) if step["type"].__name__ not in APART]
    field, dtype = {"ade20k": ("gt_seg_map", np.uint8), "nyuv2": ("gt_depth_map", np.float32)}[dataset]
    np.random.seed(0)
    bright_left = 0
    for _ in range(12):
        half = np.where(np.arange(640) < 320, 1, 2)[None].repeat(480, 0)
        image = np.where(half == 1, 20, 220)[..., None].repeat(3, 2).astype(np.uint8)
        results = {"img": image, "img_shape": (480, 640), field: half.astype(dtype), "seg_fields": [field]}
        for step in steps:
            kind = step["type"]
            results = kind(**{k: v for k, v in step.items() if k != "type"})(results)
        image, labels = results["img"][..., 0], results[field]
        assert image.shape == labels.shape
        known = labels > 0  # 0 fills the corners of a turned depth map
        assert ((image > 120) == (labels == 2))[known].mean() > 0.98
        bright_left += labels[0, 2] == 2
    assert bright_left > 0  # some were flipped


APART = ("LoadImageFromFile", "LoadAnnotations", "LoadDepthAnnotation", "PackSegInputs", "PhotoMetricDistortion",
         "TorchvisionDistortion", "ColorAug")  # fmt: skip


def test_the_commands_of_the_results_page_can_be_given():
    page = (CONFIGS.parents[1] / "docs/results.md").read_text()
    commands = re.findall(r"`python (tools/probe\.py [^`]*)`", page)
    assert len(commands) == 24
    for command in commands:
        args = dict(zip(command.split()[2::2], command.split()[3::2], strict=True))
        cfg = Config.fromfile(CONFIGS.parents[1] / command.split()[1])
        assert set(args) <= {"--model", "--backbone", "--only", "--random"}
        assert args.get("--only") in (None, *cfg["probes"])
        model = args.get("--model", "vit_small_patch16_dinov3.lvd1689m")
        assert model in timm.list_pretrained() if "." in model else timm.is_model(model)


def presets(dataset: str) -> dict[str, dict]:
    return {p: dict(Config.fromfile(CONFIGS / dataset / f"{p}.py")["probes"]) for p in ("paper", "dinov3", "dinov2")}


def test_segmentation_presets_hold_what_their_protocols_say():
    found = presets("ade20k")
    paper, dinov3, lin, ms = found["paper"]["ade20k"], found["dinov3"]["ade20k"], *found["dinov2"].values()
    found_probes = (paper, dinov3, lin, ms)
    table = lambda p: (p["schedule"]["optimizer"]["lr"], p["schedule"]["steps"], p["schedule"]["batch_size"])  # noqa: E731
    assert [table(p) for p in (paper, dinov3, lin, ms)] == [
        (5e-4, 20_000, 8), (1e-3, 40_000, 16), (1e-3, 40_000, 16), (1e-3, 40_000, 16)
    ]  # fmt: skip
    assert [p["schedule"]["warmup_steps"] for p in (paper, dinov3)] == [1000, 1500]
    assert [p["schedule"]["optimizer"]["weight_decay"] for p in (paper, dinov3)] == [0.05, 1e-3]
    assert paper["schedule"]["clip_norm"] == 1.0 and paper["precision"] == "bf16"
    assert (dinov3["head"]["dropout_ratio"], dinov3["head"]["dropout_first"], dinov3["head"]["init_std"]) == (
        0.1, True, 0.01
    )  # fmt: skip
    assert [p["layers"] for p in (paper, dinov3, lin, ms)] == ["last", "last", "last", "last4"]
    assert [p["size"] for p in (paper, dinov3, lin, ms)] == [(512, 512)] * 3 + [(640, 640)]
    assert [p["schedule"].get("clip_norm") for p in (dinov3, lin, ms)] == [None] * 3
    counted = [p["head"].get("loss_decode", dict(avg_non_ignore=True))["avg_non_ignore"] for p in found_probes]
    assert counted == [True, False, False, False]
    names = [[step["type"].__name__ for step in p["train"]["pipeline"]] for p in found_probes]
    distortion = [n[-2] for n in names]
    assert distortion == ["PhotoMetricDistortion", "TorchvisionDistortion", *["PhotoMetricDistortion"] * 2]
    backends = [
        {step.get("backend", "cv2") for split in ("train", "val") for step in p[split]["pipeline"] if "scale" in step}
        for p in found_probes
    ]
    assert backends == [{"cv2"}, {"pillow"}, {"cv2"}, {"cv2"}]
    slide = dict(mode="slide", crop_size=(512, 512), stride=(341, 341))
    assert paper["inference"] == dinov3["inference"] == lin["inference"] == slide
    assert ms["inference"]["flip"] and len(ms["inference"]["scales"]) == 5


def test_depth_presets_hold_what_their_protocols_say():
    found = presets("nyuv2")
    paper, dinov3, lin1, lin4 = found["paper"]["nyuv2"], found["dinov3"]["nyuv2"], *found["dinov2"].values()
    every = (paper, dinov3, lin1, lin4)
    assert all((p["min_depth"], p["max_depth"], p["eigen_crop"]) == (1e-3, 10.0, True) for p in every)
    assert [p["schedule"]["optimizer"]["lr"] for p in every] == [1e-3, 3e-4, 1e-4, 1e-4]
    assert [p["schedule"]["steps"] for p in every] == [20_000, 38_400, 38_400, 38_400]
    assert dinov3["schedule"]["optimizer"]["betas"] == (0.9, 0.99) and dinov3["schedule"]["warmup_steps"] == 12_800
    assert [p["schedule"]["clip_norm"] for p in every] == [1.0, 35.0, 35.0, 35.0]
    assert [p["inference"]["flip"] for p in every] == [False, True, True, True]
    assert [p["size"] for p in every] == [(480, 640)] + [(416, 544)] * 3
    assert [p["class_token"] for p in every] == [False, False, True, True]
    assert [p["final_norm"] for p in every] == [True, True, False, False]
    assert [p["layers"] for p in every] == ["last", "last", "last", "spread4"]
    assert [[(loss["type"].__name__, loss.get("images")) for loss in p["losses"]] for p in every[1:]] == [
        [("SigLoss", 2)]
    ] * 3  # the gradient loss of DINOv2's configs is 0 in its code
    assert all(p["open_range"] for p in every)
    for probe in every[1:]:  # config-nyu.yaml; gamma and colour are defaults of the code
        color = {k: v for k, v in probe["train"]["pipeline"][-2].items() if k != "type"}
        assert color == dict(prob=0.5, gamma_range=(0.9, 1.1), brightness_range=(0.75, 1.25), color_range=(0.9, 1.1))
    names = [[step["type"].__name__ for step in p["train"]["pipeline"]] for p in every]
    assert names[1] == names[2] == names[3] and {"NYUCrop", "RandomRotate", "RandomCrop"} <= set(names[1])
    assert "RandomRotate" not in names[0] and names[0][-2] == "RandomFlip"

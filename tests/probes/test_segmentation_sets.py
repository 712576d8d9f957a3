"""VOC 2012, Cityscapes and COCO-Stuff in the layouts that they are published in, and their presets on miniatures."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from vssl.learner import TimmBackbone
from vssl.probes.datasets import Cityscapes, PascalVOC
from vssl.probes.decoded_images import ProbeData
from vssl.probes.run import run_probes

CONFIGS = Path(__file__).parents[2] / "configs/probes"
ROOTS = {"voc2012": "VOCdevkit/VOC2012", "cityscapes": "cityscapes", "coco_stuff": "coco_stuff164k"}
CLASSES = {"voc2012": 21, "cityscapes": 19, "coco_stuff": 171}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """One training and one validation image of each set, with the files that lie beside them."""
    root, rng = tmp_path_factory.mktemp("published"), np.random.default_rng(0)

    def write(name: str, picture: Image.Image) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(root / name)

    def image() -> Image.Image:
        return Image.fromarray(rng.integers(0, 256, (64, 96, 3), np.uint8))

    def labels(classes: int) -> np.ndarray:
        found = np.kron(np.append(rng.integers(0, classes, 22), [0, classes - 1]).reshape(4, 6), np.ones((16, 16)))
        found[:3] = 255
        return found.astype(np.uint8)

    voc = root / ROOTS["voc2012"]
    (voc / "ImageSets/Segmentation").mkdir(parents=True)
    for split, name, folder in (("trainaug", "2007_000032", "Aug"), ("val", "2007_000033", "")):
        (voc / f"ImageSets/Segmentation/{split}.txt").write_text(f"{name}\n")
        write(f"{ROOTS['voc2012']}/JPEGImages/{name}.jpg", image())
        palette = Image.fromarray(labels(21)).convert("P")
        palette.putpalette(rng.integers(0, 256, 768).tolist())
        write(f"{ROOTS['voc2012']}/SegmentationClass{folder}/{name}.png", palette)
    write(f"{ROOTS['voc2012']}/JPEGImages/2007_000027.jpg", image())  # for detection alone
    for split, city in (("train", "aachen"), ("val", "munster")):
        name = f"{city}_000000_000019"
        write(f"cityscapes/leftImg8bit/{split}/{city}/{name}_leftImg8bit.png", image())
        write(f"cityscapes/gtFine/{split}/{city}/{name}_gtFine_labelTrainIds.png", Image.fromarray(labels(19)))
        write(f"cityscapes/gtFine/{split}/{city}/{name}_gtFine_labelIds.png", Image.fromarray(labels(33)))
        write(f"coco_stuff164k/images/{split}2017/{len(city):012}.jpg", image())
        write(f"coco_stuff164k/annotations/{split}2017/{len(city):012}_labelTrainIds.png", Image.fromarray(labels(171)))
        write(f"coco_stuff164k/annotations/{split}2017/{len(city):012}.png", Image.fromarray(labels(182)))
    return root


@pytest.mark.slow
@pytest.mark.parametrize(("dataset", "preset"), [*((name, "linear") for name in ROOTS), ("voc2012", "in_context")])
def test_a_preset_takes_two_steps_and_scores(dataset, preset, published):
    cfg = Config.fromfile(CONFIGS / dataset / f"{preset}.py")
    (name,) = cfg.probes
    probe = cfg.probes[name]
    assert all(probe[split].data_root == f"data/{ROOTS[dataset]}" for split in ("train", "val"))
    options = {f"probes.{name}.{split}.data_root": str(published / ROOTS[dataset]) for split in ("train", "val")}
    if preset == "linear":
        options |= {f"probes.{name}.schedule.steps": 2, f"probes.{name}.schedule.warmup_steps": 0}
        options |= {f"probes.{name}.schedule.batch_size": 2}
    if dataset == "cityscapes":  # fewer windows than over 1024 × 2048 px
        probe.val.pipeline[1].scale = (768, 512)
    cfg.merge_from_dict({**options, "device": "cpu", f"probes.{name}.num_workers": 0})
    small = dict(embed_dim=16, depth=2, num_heads=2)
    (result,) = run_probes(TimmBackbone("vit_small_patch16_dinov3", aligned_blocks=1, **small), cfg)
    assert result["counts"]["classes"] == len(result["per_class"]) == CLASSES[dataset]
    assert (result["card"]["train_images"], result["card"]["val_images"]) == (1, 1)
    assert result["card"]["label_values"] == "0..C-1" and 0 <= result["scores"]["mIoU"] <= 100


@pytest.mark.slow
def test_labels_are_the_files_numbers(published):
    settings = dict(data_root=str(published / ROOTS["voc2012"]), ann_file="ImageSets/Segmentation/val.txt")
    prefix = dict(img_path="JPEGImages", seg_map_path="SegmentationClass")
    cfg = Config.fromfile(CONFIGS / "voc2012/linear.py").probes.voc2012.val.to_dict()
    split = ProbeData().dense({**cfg, "type": PascalVOC, "data_prefix": prefix, **settings}, keep=False)
    (item,) = split.first(1)
    on_disk = np.asarray(Image.open(published / ROOTS["voc2012"] / "SegmentationClass/2007_000033.png"))
    np.testing.assert_array_equal(item["data_samples"].gt_sem_seg.data[0].numpy(), on_disk)
    assert split.classes[0] == "background" and (on_disk == 255).any()


def test_train_ids_that_were_not_written_are_named(published):
    prefix = dict(img_path="leftImg8bit/train", seg_map_path="gtFine/val")
    with pytest.raises(FileNotFoundError, match=r"1 of 1 images .* no label.*aachen.*_gtFine_labelTrainIds"):
        Cityscapes(data_root=str(published / "cityscapes"), data_prefix=prefix, pipeline=[])
    with pytest.raises(FileNotFoundError, match=r"ann_file .*train\.txt: no such file"):
        PascalVOC(
            data_root=str(published / ROOTS["voc2012"]),
            ann_file="ImageSets/Segmentation/train.txt",
            data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
            pipeline=[],
        )

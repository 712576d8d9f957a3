"""KITTI as it unpacks, Eigen's lists of BTS, and the preset on miniatures of the true size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from vssl.learner import TimmBackbone
from vssl.probes.datasets import KITTIDepth
from vssl.probes.dense.scoring import DepthErrors
from vssl.probes.dense.transforms import KITTICrop
from vssl.probes.run import run_probes

CONFIG = Path(__file__).parents[2] / "configs/probes/kitti/linear.py"


@pytest.fixture(scope="module")
def kitti(tmp_path_factory):
    """A training and a test image with every fifth pixel measured at 5 to 60 m, and one without depth."""
    root, rng = tmp_path_factory.mktemp("kitti"), np.random.default_rng(0)
    for split, part, drive in (("train", "train", "0057"), ("test", "val", "0002")):
        image = f"2011_09_26/2011_09_26_drive_{drive}_sync/image_02/data/0000000069.png"
        depth = f"2011_09_26_drive_{drive}_sync/proj_depth/groundtruth/image_02/0000000069.png"
        metres = np.linspace(60, 5, 375)[:, None].repeat(1242, 1)
        metres[rng.random(metres.shape) > 0.2] = 0
        places = {
            f"raw/{image}": rng.integers(0, 256, (375, 1242, 3), np.uint8),
            f"data_depth_annotated/{part}/{depth}": (metres * 256).astype(np.uint16),
        }
        for name, array in places.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / name)
        lines = f"{image} {depth} 721.5377\n{image.replace('69', '70')} None 721.5377\n"
        (root / f"eigen_{split}_files_with_gt.txt").write_text(lines)
    return root


@pytest.mark.slow
def test_the_preset_takes_two_steps_and_scores_gargs_region(kitti):
    cfg = Config.fromfile(CONFIG)
    probe = cfg.probes.kitti
    assert (probe.max_depth, probe.garg_crop, probe.eigen_crop, tuple(probe.size)) == (80.0, True, False, (352, 704))
    probe.schedule.update(steps=2, warmup_steps=0, batch_size=2)
    probe.inference, probe.num_workers, cfg.device = dict(flip=False), 0, "cpu"
    for split in ("train", "val"):
        probe[split].data_root = str(kitti)
    backbone = TimmBackbone("vit_small_patch16_dinov3", aligned_blocks=1, embed_dim=16, depth=2, num_heads=2)
    (result,) = run_probes(backbone, cfg)
    card = result["card"]
    assert (card["train_images"], card["val_images"], card["depth_scale"], card["garg_crop"]) == (1, 1, 256, True)
    assert card["valid_depth_m"] == [1e-3, 80.0] and 0 < result["scores"]["RMSE"] < 80


@pytest.mark.slow
def test_files_are_256_steps_a_metre_and_what_a_list_lacks_is_named(kitti, tmp_path):
    prefix = dict(img_path="raw", depth_map_path="data_depth_annotated")
    build = lambda listing: KITTIDepth(data_root=str(kitti), data_prefix=prefix, ann_file=listing, pipeline=[])  # noqa: E731
    dataset = build("eigen_test_files_with_gt.txt")
    assert len(dataset) == 1 and dataset.get_data_info(0)["depth_scale"] == 256
    assert dataset.depths.nearest_and_farthest()[1] / 256 == pytest.approx(60, abs=0.5)
    (tmp_path / "lost.txt").write_text("2011_09_26/a.png 2011_drive/b.png 721.5\n")
    with pytest.raises(FileNotFoundError, match=r"lost\.txt, line 1: no 2011_09_26/a\.png below .*raw"):
        build(str(tmp_path / "lost.txt"))
    (tmp_path / "short.txt").write_text("2011_09_26/a.png\n")
    with pytest.raises(ValueError, match=r"short\.txt, line 1: .* IMAGE DEPTH FOCAL is needed"):
        build(str(tmp_path / "short.txt"))
    with pytest.raises(FileNotFoundError, match=r"ann_file .*none\.txt: no such file"):
        build("none.txt")


def test_gargs_region_and_the_lower_middle():
    metric = DepthErrors(max_depth=80.0, garg_crop=True)
    valid = metric.valid(torch.ones(352, 1216))
    rows, columns = valid.any(1).nonzero().flatten(), valid.any(0).nonzero().flatten()
    assert (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1) == (143, 349, 43, 1172)  # of Garg et al.'s code
    results = {"img": np.zeros((375, 1242, 3)), "gt_depth_map": np.arange(375.0)[:, None].repeat(1242, 1)}
    cut = KITTICrop().transform({**results, "seg_fields": ["gt_depth_map"]})
    assert cut["img"].shape == (352, 1216, 3) and cut["gt_depth_map"][0, 0] == 23

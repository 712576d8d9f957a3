"""One folder of scenes becomes clusters, and `SourceWeights` learns their shares: by the commands that a user gives."""

import pytest

from vssl.commands.data import main as prepare_data
from vssl.commands.train import main as train
from vssl.datasets import UnlabeledMixture, save_shares
from vssl.engine.training import load_designer
from vssl.learner import TimmBackbone, export_backbone
from vssl.reports.policy.policy_page import write_policy_page

SIZES = dict(img_size=32, patch_size=8, embed_dim=32, depth=3, num_heads=2)
COUNTS = ("imagenet_train=27", "imagenet_val=9", "ade_train=1", "ade_val=1", "nyu_train=1", "nyu_val=1")


@pytest.mark.slow
def test_clusters_of_one_folder_get_shares_of_their_own(designed_config, tmp_path, capsys):
    scenes, clusters, backbone = (str(tmp_path / name) for name in ("scenes", "clusters", "backbone.safetensors"))
    assert prepare_data(["scenes", "--out", scenes, "--size", "32", "--workers", "1", "--counts", *COUNTS]) == 0
    export_backbone(TimmBackbone("vit_tiny_patch16_224", **SIZES), backbone)
    source = ["--images", f"{scenes}/imagenet/train", "--backbone", backbone]
    assert prepare_data(["clusters", *source, "--clusters", "3", "--out", clusters]) == 0

    printed = capsys.readouterr().out.partition("for a config:\n")[2].splitlines()[:-1]  # the last is dataset.json
    designed_config.designer_optimizer.lr = 0.1
    designed_config.dump(tmp_path / "base.py")
    inherited = ["from mmengine.config import read_base", "with read_base():", "    from .base import *"]
    (tmp_path / "config.py").write_text("\n".join([*inherited, *printed]))
    assert train([str(tmp_path / "config.py"), "--work-dir", str(tmp_path / "run")]) == 0

    stream = UnlabeledMixture(f"{clusters}/sources", 32)
    learned = load_designer(tmp_path / "run").learned_shares()
    assert learned.keys() == stream.shares.keys() and sum(learned.values()) == pytest.approx(1)
    assert all(abs(learned[name] - share) > 1e-3 for name, share in stream.shares.items())
    page = write_policy_page(tmp_path / "run").read_text(encoding="utf-8")
    assert "Sources of the stream" in page and "cluster_2" in page
    save_shares(learned, tmp_path / "shares.yaml")
    assert UnlabeledMixture(f"{clusters}/sources", 32, shares=tmp_path / "shares.yaml").shares == pytest.approx(learned)

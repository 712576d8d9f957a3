from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from sklearn.decomposition import PCA

from vssl.learner.rankme import rankme
from vssl.probes.decoded_images import ProbeData
from vssl.probes.image.embedding import EmbeddingProbe, effective_dimension, pca_maps
from vssl.probes.outcome import ProbeRun
from vssl.probes.run import run_probes

CONFIG = Path(__file__).parents[3] / "configs/probes/embedding.py"
CPU = torch.device("cpu")


def test_effective_dimension_in_closed_form():
    orthogonal = torch.linalg.qr(torch.randn(60, 60, generator=torch.Generator().manual_seed(0)).double())[0]
    directions = orthogonal - orthogonal.mean(0)
    values = torch.linalg.svdvals(directions).square()
    assert effective_dimension(orthogonal) == pytest.approx((values.sum() ** 2 / (values**2).sum()).item())
    line = torch.outer(torch.arange(50.0), torch.tensor([1.0, 2.0, -1.0])) + 7
    assert effective_dimension(line) == pytest.approx(1.0)
    # covariance eigenvalues 4 and 1: 25 / 17
    g = torch.Generator().manual_seed(0)
    cloud = torch.randn(200_000, 2, generator=g) * torch.tensor([2.0, 1.0]) + 5
    assert effective_dimension(cloud) == pytest.approx(25 / 17, rel=1e-2)
    assert effective_dimension(3 * cloud - 1) == pytest.approx(effective_dimension(cloud))


def test_pca_maps_show_what_scikit_learn_finds():
    patches = torch.randn(2, 5, 4, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [1.0, 5.0, 3.0, 2.0, 0.1]
    ).view(1, 5, 1, 1)
    tokens = patches.permute(0, 2, 3, 1).reshape(-1, 5).numpy()
    theirs = PCA(3, svd_solver="full").fit_transform(tokens)
    ours = pca_maps(patches).reshape(-1, 3).double().numpy()
    for i in range(3):
        inside = (ours[:, i] > 0) & (ours[:, i] < 255)
        assert abs(np.corrcoef(ours[inside, i], theirs[inside, i])[0, 1]) > 0.9999
    assert torch.equal(pca_maps(patches), pca_maps(patches.clone()))


def test_probe_measures_the_backbones_features_and_draws_them(backbone, scenes, tmp_path):
    root = str(scenes / "imagenet")
    outcome = EmbeddingProbe(root, 32, limit=9, pictures=4).run(ProbeRun(backbone, ProbeData(), 0, CPU))
    scores, pictures = outcome.result["scores"], outcome.pictures
    assert pictures["pca_image"].shape == (4, 32, 32, 3) and pictures["pca_map"].shape == (4, 4, 4, 3)
    dataset = EmbeddingProbe(root, 32).load(ProbeData())
    images = torch.stack([dataset[i * 18 // 9] for i in range(9)]).float() / 255
    with torch.no_grad():
        patches = backbone.patch_tokens(backbone.eval()(images))
    assert scores["rankme"] == pytest.approx(rankme(patches.mean(1)), rel=1e-4) and scores["rankme"] <= 9
    assert scores["patch_norm"] == pytest.approx(patches.norm(dim=2).mean().item(), rel=1e-4)
    assert scores["patch_norm_outlier"] >= 1 and outcome.result["card"]["val_images"] == 9

    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict({"probes.embedding": dict(root=root, size=32, pool="class"), "device": "cpu"})
    (result,) = run_probes(backbone, cfg, out=tmp_path / "r.json")
    assert result["scores"]["rankme"] != scores["rankme"]
    assert Image.open(tmp_path / "r.pca.png").size == (8 * 32, 2 * 32)


def test_bad_settings(tmp_path):
    with pytest.raises(ValueError, match="pool='avg\\+class'"):
        EmbeddingProbe("x", 32, pool="avg+class")
    with pytest.raises(ValueError, match="limit=1"):
        EmbeddingProbe("x", 32, limit=1)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        EmbeddingProbe(str(tmp_path / "nowhere"), 32).load(ProbeData())

"""The attentive probe: its pooling written out, and what it can learn that a mean cannot."""

import numpy as np
import pytest
import torch

from vssl.probes.cache import FeatureCache
from vssl.probes.decoded_images import ProbeData
from vssl.probes.image.attentive import AttentiveClassifier, AttentiveProbe
from vssl.probes.outcome import ProbeRun

CPU = torch.device("cpu")
ADAM = dict(optimizer=dict(type=torch.optim.AdamW, lr=1.0, weight_decay=1e-3), steps=15, batch_size=6)
GRID = dict(learning_rates=[1e-4, 1e-2], schedule=ADAM, holdout=0.25)


@pytest.fixture
def run(backbone):
    return ProbeRun(backbone, ProbeData(), 0, CPU)


def test_one_query_gathers_the_tokens_as_v_jepas_does():
    """Cross-attention by head, in numpy, with the classifier's own weights."""
    torch.manual_seed(0)
    model, tokens = AttentiveClassifier(dim=8, classes=3, num_heads=2).double(), torch.randn(4, 5, 8).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    w = {name: p.detach().numpy() for name, p in model.named_parameters()}

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]

    x, q0 = norm(tokens.numpy(), "norm1"), w["query"][0, 0]
    (wq, wk, wv), (bq, bk, bv) = np.split(w["attention.in_proj_weight"], 3), np.split(w["attention.in_proj_bias"], 3)
    q, k, v = wq @ q0 + bq, x @ wk.T + bk, x @ wv.T + bv
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        scores = np.exp(k[..., part] @ q[part] / 2)  # √4
        heads.append(np.einsum("bt,btd->bd", scores / scores.sum(1, keepdims=True), v[..., part]))
    pooled = q0 + np.concatenate(heads, 1) @ w["attention.out_proj.weight"].T + w["attention.out_proj.bias"]
    hidden = norm(pooled, "norm2") @ w["mlp.fc1.weight"].T + w["mlp.fc1.bias"]
    hidden = torch.nn.functional.gelu(torch.from_numpy(hidden)).numpy()
    pooled = pooled + hidden @ w["mlp.fc2.weight"].T + w["mlp.fc2.bias"]
    expected = pooled @ w["linear.weight"].T + w["linear.bias"]
    np.testing.assert_allclose(model(tokens).detach().numpy(), expected, atol=1e-12)


def test_it_finds_the_one_token_that_tells_the_class():
    """Every token has a twin of opposite sign, so that the mean is 0; the one that is large on the last axis tells."""
    torch.manual_seed(0)
    tokens, labels = torch.randn(600, 4, 16), torch.arange(600) % 2
    tokens[:, 0, :8] = 2.0 * (2 * labels[:, None] - 1)
    tokens[:, 0, 15] = 8.0
    tokens = torch.cat([tokens, -tokens], dim=1)
    model = AttentiveClassifier(16, 2, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(model(tokens[:400]), labels[:400])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (model(tokens[400:]).argmax(1) == labels[400:]).float().mean() > 0.95
    assert tokens.mean(1).abs().max() < 1e-6


def test_members_differ_in_rate_and_seed_and_the_held_out_images_choose(folders, run, tmp_path):
    probe = AttentiveProbe(**folders, **GRID, seeds=[0, 1], augment=False)
    result = probe.run(run).result
    assert [(m["lr"], m["seed"]) for m in result["members"]] == [(1e-4, 0), (1e-2, 0), (1e-4, 1), (1e-2, 1)]
    assert result["chosen"]["held_out_top1"] == max(m["held_out_top1"] for m in result["members"])
    assert result["scores"]["top1"] == result["chosen"]["top1"]
    card = result["card"]
    assert card["head"] == "attention of one query, 2 heads → MLP × 4 → linear" and card["pool"] == "learned"
    run.cache = FeatureCache(tmp_path)
    assert probe.run(run).result["scores"] == result["scores"]
    shapes = {np.load(file).shape for file in tmp_path.glob("*/0.npy")}
    assert shapes == {(9, 16 * 24), (3, 16 * 24), (6, 16 * 24)}  # kept, held out, validation; 4 × 4 tokens


@pytest.mark.slow
def test_streamed_crops_are_those_of_cached_epochs(folders, run):
    one_epoch = {**GRID, "schedule": {**ADAM, "steps": 3, "batch_size": 3}}
    streamed = AttentiveProbe(**folders, **one_epoch).run(run).result
    cached = AttentiveProbe(**folders, **one_epoch, cached_epochs=1).run(run).result
    losses = [[m["final_training_loss"] for m in r["members"]] for r in (streamed, cached)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_settings_of_vectors_and_heads_that_do_not_divide(folders, run):
    with pytest.raises(ValueError, match=r"leave \['pools'\] away"):
        AttentiveProbe(**folders, **GRID, pools=["avg"])
    with pytest.raises(ValueError, match="num_heads=5 must divide the backbone's width, 24"):
        AttentiveProbe(**folders, **GRID, num_heads=5, augment=False).run(run)

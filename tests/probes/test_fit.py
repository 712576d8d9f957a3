import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from vssl.probes.fit import FullBatch, Schedule, build_schedule


@pytest.fixture
def problem():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(200, 6, generator=g) * torch.tensor([1, 5, 0.1, 1, 1, 30.0]) + 3
    y = (x @ torch.randn(6, 3, generator=g) / 10 + torch.randn(200, 3, generator=g)).argmax(1)
    return x, y


def classifier() -> nn.Sequential:
    head = nn.Sequential(nn.BatchNorm1d(6, affine=False), nn.Linear(6, 3))
    nn.init.zeros_(head[1].weight)
    nn.init.zeros_(head[1].bias)
    return head


def loss_of(head):
    return lambda x, y: F.cross_entropy(head(x[0]), y)


def test_full_batch_solves_the_problem_that_sklearn_solves(problem):
    x, y = problem
    head = classifier()
    loss = FullBatch(iterations=200, l2=1e-2).fit(head, loss_of(head), [x], y, seed=0)
    z = ((x - x.mean(0)) / x.std(0)).double().numpy()
    theirs = LogisticRegression(C=1 / (1e-2 * len(z)), tol=1e-10, max_iter=1000).fit(z, y)
    with torch.no_grad():
        probabilities = head(x).softmax(1).numpy()
    np.testing.assert_allclose(probabilities, theirs.predict_proba(z), atol=2e-3)
    assert loss == pytest.approx(-np.log(theirs.predict_proba(z)[np.arange(200), y]).mean(), abs=1e-4)
    np.testing.assert_allclose(head[0].running_mean, x.mean(0), rtol=1e-5)
    assert not head.training


def test_full_batch_does_not_depend_on_the_seed_and_beats_a_schedule(problem):
    x, y = problem
    losses = []
    for fitter, seed in ((FullBatch(), 0), (FullBatch(), 7), (Schedule(steps=60, batch_size=None), 0)):
        head = classifier()
        losses.append(fitter.fit(head, loss_of(head), [x], y, seed))
    assert losses[0] == losses[1] < losses[2]


def test_full_batch_refuses_dropout(problem):
    head = nn.Sequential(nn.Dropout(0.1), classifier())
    with pytest.raises(ValueError, match="dropout"):
        FullBatch().fit(head, loss_of(head), [problem[0]], problem[1], 0)


@pytest.mark.parametrize("decay", ["cosine", "linear"])
def test_schedule_warms_up_then_falls_to_zero(decay, problem, monkeypatch):
    rates = []
    step = torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, "step", lambda o, *a: (rates.append(o.param_groups[0]["lr"]), step(o, *a)))
    head = classifier()
    schedule = Schedule(dict(type=torch.optim.SGD, lr=1.0), steps=12, warmup_steps=4, batch_size=50, decay=decay)
    schedule.fit(head, loss_of(head), [problem[0]], problem[1], 0)
    np.testing.assert_allclose(rates[:4], [0.25, 0.5, 0.75, 1.0], atol=1e-6)
    expected = {
        "cosine": [0.5 * (1 + np.cos(np.pi * t / 8)) for t in range(8)],
        "linear": [1 - t / 8 for t in range(8)],
    }
    np.testing.assert_allclose(rates[4:], expected[decay], atol=1e-6)


def test_batches_visit_every_image_once_an_epoch_in_an_order_of_the_seed():
    rows = lambda seed: torch.stack(list(Schedule(steps=4, batch_size=5).rows(10, seed)))  # noqa: E731
    first = rows(0)
    assert all(sorted(first[i : i + 2].flatten().tolist()) == list(range(10)) for i in (0, 2))
    assert torch.equal(first, rows(0)) and not torch.equal(first, rows(1))


def test_divergence_is_an_error(problem):
    head = classifier()
    nn.init.ones_(head[1].weight)
    with pytest.raises(FloatingPointError, match="lower its learning rate"):
        Schedule(dict(type=torch.optim.SGD, lr=1e30), steps=9, batch_size=None).fit(
            head, lambda x, y: head(x[0]).square().square().sum(), [problem[0]], problem[1], 0
        )


def test_build_schedule():
    assert build_schedule(None) == Schedule() and build_schedule(dict(type=FullBatch, iterations=3)).iterations == 3
    with pytest.raises(ValueError, match="steps must exceed warmup_steps"):
        build_schedule(dict(steps=5, warmup_steps=5))
    with pytest.raises(ValueError, match="decay='step'"):
        build_schedule(dict(decay="step"))

"""RankMe at its closed forms."""

import pytest
import torch

from vssl.learner.rankme import rankme


def test_equal_singular_values_give_their_number():
    assert rankme(3.0 * torch.eye(16, 8)) == pytest.approx(8.0, rel=1e-4)


def test_a_collapsed_embedding_has_rank_one():
    assert rankme(torch.ones(16, 8)) == pytest.approx(1.0, abs=1e-3)


def test_two_unequal_directions_give_the_exponential_of_their_entropy():
    """Singular values 3 and 1: shares 0.75 and 0.25."""
    shares = torch.tensor([0.75, 0.25])
    expected = torch.exp(-(shares * shares.log()).sum()).item()
    assert rankme(torch.diag(torch.tensor([3.0, 1.0]))) == pytest.approx(expected, rel=1e-4)


def test_scale_does_not_matter():
    embeddings = torch.randn(32, 8, generator=torch.Generator().manual_seed(0))
    assert rankme(100 * embeddings) == pytest.approx(rankme(embeddings), rel=1e-4)

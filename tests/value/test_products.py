import pytest
import torch

from vssl.value import cosine, dot, norm


def test_products_are_those_of_the_flattened_vectors():
    torch.manual_seed(0)
    a, b = [torch.randn(3, 2), torch.randn(5)], [torch.randn(3, 2), torch.randn(5)]
    flat_a, flat_b = (torch.cat([x.flatten() for x in g]) for g in (a, b))
    torch.testing.assert_close(dot(a, b), flat_a @ flat_b)
    torch.testing.assert_close(norm(a), flat_a.norm())
    torch.testing.assert_close(cosine(a, b), torch.cosine_similarity(flat_a, flat_b, dim=0))


def test_cosine_with_a_zero_gradient_is_zero():
    assert cosine([torch.zeros(3)], [torch.ones(3)]) == 0


def test_gradients_over_other_parameters_are_refused():
    with pytest.raises(ValueError, match=r"tensor 1 is \(3,\) in one, \(4,\) in the other"):
        dot([torch.zeros(2), torch.zeros(3)], [torch.zeros(2), torch.zeros(4)])
    with pytest.raises(ValueError, match="non-empty"):
        dot([], [])

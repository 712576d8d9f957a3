import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from vssl.feedback import Depth, Segmentation
from vssl.feedback.ridge import rows_of, unexplained

GENERATOR = torch.Generator().manual_seed(0)
X, QUERY_X = (torch.randn(n, 5, generator=GENERATOR) * 3 + 1 for n in (60, 40))
MIX = torch.randn(5, 2, generator=GENERATOR)
Y, QUERY_Y = (x @ MIX + torch.randn(len(x), 2, generator=GENERATOR) for x in (X, QUERY_X))


def test_it_is_scikit_learns_ridge_on_standardised_features():
    mean, scale = X.mean(0), X.std(0)
    reference = Ridge(alpha=0.1 * len(X)).fit(((X - mean) / scale).numpy(), Y.numpy())
    predicted = torch.from_numpy(reference.predict(((QUERY_X - mean) / scale).numpy()))
    expected = 1 - r2_score(QUERY_Y.numpy(), predicted.numpy(), multioutput="uniform_average")
    assert float(unexplained((X, Y), (QUERY_X, QUERY_Y), l2=0.1)) == pytest.approx(expected, rel=1e-4)


def test_every_class_counts_alike_but_for_those_that_are_hardly_there():
    few = torch.zeros(40)
    few[:2] = 1
    seldom = torch.stack([QUERY_Y[:, 0] / QUERY_Y[:, 0].std(), few], 1)
    support = torch.stack([Y[:, 0] / QUERY_Y[:, 0].std(), torch.zeros(60)], 1)
    columns = [slice(0, 1), slice(1, 2)]
    first, second = (float(unexplained((X, support[:, c]), (QUERY_X, seldom[:, c]), 0.1)) for c in columns)
    assert float(unexplained((X, support), (QUERY_X, seldom), 0.1)) == pytest.approx((first + second) / 2, rel=1e-4)
    large = torch.tensor([9.0, 1.0])
    assert float(unexplained((X, support * large), (QUERY_X, seldom * large), 0.1)) == pytest.approx(first, rel=1e-4)


def test_scaling_and_mixing_of_features_asks_nothing_of_the_backbone():
    mixing = torch.eye(5).requires_grad_()
    loss = unexplained((X @ mixing, Y), (QUERY_X @ mixing, QUERY_Y), l2=1e-6)
    (gradient,) = torch.autograd.grad(loss, mixing)
    head = torch.linalg.lstsq(X, Y).solution
    with_poor_head = (QUERY_X @ mixing @ (0.8 * head) - QUERY_Y).square().mean()
    (asked,) = torch.autograd.grad(with_poor_head, mixing)
    assert gradient.norm() < 1e-3 * asked.norm()


def test_features_without_information_leave_everything_unexplained():
    loss = unexplained((torch.zeros(60, 5), Y), (torch.zeros(40, 5), QUERY_Y), l2=1e-3)
    assert float(loss) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("rows", "query_rows"), [(0, 40), (1, 40), (60, 0)])
def test_a_batch_without_valid_positions_asks_for_nothing(rows, query_rows):
    mixing = torch.eye(5).requires_grad_()
    loss = unexplained((X[:rows] @ mixing, Y[:rows]), (QUERY_X[:query_rows] @ mixing, QUERY_Y[:query_rows]), l2=0.1)
    (gradient,) = torch.autograd.grad(loss, mixing)
    assert loss == 0 and not gradient.any()


def test_query_targets_that_do_not_differ_ask_for_nothing():
    mixing = torch.eye(5).requires_grad_()
    loss = unexplained((X @ mixing, Y), (QUERY_X @ mixing, QUERY_Y[:1].expand(40, -1)), l2=0.1)
    (gradient,) = torch.autograd.grad(loss, mixing)
    assert loss == 0 and not gradient.any()


def test_targets_stand_in_the_middles_of_the_cells_and_invalid_ones_do_not_count():
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    labels[0, 2, 2], labels[0, 2, 6], labels[0, 6, 2], labels[0, 6, 6] = 1, 2, 255, 0
    targets, valid = Segmentation(4, 3).targets(labels, (2, 2))
    assert targets[0].argmax(0).tolist() == [[1, 2], [0, 0]] and valid[0].tolist() == [[True, True], [False, True]]
    metres, all_valid = Depth(4).targets(torch.full((1, 8, 8), 3.0), (2, 2))
    assert torch.equal(metres, torch.full((1, 1, 2, 2), 3.0)) and all_valid.all()
    assert not Depth(4).targets(torch.zeros(1, 8, 8), (2, 2))[1].any()
    rows, values = rows_of(torch.arange(8.0).view(1, 2, 2, 2), targets, torch.tensor([[[True, False], [False, True]]]))
    assert rows.tolist() == [[0, 4], [3, 7]] and values.tolist() == [[0, 1, 0], [1, 0, 0]]

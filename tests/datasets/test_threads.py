"""Work in threads: everything once, in order, and errors come out."""

import pytest

from vssl.datasets.threads import in_threads


def test_results_come_in_order_whatever_the_threads_do():
    assert list(in_threads(lambda x: x * x, range(1000))) == [x * x for x in range(1000)]


def test_an_error_comes_out_at_its_place():
    results = in_threads(lambda x: 1 // (x - 3), range(10))
    assert [next(results) for _ in range(3)] == [-1, -1, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)

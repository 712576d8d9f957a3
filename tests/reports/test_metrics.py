from dataclasses import asdict

from vssl.reports.metrics import Metric, describe_metrics, format_difference, format_number, format_p
from vssl.scores import Score


def test_metrics_say_what_the_results_say():
    info = {
        "normals": {"count": asdict(Score("images", better=None)), "angle": asdict(Score("error", "°", "lower", 1))},
        "embedding": {"rankme": asdict(Score("RankMe", better=None))},
    }
    assert describe_metrics(info) == [
        Metric("normals/count", "normals images", "", None, 4, headline=False),
        Metric("normals/angle", "normals error", "°", True, 1, headline=True),
        Metric("embedding/rankme", "embedding RankMe", "", None, 4, headline=True),
    ]


def test_numbers_use_a_minus_sign_and_no_negative_zero():
    assert format_number(-0.304, 2, signed=True) == "−0.30"
    assert format_number(0.2, 2, signed=True) == "+0.20"
    assert format_number(-0.001, 2, signed=True) == "0.00"
    assert format_number(None, 2) == "–"


def test_differences_with_and_without_interval():
    assert format_difference({"mean": 0.2, "low": -0.3, "high": 0.7}, 1) == "+0.2 [−0.3, 0.7]"
    assert format_difference({"mean": 0.2, "low": None, "high": None}, 1) == "+0.2 (one seed, no interval)"


def test_p_values():
    assert (format_p(0.0312), format_p(0.0002)) == ("= 0.031", "< 0.001")

from vssl.reports.metrics import describe_metrics, format_difference, format_number, format_p


def test_direction_and_headline_of_every_probe_score():
    scores = {
        "segmentation": {"mIoU": 1.0, "aAcc": 1.0},
        "depth": {"RMSE": 1.0, "AbsRel": 1.0, "delta1": 1.0, "delta2": 1.0, "delta3": 1.0},
        "classification": {"top1": 1.0},
        "knn": {"knn_top1": 1.0, "knn_top1@20": 1.0},
    }
    metrics = {metric.key: metric for metric in describe_metrics(scores)}
    lower = {key for key, metric in metrics.items() if metric.lower_is_better}
    assert lower == {"depth/RMSE", "depth/AbsRel"}
    assert all(metric.lower_is_better is not None for metric in metrics.values())
    assert metrics["knn/knn_top1@20"].title == "kNN top-1, k = 20"
    headline = [key for key, metric in metrics.items() if metric.headline]
    assert headline == ["segmentation/mIoU", "depth/RMSE", "classification/top1", "knn/knn_top1"]


def test_an_unknown_score_has_no_direction():
    (metric,) = describe_metrics({"new": {"surprise": 1.0}})
    assert metric.lower_is_better is None and metric.headline


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

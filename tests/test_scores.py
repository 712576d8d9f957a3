import pytest

from vssl.scores import Score, described

HIGHER = ["mIoU", "aAcc", "mAcc", "delta1", "delta2", "delta3", "top1", "knn_top1", "knn_top1@20", "mAP_M", "mP@5_H"]
LOWER = ["RMSE", "RMSE_pooled", "AbsRel"]
NEITHER = ["rankme", "effective_dimension", "pooled_norm", "patch_norm", "patch_norm_spread", "patch_norm_outlier"]


@pytest.mark.parametrize(("names", "better"), [(HIGHER, "higher"), (LOWER, "lower"), (NEITHER, None)])
def test_results_of_before_scores_said_what_they_mean(names, better):
    info = described({"task": "depth", "scores": dict.fromkeys(names, 1.0)})["score_info"]
    assert {name: about["better"] for name, about in info.items()} == dict.fromkeys(names, better)
    units = {"RMSE": "m", "RMSE_pooled": "m", "mIoU": "%", "aAcc": "%", "mAcc": "%", "top1": "%", "knn_top1": "%"}
    assert all(about["unit"] == units.get(name.split("@")[0], "") for name, about in info.items())


def test_a_result_that_says_it_is_left_alone_and_a_gap_is_an_error():
    result = {"task": "x", "scores": {"mIoU": 1.0}, "score_info": {"mIoU": {"title": "another", "better": "lower"}}}
    assert described(result) is result
    with pytest.raises(ValueError, match=r"no unit and no direction are known for the scores \['surprise'\]"):
        described({"task": "x", "scores": {"mIoU": 1.0, "surprise": 2.0}})
    with pytest.raises(ValueError, match="surprise"):
        described({**result, "scores": {"mIoU": 1.0, "surprise": 2.0}})


def test_what_older_scores_leave_out():
    seen = {"task": "segmentation", "scores": {}, "counts": {"classes_seen": 3, "classes": 150}}
    assert described(seen)["left_out"] == "only 3 of 150 classes are in the labels"
    assert "left_out" not in described({**seen, "counts": {"classes_seen": 150, "classes": 150}})


def test_directions():
    with pytest.raises(ValueError, match="better='up' of the score 'x'"):
        Score("x", better="up")

import pytest

from vssl.reports import collect, format_table
from vssl.reports.compare.matched_budgets import matched_on
from vssl.reports.compare.verdict import judge, outcome_of

PROCESSOR = {"seconds": 60, "clock": "processor"}


def difference(low, mean, high, p=0.01, n=3):
    return {"mean": mean, "low": low, "high": high, "p": p, "n": n, "seeds": list(range(n))}


def results_with(**differences):
    """Results of two arms; each keyword is ``title=(lower_is_better, difference)``."""
    metrics = [
        {"key": name, "title": name, "unit": "%", "lower_is_better": lower, "digits": 1, "headline": True}
        for name, (lower, _) in differences.items()
    ]
    fixed = {"label": "fixed recipe", "budget": {"seconds": 60}, "runs": {"0": {"seconds": 60.0}}}
    candidate = {**fixed, "label": "V-Pretraining", "difference": {name: d for name, (_, d) in differences.items()}}
    return {"baseline": "f", "candidate": "v", "metrics": metrics, "arms": {"f": fixed, "v": candidate}}


@pytest.mark.parametrize(
    ("lower_is_better", "low", "mean", "high", "outcome"),
    [
        (False, 0.1, 0.2, 0.3, "better"),
        (True, 0.1, 0.2, 0.3, "worse"),
        (False, -0.3, -0.2, -0.1, "worse"),
        (True, -0.3, -0.2, -0.1, "better"),
        (False, -0.3, 0.2, 0.7, "none"),
        (False, 0.0, 0.2, 0.4, "none"),
        (False, None, 0.2, None, "undecided"),
        (None, 0.1, 0.2, 0.3, "undecided"),
    ],
)
def test_outcome_follows_the_interval_and_the_direction(lower_is_better, low, mean, high, outcome):
    assert outcome_of(difference(low, mean, high, n=1 if low is None else 3), lower_is_better) == outcome


def test_two_seeds_decide_nothing_and_their_interval_is_still_shown():
    narrow = {"mIoU": (False, difference(-0.58, -0.48, -0.39, p=0.01, n=2))}
    verdict = judge(results_with(**narrow))
    assert verdict["headline"] == "Undecided: two seeds are too few to tell a difference from noise."
    assert verdict["lines"][0]["text"] == "mIoU −0.5 [−0.6, −0.4] points: two seeds: too few to tell"
    assert verdict["outcome"] == verdict["lines"][0]["outcome"] == "undecided" and not verdict["firm"]


def test_no_difference_beyond_noise_in_one_sentence():
    verdict = judge(results_with(mIoU=(False, difference(-0.3, 0.2, 0.7, p=0.3))))
    assert verdict["sentence"] == (
        "V-Pretraining − fixed recipe at matched wall-clock (3 seeds): mIoU +0.2 [−0.3, 0.7] points: "
        "no difference beyond noise."
    )
    assert verdict["headline"] == (
        "V-Pretraining made no difference beyond noise compared with fixed recipe at matched wall-clock, on the score."
    )


def test_helped_here_and_hurt_there_is_mixed():
    verdict = judge(
        results_with(mIoU=(False, difference(0.1, 0.2, 0.3, p=0.001)), RMSE=(True, difference(0.1, 0.2, 0.3, p=0.002)))
    )
    assert verdict["outcome"] == "mixed"
    assert "helped on mIoU and hurt on RMSE" in verdict["headline"] and "chance" not in verdict["headline"]


def test_a_finding_that_the_number_of_scores_explains_is_marked():
    neutral = {f"s{i}": (False, difference(-1, 0, 1, p=0.9)) for i in range(3)}
    verdict = judge(results_with(mIoU=(False, difference(0.01, 0.2, 0.4, p=0.04)), **neutral))
    assert verdict["outcome"] == "better"
    assert verdict["lines"][0]["p_holm"] == pytest.approx(0.16)
    assert not verdict["firm"]
    assert verdict["headline"].endswith("Corrected for 4 scores (Holm), mIoU could be chance.")


@pytest.mark.parametrize(
    ("ours", "theirs", "seconds", "words"),
    [
        ({"seconds": 60}, {"seconds": 60}, 60.9, "at matched wall-clock"),
        ({"seconds": 60}, {"seconds": 60}, 66.0, "at a wall-clock budget that was not kept"),
        ({"steps": 100}, {"steps": 100}, 90.0, "at matched steps"),
        (PROCESSOR, PROCESSOR, 60.9, "at matched processor time"),
        (PROCESSOR, PROCESSOR, 66.0, "at a processor-time budget that was not kept"),
        (PROCESSOR, {"seconds": 60}, 60.0, "at budgets that are not matched"),
        ({"seconds": 60, "clock": "elapsed"}, {"seconds": 60}, 60.0, "at matched wall-clock"),
        ({"seconds": 60}, {"seconds": 61}, 60.0, "at budgets that are not matched"),
        ({"seconds": 60}, {"steps": 100}, 60.0, "at budgets that are not matched"),
    ],
)
def test_matched_is_said_only_when_it_was(ours, theirs, seconds, words):
    results = results_with()
    results["arms"]["v"] |= {"budget": ours, "runs": {"0": {"seconds": seconds}}}
    results["arms"]["f"]["budget"] = theirs
    assert matched_on(results) == (words, words.startswith("at matched"))


def test_a_finding_is_firm_only_at_matched_budgets():
    results = results_with(mIoU=(False, difference(0.1, 0.2, 0.3, p=0.001)))
    assert judge(results)["firm"]
    results["arms"]["v"]["runs"] = {"0": {"seconds": 90.0}}
    assert judge(results)["outcome"] == "better" and not judge(results)["firm"]


def test_terminal_table_holds_start_arms_and_intervals(folder, layout):
    text = format_table(collect(folder, layout))
    lines = text.splitlines()
    assert [line.split("  ")[0] for line in lines[2:5]] == ["start checkpoint", "fixed recipe", "V-Pretraining"]
    assert "43.00 ± 0.95" in lines[4] and "0.5503 ± 0.0105" in lines[4]
    assert "+1.00 [0.75, 1.25]" in lines[5] and "−0.0297 [−0.0311, −0.0282]" in lines[5]
    assert "V-Pretraining helped on segmentation mIoU and depth RMSE" in text

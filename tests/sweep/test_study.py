"""What Optuna is asked and told, on a function instead of runs."""

import pytest

from vssl.sweep import read_sweep
from vssl.sweep.study import FAILED, FINISHED, PRUNED, Study, storage_url

pytestmark = pytest.mark.slow


def value(params: dict) -> float:
    """Best at a mask ratio of 0.5; the learning rate does little."""
    return -((params["objective.mask_ratio"] - 0.5) ** 2) + 0.1 * params["optimizer.lr"]


def opened(folder, written, name="s", directions=("maximize",), **changed) -> Study:
    return Study(read_sweep({**written, **changed}), directions, {}, storage_url(None, folder), name)


def drawn(study: Study) -> list[dict]:
    return [trial.params for trial in study.trials()]


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_what_is_drawn_does_not_depend_on_how_often_the_sweep_was_stopped(folder, written, sampler):
    """Fourteen trials: TPE draws at random until it has ten."""
    changed = {"sampler": sampler, "trials": 14}
    whole, broken = opened(folder, written, "whole", **changed), None
    while (trial := whole.next()) is not None:
        whole.tell(trial, FINISHED, [value(trial.params)])
    for number in range(14):
        if number % 3 == 0:
            broken = opened(folder, written, "broken", **changed)
        trial = broken.next()
        if number % 4 == 1:  # stopped in the middle of a trial
            broken = opened(folder, written, "broken", **changed)
            trial = broken.next()
        assert trial.number == number
        broken.tell(trial, FINISHED, [value(trial.params)])
    assert broken.next() is None
    assert drawn(broken) == drawn(whole)
    assert len({params["objective.mask_ratio"] for params in drawn(whole)}) == 14
    assert broken.best() == whole.best() == [max(range(14), key=lambda i: value(drawn(whole)[i]))]
    assert whole.importances()["segmentation/mIoU"]["objective.mask_ratio"] > 0.4


def test_another_seed_draws_other_values(folder, written):
    first, second = (opened(folder, written, f"seed {seed}", seed=seed).next() for seed in (0, 1))
    assert first.params != second.params


def test_ranges_hold(folder, written):
    space = {
        "batch_size": {"low": 2, "high": 4, "whole": True},
        "optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True},
        "recipe.interpolation": {"options": ["bilinear", "bicubic"]},
    }
    study = opened(folder, written, space=space, trials=30)
    while (trial := study.next()) is not None:
        study.tell(trial, FINISHED, [0.0])
    assert {params["batch_size"] for params in drawn(study)} == {2, 3, 4}
    assert {params["recipe.interpolation"] for params in drawn(study)} == {"bilinear", "bicubic"}
    rates = sorted(params["optimizer.lr"] for params in drawn(study))
    assert rates[0] >= 1e-4 and rates[-1] <= 1e-1 and 1e-3 < rates[15] < 1e-2  # log: the median is about 3e-3
    assert study.importances() == {}  # all alike


def test_successive_halving_gives_up_the_worse_half_at_each_rung(folder, written):
    """Against the rule itself: a trial goes on if it is among the better half of those that came so far (of two: the
    better one); the first always does."""
    study = opened(folder, written, trials=16, pruning={"count": 8, "reduction": 2})
    seen: dict[int, list[float]] = {1: [], 2: [], 4: []}
    ended = []
    while (trial := study.next()) is not None:
        for share in range(1, 8):
            score = value(trial.params) + 0.01 * share
            expected = False
            if share in seen:
                seen[share].append(score)
                better = sorted(seen[share], reverse=True)
                expected = score < better[max(len(better) // 2, 1) - 1]
            assert study.hopeless(trial, share, score) == expected
            if expected:
                break
        ended.append(expected)
        assert study.is_hopeless(trial) == expected
        study.tell(trial, PRUNED if expected else FINISHED, None if expected else [value(trial.params)])
    assert 3 < sum(ended) < 14


def test_what_was_asked_before_a_kill_is_asked_again_with_the_same_answer(folder, written, monkeypatch):
    """Optuna notes that a trial passed a rung before anybody knows the answer; a kill in between must not free it."""
    settings = dict(trials=16, pruning={"count": 8, "reduction": 2})
    study = opened(folder, written, **settings)
    for score in (10.0, 9.0, 8.0):
        trial = study.next()
        assert study.hopeless(trial, 1, score) == (score < 10)
        study.tell(trial, PRUNED if score < 10 else FINISHED, None if score < 10 else [score])
    for score, expected in ((1.0, True), (11.0, False)):
        trial = study.next()

        def killed(*arguments):
            raise KeyboardInterrupt

        monkeypatch.setattr(trial, "set_user_attr", killed)
        if expected:
            with pytest.raises(KeyboardInterrupt):
                study.hopeless(trial, 1, score)
        else:
            assert not study.hopeless(trial, 1, score)
        study = opened(folder, written, **settings)
        again = study.next()
        assert again.number == trial.number and study.hopeless(again, 1, score) == expected
        study.tell(again, PRUNED if expected else FINISHED, None if expected else [score])


def test_two_scores_have_a_front(folder, written):
    scores = ["segmentation/mIoU", "depth/RMSE"]
    study = opened(folder, written, directions=("maximize", "minimize"), scores=scores, trials=12)
    points = []
    while (trial := study.next()) is not None:
        ratio = trial.params["objective.mask_ratio"]
        points.append((-abs(ratio - 0.4), abs(ratio - 0.6) + trial.params["optimizer.lr"]))
        study.tell(trial, FINISHED, list(points[-1]))

    def surpassed(i: int) -> bool:
        return any(a >= points[i][0] and b <= points[i][1] for j, (a, b) in enumerate(points) if j != i)

    assert study.best() == [i for i in range(12) if not surpassed(i)]
    assert list(study.importances()) == scores


def test_a_study_without_a_finished_trial_has_no_best(folder, written):
    study = opened(folder, written)
    assert study.best() == [] and study.importances() == {}
    study.tell(study.next(), FAILED)
    assert study.best() == [] and study.next().number == 1

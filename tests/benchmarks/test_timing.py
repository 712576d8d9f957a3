import time

import pytest
import torch

from vssl.benchmarks.timing import Quartiles, Stopwatch, Times, take_turns


def test_variants_take_turns_and_the_first_run_is_not_counted(monkeypatch):
    order, now = [], 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)

    def variant(name: str):
        def run(watch: Stopwatch) -> None:
            order.append(name)
            with watch.phase("whole"):
                nonlocal now
                now += 50.0 if len(order) <= 2 else 1.0

        return run

    times = take_turns({"a": variant("a"), "b": variant("b")}, 3, torch.device("cpu"))
    assert order == ["a", "b"] * 4
    assert all(len(times[name]["whole"].elapsed) == 3 for name in "ab")
    assert times["a"]["whole"].elapsed == [1.0, 1.0, 1.0]


def test_waiting_takes_elapsed_time_and_no_processor_time():
    watch = Stopwatch(torch.device("cpu"))
    with watch.phase("waiting"):
        time.sleep(0.05)
    elapsed, processor = watch.phases["waiting"]
    assert elapsed >= 0.05 and processor < 0.03


def test_ratios_are_taken_within_a_repetition():
    slow_moment = Times(elapsed=[2.0, 20.0, 2.0], processor=[2.0, 2.0, 2.0])
    other = Times(elapsed=[1.0, 10.0, 1.0], processor=[4.0, 1.0, 2.0])
    elapsed, processor = slow_moment.over(other)
    assert elapsed == (2, 2, 2)
    assert processor == pytest.approx((0.75, 1.0, 1.5))
    assert slow_moment.milliseconds() == (2000, 2000, 11000)


def test_quartiles_are_written_as_the_median_and_the_range():
    assert f"{Quartiles.of([1.0, 2.0, 3.0, 4.0, 5.0]):.1f}" == "3.0 [2.0, 4.0]"

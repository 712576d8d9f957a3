"""Learning rates and momenta of the presets against the published numbers, worked out anew or by torch and mmengine."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import nn

from vssl.probes.dense.curves import MMCV
from vssl.probes.fit import Schedule, build_schedule
from vssl.probes.head_grid import Member, fit_together

CONFIGS = Path(__file__).parents[3] / "configs/probes"


def preset(dataset: str, name: str) -> Schedule:
    (settings, *_) = Config.fromfile(CONFIGS / dataset / f"{name}.py")["probes"].values()
    return build_schedule(settings["schedule"])


def values(schedule: Schedule, steps: list[int]) -> list[tuple[float, float]]:
    """(learning rate, β1) that these optimizer steps use, straight from the curve."""
    curve, peak = schedule.built_curve(), schedule.optimizer["lr"]
    beta = schedule.optimizer.get("betas", (0.9, 0.999))[0]
    found = []
    for step in steps:
        momentum = curve.momentum(step, schedule.steps, schedule.warmup_steps)
        found.append(
            (peak * curve.rate(step, schedule.steps, schedule.warmup_steps), beta if momentum is None else momentum)
        )
    return found


def half(start: float, end: float, share: float) -> float:
    """Half a cosine by another formula than the curves': cos² of half the angle."""
    return end + (start - end) * math.cos(math.pi / 2 * share) ** 2


@pytest.mark.parametrize(
    ("dataset", "name", "table"),
    [
        ("nyuv2", "dinov3", [  # WarmupOneCycleLR, config-nyu.yaml
            (0, 3e-7, 0.0),
            (6400, 3e-7 + 3e-4 * half(1, 0, 1 / 6) / 2, 0.0),
            (12_799, 3e-7 + 3e-4 * half(1, 0, 12_799 / 38_400) * 12_799 / 12_800, 0.0),
            (12_800, half(3e-4, 1.2e-8, 12_801 / 38_400), 0.85),
            (25_600, half(3e-4, 1.2e-8, 25_601 / 38_400), 0.90),
            (38_399, 1.2e-8, half(0.85, 0.95, 25_599 / 25_600)),
        ]),
        ("nyuv2", "dinov2", [  # mmcv's CosineAnnealing with a linear warm-up and OneCycle momentum
            (0, 1e-7, 0.95),
            (6400, half(1e-4, 1e-12, 1 / 6) * (1 - 0.5 * 0.999), half(0.95, 0.85, 6400 / 11_519)),
            (11_519, half(1e-4, 1e-12, 11_519 / 38_400) * (1 - (1 - 11_519 / 12_800) * 0.999), 0.85),
            (12_800, half(1e-4, 1e-12, 1 / 3), half(0.85, 0.95, 1281 / 26_880)),
            (38_399, half(1e-4, 1e-12, 38_399 / 38_400), 0.95),
        ]),
        ("ade20k", "dinov3", [  # the same class, config-ade20k-linear-training.yaml; behind by one step
            (0, 1e-9, 0.9),
            (1, 1e-9, 0.9),
            (751, 1e-3 * (1 - 0.5 * (1 - 1e-6)) * (1 - 750 / 40_000), 0.9),
            (1501, half(1e-3, 0, 1501 / 40_000), 0.9),
            (20_000, half(1e-3, 0, 0.5), 0.9),
            (39_999, half(1e-3, 0, 39_999 / 40_000), 0.9),
        ]),
        ("ade20k", "dinov2", [  # mmcv's poly, power 1, with a linear warm-up
            (0, 1e-9, 0.9),
            (750, 1e-3 * (1 - 750 / 40_000) * (1 - 0.5 * (1 - 1e-6)), 0.9),
            (1500, 1e-3 * (1 - 1500 / 40_000), 0.9),
            (39_999, 1e-3 / 40_000, 0.9),
        ]),
    ],
)  # fmt: skip
def test_presets_follow_the_published_schedules(dataset, name, table):
    found = values(preset(dataset, name), [step for step, *_ in table])
    np.testing.assert_allclose(found, [row[1:] for row in table], rtol=1e-9, atol=1e-15)


def test_peaks_and_sums_of_the_depth_schedules_are_the_published_ones():
    """Warm-up and decay over each other: the peak is not the optimizer's rate, which the warm-up alone would reach."""
    for name, peak in (("dinov3", 2.2532e-4), ("dinov2", 0.75e-4)):
        schedule = preset("nyuv2", name)
        rates = np.array(values(schedule, range(schedule.steps)))[:, 0]
        assert rates.max() == pytest.approx(peak, rel=1e-3)
        after = [schedule.optimizer["lr"] * half(1, 0, t / 25_600) for t in range(25_600)]
        before = sum(after) + schedule.optimizer["lr"] * 6400
        assert before / rates.sum() == pytest.approx(1.47, abs=0.01)


def test_mmcvs_cycled_momentum_is_that_of_torchs_one_cycle():
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))])
    torchs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=50, pct_start=0.3)
    curve = MMCV(cycle_momentum=True)
    for step in range(50):
        assert curve.momentum(step, 50, 10) == pytest.approx(optimizer.param_groups[0]["betas"][0], abs=1e-12)
        if step < 49:
            optimizer.step()
            torchs.step()


@pytest.mark.parametrize("name", ["dinov2", "dinov3"])
def test_an_optimizer_takes_what_the_curve_says(name, monkeypatch):
    """Through mmengine's schedulers, alone and in a grid, and from a saved state on."""
    settings = {**vars(preset("nyuv2", name)), "steps": 12, "warmup_steps": 4, "batch_size": None}
    schedule = Schedule(**settings)
    expected = values(schedule, range(12))
    taken, step = [], torch.optim.AdamW.step

    def watched(optimizer, *args):
        group = optimizer.param_groups[0]
        taken.append((group["lr"], group["betas"][0]))
        return step(optimizer, *args)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    x, y = torch.randn(6, 3), torch.randn(6, 1)
    head = nn.Linear(3, 1)
    loss = lambda f, t: (head(f[0]) - t).square().mean()  # noqa: E731
    schedule.fit(head, loss, [x], y, 0)
    np.testing.assert_allclose(taken, expected, rtol=1e-6)
    taken.clear()
    fit_together([Member({"lr": 1.0}, head, schedule, loss)], [([x], y)] * 12)
    np.testing.assert_allclose(taken, expected, rtol=1e-6)
    assert "whole run" in schedule.card()["schedule"] and "decay" not in schedule.card()
    optim = build_optim_wrapper(head, schedule.optim_wrapper())
    kinds = [dict(config) for config in schedule.param_schedulers()]
    resumed = [config.pop("type")(optim, **config) for config in kinds]
    for scheduler in resumed:
        scheduler.load_state_dict({"last_step": 6, "_global_step": 7})
        scheduler.step()
    group = optim.param_groups[0]
    np.testing.assert_allclose((group["lr"], group["betas"][0]), expected[7], rtol=1e-6)


def test_unknown_settings_of_a_curve_are_errors():
    with pytest.raises(ValueError, match=r"curve of the schedule.*warm_up"):
        Schedule(curve=dict(type=MMCV, warm_up=1))
    with pytest.raises(ValueError, match="'exp'"):
        Schedule(curve=dict(type=MMCV, decay="exp"))

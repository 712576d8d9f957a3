"""Schedules as pure functions of progress.

Progress is the share of the budget that is spent, 0 at the first step and 1 at the end. A budget may be in steps or in
seconds, so nothing here counts steps. Values of progress beyond 1 (a last step that overruns its seconds) give the
end value.
"""

import math


def linear(start: float, end: float, progress: float) -> float:
    """From `start` at progress 0 to `end` at progress 1 on a straight line.

    Raises:
        ValueError: progress below 0. Above 1 it counts as 1.
    """
    return start + (end - start) * _checked(progress)


def cosine(start: float, end: float, progress: float) -> float:
    """From `start` at progress 0 to `end` at progress 1 on half a cosine: flat at both ends.

    Raises:
        ValueError: progress below 0. Above 1 it counts as 1.
    """
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * _checked(progress)))


def warmup(progress: float, length: float) -> float:
    """Factor that rises linearly from 0 to 1 while `progress` goes from 0 to `length`, then stays 1.

    Both arguments are in the same unit: shares of the budget, or steps. `length=0` is no warm-up.
    """
    if length < 0:
        raise ValueError(f"warm-up length {length} is negative; give 0 for no warm-up")
    return 1.0 if progress >= length else progress / length


def warmup_cosine(progress: float, warmup_share: float, final_ratio: float) -> float:
    """Learning-rate factor: linear from 0 to 1 over the first `warmup_share`, then cosine to `final_ratio`.

    Args:
        progress: share of the budget spent.
        warmup_share: in [0, 1).
        final_ratio: the factor at progress 1, e.g. 0.01 for a hundredth of the peak.

    Raises:
        ValueError: `warmup_share` leaves no budget to train in.

    Example::

        >>> [round(warmup_cosine(at, warmup_share=0.1, final_ratio=0.0), 2) for at in (0.05, 0.1, 0.55, 1.0)]
        [0.5, 1.0, 0.5, 0.0]
    """
    if not 0.0 <= warmup_share < 1.0:
        raise ValueError(f"warm-up share {warmup_share} must be in [0, 1), a share of the whole budget")
    if progress < warmup_share:
        return warmup(progress, warmup_share)
    return cosine(1.0, final_ratio, (progress - warmup_share) / (1.0 - warmup_share))


def _checked(progress: float) -> float:
    if not progress >= 0.0:  # also refuses NaN
        raise ValueError(f"progress {progress} must be a share of the budget, 0 at the start and 1 at the end")
    return min(progress, 1.0)

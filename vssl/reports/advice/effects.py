"""What more of an operation is worth, and how sure that is, from values of single steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

MORE, LESS, UNKNOWN = "more", "less", "unknown"


@dataclass(frozen=True)
class Effect:
    """Of one operation: the value with more of it minus the value with less of it.

    low, high: Student's interval for the mean, which holds for all operations at once (Bonferroni).
    t: mean over standard error. of_labels: share of the error's square that comes from which images are labeled.
    less, more: the value with it minus that of the recipe; None where that side is the recipe itself.
    tasks: the mean for each task alone.
    """

    mean: float
    low: float
    high: float
    t: float
    of_labels: float
    less: float | None
    more: float | None
    tasks: tuple[float, ...]

    @property
    def verdict(self) -> str:
        return MORE if self.low > 0 else LESS if self.high < 0 else UNKNOWN

    @property
    def stays(self) -> bool:
        """Whether the side that the verdict names is the recipe itself, or did no better than the recipe."""
        side = {MORE: self.more, LESS: self.less, UNKNOWN: math.inf}[self.verdict]
        return side is None or side <= 0


def effects(
    values: Float[np.ndarray, "draws columns without"],
    task_values: Float[np.ndarray, "draws columns tasks"],
    columns: Sequence[tuple[int, str]],
    count: int,
    confidence: float = 0.95,
) -> list[Effect]:
    """One for each operation.

    Two things make a mean uncertain, and their variances are added: the draws of images (over draws), and the labels
    (the delete-a-group jackknife over the groups of labeled images, Shao and Tu 1995). Degrees of freedom are
    Satterthwaite's. What both have in common is counted twice, so that intervals are a little wide. What is the same in
    all values, such as one new SSL head, is in no interval; nor is that task heads are not fitted without a group.

    Args:
        values: of each draw; the first column is the recipe, the next are those of `columns`, (number of the operation,
            "less" or "more"). The last axis: with all labels, then without each group of them.
        count: of operations.
        confidence: that all intervals hold together.

    Raises:
        ValueError: fewer than two draws, or fewer than two groups of labels.
    """
    draws, groups = values.shape[0], values.shape[2] - 1
    if draws < 2 or groups < 2:
        raise ValueError(f"{draws} draws and {groups} groups of labels: two or more of both are needed")
    place = {column: 1 + i for i, column in enumerate(columns)}

    def one(number: int) -> Effect:
        less, more = place.get((number, "less"), 0), place.get((number, "more"), 0)
        difference = values[:, more] - values[:, less]
        mean, without = float(difference[:, 0].mean()), difference[:, 1:].mean(axis=0)
        of_draws = float(difference[:, 0].var(ddof=1)) / draws
        of_labels = (groups - 1) / groups * float(((without - without.mean()) ** 2).sum())
        variance = of_draws + of_labels
        error = math.sqrt(variance)
        half = 0.0
        if variance:
            freedom = variance**2 / (of_draws**2 / (draws - 1) + of_labels**2 / (groups - 1))
            half = error * float(stats.t.isf((1 - confidence) / (2 * count), freedom))
        sides = [float((values[:, side, 0] - values[:, 0, 0]).mean()) if side else None for side in (less, more)]
        return Effect(
            mean=mean,
            low=mean - half,
            high=mean + half,
            t=mean / error if error else 0.0,
            of_labels=of_labels / variance if variance else 0.0,
            less=sides[0],
            more=sides[1],
            tasks=tuple((task_values[:, more] - task_values[:, less]).mean(axis=0).tolist()),
        )

    return [one(number) for number in range(count)]

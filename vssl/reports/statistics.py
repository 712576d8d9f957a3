"""What a difference between two arms is worth: mean, spread, and paired Student intervals over seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

# An interval from fewer pairs is shown, but nothing is concluded from it: two differences have one number for a spread.
ENOUGH_PAIRS = 3
_ROUNDING = 1e-12  # numbers that differ by less, as a share of the largest that went in, are equal
_NO_RATIOS = {"snr": None, "z_independent": None}


@dataclass(frozen=True)
class Summary:
    """Scores of one arm: mean, sample standard deviation (n − 1; None for one seed) and the seeds they came from."""

    mean: float
    std: float | None
    n: int
    seeds: list[int]


@dataclass(frozen=True)
class PairedDifference:
    """One arm minus another, seed by seed.

    low, high, p: the two-sided Student t-interval of the mean difference and its p-value; None for a single seed, whose
    difference cannot be told from noise. Differences that are all equal have no spread, and so the interval has no
    width: p is 1 for arms that are equal, else 0.
    per_seed: the differences behind the mean.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    n: int
    seeds: list[int]
    per_seed: list[float]
    confidence: float


@dataclass(frozen=True)
class MeanInterval:
    """Mean of a series with its two-sided Student interval."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        return not self.low <= 0 <= self.high


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> MeanInterval:
    """Mean of a series in time, with an interval that allows for the correlation r of one value with the next.

    The series counts as n·(1 − r)/(1 + r) independent values, as an autoregressive one of first order does, with r as
    measured plus its bias (1 + 3r)/n, held in [0, 0.95]. In 500 simulated series an interval of 95 % held the mean in
    94 % or more with 50 values and r ≤ 0.8, in 90 % with 10 values and r = 0.5, and in 79 % with 10 and r = 0.9.

    Raises:
        ValueError: fewer than two values, or one that is not finite.
    """
    series = np.asarray(values, dtype=float)
    if len(series) < 2 or not np.isfinite(series).all():
        raise ValueError(f"an interval needs two or more finite values, got {list(values)}")
    centred = series - series.mean()
    squares = float(centred @ centred)
    n, mean = len(series), float(series.mean())
    r = float(centred[1:] @ centred[:-1]) / squares if squares else 0.0
    r = min(max(r + (1 + 3 * r) / n, 0.0), 0.95)
    effective = max(n * (1 - r) / (1 + r), 2.0)
    error = math.sqrt(squares / n / (effective - 1))
    half = float(stats.t.ppf((1 + confidence) / 2, df=effective - 1)) * error
    return MeanInterval(mean, mean - half, mean + half, n)


def summarise(scores: Mapping[int, float]) -> Summary:
    """Mean and spread of ``{seed: score}``. ValueError if there is no score, or one is not finite."""
    seeds = sorted(scores)
    values = _finite(scores, seeds)
    std = float(values.std(ddof=1)) if len(values) > 1 else None
    return Summary(float(values.mean()), std, len(seeds), seeds)


def paired_difference(
    scores: Mapping[int, float], reference: Mapping[int, float], confidence: float = 0.95
) -> PairedDifference:
    """Mean of ``scores − reference`` over the seeds that both have, with its t-interval.

    Runs of one seed share their data order and their draws, so the difference is taken within a seed: what a seed does
    to both arms cancels. ValueError if the two share no seed.

    Example::

        >>> found = paired_difference({0: 61.0, 1: 63.0, 2: 65.0}, {0: 60.0, 1: 61.0, 2: 62.0})
        >>> found.mean, round(found.low, 2), round(found.high, 2)
        (2.0, -0.48, 4.48)
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it must lie between 0 and 1, e.g. 0.95")
    seeds = sorted(set(scores) & set(reference))
    if not seeds:
        raise ValueError(f"no shared seed to pair over: {sorted(scores)} against {sorted(reference)}")
    ours, theirs = _finite(scores, seeds), _finite(reference, seeds)
    differences, largest = ours - theirs, max(np.abs(ours).max(), np.abs(theirs).max())
    if np.abs(differences).max() <= _ROUNDING * largest:
        differences = np.zeros_like(differences)
    mean, n = float(differences.mean()), len(seeds)
    low = high = p = None
    if n > 1:
        if _equal(differences, largest):
            low, high, p = mean, mean, 0.0 if mean else 1.0
        else:
            test = stats.ttest_1samp(differences, 0.0)
            low, high, p = (float(value) for value in (*test.confidence_interval(confidence), test.pvalue))
    return PairedDifference(mean, low, high, p, n, seeds, differences.tolist(), confidence)


def ratio_of_means(
    numerators: Sequence[float], denominators: Sequence[float], confidence: float = 0.95
) -> tuple[float, float, float]:
    """mean(numerators) / mean(denominators) of paired values, with Fieller's interval (Fieller 1954).

    The interval holds every ratio ρ for which the mean of numerator − ρ·denominator is not told from zero by Student's
    test. It is bounded where the denominator's own mean is told from zero.

    Raises:
        ValueError: fewer than two pairs, or a denominator whose interval includes zero.
    """
    top, bottom = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    if len(top) != len(bottom) or len(top) < 2:
        raise ValueError(f"a ratio needs two or more pairs, got {len(top)} and {len(bottom)} values")
    t_squared = float(stats.t.ppf((1 + confidence) / 2, df=len(top) - 1)) ** 2
    (var_top, covariance), (_, var_bottom) = np.cov(top, bottom) / len(top)
    # (top − ρ·bottom)² ≤ t²·(variance of that mean): a·ρ² − 2·b·ρ + c ≤ 0
    a = bottom.mean() ** 2 - t_squared * var_bottom
    b = top.mean() * bottom.mean() - t_squared * covariance
    c = top.mean() ** 2 - t_squared * var_top
    if a <= 0:
        raise ValueError("the denominator cannot be told from zero: the ratio could be any number")
    half = math.sqrt(max(b**2 - a * c, 0.0))
    return float(top.mean() / bottom.mean()), float((b - half) / a), float((b + half) / a)


def correlation(predicted: list[float], realised: list[float]) -> tuple[float, float, float] | None:
    """Pearson's r and the ends of Fisher's 95 % interval; None below 4 pairs or for a constant side."""
    if len(predicted) < 4 or any(_equal(side, np.abs(side).max()) for side in (predicted, realised)):
        return None
    found = stats.pearsonr(predicted, realised)
    interval = found.confidence_interval(0.95)
    return float(found.statistic), float(interval.low), float(interval.high)


def mean_correlation(
    correlations: Sequence[float], confidence: float = 0.95
) -> tuple[float, float | None, float | None]:
    """Mean of correlations with Student's interval, on Fisher's scale artanh(r) and back; no interval for one."""
    z = np.arctanh(np.clip(np.asarray(correlations, dtype=float), -1 + 1e-12, 1 - 1e-12))
    if len(z) < 2:
        return float(np.tanh(z.mean())), None, None
    if _equal(z, np.abs(z).max()):
        return (math.tanh(float(z.mean())),) * 3
    low, high = stats.ttest_1samp(z, 0.0).confidence_interval(confidence)
    return math.tanh(float(z.mean())), math.tanh(low), math.tanh(high)


def adjust_p_values(p_values: Sequence[float], method: str = "holm") -> list[float]:
    """p-values corrected for testing several hypotheses at once: ``"holm"`` (step-down) or ``"bonferroni"``.

    Both keep the chance of even one false finding below the level; Holm (1979) is never weaker than Bonferroni.

    Example::

        >>> adjust_p_values([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    if p.size and not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values must lie in [0, 1], got {list(p_values)}")
    if method == "bonferroni":
        return np.minimum(p * p.size, 1.0).tolist()
    if method != "holm":
        raise ValueError(f"unknown correction {method!r}; known: 'holm', 'bonferroni'")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)) if p.size else p
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted.tolist()


def _equal(values: Sequence[float] | np.ndarray, largest: float) -> bool:
    """Whether they differ by rounding alone, where numbers up to `largest` went into them."""
    return bool(np.ptp(values) <= _ROUNDING * largest)


def _finite(scores: Mapping[int, float], seeds: Sequence[int]) -> np.ndarray:
    if not seeds:
        raise ValueError("no scores to summarise")
    values = np.array([scores[seed] for seed in seeds], dtype=float)
    if not np.isfinite(values).all():
        raise ValueError(f"scores must be finite, got {dict(zip(seeds, values.tolist(), strict=True))}")
    return values


def whole_run(policy: list[dict]) -> list[dict]:
    """∂V/∂parameter over all meta steps, pooled from the intervals between snapshots; largest |z| first.

    Each: label, mean, std over meta steps, snr = |mean| / std, z_independent = mean / (std / √n), se (corrected for the
    correlation of successive meta steps), z = mean / se, n, and z_by_time, its own z per interval (None where unknown).
    Parameters that no gradient ever reached are left out; nothing is known before the second meta step.
    """
    intervals = [row["gradient"] for row in policy if row.get("gradient", {}).get("parameters")]
    counts = np.array([interval["meta_steps"] for interval in intervals], dtype=float)
    if counts.sum() < 2:
        return []
    correlations = np.array([interval["autocorrelation"] for interval in intervals])
    pooled = []
    for label, rows in zip(_labels(intervals[0]), zip(*(i["parameters"] for i in intervals), strict=True), strict=True):
        means, errors = (np.array([row[key] or 0.0 for row in rows]) for key in ("mean", "se"))
        if not means.any():
            continue
        # back from standard errors to sums of squares: an interval with a single meta step then counts as well
        variances = errors**2 * counts * (1 - correlations) / (1 + correlations)
        mean = float(counts @ means / counts.sum())
        squares = (counts - 1) @ variances + counts @ (means - mean) ** 2
        rho = float(counts @ correlations / counts.sum())
        se = math.sqrt(squares / (counts.sum() - 1) / counts.sum() * (1 + rho) / (1 - rho))
        by_time = [m / e if e > 0 else None for m, e in zip(means, errors, strict=True)]
        z = mean / se if se else 0.0
        std, n = math.sqrt(squares / (counts.sum() - 1)), int(counts.sum())
        ratios = {"snr": abs(mean) / std, "z_independent": mean / std * math.sqrt(n)} if std else _NO_RATIOS
        row = {"label": label, "mean": mean, "std": std, **ratios, "se": se, "z": z, "n": n, "z_by_time": by_time}
        pooled.append(row)
    return sorted(pooled, key=lambda row: abs(row["z"]), reverse=True)


def _labels(interval: dict) -> list[str]:
    several = len({p["group"] for p in interval["parameters"]}) > 1
    return [f"{p['end']} of {p['name']}" + (f" ({p['group']})" if several else "") for p in interval["parameters"]]


def moving_mean(values: np.ndarray, share: float = 0.12) -> np.ndarray:
    """Centred moving mean over `share` of the points; shorter windows at the ends."""
    half = round(share * len(values) / 2)
    return np.array([values[max(i - half, 0) : i + half + 1].mean() for i in range(len(values))])

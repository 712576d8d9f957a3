"""Scores as metrics of a comparison, and numbers as text."""

from dataclasses import asdict, dataclass

from vssl.scores import Score


@dataclass(frozen=True)
class Metric:
    """One score of one probe.

    key: ``"<probe>/<score>"``, e.g. ``"segmentation/mIoU"``.
    lower_is_better: None for a score that is shown without a judgement.
    headline: whether it is its probe's main score, the one that the verdict is about.
    """

    key: str
    title: str
    unit: str
    lower_is_better: bool | None
    digits: int
    headline: bool

    def as_dict(self) -> dict:
        return asdict(self)


def describe_metrics(info_by_probe: dict[str, dict[str, dict]]) -> list[Metric]:
    """The metrics behind ``{probe: {score: its score_info}}``, in that order.

    A probe's headline is its first score with a direction; its first one where none has.
    """
    metrics = []
    for probe, info in info_by_probe.items():
        scores = {name: Score(**about) for name, about in info.items()}
        main = next((name for name, score in scores.items() if score.better), next(iter(scores), None))
        for name, score in scores.items():
            lower = None if score.better is None else score.better == "lower"
            title = f"{probe} {score.title}"
            metrics.append(Metric(f"{probe}/{name}", title, score.unit, lower, score.digits, headline=name == main))
    return metrics


def scores_of(arm: dict, key: str) -> dict[int, float]:
    """``{seed: score}`` of metric `key` in one arm of the results; seeds without a finite score are left out."""
    probe, _, name = key.partition("/")
    scores = {int(seed): run["scores"].get(probe, {}).get(name) for seed, run in arm["runs"].items()}
    return {seed: score for seed, score in scores.items() if score is not None}


def format_number(value: float | None, digits: int, signed: bool = False) -> str:
    """``+0.20``, ``−0.30`` with a true minus sign; ``–`` for None. Never ``−0.00``."""
    if value is None:
        return "–"
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def format_p(p: float) -> str:
    """``= 0.031``, ``< 0.001``."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def format_difference(difference: dict, digits: int) -> str:
    """``+0.20 [−0.30, 0.70]``; for a single seed ``+0.20 (one seed, no interval)``."""
    mean = format_number(difference["mean"], digits, signed=True)
    if difference["low"] is None:
        return f"{mean} (one seed, no interval)"
    low, high = (format_number(difference[end], digits) for end in ("low", "high"))
    return f"{mean} [{low}, {high}]"

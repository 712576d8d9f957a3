"""What a probe's scores are called, their unit, and which way is better."""

from dataclasses import asdict, dataclass

# score name → (title, unit, lower is better, digits). Units as the probes write them.
_KNOWN = {
    "mIoU": ("mIoU", "%", False, 2),
    "aAcc": ("pixel accuracy", "%", False, 2),
    "mAcc": ("class accuracy", "%", False, 2),
    "RMSE": ("RMSE", "m", True, 4),
    "RMSE_pooled": ("RMSE, pooled", "m", True, 4),
    "AbsRel": ("AbsRel", "", True, 4),
    "delta1": ("δ1", "", False, 4),
    "delta2": ("δ2", "", False, 4),
    "delta3": ("δ3", "", False, 4),
    "top1": ("top-1", "%", False, 2),
    "top5": ("top-5", "%", False, 2),
    "knn_top1": ("kNN top-1", "%", False, 2),
    "mAP_M": ("mAP, medium", "", False, 4),
    "mAP_E": ("mAP, easy", "", False, 4),
    "mAP_H": ("mAP, hard", "", False, 4),
}


@dataclass(frozen=True)
class Metric:
    """One score of one probe.

    key: ``"<probe>/<score>"``, e.g. ``"segmentation/mIoU"``.
    lower_is_better: None for a score this module does not know; it is then shown without a judgement.
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


def _knn_of(name: str) -> tuple[str, str, bool, int] | None:
    """``knn_top1@20``: one number of neighbours out of several."""
    score, at, neighbours = name.partition("@")
    return (f"kNN top-1, k = {neighbours}", "%", False, 2) if (score, at) == ("knn_top1", "@") else None


def describe_metrics(scores_by_probe: dict[str, dict[str, float]]) -> list[Metric]:
    """The metrics behind ``{probe: {score: value}}``, in that order; each probe's first known score is its headline."""
    metrics = []
    for probe, scores in scores_by_probe.items():
        known = [name for name in scores if name in _KNOWN]
        main = known[0] if known else next(iter(scores), None)
        for name in scores:
            title, unit, lower, digits = _KNOWN.get(name) or _knn_of(name) or (name, "", None, 4)
            full_title = title if title.startswith("kNN") else f"{probe} {title}"
            metrics.append(Metric(f"{probe}/{name}", full_title, unit, lower, digits, headline=name == main))
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

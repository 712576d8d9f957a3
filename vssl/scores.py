"""What a score means: its title, its unit, and which way is better.

Probe results say it themselves (``score_info``). For results of before they did, `described` supplies it.
"""

from dataclasses import asdict, dataclass

from vssl.counts import counted

DIRECTIONS = ("higher", "lower", None)


@dataclass(frozen=True)
class Score:
    """The meaning of one score.

    Attributes:
        title: for tables and figures, where it comes after the probe's name.
        unit: e.g. ``"%"`` or ``"m"``; empty for shares and ratios.
        better: ``"higher"``, ``"lower"``, or None for a score that is shown without a judgement.
        digits: after the decimal point, in tables.
    """

    title: str
    unit: str = ""
    better: str | None = "higher"
    digits: int = 4

    def __post_init__(self):
        if self.better not in DIRECTIONS:
            raise ValueError(f"better={self.better!r} of the score {self.title!r}; one of {DIRECTIONS} is needed")


def described(result: dict) -> dict:
    """A probe result whose ``score_info`` says what each of its scores means.

    A result of before there was a ``score_info`` gets what its names meant then, with the ``position`` and the
    ``left_out`` that such results lack too.

    Raises:
        ValueError: it has a score that nobody describes.
    """
    if "score_info" not in result:
        result = {**_former(result), **result}
    unknown = [name for name in result["scores"] if name not in result["score_info"]]
    if unknown:
        raise ValueError(f"no unit and no direction are known for the scores {unknown}; an older version wrote them")
    return result


FORMER_PICTURES = {"seg": ("Segmentation", ""), "depth": ("Depth", "m")}  # title, unit
_FORMER_ORDER = ("segmentation", "depth", "classification", "knn")
_FORMER_SCORES = {
    "mIoU": Score("mIoU", "%", digits=2),
    "aAcc": Score("pixel accuracy", "%", digits=2),
    "mAcc": Score("class accuracy", "%", digits=2),
    "RMSE": Score("RMSE", "m", "lower"),
    "RMSE_pooled": Score("RMSE, pooled", "m", "lower"),
    "AbsRel": Score("AbsRel", better="lower"),
    **{f"delta{i}": Score(f"δ{i}") for i in (1, 2, 3)},
    "top1": Score("top-1", "%", digits=2),
    "knn_top1": Score("top-1", "%", digits=2),
    **{f"mAP_{name[0].upper()}": Score(f"mAP, {name}") for name in ("medium", "easy", "hard")},
    **{
        name: Score(name, better=None)
        for name in (
            "rankme", "effective_dimension", "pooled_norm", "patch_norm", "patch_norm_spread", "patch_norm_outlier"
        )
    },
}  # fmt: skip


def _former(result: dict) -> dict:
    name = result.get("name", result["task"])
    meanings = {score: _former_score(score) for score in result["scores"]}
    former = {
        "score_info": {score: asdict(meaning) for score, meaning in meanings.items() if meaning},
        "position": _FORMER_ORDER.index(name) if name in _FORMER_ORDER else len(_FORMER_ORDER),
    }
    counts = result.get("counts", {})
    if counts.get("classes_seen") != counts.get("classes"):
        former["left_out"] = f"only {counts['classes_seen']} of {counts['classes']} classes are in the labels"
    if counts.get("images_without_valid_depth"):
        former["left_out"] = f"{counted(counts['images_without_valid_depth'], 'image')} without valid depth"
    return former


def _former_score(name: str) -> Score | None:
    """``knn_top1@20`` and ``mP@5_M`` have a number in their names."""
    score, at, rest = name.partition("@")
    if at and score == "knn_top1":
        return Score(f"top-1, k = {rest}", "%", digits=2)
    if at and score == "mP":
        return Score(name)
    return _FORMER_SCORES.get(name)

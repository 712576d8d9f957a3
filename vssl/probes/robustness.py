"""A fitted probe on corrupted validation images."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from vssl.known_keys import refuse_unknown
from vssl.probes.corruptions import CORRUPTIONS, SEVERITIES
from vssl.probes.decoded_images import DenseSplit, FolderSplit
from vssl.scores import Score

Split = TypeVar("Split", DenseSplit, FolderSplit)


class Robustness:
    """Scores under corruptions beside those of the clean images, see vssl/probes/corruptions.py.

    Args:
        config: ``names`` (default: all) and ``severities`` (default: 1 to 5).

    Raises:
        ValueError: a corruption or a severity that does not exist.
    """

    def __init__(self, config: dict):
        if not isinstance(config, dict) or any(isinstance(given, str | int) for given in config.values()):
            raise ValueError(
                f"corruptions={config!r}; give corruptions={{}} for all, or dict(names=['fog'], severities=[1, 3, 5])"
            )
        settings = {"names": CORRUPTIONS, "severities": SEVERITIES, **config}
        refuse_unknown(settings, {"names", "severities"}, "corruptions")
        self.names, self.severities = list(settings["names"]), list(settings["severities"])
        for given, known in ((self.names, tuple(CORRUPTIONS)), (self.severities, SEVERITIES)):
            if not given or len(set(given)) < len(given) or set(given) - set(known):
                raise ValueError(f"corruptions: {given}; some of {', '.join(map(str, known))}, each once, are needed")

    def score_info(self, clean: dict[str, Score]) -> dict[str, Score]:
        """Of the scores that `scores` adds to a probe's own."""
        name, score = _main(clean)
        return {
            f"{name}_corrupted": replace(score, title=f"{score.title}, corrupted"),
            f"{name}_corrupted_share": Score(f"{score.title}, corrupted / clean", better=score.better),
            **{f"{name}@{kind}": replace(score, title=f"{score.title}, {_words(kind)}") for kind in self.names},
        }

    def scores(
        self, info: dict[str, Score], clean: dict, val: Split, judge: Callable[[Split], dict[str, float]]
    ) -> tuple[dict[str, float | None], dict]:
        """(scores to add, all scores by corruption and severity).

        Args:
            info: the clean scores' meaning; the first with a direction is averaged.
            judge: scores of the fitted probe on a split.
        """
        name, _ = _main(info)
        table: dict[str, dict] = {
            kind: {str(severity): judge(val.corrupted(kind, severity)) for severity in self.severities}
            for kind in self.names
        }
        means = {kind: float(np.mean([found[name] for found in by.values()])) for kind, by in table.items()}
        mean = float(np.mean(list(means.values())))
        shares = {kind: value / clean[name] if clean[name] else None for kind, value in {**means, "": mean}.items()}
        for kind, value in means.items():
            table[kind] |= {"mean": value, "share_of_clean": shares[kind]}
        added = {f"{name}_corrupted": mean, f"{name}_corrupted_share": shares[""]}
        return {**added, **{f"{name}@{kind}": value for kind, value in means.items()}}, table

    def card(self) -> dict:
        return {
            "names": self.names,
            "severities": self.severities,
            "constants": "ImageNet-C's; lengths in px times short side / 224",
            "images": "validation, at the size that the pipeline gives; what is drawn depends on the file's name",
        }


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _main(info: dict[str, Score]) -> tuple[str, Score]:
    return next((name, score) for name, score in info.items() if score.better)

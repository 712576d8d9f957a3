"""Classification from few labels."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, stdev
from time import perf_counter

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F

from vssl.probes.decoded_images import FolderSplit, ProbeData
from vssl.probes.fit import FullBatch
from vssl.probes.image.classification import TOP1, LinearProbe, knn_votes, top1
from vssl.probes.outcome import Outcome, ProbeRun
from vssl.scores import Score

METHODS = ("linear", "knn")


class LowShotProbe(LinearProbe):
    """Top-1 of a linear classifier and of kNN from n labeled images of each class, over several draws of them.

    Scores are ``linear@n`` and ``knn@n``, means over the draws, with the sample standard deviation as
    ``linear@n_std``. The draws are nested: the images of fewer shots are among those of more. They depend on the run's
    seed alone, so that every backbone is given the same images.

    Args:
        shots: labeled images of each class.
        draws: of the images, at least two.
        k: neighbours; all labeled images where there are fewer. temperature: as in `KNNProbe`.
        schedule: of the linear classifier, see `LinearProbe`; by default it is solved. The features are standardised by
            the labeled images alone.
        settings: of `FolderProbe`.
    """

    task, corruptible = "low-shot classification", False

    def __init__(
        self,
        shots: Sequence[int] = (1, 5, 25),
        draws: int = 5,
        k: int = 20,
        temperature: float = 0.07,
        schedule: dict | None = None,
        init_std: float = 0.0,
        **settings,
    ):
        super().__init__(schedule or dict(type=FullBatch, iterations=200, l2=1e-2), init_std, **settings)
        if not shots or min(shots) < 1 or len(set(shots)) < len(shots) or draws < 2 or k < 1:
            raise ValueError(
                f"shots={shots}, draws={draws}, k={k}; shots from 1 on, each once, at least two draws, and k from 1 on "
                "are needed"
            )
        self.shots, self.draws, self.k, self.temperature = list(shots), draws, k, temperature

    def score_info(self) -> dict[str, Score]:
        info: dict[str, Score] = {}
        for method in METHODS:
            for n in self.shots:
                score = replace(TOP1, title=f"{method} top-1, {n} a class")
                info |= {f"{method}@{n}": score, f"{method}@{n}_std": replace(score, title=f"± {n}", better=None)}
        return info

    def load(self, data: ProbeData) -> tuple[FolderSplit, FolderSplit]:
        train, val = super().load(data)
        counts = torch.bincount(train.targets, minlength=len(train.classes))
        if (few := int(counts.min())) < max(self.shots):
            name = train.classes[int(counts.argmin())]
            raise ValueError(f"{train.root}: class {name} has {few} training images; shots={self.shots} needs more")
        return train, val

    def run(self, run: ProbeRun) -> Outcome:
        train, val = self.load(run.data)
        start = perf_counter()
        features, queries = self.features(train, run), self.features(val, run)
        found: dict[str, list[float]] = {f"{method}@{n}": [] for method in METHODS for n in self.shots}
        for draw in range(self.draws):
            order = shuffled_by_class(train.targets, run.seed, draw)
            for n in self.shots:
                rows = torch.cat([of_class[:n] for of_class in order])
                seen, labels = features[rows.to(features.device)], train.targets[rows].to(run.device)
                predicted = self.linear(seen, labels, queries, len(train.classes), run)
                found[f"linear@{n}"].append(top1(predicted, val.targets))
                k = min(self.k, len(rows))
                votes = knn_votes(seen, labels, queries, len(train.classes), [k], self.temperature)[k]
                found[f"knn@{n}"].append(top1(votes.argmax(dim=1).cpu(), val.targets))
        scores: dict[str, float] = {}
        for name, values in found.items():
            scores |= {name: fmean(values), f"{name}_std": stdev(values)}
        card = {
            **self.card(train, val, run),
            "shots": self.shots,
            "draws": self.draws,
            "head": "BatchNorm → linear; kNN",
            "k": self.k,
            "temperature": self.temperature,
            "loss": "cross-entropy",
            **self.schedule.card(),
            "averaging": "over images, then over draws of the labeled images",
        }
        return self.outcome(scores, card, start, draws=found)

    def linear(
        self, seen: Tensor, labels: Tensor, queries: Tensor, classes: int, run: ProbeRun
    ) -> Int[Tensor, " queries"]:
        """Classes of the queries by a classifier fitted on what was seen."""
        head = self.build(seen.shape[1], classes, run.seed).to(run.device)
        self.schedule.fit(head, lambda x, y: F.cross_entropy(head(x[0]), y), [seen], labels, run.seed)
        with torch.no_grad():
            return head(queries).argmax(dim=1).cpu()


def shuffled_by_class(targets: Int[Tensor, " images"], seed: int, draw: int) -> list[Int[Tensor, " images_of_class"]]:
    """The rows of each class in an order that depends on (seed, draw) alone."""
    rng = np.random.default_rng((seed, draw))
    of_class = [torch.nonzero(targets == c).flatten() for c in range(int(targets.max()) + 1)]
    return [rows[torch.from_numpy(rng.permutation(len(rows)))] for rows in of_class]

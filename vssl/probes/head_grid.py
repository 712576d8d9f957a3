"""Several heads on the same features: trained in one pass of the backbone, all reported, one chosen."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from mmengine.optim import build_optim_wrapper
from torch import Tensor, nn

from vssl.probes.fit import Schedule

SELECTIONS = ("held-out", "val")


@dataclass
class Member:
    """One head of a grid.

    Attributes:
        about: what sets it apart, e.g. ``{"lr": 0.01, "seed": 0}``.
        loss: (features of a batch by layer, targets) → scalar, a function of this head alone.
        final_loss: after training; not finite where the head diverged.
    """

    about: dict
    head: nn.Module
    schedule: Schedule
    loss: Callable[[Sequence[Tensor], Tensor], Tensor]
    final_loss: float = math.nan


def fit_together(members: Sequence[Member], batches: Iterable[tuple[Sequence[Tensor], Tensor]]) -> None:
    """Train every head on every batch (features by layer, targets), each with its own optimizer and clipping.

    A member ends where it would have ended alone on the same batches. One that diverges does not stop the others.
    """
    steppers = []
    for member in members:
        optim = build_optim_wrapper(member.head, member.schedule.optim_wrapper())
        schedulers = [kind(optim, **config) for kind, config in _split(member.schedule.param_schedulers())]
        steppers.append((member, optim, schedulers))
        member.head.train()
    last: list[Tensor] = []
    for features, targets in batches:
        last = [member.loss(features, targets) for member, _, _ in steppers]
        for value, (_, optim, schedulers) in zip(last, steppers, strict=True):
            optim.update_params(value)
            for scheduler in schedulers:
                scheduler.step()
    for value, member in zip(last, members, strict=True):
        member.head.eval()
        member.final_loss = value.item()


def with_learning_rate(schedule: Schedule, lr: float) -> Schedule:
    return replace(schedule, optimizer={**schedule.optimizer, "lr": lr})


def choose(members: Sequence[Member], scores: Sequence[float | None], better: str | None) -> int:
    """Index of the best score among members that did not diverge; the first of equals.

    Args:
        better: ``"higher"`` or ``"lower"``, the direction of the scores.

    Raises:
        FloatingPointError: all diverged.
    """
    scored = enumerate(zip(members, scores, strict=True))
    sound = {i: score for i, (m, score) in scored if math.isfinite(m.final_loss) and score is not None}
    if not sound:
        raise FloatingPointError(
            f"all {len(members)} heads of the grid diverged; lower the learning rates "
            f"({sorted({m.about['lr'] for m in members})})"
        )
    return min(sound, key=lambda i: sound[i] if better == "lower" else -sound[i])


def check_grid(select: str, holdout: float, learning_rates: Sequence[float], schedule: object) -> None:
    """ValueError for settings that make no grid."""
    if select not in SELECTIONS:
        raise ValueError(f"select={select!r}; 'held-out' (a part of train) or 'val' (best on val) is needed")
    if not 0 < holdout < 1:
        raise ValueError(f"holdout={holdout} must be a share of the training images, in (0, 1)")
    if not learning_rates or min(learning_rates) <= 0:
        raise ValueError(f"learning_rates={list(learning_rates)}; at least one, all positive, is needed")
    if not isinstance(schedule, Schedule):
        raise ValueError(f"a grid of learning rates takes a Schedule, not {type(schedule).__name__}")


def split_off(images: int, share: float) -> tuple[list[int], list[int]]:
    """(kept, held out): the held-out images are evenly spaced, so that sorted classes keep their shares.

    Raises:
        ValueError: too few images for either part.
    """
    count = round(images * share)
    if not 1 <= count < images:
        raise ValueError(f"holdout={share} of {images} training images leaves {count}; both parts need images")
    held = [(2 * i + 1) * images // (2 * count) for i in range(count)]
    taken = set(held)
    return [i for i in range(images) if i not in taken], held


def selection_card(select: str, share: float, kept: int, held: int) -> dict:
    if select == "val":
        return {"selection": "best on val: the score is an upper bound, not a result", "fitted_on": kept}
    return {"selection": f"best on {held} held-out training images ({share:g} of train)", "fitted_on": kept}


def _split(configs: list[dict]):
    for config in configs:
        settings = dict(config)
        yield settings.pop("type"), settings


def finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None

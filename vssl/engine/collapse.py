"""Collapse: features, or a teacher's targets, have become the same for all images. Looked for while a run trains.

Such a run goes on without an error, and its loss looks like any other number.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from mmengine.hooks import Hook
from torch import Tensor

from vssl.distributed import any_rank, rank_and_size
from vssl.engine.record_images import panel_images
from vssl.learner.backbone import TimmBackbone
from vssl.learner.rankme import rankme

ACTIONS = ("warn", "stop", "off")

# Below these, features or targets say nothing about an image. Healthy runs stay far away.
LEAST_RANK = 1.1
LEAST_SPREAD = 1e-3
LEAST_SHARE = 1e-3  # of ln K: how far a loss or an entropy must lie from its degenerate value
PANEL = 64  # images of a look


class CollapseError(FloatingPointError):
    """The run collapsed and ``collapse="stop"`` was asked for."""


class Sign(NamedTuple):
    """One sign of collapse: what was measured, in a few words that always are the same, and with numbers."""

    name: str
    text: str


class CollapseHook(Hook):
    """Looks for signs of collapse every `interval` steps, and at the end; says each of them once.

    A sign counts when two looks in a row see it, or the last look of the run. The loss must be that of a guess at three
    looks in a row: a fresh head begins near it, and passes it on its way. So it takes 30 steps at most.

    Args:
        action: ``"warn"``, or ``"stop"``: raise `CollapseError` and leave the last checkpoint as it is.
        interval: learner steps between looks.
        images: how many unlabeled images are looked at.
    """

    priority = "ABOVE_NORMAL"  # before the hook that writes the metrics

    def __init__(self, action: str = "warn", interval: int = 10, images: int = PANEL):
        self.action, self.interval, self.images = action, interval, images
        self._in_a_row: dict[str, int] = {}

    def before_train(self, runner) -> None:
        loop = runner.train_loop
        self.panel, self._looked = panel_images(loop, self.images)[0], loop.step

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        loop = runner.train_loop
        if loop.step % self.interval == 0:
            with loop.budget.not_counted():
                self._look(runner, last=loop.budget.progress(loop.step) >= 1)

    def after_train(self, runner) -> None:
        if runner.train_loop.step > self._looked:
            self._look(runner, last=True)

    def _look(self, runner, last: bool) -> None:
        loop = runner.train_loop
        self._looked = loop.step
        signs = signs_of_collapse(loop, self.panel)
        self._in_a_row = {sign.name: self._in_a_row.get(sign.name, 0) + 1 for sign in signs}
        certain = [s for s in signs if self._in_a_row[s.name] >= (3 if s.name == GUESS else 1 if last else 2)]
        told = {warning.get("sign") for warning in runner.warnings}
        new = [sign for sign in certain if sign.name not in told]
        for sign in new:
            runner.warn(f"step {loop.step}: {sign.text}", step=loop.step, sign=sign.name)
        if new and rank_and_size()[0] == 0:
            runner.write_summary(finished=False)
        if self.action == "stop" and any_rank(len(certain) if rank_and_size()[0] == 0 else 0):
            saved = runner.checkpoint_path
            where = f"the last checkpoint is {saved}" if saved.is_file() else "no checkpoint was written yet"
            raise CollapseError(
                f"step {loop.step}: {'; '.join(sign.text for sign in certain) or 'another rank collapsed'}. Stopped "
                f"(collapse='stop'); {where}. {CURES}"
            )


GUESS = "loss of a guess"
CURES = "Usual causes: unlabeled images that are all alike, a learning rate that is too high, a batch that is too small"


def signs_of_collapse(loop, panel: Float[Tensor, "images 3 height width"]) -> list[Sign]:
    """What a look at a `PretrainLoop` after a step finds: features of `panel`, the step's loss and its targets."""
    signs = []
    features = pooled_features(loop.learner.student, panel)
    if (spread := feature_spread(features)) < LEAST_SPREAD:
        signs.append(
            Sign(
                "features alike",
                f"features of {len(panel)} images are all but the same (they differ by {100 * spread:.2g} % of their "
                "length)",
            )
        )
    elif (rank := rankme(features)) < LEAST_RANK:
        signs.append(Sign("RankMe 1", f"features of {len(panel)} images lie on one line (RankMe {rank:.3f})"))
    together = loop.stream.batch_size // loop.learner_step.accumulation.parts  # images that a loss compares
    loss, blind = loop.last_loss.item(), loop.learner.objective.blind_loss(together)
    if blind is not None and abs(loss - blind) < LEAST_SHARE * blind:
        signs.append(Sign(GUESS, f"the loss, {loss:.4f}, is that of a guess ({blind:.4f}): no view is recognised"))
    if loop.targets is not None:
        signs += of_targets(loop.targets)
    return signs


def of_targets(targets: Float[Tensor, "rows prototypes"]) -> list[Sign]:
    """Whether a batch of distributions tells images apart.

    What a target says about its image is the entropy of their mean less their mean entropy. Each may be sharp, if all
    together use many prototypes.
    """
    most = math.log(targets.shape[1])
    each, together = entropy(targets).mean().item(), entropy(targets.mean(0)).item()
    if together - each >= LEAST_SHARE * most:
        return []
    kind = "uniform" if each > 0.99 * most else "one prototype" if together < 0.01 * most else "one distribution"
    text = f"the teacher's targets are the same for all images: {kind}, entropy {each:.4f} of at most ln K = {most:.4f}"
    return [Sign("targets alike", text)]


@torch.no_grad()
def pooled_features(student: TimmBackbone, images: Float[Tensor, "images 3 height width"]) -> Float[Tensor, "images d"]:
    """Mean patch tokens, in eval mode, of as much of each image as makes whole patches: only crops must fit them."""
    images = student.whole_patches(images)
    student.eval()
    features = torch.cat([student.patch_tokens(student(part)).mean(1) for part in images.split(64)])
    student.train()
    return features.float()


def feature_spread(features: Float[Tensor, "images dim"]) -> float:
    """Root mean square distance from the mean, as a share of the root mean square length; in [0, 1]."""
    centred = features - features.mean(0)
    return (centred.square().sum() / features.square().sum().clamp_min(1e-12)).sqrt().item()


def entropy(distributions: Float[Tensor, "*rows classes"]) -> Float[Tensor, "*rows"]:
    """In nats."""
    return torch.special.entr(distributions).sum(-1)

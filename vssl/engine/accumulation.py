"""A batch that is too large for the device's memory, taken in parts that make one optimizer step together.

Part i of N holds every N-th image from image i on. It is to its rank what a rank is to the whole batch (vssl/draws.py):
its images get the random numbers that they would have got in one piece. So where a loss is a mean over images, N parts
give the gradient of the whole batch, to rounding.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from mmengine.config import Config
from torch import Tensor

from vssl.designers.base import Construction, Designer
from vssl.distributed import total
from vssl.draws import Draws
from vssl.engine.config import ConfigError
from vssl.objectives.base import Objective
from vssl.views.crops import Views


@dataclass(frozen=True)
class Part:
    """What the learner is given of a batch. The sum of the parts' losses, each times its `share`, is the batch's."""

    views: Views
    draws: Draws
    image_weights: Float[Tensor, " part"] | None
    share: float | Tensor


@dataclass(frozen=True)
class Accumulation:
    """How a batch is cut.

    Args:
        parts: N, a divisor of the batch size; 1 leaves the batch whole.
        couple_within_parts: for a loss that sets the images of a batch against each other: it does so within each part,
            as if the parts were batches of their own. That is another loss than the whole batch's.
    """

    parts: int = 1
    couple_within_parts: bool = False

    @classmethod
    def of(cls, config: Config) -> "Accumulation":
        """From the key ``accumulate``: a number, or a dict of the arguments.

        Raises:
            ConfigError: it is neither, or a batch size cannot be divided by it.
        """
        node = config.get("accumulate") or 1
        settings: dict[str, Any] = dict(node) if isinstance(node, dict) else {"parts": node}
        try:
            found = cls(**settings)
        except TypeError as error:
            raise ConfigError(
                f"accumulate={settings}: give a number of parts, or dict(parts=N, couple_within_parts=True)"
            ) from error
        sizes = {"batch_size": config.batch_size}
        if config.get("value"):
            sizes["value.batch_size"] = config["value"].get("batch_size", config.batch_size)
        for key, size in sizes.items():
            if size % found.parts:
                raise ConfigError(f"{key}={size} is no multiple of accumulate={found.parts}, so its parts would differ")
        return found

    def check(self, objective: Objective, designer: Designer) -> None:
        """Raises ConfigError where parts would silently train with another loss than the whole batch."""
        if self.parts > 1 and objective.masks_meet and designer.scores_patches:
            raise ConfigError(
                f"accumulate={self.parts}: {type(objective).__name__} draws the masks of a batch together, so that "
                f"they need the scores of all its images, and {type(designer).__name__} makes those part by part; give "
                "accumulate=1"
            )
        coupled = objective.couples_images
        if self.parts > 1 and coupled and not self.couple_within_parts:
            raise ConfigError(
                f"accumulate={self.parts}: the images of a batch meet in the loss of {type(objective).__name__} "
                f"({coupled}), so that the parts' loss is not that of the whole batch. Give accumulate=1, or, if "
                f"images shall meet within a part alone, accumulate=dict(parts={self.parts}, couple_within_parts=True)"
            )

    def cut(self, construction: Construction, draws: Draws) -> Iterator[Part]:
        """The parts of a learner step. Views are detached.

        Args:
            draws: of the objective.
        """
        views, weights = construction.views.detach(), construction.image_weights
        token_weights = getattr(views, "token_weights", None)
        for number in range(self.parts):
            rows = slice(number, None, self.parts)
            share: float | Tensor = 1 / self.parts
            # A loss normalises the weights that it is given: those of images over all ranks, of tokens over its own.
            if self.parts > 1 and weights is not None:
                share = total(weights[rows].sum()) / total(weights.sum())
            elif self.parts > 1 and token_weights is not None:
                share = share * (token_weights[rows].mean() / token_weights.mean())
            own = weights if weights is None else weights[rows]
            yield Part(views.of_images(rows) if self.parts > 1 else views, self.draws(draws, number), own, share)

    def draws(self, whole: Draws, number: int) -> Draws:
        """The objective's random numbers for a part."""
        if self.parts == 1:
            return whole
        # Where images meet, numbers may be about all that meet (NeCo's references): those of a batch of its own.
        return whole.beside(number) if self.couple_within_parts else whole.of_part(number, self.parts)

    def meta_parts(
        self, images: Tensor, draws: Callable[[str], Draws]
    ) -> Iterator[tuple[Tensor, Callable[[str], Draws]]]:
        """(images, random numbers by purpose) of each part of a meta batch, which the designer has not seen yet."""
        if self.parts == 1:
            yield images, draws
            return
        for number in range(self.parts):

            def of_part(purpose: str, number: int = number) -> Draws:
                if purpose == "meta objective":
                    return self.draws(draws(purpose), number)
                return draws(purpose).of_part(number, self.parts)

            yield images[number :: self.parts], of_part


WHOLE = Accumulation()
"""A batch in one piece."""

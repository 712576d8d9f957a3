"""Designers that are given values of whole constructions and choose among them; nothing is differentiated."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from vssl.designers.base import Construction, Designer
from vssl.draws import Draws


class CandidateDesigner(Designer):
    """Base class. φ is changed by `update` alone: the parameters never get a gradient.

    The loop calls ``n = designer.begin_search(n)``, values ``designer.candidate(i, images, draws)`` for each i, and
    calls ``designer.update(values)``; ``designer(images, draws)`` makes the learner's views.
    """

    learns_from_values = True

    def begin_search(self, n: int) -> int:
        """Propose candidates until the next `update`; the same ones on every rank.

        Args:
            n: how many are asked for.

        Returns:
            How many there are; a fixed list has its own number.
        """
        raise TypeError(f"{type(self).__name__} does not say what it proposes")

    def fixed_candidates(self) -> int | None:
        """How many there are whatever `begin_search` is asked for; None: as many as it is asked for."""
        return None

    def candidate(self, number: int, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Construction:
        """What candidate `number` makes of a batch. The same `draws` give all candidates the same random numbers."""
        raise TypeError(f"{type(self).__name__} does not say what its candidates make")

    def shares_of(self, number: int) -> Mapping[str, float] | None:
        """The shares in which the sources of an `UnlabeledMixture` come in rollouts of a candidate; None: as they do.

        All candidates have some, or none has.
        """
        return None

    def update(self, values: Float[Tensor, " candidates"]) -> None:
        """Learn from what the candidates of the last `begin_search` are worth."""
        raise TypeError(f"{type(self).__name__} does not say what it makes of values")

    def names_of_candidates(self) -> list[str]:
        """Of those of the last `begin_search`, for the log."""
        raise TypeError(f"{type(self).__name__} does not name its candidates")

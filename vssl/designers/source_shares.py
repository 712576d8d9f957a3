"""What the designers that choose among the sources of an `UnlabeledMixture` have in common."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vssl.sourced_images import SourcedImages

ROUNDED = 0.01  # how far the config's shares may be from the stream's, relative to them


def check_weighs_images(designer: object, objective: nn.Module) -> None:
    """Raises ValueError when the objective has one loss for the whole batch."""
    if not objective.weighs_images:
        raise ValueError(
            f"{type(designer).__name__} weights each image's loss, {type(objective).__name__} has one for the whole "
            "batch; give another designer or objective"
        )


def check_sources(images: Tensor, names: Mapping[str, float], who: str, as_the_stream: bool = False) -> None:
    """Raises ValueError when images come from other sources than a designer has, or from one.

    Args:
        as_the_stream: the shares must be those of the stream, too.
    """
    if not isinstance(images, SourcedImages):
        raise ValueError(
            f"{who}: these images come from one source; give unlabeled=dict(type=UnlabeledMixture, roots=…) or another "
            "designer"
        )
    given = images.shares
    same = given.keys() == names.keys()
    if as_the_stream and same:
        same = all(abs(given[name] - share) <= ROUNDED * given[name] for name, share in names.items())
    if not same:
        rounded = {name: round(share, 4) for name, share in given.items()}
        raise ValueError(f"{who}={dict(names)}, but the shares of the stream are {rounded}")


def weights_of_sources(images: SourcedImages, shares: Float[Tensor, " sources"]) -> Float[Tensor, " batch"]:
    """What an image counts so that its source has this share of the loss; by number, the sum of `shares` is 1."""
    of_stream = shares.new_tensor(list(images.shares.values()))
    return (shares / of_stream)[images.sources]


def unless_equal(weights: Float[Tensor, " batch"]) -> Float[Tensor, " batch"] | None:
    """Weights for a learner step; None where all are 1, so that the step is the recipe's to the last bit."""
    return None if torch.allclose(weights, torch.ones_like(weights), atol=1e-6) else weights

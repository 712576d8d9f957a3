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


def sourced(images: Tensor, names: Mapping[str, float], who: str) -> SourcedImages:
    """The images; raises ValueError when they come from other sources than a designer has, or from one."""
    if not isinstance(images, SourcedImages):
        raise ValueError(
            f"{who}: these images come from one source; give unlabeled=dict(type=UnlabeledMixture, roots=…) or another "
            "designer"
        )
    if images.shares.keys() != names.keys():
        raise ValueError(f"{who}={dict(names)}, but the shares of the stream are {_rounded(images.shares)}")
    return images


def check_shares(images: SourcedImages, shares: Mapping[str, float], who: str) -> None:
    """Raises ValueError when the stream has other shares."""
    if not are_those_of(images, shares):
        raise ValueError(f"{who}={dict(shares)}, but the shares of the stream are {_rounded(images.shares)}")


def are_those_of(images: SourcedImages, shares: Mapping[str, float]) -> bool:
    """Whether these are the stream's shares, as somebody rounds them."""
    return all(abs(images.shares[name] - share) <= ROUNDED * images.shares[name] for name, share in shares.items())


def weights_of_sources(
    images: SourcedImages, shares: Float[Tensor, " sources"], now: Mapping[str, float]
) -> Float[Tensor, " batch"]:
    """What an image counts so that its source has this share of the loss.

    Args:
        shares: by the source's number; they add up to 1.
        now: by name, what each source is of the stream.
    """
    return (shares / shares.new_tensor(list(now.values())))[images.sources]


def unless_equal(weights: Float[Tensor, " batch"]) -> Float[Tensor, " batch"] | None:
    """Weights for a learner step; None where all are 1, so that the step is the recipe's to the last bit."""
    return None if torch.allclose(weights, torch.ones_like(weights), atol=1e-6) else weights


def _rounded(shares: Mapping[str, float]) -> dict[str, float]:
    return {name: round(share, 4) for name, share in shares.items()}

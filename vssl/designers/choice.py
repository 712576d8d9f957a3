"""`Choice`: one construction out of a list, by what each is worth."""

import math
from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vssl.designers.base import Construction, Designer, Identity
from vssl.designers.candidates import CandidateDesigner
from vssl.designers.source_shares import check_weighs_images, sourced, unless_equal, weights_of_sources
from vssl.draws import Draws
from vssl.known_keys import refuse_unknown
from vssl.parts import build_part
from vssl.views.recipes import Recipe

KEYS = ("recipe", "designer", "loss_weights", "mask_ratio", "shares")


class Choice(CandidateDesigner):
    """Takes the option that was worth most when it was last asked; until then it makes the recipe's views.

    In a config::

        designer = dict(type=Choice, options=dict(
            pixels=dict(loss_weights=dict(pixels=1.0)),
            hog=dict(loss_weights=dict(hog=1.0)),
            hog_without_colour=dict(loss_weights=dict(hog=1.0), recipe=dict(type=SavedRecipe, path="policy.yaml")),
        ))

    Args:
        recipe: of the options that name none.
        options: by name, what is made of a batch: ``recipe``, ``designer`` (with its settings; it stays as it is
            built), ``loss_weights`` (by component of the objective's loss), ``mask_ratio`` (share of the patches
            that the objective hides) and ``shares`` (by source of an `UnlabeledMixture`, divided by their sum), each of
            which may be left out. ``shares`` are of all options or of none. While options are tried, images count as
            much as these shares ask; the stream of the learner's steps then comes in those that were chosen.

    Raises:
        ValueError: fewer than two options, an unknown key in one, or shares of some options only, of other sources than
            the rest, or not above 0.
    """

    def __init__(self, recipe: Recipe, options: Mapping[str, Mapping]):
        super().__init__(recipe)
        if len(options) < 2:
            raise ValueError(f"Choice has {len(options)} option(s), {list(options)}; it chooses among two or more")
        for name, option in options.items():
            refuse_unknown(option, KEYS, f"Choice: option {name!r}")
        # Sorted: a saved config comes back with its keys sorted, and `chosen` goes by position.
        self.names = sorted(options)
        self.loss_weights = [options[name].get("loss_weights") for name in self.names]
        self.mask_ratios = [options[name].get("mask_ratio") for name in self.names]
        self.shares = _shares({name: options[name].get("shares") for name in self.names})
        self.options = nn.ModuleList(_built(options[name], recipe, name) for name in self.names).requires_grad_(False)
        self.register_buffer("chosen", torch.tensor(-1))

    def check(self, objective: nn.Module) -> None:
        if self.shares:
            check_weighs_images(self, objective)

    def stream_shares(self) -> Mapping[str, float] | None:
        return self.shares[int(self.chosen)] if self.shares and int(self.chosen) >= 0 else None

    def forward(self, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Construction:
        chosen = int(self.chosen)
        made = Identity(self.recipe)(images, draws) if chosen < 0 else self.candidate(chosen, images, draws)
        made.statistics |= {f"choice/{n}": torch.tensor(float(i == chosen)) for i, n in enumerate(self.names)}
        return made

    def begin_search(self, n: int) -> int:
        return len(self.names)

    def fixed_candidates(self) -> int:
        return len(self.names)

    def trials(self, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Iterator[Construction]:
        for number in range(len(self.names)):
            yield self.candidate(number, images, draws)
        yield self(images, draws)

    @torch.no_grad()
    def candidate(self, number: int, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Construction:
        made = self.options[number](images, draws)
        made.loss_weights, made.mask_ratio = self.loss_weights[number], self.mask_ratios[number]
        if self.shares:
            shares = self.shares[number]
            found = sourced(images, shares, f"Choice: shares of {self.names[number]}")
            wanted = torch.tensor(list(shares.values()), device=images.device)
            made.image_weights = unless_equal(weights_of_sources(found, wanted, found.shares))
        return made

    def names_of_candidates(self) -> list[str]:
        return list(self.names)

    @torch.no_grad()
    def update(self, values: Float[Tensor, " candidates"]) -> None:
        """Take the best; of equals the first.

        Raises:
            ValueError: not one value per option.
        """
        if len(values) != len(self.names):
            raise ValueError(f"update got {len(values)} values for {len(self.names)} options")
        self.chosen.fill_(int(values.argmax()))


def _shares(given: Mapping[str, Mapping[str, float] | None]) -> list[dict[str, float]]:
    """Of each option, by source and in the order of their numbers; empty where no option has any."""
    if not any(given.values()):
        return []
    sources = sorted(next(filter(None, given.values())))
    for name, shares in given.items():
        if not shares or sorted(shares) != sources or not all(0 < share < math.inf for share in shares.values()):
            raise ValueError(
                f"Choice: shares of {name!r} are {shares}; give every option a number above 0 for each of {sources}"
            )
    return [{source: of[source] / sum(of.values()) for source in sources} for of in given.values() if of]


def _built(option: Mapping, recipe: Recipe, name: str) -> Designer:
    own = build_part(option["recipe"], Recipe, f"Choice: recipe of {name}") if option.get("recipe") else recipe
    return build_part(option.get("designer") or {"type": Identity}, Designer, f"Choice: designer of {name}", own)

"""What every self-supervised objective offers to the loop and to the meta-gradient.

A loss is computed in two halves. `begin` runs everything that does not depend on the aligned parameters θ_S (the last K
blocks and the final norm): the trunk, the teacher, the targets. `finish` runs the tail, the head and the loss. The
meta-gradient calls `begin` once and differentiates `finish` only (vssl/value).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vssl.distributed import rank_and_size, total
from vssl.draws import Draws
from vssl.learner.backbone import TimmBackbone, Tokens
from vssl.views.crops import Views

if TYPE_CHECKING:
    from vssl.learner.teacher import EMATeacher

State = dict[str, Tensor]

WEIGHTS = "weights"
"""The state's entry, absent or (batch,), that weights the images in the loss; see `mean_over_images`."""
OBSERVED = "observed"
"""How the names of a state's entries begin that `Objective.update` reads. They are means over the images, so that a
batch that comes in parts has the mean of its parts' entries; see `joined`."""


class Objective(nn.Module):
    """Base class. A subclass implements `begin` and `finish` and sets the class attributes that differ.

    An objective is built as ``SomeObjective(backbone, **settings)``: it reads the backbone's sizes and owns the head,
    never the backbone, so that `objective.parameters()` are the head's alone.
    """

    n_global_crops: int = 1
    """How many global crops a batch must have."""
    n_local_crops: int = 0
    """How many local crops a batch must have."""
    takes_local_crops: bool = False
    """Whether `n_local_crops` is a setting."""
    uses_teacher: bool = False
    """Whether the loop must keep an `EMATeacher` of the backbone and of `teacher_modules()`."""
    twice_differentiable: bool = True
    """Whether `finish` has a second derivative in the state and θ_S, which `double_backward` needs."""
    needs_other_images: bool = False
    """Whether the loss sets each image against the others of its batch: two or more, and none of them twice."""
    weighs_images: bool = True
    """Whether `finish` takes weights of images; False where the loss is one number for the whole batch."""
    takes_patch_scores: bool = False
    """Whether masks are drawn by the views' `patch_scores`, and hidden patches count by their `patch_weights`; then
    there are `patch_losses` and `predicted_patches`."""

    masks_meet: bool = False
    """Whether an image's masks depend on the patch scores of the other images of the batch."""

    # For the table in docs/objectives.md (vssl/objectives/catalogue.py).
    paper: str = ""
    """Authors, year and arXiv number."""
    works_on: str = ""
    """Which tokens enter the loss."""
    couples_images: str = ""
    """How the other images of a batch enter the loss of an image; empty where they do not. The weights of
    `mean_over_images` weigh losses: an image of weight 0 still plays this part in the losses of the others."""

    @classmethod
    def small(cls, embed_dim: int) -> dict[str, Any]:
        """Settings in proportion to a small backbone of this width, for benchmarks and the tests of every objective.

        `n_local_crops` is not among them.
        """
        raise TypeError(f"{cls.__name__} does not say which settings suit a small backbone")

    def begin(self, student: TimmBackbone, teacher: "EMATeacher | None", views: Views, draws: Draws) -> State:
        """All that does not depend on θ_S, with a graph to the views wherever a gradient to φ shall flow.

        Returns tensors by name. Calling it changes nothing in the objective.
        """
        raise TypeError(f"{type(self).__name__} does not say how its loss begins")

    def finish(self, student: TimmBackbone, state: State) -> Float[Tensor, ""]:
        """The loss from a state: the only place where θ_S and the objective's head enter. Changes nothing.

        It ends with `mean_over_images` of the losses of single images.
        """
        raise TypeError(f"{type(self).__name__} does not say how its loss ends")

    def loss_components(self, student: TimmBackbone, state: State) -> dict[str, Float[Tensor, "batch *axes"]]:
        """The losses of a state before any mean: by component, of each image, and of each patch or pair if it has such.

        The loss is Σ_k `component_weights`[k] · mean(loss_components[k]). `vssl.value.credit` asks what each is worth.
        Where the loss is one number for the whole batch, the only component has no axes.
        """
        raise TypeError(f"{type(self).__name__} does not say what its loss consists of")

    def patch_losses(self, student: TimmBackbone, state: State) -> dict[str, Float[Tensor, " predictions"]]:
        """What is lost at each of `predicted_patches`, by the same names; only with `takes_patch_scores`.

        The views' part of the loss is the mean over all views of the mean over each view's predictions.
        """
        raise TypeError(f"{type(self).__name__} has no losses of single patches")

    def predicted_patches(self, state: State) -> dict[str, Int[Tensor, " predictions"]]:
        """Indices in the flattened ``(views · batch, patches)``; a patch may be predicted more than once.

        As ``"patches"``; `ObjectiveMix` has an entry for each part that hides patches.
        """
        raise TypeError(f"{type(self).__name__} has no losses of single patches")

    def component_weights(self) -> dict[str, float]:
        """How much each component counts at present; see `weigh`."""
        raise TypeError(f"{type(self).__name__} does not say what its loss consists of")

    def forward(
        self, student: TimmBackbone, teacher: "EMATeacher | None", views: Views, draws: Draws
    ) -> Float[Tensor, ""]:
        return self.finish(student, self.begin(student, teacher, views, draws))

    def split(self, state: State) -> tuple[State, State | None]:
        """(what depends on the global crops, the rest or None): two states whose losses add up to the state's loss.

        A designer changes the global crops only, so the second loss has no gradient to φ. Without such terms the
        state is returned as it is.
        """
        return state, None

    def answers(self, teacher: "EMATeacher", views: Views) -> Float[Tensor, "rows prototypes"]:
        """The teacher's logits for the global crops, with a graph to them; `recognisability` compares them."""
        raise TypeError(f"{type(self).__name__} has no teacher that could recognise a view; set recognisability=0")

    def blind_loss(self, batch_size: int) -> float | None:
        """The loss of a model to which all images are alike, with `batch_size` images a rank; None: no such number."""
        return None

    def targets_of(self, state: State) -> Float[Tensor, "rows prototypes"] | None:
        """The teacher's targets, each a distribution over prototypes, in a step's state; None where it has none."""
        return None

    def transformer_blocks(self) -> Iterable[nn.Module]:
        """The objective's own transformer blocks (MAE's decoder), which `compile=True` compiles with the backbone's."""
        return ()

    def teacher_modules(self) -> dict[str, nn.Module]:
        """The objective's own modules that the teacher mirrors."""
        return {}

    def teacher_momentum(self, progress: float) -> float:
        """The EMA momentum at this share of the budget; only for objectives with a teacher."""
        raise TypeError(f"{type(self).__name__} has no teacher, so it has no EMA momentum")

    def on_step(self, step: int, progress: float) -> None:
        """Called before a learner step and its meta step: sets whatever follows a schedule."""

    def adopt(self, loss_weights: Mapping[str, float] | None = None, mask_ratio: float | None = None) -> None:
        """Called before each step with what the designer chose for it; see `weigh` and `hide`."""
        self.weigh(loss_weights)
        self.hide(mask_ratio)

    def hide(self, mask_ratio: float | None) -> None:
        """What share of the patches is hidden from now on, in (0, 1); None for the objective's own `mask_ratio`.

        Raises:
            ValueError: the objective hides no patches, or the share is outside (0, 1).
        """
        if mask_ratio is not None:
            raise ValueError(f"{type(self).__name__} has no mask_ratio that could be changed; leave it out")

    def own_mask_ratio(self) -> float | None:
        """The share of the patches that is hidden where no designer says otherwise; None where none are."""
        return None

    def weigh(self, weights: Mapping[str, float] | None) -> None:
        """What each component of the loss counts from now on; None for its own weights.

        Raises:
            ValueError: the loss has no such components.
        """
        if weights is not None:
            raise ValueError(f"{type(self).__name__} has one loss without components; leave loss_weights out")

    def weigh_images(self, state: State, weights: Float[Tensor, " batch"]) -> State:
        """The state with weights of its images.

        Raises:
            ValueError: the loss is one number for the whole batch.
        """
        if not self.weighs_images:
            raise ValueError(f"{type(self).__name__} has one loss for the whole batch, so its images have no weights")
        return {**state, WEIGHTS: weights}

    def before_optimizer_step(self) -> None:
        """Called between backward and the learner's optimizer step."""

    def update(self, state: State) -> None:
        """Called once after a learner step with that step's state, never after a meta step.

        Of the state's values it reads the entries that are called `OBSERVED`…; see there.
        """

    def follow(self, teacher: "EMATeacher") -> None:
        """Called once after a learner step when the EMA teacher has moved; only for objectives with a teacher."""

    def crops_of(self, views: Views) -> Float[Tensor, "views batch 3 height width"]:
        """The global crops; ValueError if the recipe made another number than the objective needs."""
        given = views.global_crops.shape[0]
        if given != self.n_global_crops:
            raise ValueError(
                f"{type(self).__name__} needs {self.n_global_crops} global crop(s) per image, the views have {given}; "
                f"give the recipe n_global_crops={self.n_global_crops}"
            )
        return views.global_crops


def mean_over_images(losses: Float[Tensor, " batch"], state: State) -> Float[Tensor, ""]:
    """The loss of a batch. Designers that draw for each image weight it: what they learn is each image's share.

    The weights are normalised over the batch of all ranks, so that an image is compared with it: the derivative by a
    weight of 1 is (its loss − the mean) / batch. The mean of this over ranks is the loss of the whole batch.
    """
    weights = state.get(WEIGHTS)
    return losses.mean() if weights is None else (weights * losses).sum() / total(weights.sum()) * rank_and_size()[1]


def observed(state: State) -> State:
    """The entries whose values `Objective.update` reads."""
    return {name: entry for name, entry in state.items() if name.rpartition("/")[2].startswith(OBSERVED)}


def joined(states: Sequence[State]) -> State:
    """For `Objective.update` after a step in parts: the last part's state, with what was observed in all of them."""
    if len(states) == 1:
        return states[0]
    names = observed(states[-1])
    return states[-1] | {name: torch.stack([state[name] for state in states]).mean(0) for name in names}


def pack(tokens: Tokens, name: str) -> State:
    """Tokens as state entries ``{name}.x`` and, for rotary models, ``{name}.rope``."""
    entries = {f"{name}.x": tokens.x}
    return entries if tokens.rope is None else {**entries, f"{name}.rope": tokens.rope}


def unpack(state: State, name: str) -> Tokens:
    """The tokens that `pack` put under `name`."""
    return Tokens(state[f"{name}.x"], state.get(f"{name}.rope"))

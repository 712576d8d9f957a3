"""MAE: predict something of the hidden patches from the visible ones (He et al. 2022, arXiv 2111.06377).

What is predicted is the pixels, as in the paper, or another `Target` (vssl/objectives/targets.py, bands.py, hog.py).
Polarity: `keep` are the indices of patches that the backbone sees, `hidden` the indices of those it must predict.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vssl.draws import Draws
from vssl.learner.backbone import TimmBackbone
from vssl.learner.schedules import cosine
from vssl.learner.teacher import EMATeacher
from vssl.objectives.base import Objective, State, mean_over_images, pack, unpack
from vssl.objectives.component_shares import component_shares
from vssl.objectives.decoder import TokenDecoder
from vssl.objectives.mae_masks import KINDS, mae_mask
from vssl.objectives.patch_weights import relative_weights
from vssl.objectives.targets import Pixels, Target
from vssl.parts import build_part
from vssl.views.crops import Views

PIXELS = {"type": Pixels}


class MAE(Objective):
    """Masked autoencoder with a light transformer decoder.

    The loss of an image is the mean of its targets' components, weighted by the targets' weights; a component's is the
    mean square over hidden patches and values.

    Args:
        backbone: read for its width, patch size and number of prefix tokens, and by targets that start as its copy.
        mask_ratio: share of the patches that is hidden, in (0, 1).
        decoder_dim, decoder_depth, decoder_heads: size of the decoder (the paper's by default); `decoder_dim` is a
            multiple of 4 and of `decoder_heads`.
        target: what to predict: ``dict(type=Target, **settings)``, a `Target`, or several of them, which are then
            predicted together. ``dict(type=Pixels)``, the default, is the paper's.
        target_graph: whether a gradient reaches the views through the target too. The target is made of the view, so
            leaving this path out makes the gradient to φ inexact; it does not change the learner's gradient.
        mask: which patches are hidden: ``"random"`` (the paper's), ``"block"`` or ``"grid"``, see `mae_mask`.
        teacher_momentum_start, teacher_momentum_end: for targets of the EMA teacher; its momentum follows a cosine
            between the two.

    Raises:
        ValueError: `mask_ratio` outside (0, 1), `decoder_dim` of a wrong size, two components with one name, or no
            component with a weight above 0.
    """

    n_global_crops = 1
    takes_patch_scores = True
    paper = "He et al. 2022, arXiv 2111.06377, and its code"
    works_on = "visible patches"

    @classmethod
    def small(cls, embed_dim: int) -> dict[str, Any]:
        return {"decoder_dim": embed_dim // 2, "decoder_depth": 1, "decoder_heads": 2}

    def __init__(
        self,
        backbone: TimmBackbone,
        mask_ratio: float = 0.75,
        decoder_dim: int = 512,
        decoder_depth: int = 8,
        decoder_heads: int = 16,
        target: Mapping | Target | Sequence[Mapping | Target] = PIXELS,
        target_graph: bool = True,
        teacher_momentum_start: float = 0.996,
        teacher_momentum_end: float = 1.0,
        mask: Literal["random", "block", "grid"] = "random",
    ):
        super().__init__()
        if mask not in KINDS:
            raise ValueError(f"MAE mask={mask!r}; give one of {', '.join(map(repr, KINDS))}")
        self.mask, self.takes_patch_scores = mask, mask != "grid"  # a grid leaves nothing to choose
        self._mask_ratio, self.target_graph = mask_ratio, target_graph
        self.hide(mask_ratio)
        self.momentum_start, self.momentum_end = teacher_momentum_start, teacher_momentum_end
        targets = [target] if isinstance(target, Mapping | Target) else target
        built = [build_part(node, Target, "MAE: target", backbone) for node in targets]
        self.components, self.own_weights = _components(built)
        self.weights = self.own_weights
        self.uses_teacher = any(target.uses_teacher for target in built)
        size, values = (decoder_dim, decoder_depth, decoder_heads), sum(self.components.values())
        self.decoder = TokenDecoder(backbone.embed_dim, backbone.num_prefix_tokens, *size, values, "MAE decoder")
        self.decoder.apply(_initialise)
        nn.init.normal_(self.decoder.mask_token, std=0.02)
        self.targets = nn.ModuleList(built)

    def transformer_blocks(self) -> Iterable[nn.Module]:
        return [*self.decoder.blocks, *(block for target in self.targets for block in target.transformer_blocks())]

    def begin(self, student: TimmBackbone, teacher: EMATeacher | None, views: Views, draws: Draws) -> State:
        images = self.crops_of(views)[0]
        rows, columns = student.grid(images)
        scores = None if views.patch_scores is None else views.patch_scores[0]
        keep, hidden = mae_mask(self.mask, draws, len(images), (rows, columns), self.mask_ratio, scores)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.target_graph):
            whole = [target(student, teacher, images) for target in self.targets]
            observed = {
                f"observed{i}.{name}": entry
                for i, (target, values) in enumerate(zip(self.targets, whole, strict=True))
                for name, entry in target.observe(values.detach()).items()
            }
            values = torch.cat(whole, dim=-1)
            values = values.gather(1, hidden.unsqueeze(-1).expand(-1, -1, values.shape[-1]))
        state = {
            **pack(student.trunk(images, keep), "visible"),
            "keep": keep,
            "hidden": hidden,
            "positions": self.decoder.positions((rows, columns), images),
            "target": values,
            **observed,
        }
        if views.patch_weights is not None:
            weights = relative_weights(views.patch_weights[0], self.predicted_patches(state)["patches"], rows * columns)
            state["patch_weights"] = weights.view_as(hidden)
        return state

    def finish(self, student: TimmBackbone, state: State) -> Float[Tensor, ""]:
        errors = self.squared_errors(student, state).items()
        return mean_over_images(sum(self.weights[name] * of.mean(dim=(1, 2)) for name, of in errors), state)

    def losses(self, student: TimmBackbone, state: State) -> dict[str, Float[Tensor, "batch hidden"]]:
        """The loss of each hidden patch by component. An image's loss is their mean, weighted by `weights`."""
        return {name: errors.mean(-1) for name, errors in self.squared_errors(student, state).items()}

    def squared_errors(self, student: TimmBackbone, state: State) -> dict[str, Float[Tensor, "batch hidden values"]]:
        """By component; those without a weight are left out."""
        return {name: part for name, part in self._all_errors(student, state).items() if self.weights[name]}

    def loss_components(self, student: TimmBackbone, state: State) -> dict[str, Float[Tensor, "batch hidden"]]:
        return {name: errors.mean(-1) for name, errors in self._all_errors(student, state).items()}

    def component_weights(self) -> dict[str, float]:
        return dict(self.weights)

    def patch_losses(self, student: TimmBackbone, state: State) -> dict[str, Float[Tensor, " predictions"]]:
        losses = [self.weights[name] * of for name, of in self.losses(student, state).items()]
        return {"patches": torch.stack(losses).sum(0).flatten()}

    def predicted_patches(self, state: State) -> dict[str, Int[Tensor, " predictions"]]:
        hidden = state["hidden"]
        patches = state["keep"].shape[1] + hidden.shape[1]
        rows = torch.arange(len(hidden), device=hidden.device).unsqueeze(1)
        return {"patches": (hidden + patches * rows).flatten()}

    def _all_errors(self, student: TimmBackbone, state: State) -> dict[str, Float[Tensor, "batch hidden values"]]:
        tokens = student.tail(unpack(state, "visible"))
        predicted = self.decoder(tokens, state["keep"], state["hidden"].unsqueeze(1), state["positions"]).squeeze(1)
        errors = (predicted.to(state["target"].dtype) - state["target"]).square()
        if "patch_weights" in state:
            errors = state["patch_weights"].unsqueeze(-1) * errors
        parts = errors.split(list(self.components.values()), dim=-1)
        return dict(zip(self.components, parts, strict=True))

    def weigh(self, weights: Mapping[str, float] | None) -> None:
        if weights is None:
            self.weights = self.own_weights
            return
        self.weights = component_shares(weights, self.components, "MAE")

    def hide(self, mask_ratio: float | None) -> None:
        mask_ratio = self._mask_ratio if mask_ratio is None else mask_ratio
        if not 0.0 < mask_ratio < 1.0:
            raise ValueError(f"MAE mask_ratio={mask_ratio} must be in (0, 1), the share of hidden patches, e.g. 0.75")
        self.mask_ratio = mask_ratio

    def own_mask_ratio(self) -> float:
        return self._mask_ratio

    def update(self, state: State) -> None:
        for i, target in enumerate(self.targets):
            prefix = f"observed{i}."
            observed = {name.removeprefix(prefix): entry for name, entry in state.items() if name.startswith(prefix)}
            target.update(observed)

    def teacher_momentum(self, progress: float) -> float:
        if not self.uses_teacher:
            return super().teacher_momentum(progress)
        return cosine(self.momentum_start, self.momentum_end, progress)


def _components(targets: Sequence[Target]) -> tuple[dict[str, int], dict[str, float]]:
    """(number of values, share of the loss) of each component of all targets; shares add up to 1."""
    components: dict[str, int] = {}
    weights: dict[str, float] = {}
    for target in targets:
        if twice := components.keys() & target.components.keys():
            raise ValueError(f"MAE: two targets have a component {sorted(twice)[0]!r}; give each kind of target once")
        components |= target.components
        weights |= target.weights
    return components, component_shares(weights, components, "MAE")


def _initialise(module: nn.Module) -> None:
    """As in the authors' code: Xavier-uniform weights, zero biases."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)

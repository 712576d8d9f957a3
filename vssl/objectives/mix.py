"""`ObjectiveMix`: several objectives on one backbone."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn

from vssl.draws import Draws
from vssl.learner.backbone import TimmBackbone
from vssl.learner.teacher import EMATeacher
from vssl.objectives.base import WEIGHTS, Objective, State
from vssl.parts import build_part
from vssl.views.crops import Views


class _TeacherOfPart(NamedTuple):
    """The EMA teacher as one objective knows it: the heads that mirror its own modules, by their names there."""

    backbone: TimmBackbone
    heads: dict[str, nn.Module]


class ObjectiveMix(Objective):
    """The weighted sum of several objectives' losses; each runs the backbone on its own tokens.

    Components of the loss are called ``part/component``, e.g. ``mae/pixels`` and ``dino/cls``, so that `LossWeights`
    learns the mixture. An objective that needs fewer global crops than another takes the first ones. In a config::

        objective = dict(
            type=ObjectiveMix,
            objectives=dict(mae=dict(type=MAE), dino=dict(type=DINO, n_local_crops=4)),
            weights=dict(mae=1.0, dino=0.5),
        )

    Args:
        objectives: by name, their settings. Names are of letters, digits and _.
        weights: by name, how much each counts, above 0; 1 for those that are left out.

    Raises:
        ValueError: fewer than two objectives, weights of others, other numbers of local crops, or teachers of another
            momentum: one backbone has one teacher.
    """

    n_global_crops = 0  # as many as the parts need
    works_on = "what its parts do"
    couples_images = "where its parts do"
    paper = "the papers of its parts"

    @classmethod
    def small(cls, embed_dim: int) -> dict[str, Any]:
        from vssl.objectives.dino import DINO
        from vssl.objectives.mae import MAE

        dino = dict(type=DINO, n_local_crops=0, **DINO.small(embed_dim))
        return dict(objectives=dict(mae=dict(type=MAE, **MAE.small(embed_dim)), dino=dino), weights=dict(dino=0.5))

    def __init__(
        self,
        backbone: TimmBackbone,
        objectives: Mapping[str, Mapping[str, Any]],
        weights: Mapping[str, float] | None = None,
    ):
        super().__init__()
        weights = dict(weights or {})
        if len(objectives) < 2 or not all(name.isidentifier() for name in objectives):
            raise ValueError(f"ObjectiveMix objectives={list(objectives)}: give two or more, named by letters and _")
        if weights.keys() - objectives.keys() or not all(weight > 0 for weight in weights.values()):
            raise ValueError(
                f"ObjectiveMix weights={weights}: a number above 0 for any of {', '.join(sorted(objectives))}"
            )
        # Sorted: a saved config comes back with its keys sorted, and what the parts draw follows their order.
        built = {n: build_part(objectives[n], Objective, f"ObjectiveMix: {n}", backbone) for n in sorted(objectives)}
        self.parts = nn.ModuleDict(built)
        self._own = {name: float(weights.get(name, 1.0)) for name in built}
        self.weights = dict(self._own)
        parts = list(built.values())
        self.n_global_crops = max(part.n_global_crops for part in parts)
        local = {name: part.n_local_crops for name, part in built.items() if part.n_local_crops}
        if len(set(local.values())) > 1:
            raise ValueError(f"ObjectiveMix: n_local_crops must be one number for all that take local crops: {local}")
        self.n_local_crops = max(local.values(), default=0)
        self.uses_teacher = any(part.uses_teacher for part in parts)
        self.twice_differentiable = all(part.twice_differentiable for part in parts)
        self.needs_other_images = any(part.needs_other_images for part in parts)
        self.couples_images = "; ".join(
            f"{n}: {part.couples_images}" for n, part in built.items() if part.couples_images
        )
        self.weighs_images = all(part.weighs_images for part in parts)
        self.takes_patch_scores = any(part.takes_patch_scores for part in parts)
        self.masks_meet = any(part.masks_meet for part in parts)
        momenta = {name: tuple(map(part.teacher_momentum, (0.0, 0.5, 1.0))) for name, part in self._with_teacher()}
        if len(set(momenta.values())) > 1:
            raise ValueError(
                f"ObjectiveMix: {', '.join(momenta)} have teachers of other momentum; set teacher_momentum_start and "
                "teacher_momentum_end to the same numbers, one backbone has one teacher"
            )

    def _with_teacher(self) -> Iterator[tuple[str, Objective]]:
        return ((n, part) for n, part in self.parts.items() if part.uses_teacher)  # type: ignore[misc]  # Objectives

    def _teacher_of(self, name: str, teacher: EMATeacher) -> _TeacherOfPart:
        return _TeacherOfPart(
            teacher.backbone, {head: teacher.heads[f"{name}/{head}"] for head in self.parts[name].teacher_modules()}
        )

    def _views_of(self, part: Objective, views: Views) -> Views:
        def first(of_crops: Tensor | None) -> Tensor | None:
            return None if of_crops is None else of_crops[: part.n_global_crops]

        local, hides = bool(part.n_local_crops), part.takes_patch_scores
        return Views(
            views.global_crops[: part.n_global_crops],
            views.local_crops if local else None,
            first(views.global_boxes),
            views.local_boxes if local else None,
            first(views.patch_scores) if hides else None,
            first(views.patch_weights) if hides else None,
        )

    def begin(self, student: TimmBackbone, teacher: EMATeacher | None, views: Views, draws: Draws) -> State:
        self.crops_of(views)
        state: State = {}
        for name, part in self.parts.items():
            own = self._teacher_of(name, teacher) if part.uses_teacher else None
            begun = part.begin(student, own, self._views_of(part, views), draws)
            state |= {f"{name}/{entry}": value for entry, value in begun.items()}
        return state

    def _state_of(self, name: str, state: State) -> State:
        """Empty where the state is a `split` that the part has no share in."""
        own = {key.removeprefix(f"{name}/"): value for key, value in state.items() if key.startswith(f"{name}/")}
        return own | {WEIGHTS: state[WEIGHTS]} if own and WEIGHTS in state else own

    def finish(self, student: TimmBackbone, state: State) -> Float[Tensor, ""]:
        losses = [
            self.weights[name] * part.finish(student, own)
            for name, part in self.parts.items()
            if (own := self._state_of(name, state))
        ]
        return sum(losses[1:], losses[0])

    def loss_components(self, student: TimmBackbone, state: State) -> dict[str, Float[Tensor, "batch *axes"]]:
        return {
            f"{name}/{component}": losses
            for name, part in self.parts.items()
            if (own := self._state_of(name, state))
            for component, losses in part.loss_components(student, own).items()
        }

    def _hiding(self) -> list[tuple[str, Objective]]:
        return [(n, part) for n, part in self.parts.items() if part.takes_patch_scores]  # type: ignore[misc]

    def patch_losses(self, student: TimmBackbone, state: State) -> dict[str, Float[Tensor, " predictions"]]:
        """Those of each part that hides patches, as ``NAME/patches``.

        A part that sees fewer global crops is a mean over fewer views: its losses count as much more.
        """
        return {
            f"{name}/patches": self.weights[name]
            * (self.n_global_crops / part.n_global_crops)
            * part.patch_losses(student, self._state_of(name, state))["patches"]
            for name, part in self._hiding()
        }

    def predicted_patches(self, state: State) -> dict[str, Int[Tensor, " predictions"]]:
        return {
            f"{name}/patches": part.predicted_patches(self._state_of(name, state))["patches"]
            for name, part in self._hiding()
        }

    def component_weights(self) -> dict[str, float]:
        return {
            f"{name}/{component}": self.weights[name] * weight
            for name, part in self.parts.items()
            for component, weight in part.component_weights().items()
        }

    def weigh(self, weights: Mapping[str, float] | None) -> None:
        if weights is None:
            self.weights = dict(self._own)
            for part in self.parts.values():
                part.weigh(None)
            return
        known = self.component_weights()
        if unknown := weights.keys() - known.keys():
            raise ValueError(
                f"ObjectiveMix: the loss has no component {sorted(unknown)[0]!r}; it has {', '.join(known)}"
            )
        if not any(weights.values()):
            raise ValueError(f"ObjectiveMix: all weights are 0 ({dict(weights)}); nothing would be learned")
        for name, part in self.parts.items():
            own = {key.removeprefix(f"{name}/"): w for key, w in weights.items() if key.startswith(f"{name}/")}
            self.weights[name] = 0.0
            if not any(own.values()):
                continue
            if len(part.component_weights()) == 1:  # those of one component have no weights to set
                (component,) = part.component_weights()
                self.weights[name] = own[component] / part.component_weights()[component]
            else:
                part.weigh(own)
                self.weights[name] = sum(own.values()) / sum(part.component_weights().values())

    def hide(self, mask_ratio: float | None) -> None:
        hiding = [part for part in self.parts.values() if part.own_mask_ratio() is not None]
        if mask_ratio is not None and not hiding:
            super().hide(mask_ratio)
        for part in hiding:
            part.hide(mask_ratio)

    def own_mask_ratio(self) -> float | None:
        """That of the one part that hides patches; None where several hide other shares."""
        ratios = {ratio for part in self.parts.values() if (ratio := part.own_mask_ratio()) is not None}
        return ratios.pop() if len(ratios) == 1 else None

    def split(self, state: State) -> tuple[State, State | None]:
        first = {WEIGHTS: state[WEIGHTS]} if WEIGHTS in state else {}
        rest: State = {}
        for name, part in self.parts.items():
            halves = part.split({k: v for k, v in self._state_of(name, state).items() if k != WEIGHTS})
            for into, half in zip((first, rest), halves, strict=True):
                into |= {f"{name}/{entry}": value for entry, value in (half or {}).items()}
        if not rest:
            return state, None
        return first, rest | ({WEIGHTS: state[WEIGHTS]} if WEIGHTS in state else {})

    def _first_with_teacher(self) -> tuple[str, Objective] | None:
        return next(self._with_teacher(), None)

    def answers(self, teacher: EMATeacher, views: Views) -> Float[Tensor, "rows prototypes"]:
        """Of the first part, by name, that has a teacher."""
        found = self._first_with_teacher()
        if found is None:
            return super().answers(teacher, views)
        name, part = found
        return part.answers(self._teacher_of(name, teacher), self._views_of(part, views))

    def targets_of(self, state: State) -> Float[Tensor, "rows prototypes"] | None:
        """Of the first part, by name, that has any."""
        every = (part.targets_of(self._state_of(name, state)) for name, part in self.parts.items())
        return next((targets for targets in every if targets is not None), None)

    def transformer_blocks(self) -> Iterable[nn.Module]:
        return [block for part in self.parts.values() for block in part.transformer_blocks()]

    def teacher_modules(self) -> dict[str, nn.Module]:
        return {
            f"{name}/{head}": module
            for name, part in self._with_teacher()
            for head, module in part.teacher_modules().items()
        }

    def teacher_momentum(self, progress: float) -> float:
        found = self._first_with_teacher()
        return super().teacher_momentum(progress) if found is None else found[1].teacher_momentum(progress)

    def on_step(self, step: int, progress: float) -> None:
        for part in self.parts.values():
            part.on_step(step, progress)

    def before_optimizer_step(self) -> None:
        for part in self.parts.values():
            part.before_optimizer_step()

    def update(self, state: State) -> None:
        for name, part in self.parts.items():
            part.update(self._state_of(name, state))

    def follow(self, teacher: EMATeacher) -> None:
        for name, part in self._with_teacher():
            part.follow(self._teacher_of(name, teacher))

"""The meta-gradient: how the value of a learner step changes with the designer φ.

∂f(g_pre)/∂φ is a mixed second derivative of the SSL loss, in φ and in θ_S. Only the tail of the learner (last K
blocks, final norm, SSL head, loss) depends on θ_S, and φ enters the tail only through its inputs, the `state`. So
all estimators work on the tail alone and return one cotangent per φ-dependent state tensor; an ordinary first-order
backward then carries them once through trunk and views into φ (`MetaGradient.backward`).

- `double_backward`: exact; needs twice-differentiable operations in the tail; safe under bf16 autocast.
- `central_difference`: two more first-order passes of the tail, any attention kernel; smooth tail, fp32 only.
- `forward_difference`: one more pass instead of two; the same limits, an error of first order in the step.

The differences look at how far their step moved the gradient, and repeat one that moved it too far (truncation) or not
far enough (rounding) with a better step; see `StepRule`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from vssl.value.products import Gradient, check_same_parameters, dot, norm, or_one
from vssl.value.rules import Valued

State = Mapping[str, Tensor]
"""Inputs of the tail. Those that require a gradient are taken to depend on φ; the others are constants."""

Tail = Callable[[dict[str, Tensor], dict[str, Tensor]], Tensor]
"""tail(state, params): the scalar SSL loss, θ_S being `params`. See `functional_tail`."""


@dataclass
class MetaGradient:
    """Value of the step and its derivative at the tail's inputs.

    value: f(g_pre), scalar. loss: the tail's SSL loss, scalar. g_pre, v: one tensor per parameter of S.
    cotangents: ∂value/∂state by name, for the state tensors that require a gradient. All detached.
    """

    value: Float[Tensor, ""]
    loss: Float[Tensor, ""]
    g_pre: list[Tensor]
    v: list[Tensor]
    cotangents: dict[str, Tensor]

    def backward(self, state: State, inputs: Iterable[Tensor], penalty: Tensor | None = None) -> None:
        """Add the gradient of ``penalty − value`` to ``.grad`` of `inputs` (φ), through trunk and views once.

        Naming `inputs` keeps the trunk's weights out of it: their gradients are neither computed nor stored.

        Args:
            state: the same tensors that the estimator was given, with their graph to φ.
            inputs: the designer's parameters.
            penalty: a scalar with a graph to φ, e.g. a mask's regulariser; ignored when it has no graph.
        """
        roots = [state[name] for name in self.cotangents]
        cotangents = [-c for c in self.cotangents.values()]
        if penalty is not None and penalty.requires_grad:
            roots, cotangents = [*roots, penalty], [*cotangents, torch.ones_like(penalty)]
        inputs = [p for p in inputs if p.requires_grad]
        if roots and inputs:
            torch.autograd.backward(roots, cotangents, inputs=inputs)


@dataclass(frozen=True)
class StepRule:
    """Chooses the step of a difference by τ = ‖g(θ_S + εv) − g(θ_S)‖ / ‖g(θ_S)‖, g being the gradient at the state.

    Rounding disturbs g by some units in its last place, u·‖g‖, whatever kernel made it; divided by the change τ·‖g‖ it
    is an error of u/τ. Truncation is of the order of τ (forward) or τ² (central). Both balance near τ = √u or ∛u.
    ‖θ_S‖ says nothing of either: one relative step moves the gradient of one tail ten times as far as another's.

    The first try is at `start`, relative to ‖θ_S‖ / ‖v‖. Where τ is within a factor `slack` of u^`power`, it counts;
    otherwise the pass is repeated once, with ε scaled by u^`power`/τ.
    """

    start: float
    power: float
    slack: float

    def correction(self, here: list[Tensor], ahead: list[Tensor], reduce: Callable | None = None) -> float:
        """What to multiply ε by, given g at θ_S and at θ_S + εv; 1 where the step is good as it is.

        Each tensor of the state has a τ of its own, since their units differ; the one that moves most decides.
        `reduce` averages over ranks: all must take the same step, and as many passes, for a tail may gather.
        """
        if not here:
            return 1.0
        squares = [torch.stack([norm([g]) ** 2 for g in gradients]) for gradients in (_minus(ahead, here), here)]
        change, length = squares if reduce is None else reduce(squares)
        moved = float((change / length.where(length > 0, torch.inf)).max().sqrt())
        if not bool((length > 0).any()):
            return 1.0
        precision = 4 * torch.finfo(here[0].dtype).eps  # u: g is off by a few units in its last place
        factor = precision**self.power / max(moved, 1e-30)
        # Bounded: a gradient that does not move has no better step, and below some 1e-5 of ‖θ_S‖ the moved weights'
        # own rounding is felt.
        return 1.0 if 1 / self.slack <= factor <= self.slack else min(max(factor, 0.04), 100.0)


CENTRAL = StepRule(start=2e-3, power=1 / 3, slack=4.0)
FORWARD = StepRule(start=5e-4, power=1 / 2, slack=1.5)


def double_backward(
    state: State,
    tail: Tail,
    params: Mapping[str, Tensor],
    rule: Callable[[list[Tensor]], Valued],
    rest: Gradient | None = None,
    reduce: Callable[[list[Tensor]], list[Tensor]] | None = None,
    whole: Gradient | None = None,
) -> MetaGradient:
    """Exact meta-gradient: differentiate ⟨v, g_pre⟩ with g_pre's graph kept. Math attention in the tail only.

    Args:
        state: inputs of the tail.
        tail: the SSL loss as a function of state and θ_S.
        params: θ_S by name; its order is the order of every gradient here.
        rule: g_pre → (value, v), already holding g_down: ``functools.partial(Cosine(), g_down)``.
        rest: gradient over `params` of loss terms that do not depend on φ (e.g. DINO's local crops), added to g_pre
            before the rule sees it: the value is that of the whole step, and its derivative stays exact.
        reduce: averages g_pre over ranks before the rule sees it; cotangents stay this rank's own.
        whole: g_pre of the batch that the state is one of several equal parts of, over all ranks. The rule sees it in
            place of the state's own; cotangents are those of the state's own, and count one over the number of parts.

    Example::

        >>> from vssl.value import Dot
        >>> phi = torch.tensor(3.0, requires_grad=True)
        >>> tail = lambda state, params: 0.5 * (params["w"] - state["target"]).square().sum()
        >>> state = {"target": phi * torch.ones(2)}  # what φ makes
        >>> g_down = [torch.tensor([1.0, 0.0])]
        >>> found = double_backward(state, tail, {"w": torch.zeros(2)}, lambda g_pre: Dot()(g_down, g_pre, None))
        >>> float(found.value)  # ⟨g_down, w − target⟩
        -3.0
        >>> found.backward(state, [phi])  # adds −∂value/∂φ
        >>> float(phi.grad)
        1.0
    """
    params = _leaves(params, requires_grad=True)
    state = _inputs(state, track=True)
    with sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
        loss = tail(state, params)
        gradient = torch.autograd.grad(loss, list(params.values()), create_graph=True, materialize_grads=True)
        g_pre = _whole(gradient, rest, reduce) if whole is None else list(whole)
        value, v = rule(g_pre)
        wanted = [s for s in state.values() if s.requires_grad]
        cotangents = _gradient(dot(v, [_at_least_fp32(g) for g in gradient]), wanted)
    return MetaGradient(value, loss.detach(), g_pre, v, _named(state, cotangents))


def central_difference(
    state: State,
    tail: Tail,
    params: Mapping[str, Tensor],
    rule: Callable[[list[Tensor]], Valued],
    rest: Gradient | None = None,
    reduce: Callable[[list[Tensor]], list[Tensor]] | None = None,
    whole: Gradient | None = None,
    relative_step: float | None = None,
) -> MetaGradient:
    """Meta-gradient by central difference along v: [∇_state L(θ_S + εv) − ∇_state L(θ_S − εv)] / 2ε.

    One pass for g_pre (weights only) and two for the difference (inputs only), all with the same random numbers, so
    that drop-path and dropout agree. ε = relative_step · ‖θ_S‖ / ‖v‖. With None, the default, `StepRule` chooses it,
    which costs one input pass more where its first try is bad. The other arguments are those of `double_backward`.
    Errors by step and by rounding mode are in docs/value.md.

    The tail must be smooth. Whatever ReLUs switch between the two points end up in the difference, divided by 2ε:
    with a ReLU in SimCLR's head the cosine to the exact gradient falls below 0.95 at every step.

    Raises:
        ValueError: under autocast or with half-precision tensors, where the difference of two rounded gradients is
            noise (cosine to the exact gradient 0.03 to 0.94 in bf16).
    """
    return _difference(state, tail, params, rule, rest, reduce, whole, relative_step, central=True)


def forward_difference(
    state: State,
    tail: Tail,
    params: Mapping[str, Tensor],
    rule: Callable[[list[Tensor]], Valued],
    rest: Gradient | None = None,
    reduce: Callable[[list[Tensor]], list[Tensor]] | None = None,
    whole: Gradient | None = None,
    relative_step: float | None = None,
) -> MetaGradient:
    """The cheapest estimate: [∇_state L(θ_S + εv) − ∇_state L(θ_S)] / ε, the second term from the pass for g_pre.

    One pass of the tail fewer than `central_difference`, with an error of order ε instead of ε²; hence the smaller
    step. Where the step that is tried first has to be corrected it costs one pass more, as much as
    `central_difference`. Its cosine to the exact gradient was above 0.9999 on small ViTs.
    Arguments, errors and limits are those of `central_difference`.
    """
    return _difference(state, tail, params, rule, rest, reduce, whole, relative_step, central=False)


def _difference(
    state, tail, params, rule, rest, reduce, whole: Gradient | None, relative_step: float | None, central: bool
) -> MetaGradient:
    _refuse_low_precision(state, params, "central_difference" if central else "forward_difference")
    steps, chosen = CENTRAL if central else FORWARD, relative_step is None
    random_state = _random_state({t.device for t in (*state.values(), *params.values()) if t.device.type == "cuda"})
    with _exact_matmul(), torch.enable_grad():
        leaves, inputs = _leaves(params, requires_grad=True), _inputs(state, track=chosen or not central)
        wanted = [s for s in inputs.values() if s.requires_grad]
        loss = tail(inputs, leaves)
        gradient = torch.autograd.grad(loss, [*leaves.values(), *wanted], materialize_grads=True)
        g_pre = _whole(gradient[: len(leaves)], rest, reduce) if whole is None else list(whole)
        here = list(gradient[len(leaves) :])
        value, v = rule(g_pre)
        if not any(s.requires_grad for s in state.values()):  # φ weighs the loss and does not reach the state
            return MetaGradient(value, loss.detach(), g_pre, v, {})
        length = norm(v)
        unit = or_one(norm(list(params.values()))) / or_one(length)

        def gradient_at(distance: Tensor) -> list[Tensor]:
            _set_random_state(random_state)
            moved = {n: p.detach() + distance * d for (n, p), d in zip(params.items(), v, strict=True)}
            inputs = _inputs(state, track=True)
            return _gradient(tail(inputs, moved), [s for s in inputs.values() if s.requires_grad])

        step = (steps.start if chosen else relative_step) * unit
        ahead = gradient_at(step)
        if chosen and length > 0 and (factor := steps.correction(here, ahead, reduce)) != 1:
            step = factor * step
            ahead = gradient_at(step)
        behind = gradient_at(-step) if central else here
        # v = 0 moves nothing: the factor keeps kernels that do not repeat bit for bit from leaving noise there.
        scale = (length > 0) / (2 * step if central else step)
        cotangents = [difference * scale for difference in _minus(ahead, behind)]
    return MetaGradient(value, loss.detach(), g_pre, v, _named(state, cotangents))


def parameter_gradient(state: State, tail: Tail, params: Mapping[str, Tensor]) -> list[Tensor]:
    """∂tail/∂θ_S, detached, one tensor per parameter: what the estimators take as `rest`."""
    leaves = _leaves(params, requires_grad=True)
    with torch.enable_grad():
        loss = tail(_inputs(state, track=False), leaves)
        return _whole(torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True), None, None)


def functional_tail(objective: nn.Module, student: nn.Module) -> Tail:
    """``objective.finish(student, state)`` as a function of state and θ_S, for the estimators.

    The modules are left as they were: perturbed weights never touch the student's own, buffers that a pass writes
    (batch statistics) are copies, and blocks are not recomputed in the backward pass, which would take place after the
    student has its own weights back and so silently at the wrong θ_S.
    """
    return _functional(_Method(objective, student, "finish"))


def functional_components(objective: nn.Module, student: nn.Module) -> Callable[..., dict[str, Tensor]]:
    """``objective.loss_components(student, state)`` as a function of state and θ_S: see `functional_tail`, `credit`."""
    return _functional(_Method(objective, student, "loss_components"))


def functional_patch_losses(objective: nn.Module, student: nn.Module) -> Callable[..., dict[str, Tensor]]:
    """``objective.patch_losses(student, state)`` as a function of state and θ_S."""
    return _functional(_Method(objective, student, "patch_losses"))


def _functional(whole: "_Method") -> Callable:
    def tail(state: dict[str, Tensor], params: dict[str, Tensor]) -> Any:
        weights = {f"student.{name}": p for name, p in params.items()}
        buffers = {name: b.clone() for name, b in whole.named_buffers()}
        with _without_recomputation(whole):
            return functional_call(whole, {**weights, **buffers}, (state,))

    return tail


class _Method(nn.Module):
    def __init__(self, objective: nn.Module, student: nn.Module, name: str):
        super().__init__()
        self.objective, self.student, self.name = objective, student, name
        self.training = objective.training

    def forward(self, state: dict[str, Tensor]) -> Any:
        return getattr(self.objective, self.name)(self.student, state)


@contextmanager
def _without_recomputation(whole: nn.Module) -> Iterator[None]:
    recomputing = [m for m in whole.modules() if getattr(m, "grad_checkpointing", False)]
    for module in recomputing:
        module.grad_checkpointing = False  # type: ignore[assignment]  # not a submodule
    try:
        yield
    finally:
        for module in recomputing:
            module.grad_checkpointing = True  # type: ignore[assignment]


@contextmanager
def _exact_matmul() -> Iterator[None]:
    """Full fp32 in matrix products: TF32 would round the two gradients as coarsely as half precision does."""
    before = torch.get_float32_matmul_precision()
    if before == "highest":  # torch.compile takes even the same setting for a new one and would compile all again
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _whole(gradient: Sequence[Tensor], rest: Gradient | None, reduce: Callable | None) -> list[Tensor]:
    g_pre = [_at_least_fp32(g.detach()) for g in gradient]
    if rest is not None:
        check_same_parameters(g_pre, rest)
        g_pre = [g + r for g, r in zip(g_pre, rest, strict=True)]
    # Clones: an in-place all-reduce must not write into a gradient that still has a graph.
    return g_pre if reduce is None else list(reduce([g.clone() for g in g_pre]))


def _minus(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
    return [x - y for x, y in zip(a, b, strict=True)]


def _inputs(state: State, track: bool) -> dict[str, Tensor]:
    return {name: s.detach().requires_grad_(track and s.requires_grad) for name, s in state.items()}


def _leaves(params: Mapping[str, Tensor], requires_grad: bool) -> dict[str, Tensor]:
    return {name: p.detach().requires_grad_(requires_grad) for name, p in params.items()}


def _gradient(output: Tensor, wanted: list[Tensor]) -> list[Tensor]:
    """∂output/∂wanted, zeros for what `output` does not depend on; empty for a construction without φ."""
    if not wanted or not output.requires_grad:
        return [torch.zeros_like(w) for w in wanted]
    return [g.detach() for g in torch.autograd.grad(output, wanted, materialize_grads=True)]


def _named(state: State, cotangents: list[Tensor]) -> dict[str, Tensor]:
    return dict(zip([n for n, s in state.items() if s.requires_grad], cotangents, strict=True))


def _at_least_fp32(g: Tensor) -> Tensor:
    return g if g.dtype == torch.float64 else g.float()


def _refuse_low_precision(state: State, params: Mapping[str, Tensor], estimator: str) -> None:
    for kind in {t.device.type for t in (*state.values(), *params.values())}:
        if torch.is_autocast_enabled(kind):
            raise ValueError(
                f"{estimator} under {torch.get_autocast_dtype(kind)} autocast on {kind}: the difference of two "
                "rounded gradients is noise. Leave autocast around the tail, or use double_backward"
            )
    for name, t in (*state.items(), *params.items()):
        if t.dtype in (torch.float16, torch.bfloat16):
            raise ValueError(
                f"{estimator}: {name} is {t.dtype}, float32 is needed. Cast it to float32 or use double_backward"
            )


def _random_state(devices: set[torch.device]) -> dict[torch.device, Tensor]:
    return {torch.device("cpu"): torch.get_rng_state()} | {d: torch.cuda.get_rng_state(d) for d in devices}


def _set_random_state(random_state: dict[torch.device, Tensor]) -> None:
    for device, numbers in random_state.items():
        torch.set_rng_state(numbers) if device.type == "cpu" else torch.cuda.set_rng_state(numbers, device)

"""How a head is fitted, and fitting it on features computed once (dense/runner.py: by mmengine's Runner)."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

import torch
from mmengine.optim import CosineAnnealingLR, LinearLR, PolyLR, build_optim_wrapper
from torch import Tensor, nn

from vssl.probes.dense.curves import Curve, CurveLR, CurveMomentum
from vssl.probes.setting_checks import check_settings

Loss = Callable[[Sequence[Tensor], Tensor], Tensor]  # (features of a batch by layer, targets of a batch) → scalar


@dataclass(frozen=True)
class FullBatch:
    """Minimise the loss over the whole training split with L-BFGS: for a linear head a convex problem, solved.

    Nothing is left to chance (no batches, no learning rate to tune), so that a score's spread is the backbone's own.
    The head's norm takes the exact statistics of the training split. Only for features computed once.

    Attributes:
        iterations: of L-BFGS, with strong Wolfe line search.
        l2: adds l2/2·‖weights‖² of the convolution or linear layer, which bounds the solution for separable classes.

    Example::

        >>> build_schedule(dict(type=FullBatch, iterations=200, l2=1e-4)).iterations
        200
    """

    iterations: int = 60
    l2: float = 1e-4

    def fit(self, head: nn.Module, loss: Loss, features: Sequence[Tensor], targets: Tensor, seed: int) -> float:
        """Train `head` on features held in memory (one tensor per layer); returns the loss without the l2 term."""
        device = next(head.parameters()).device
        features, targets = [f.to(device, torch.float32) for f in features], targets.to(device)
        self.set_statistics(head, lambda: loss(features, targets))
        return self.minimise(head, lambda: loss(features, targets))

    def minimise(self, head: nn.Module, loss: Callable[[], Tensor]) -> float:
        """The same, where the norm has its statistics already and `loss` knows the features."""
        weights = [p for p in head.parameters() if p.ndim > 1]
        optimizer = torch.optim.LBFGS(
            head.parameters(), max_iter=self.iterations, history_size=20, line_search_fn="strong_wolfe"
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            value = loss() + self.l2 / 2 * sum(w.square().sum() for w in weights)
            value.backward()
            return value

        optimizer.step(closure)
        with torch.no_grad():
            return finite(loss(), "after L-BFGS; are the backbone's features finite?")

    @torch.no_grad()
    def set_statistics(self, head: nn.Module, run: Callable[[], object]) -> None:
        """Give the norms of `head` the statistics of what they see in `run`; ValueError for a head with dropout."""
        if any(isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0 for m in head.modules()):
            raise ValueError("FullBatch takes no dropout (its loss would be random); set dropout_ratio=0 or a Schedule")
        for norm in (m for m in head.modules() if isinstance(m, nn.modules.batchnorm._NormBase)):
            norm.reset_running_stats()
            norm.momentum = None  # cumulative: after one pass over everything, exact
        head.train()
        run()
        head.eval()

    def card(self) -> dict:
        return {"optimizer": "L-BFGS, strong Wolfe", **asdict(self), "batch_size": "whole split", "checkpoint": "last"}


@dataclass(frozen=True)
class Schedule:
    """How a head is optimised: linear warm-up, then down to 0; the last step counts.

    Attributes:
        optimizer: mmengine optimizer config, `type` being the class or its name.
        steps, warmup_steps: optimizer steps.
        batch_size: images a step; None takes every image in every step, which makes the fit deterministic.
        clip_norm: gradient clipping, None for none.
        decay: ``"cosine"`` or ``"linear"``, after the warm-up.
        curve: in place of linear warm-up and `decay`, a published schedule with its quirks: the settings of a class of
            vssl/probes/dense/curves.py, ``type`` being the class.
    """

    optimizer: dict = field(default_factory=lambda: dict(type=torch.optim.AdamW, lr=1e-3, weight_decay=1e-3))
    steps: int = 1000
    batch_size: int | None = 16
    warmup_steps: int = 0
    clip_norm: float | None = None
    decay: str = "cosine"
    curve: dict | None = None

    def __post_init__(self):
        self.built_curve()
        if self.decay not in ("cosine", "linear"):
            raise ValueError(f"decay={self.decay!r}; 'cosine' or 'linear' is needed")
        if not 0 <= self.warmup_steps < self.steps or (self.batch_size is not None and self.batch_size < 1):
            raise ValueError(f"{self}: steps must exceed warmup_steps, and batch_size must be positive or None")

    def optim_wrapper(self) -> dict:
        clip = {} if self.clip_norm is None else dict(clip_grad=dict(max_norm=self.clip_norm))
        return dict(type="OptimWrapper", optimizer=dict(self.optimizer), **clip)

    def built_curve(self) -> Curve | None:
        if self.curve is None:
            return None
        settings = dict(self.curve)
        kind = settings.pop("type")
        check_settings(kind, settings, "curve of the schedule")
        return kind(**settings)

    def param_schedulers(self) -> list[dict]:
        if (curve := self.built_curve()) is not None:
            kinds = [CurveLR] if curve.momentum(0, self.steps, self.warmup_steps) is None else [CurveLR, CurveMomentum]
            shared = dict(curve=curve, steps=self.steps, warmup_steps=self.warmup_steps, end=self.steps, by_epoch=False)
            return [dict(type=kind, **shared) for kind in kinds]
        after = dict(begin=self.warmup_steps, by_epoch=False)
        if self.decay == "cosine":
            decay = dict(type=CosineAnnealingLR, T_max=self.steps - self.warmup_steps, end=self.steps, **after)
        else:  # one further step: mmengine's reaches 0 in its last, which would then train nothing
            decay = dict(type=PolyLR, power=1.0, end=self.steps + 1, **after)
        warmup = dict(type=LinearLR, start_factor=1 / max(self.warmup_steps, 1), end=self.warmup_steps, by_epoch=False)
        return [warmup, decay] if self.warmup_steps else [decay]

    def fit(self, head: nn.Module, loss: Loss, features: Sequence[Tensor], targets: Tensor, seed: int) -> float:
        """Train `head` on features held in memory (one tensor per layer); returns the loss of the last step."""
        optim = build_optim_wrapper(head, self.optim_wrapper())
        schedulers = []
        for config in self.param_schedulers():
            kind = config.pop("type")
            schedulers.append(kind(optim, **config))
        head.train()
        value = torch.zeros(())
        device = next(head.parameters()).device  # features on disk come to it batch by batch
        for rows in self.rows(len(targets), seed):
            value = loss([f[rows].to(device, torch.float32) for f in features], targets[rows].to(device))
            optim.update_params(value)
            for scheduler in schedulers:
                scheduler.step()
        head.eval()
        return finite(value, f"after {self.steps} steps; lower its learning rate")

    def rows(self, images: int, seed: int) -> Iterator[Tensor | slice]:
        """Which images each step takes."""
        size = min(self.batch_size or images, images)
        if size == images:
            yield from [slice(None)] * self.steps
            return
        generator = torch.Generator().manual_seed(seed)
        order = torch.empty(0, dtype=torch.long)
        for _ in range(self.steps):
            while len(order) < size:  # epochs run into each other, so that every batch is full
                order = torch.cat([order, torch.randperm(images, generator=generator)])
            rows, order = order[:size], order[size:]
            yield rows

    def card(self) -> dict:
        card, curve = {**asdict(self), "optimizer": _named(self.optimizer), "checkpoint": "last"}, self.built_curve()
        if curve is None:
            del card["curve"]
            return card | {"schedule": f"linear warm-up, {self.decay} to 0"}
        del card["decay"]
        return card | {"curve": _named(self.curve), "schedule": curve.words()}


def _named(settings: dict) -> dict:
    return {k: getattr(v, "__name__", v) for k, v in settings.items()}


def build_schedule(config: dict | None) -> "FullBatch | Schedule":
    """From a config whose `type` is one of the two classes (default: `Schedule`)."""
    settings = dict(config or {})
    kind = settings.pop("type", Schedule)
    check_settings(kind, settings, "schedule")
    return kind(**settings)


def finite(value: Tensor, hint: str) -> float:
    """The loss as a number; FloatingPointError when it is none."""
    number = value.item()
    if not math.isfinite(number):
        raise FloatingPointError(f"the probe's loss is {number} {hint}")
    return number

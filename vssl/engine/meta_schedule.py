"""When meta steps come."""

from torch import Tensor
from torch.optim import Optimizer


class MetaSchedule:
    """Meta steps at `burn_in`, and then every `period` learner steps until `freeze_after`.

    Args:
        optimizer: of φ, or None for a designer that steps itself.
        period: r, learner steps between designer updates.
        burn_in: learner steps before the first one.
        warmup: updates over which φ's learning rate rises linearly to its own.
        freeze_after: learner step from which φ stays as it is; None for never.
        g_down_every: meta steps that share one g_down.
    """

    def __init__(
        self,
        optimizer: Optimizer | None,
        period: int = 4,
        burn_in: int = 0,
        warmup: int = 0,
        freeze_after: int | None = None,
        g_down_every: int = 1,
    ):
        if period < 1 or g_down_every < 1 or burn_in < 0 or warmup < 0:
            raise ValueError(
                f"value: period={period} and g_down_every={g_down_every} must be >= 1, burn_in={burn_in} and "
                f"warmup={warmup} >= 0"
            )
        self.period, self.burn_in, self.warmup, self.freeze_after = period, burn_in, warmup, freeze_after
        self.g_down_every, self.optimizer = g_down_every, optimizer
        self.credit: dict[str, Tensor] = {}
        """Of the last meta step: ∂V/∂weight of each component of the loss; empty where the weights are not learned."""
        self._peaks = [group["lr"] for group in optimizer.param_groups] if optimizer else []

    def due(self, step: int) -> bool:
        frozen = self.freeze_after is not None and step >= self.freeze_after
        return not frozen and step >= self.burn_in and (step - self.burn_in) % self.period == 0

    def renews_g_down(self, step: int) -> bool:
        """Whether the meta step that is due at `step` takes g_down anew."""
        return (step - self.burn_in) // self.period % self.g_down_every == 0

    def follow_warmup(self, step: int) -> None:
        """Set φ's learning rate for the meta step that is due at `step`."""
        done = (step - self.burn_in) // self.period + 1
        for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * min(1.0, done / self.warmup) if self.warmup else peak

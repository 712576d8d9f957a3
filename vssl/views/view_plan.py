"""How one view is made: a crop window, then an ordered list of gated operations.

The same three steps serve the fixed recipes and the learned policies, so that a policy at its initial values is the
recipe, bit for bit:
  1. `ViewPlan.draw`     uniform numbers, the same whatever was learned;
  2. a `Distribution`    turns them into magnitudes and gates; constants of the plan, or learned;
  3. `render`            applies the window and the operations.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vssl.draws import Draws
from vssl.views.ops import Magnitude, Op
from vssl.views.window import FILTERS

# The window is four magnitudes, in this order, and the flip a gate.
AREA = Magnitude("area", low=0.01, high=1.0, identity=1.0, unit="fraction of the image's area")
LOG_RATIO = Magnitude("log_ratio", low=-math.log(4), high=math.log(4), identity=0.0, unit="log(width / height)")
X = Magnitude("x", low=0.0, high=1.0, identity=0.5, unit="fraction of the room, 0 = left")
Y = Magnitude("y", low=0.0, high=1.0, identity=0.5, unit="fraction of the room, 0 = top")
WINDOW = (AREA, LOG_RATIO, X, Y)
FLIP = "flip"
TRIES = 10  # torchvision's


@dataclass(frozen=True)
class GatedOp:
    """An operation with its gate and the range from which its magnitude is drawn.

    Args:
        low, high: the magnitude is uniform between them; both in the op's range.
        probability: with which the op is applied, per image.
        gate: ops of one view with the same gate name are behind one gate and open together (colour jitter is four
            ops behind one). Default: a gate of its own, named like the op.

    Raises:
        ValueError: a magnitude outside the op's range, or a probability outside [0, 1].
    """

    op: Op
    low: float
    high: float
    probability: float = 1.0
    gate: str | None = None

    def __post_init__(self):
        self.op.check(self.low, "lowest magnitude")
        self.op.check(self.high, "highest magnitude")
        check_probability(self.probability, self.op.name)

    @property
    def gate_name(self) -> str:
        """What opens the op: its own name, unless it shares a gate."""
        return self.gate or self.op.name


@dataclass(frozen=True)
class ViewPlan:
    """One view: `size`×`size` pixels of a random window, perhaps flipped, then `ops` in their order.

    Args:
        size: side of the view, pixels.
        ops: applied in this order.
        area: range of the window's share of the image's area.
        log_ratio: range of the logarithm of the window's width / height.
        x, y: range of the window's place in the room that it leaves (0 = left or top, 1 = right or bottom).
        flip: probability of mirroring left to right.
        interpolation: of the window, "bilinear" or "bicubic".
        redraw: draw area and shape again where the window does not fit into the image (torchvision's rule, ten tries);
            False clips it. A window is judged on a square image and by the plan's own ranges: a policy that moves them
            starts from the same numbers, and what it makes too large is clipped.

    Raises:
        ValueError: a number outside its range, an unknown interpolation, two ops with the same name, or ops behind one
            gate with several probabilities.
    """

    size: int
    ops: tuple[GatedOp, ...] = ()
    area: tuple[float, float] = (0.32, 1.0)
    log_ratio: tuple[float, float] = (math.log(3 / 4), math.log(4 / 3))
    x: tuple[float, float] = (0.0, 1.0)
    y: tuple[float, float] = (0.0, 1.0)
    flip: float = 0.5
    interpolation: str = "bilinear"
    redraw: bool = False

    def __post_init__(self):
        if self.interpolation not in FILTERS:
            raise ValueError(f"interpolation={self.interpolation!r} of a view; one of {sorted(FILTERS)} is needed")
        if self.size < 1:
            raise ValueError(f"size={self.size}: a view needs at least one pixel a side")
        for magnitude, (low, high) in zip(WINDOW, self.window, strict=True):
            magnitude.check(low, "lowest value")
            magnitude.check(high, "highest value")
        check_probability(self.flip, FLIP)
        names = [gated.op.name for gated in self.ops]
        if len(set(names)) < len(names):
            raise ValueError(f"an op may appear once in a view, got {names}")
        probabilities = {gated.gate_name: gated.probability for gated in self.ops}
        for gated in self.ops:
            if gated.probability != probabilities[gated.gate_name]:
                raise ValueError(
                    f"{gated.op.name} has probability {gated.probability:g}, another op behind the gate "
                    f"{gated.gate_name!r} {probabilities[gated.gate_name]:g}; a gate has one probability"
                )

    @property
    def window(self) -> tuple[tuple[float, float], ...]:
        """The range from which each magnitude of `WINDOW` is drawn."""
        return (self.area, self.log_ratio, self.x, self.y)

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """The range from which each of `magnitudes` is drawn."""
        return (*self.window, *((gated.low, gated.high) for gated in self.ops))

    @property
    def probabilities(self) -> tuple[float, ...]:
        """The probability of each of `gates`."""
        return (self.flip, *{gated.gate_name: gated.probability for gated in self.ops}.values())

    @property
    def magnitudes(self) -> tuple[Magnitude, ...]:
        """What the columns of magnitudes are: the window's, then one per op."""
        return (*WINDOW, *(gated.op for gated in self.ops))

    @property
    def gates(self) -> tuple[str, ...]:
        """What the columns of gates are: the flip, then the gates of the ops, each once."""
        return (FLIP, *dict.fromkeys(gated.gate_name for gated in self.ops))

    @property
    def gate_columns(self) -> tuple[int, ...]:
        """Which column of gates each op is behind."""
        return tuple(self.gates.index(gated.gate_name) for gated in self.ops)

    def distribution(self, device: torch.device | str = "cpu") -> "Distribution":
        """The plan's own, fixed distribution; one row for all images."""
        low, high = torch.tensor(self.ranges, dtype=torch.float32, device=device).unbind(1)
        probability = torch.tensor(self.probabilities, dtype=torch.float32, device=device)
        return Distribution(low.unsqueeze(0), high.unsqueeze(0), probability.unsqueeze(0))

    def at(self, distribution: "Distribution") -> "ViewPlan":
        """This plan with the numbers of a distribution that has one row; float32 values are kept exactly."""
        low, high, probability = (values.detach().double().cpu().squeeze(0).tolist() for values in distribution)
        area, log_ratio, x, y, *ranges = zip(low, high, strict=True)
        ops = [
            replace(gated, low=low, high=high, probability=probability[column])
            for gated, (low, high), column in zip(self.ops, ranges, self.gate_columns, strict=True)
        ]
        return replace(self, ops=tuple(ops), area=area, log_ratio=log_ratio, x=x, y=y, flip=probability[0])

    def draw(self, batch: int, draws: Draws) -> "Numbers":
        """The random numbers for a batch of this view."""
        magnitudes = draws.uniform(batch, len(self.magnitudes))
        if self.redraw:
            magnitudes[:, :2] = self._first_fitting(magnitudes[:, :2], draws)
        gates = draws.uniform(batch, len(self.gates))
        size = (self.size, self.size)
        noise = tuple(g.op.noise(draws, batch, size) if g.op.noise else None for g in self.ops)
        return Numbers(magnitudes, gates, noise)

    def _first_fitting(self, first: Float[Tensor, "batch 2"], draws: Draws) -> Float[Tensor, "batch 2"]:
        """Of ten tries at (area, log_ratio) the first that fits; the last where none does."""
        tries = torch.cat([first[:, None], draws.uniform(len(first), TRIES - 1, 2)], dim=1)
        low, high = torch.tensor(self.window[:2], dtype=tries.dtype, device=tries.device).unbind(1)
        area, log_ratio = (low + tries * (high - low)).unbind(2)
        fits = area.log() + log_ratio.abs() <= 0  # √(area · ratio) ≤ 1 and √(area / ratio) ≤ 1
        fits[:, -1] = True
        return tries[torch.arange(len(first), device=tries.device), fits.int().argmax(1)]


class Numbers(NamedTuple):
    """The random numbers of one view: nothing learned has touched them."""

    magnitudes: Float[Tensor, "batch magnitudes"]
    gates: Float[Tensor, "batch gates"]
    noise: tuple[Tensor | None, ...]


class Distribution(NamedTuple):
    """What magnitudes and gates are drawn from, one row per image or one row for all.

    low, high: the magnitudes are uniform between them, in their units; probability: of each gate.
    """

    low: Float[Tensor, "rows magnitudes"]
    high: Float[Tensor, "rows magnitudes"]
    probability: Float[Tensor, "rows gates"]

    def magnitudes(self, numbers: Numbers) -> Float[Tensor, "batch magnitudes"]:
        return self.low + numbers.magnitudes * (self.high - self.low)


def check_probability(value: float, name: str) -> None:
    """Raises ValueError when the probability of `name` is not in [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"probability of {name} is {value:g}; it must be in [0, 1]")

"""MAE's target by frequency: luma and chroma of a patch in octaves of its cosine transform, each at unit variance."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from kornia.color import rgb_to_ycbcr
from scipy.fft import dct
from torch import Tensor

from vssl.distributed import average
from vssl.learner.backbone import TimmBackbone
from vssl.learner.teacher import EMATeacher
from vssl.objectives.base import State
from vssl.objectives.targets import Target


class Bands(Target):
    """The cosine transform (DCT-II, orthonormal) of each patch in Y, Cb and Cr, in bands.

    Components: ``luma0``, ``luma1``, ``luma2``, … and ``chroma0``, …: the coefficients whose larger index (row or
    column) is 0 (the patch's mean), 1, 2 to 3, 4 to 7, and so on; an index counts half periods per patch.

    Every coefficient is centred, and every band divided by its deviation, by running means over the learner's steps
    and over all ranks. In the first step they are not known: it takes grey as the centre and 1 as the deviation.

    Args:
        backbone: read for its patch size.
        weights: by component, 0 or more; 1 where nothing is given. E.g. ``dict(luma0=0, chroma0=0)`` leaves means out.
        momentum: of the running means, in [0, 1).

    Raises:
        ValueError: a weight of an unknown component, or a number outside its range.
    """

    def __init__(self, backbone: TimmBackbone, weights: Mapping[str, float] | None = None, momentum: float = 0.99):
        side = backbone.patch_size
        places = _places(side)
        self.transform: Tensor
        self.order: Tensor
        self.band: Tensor
        self.center: Tensor
        self.variance: Tensor
        self.steps: Tensor
        super().__init__({name: len(coefficients) for name, coefficients in places.items()}, weights)
        if not 0 <= momentum < 1:
            raise ValueError(f"Bands momentum={momentum} must be in [0, 1), e.g. 0.99")
        self.side, self.momentum = side, momentum
        order = torch.cat(list(places.values()))
        band = torch.cat([torch.full((count,), i) for i, count in enumerate(self.components.values())])
        grey = 0.5 * side * (order % side**2 == 0)  # of a coefficient: only means differ from 0
        self.register_buffer("transform", torch.from_numpy(dct(np.eye(side), axis=0, norm="ortho")).float())
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("band", band, persistent=False)
        self.register_buffer("center", grey.float())
        self.register_buffer("variance", torch.ones(len(self.components)))
        self.register_buffer("steps", torch.zeros(()))

    def forward(
        self, student: TimmBackbone, teacher: EMATeacher | None, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch patches values"]:
        return (self.coefficients(images) - self.center) / self.variance.sqrt()[self.band]

    def coefficients(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch patches values"]:
        """As they are, in the order of the components."""
        with torch.autocast(images.device.type, enabled=False):
            patches = rgb_to_ycbcr(images).unflatten(3, (-1, self.side)).unflatten(2, (-1, self.side))
            # named axes: b batch, c channel, h/w patch row/column, p/q pixel, i/j frequency down and across
            transform = self.transform.to(images.dtype)
            found = torch.einsum("bchpwq,ip,jq->bhwcij", patches, transform, transform)
            return found.flatten(3).flatten(1, 2)[..., self.order]

    def observe(self, values: Float[Tensor, "batch patches values"]) -> State:
        return {"mean": values.mean((0, 1)), "square": values.square().mean((0, 1))}

    @torch.no_grad()
    def update(self, observed: State) -> None:
        mean, square = average([observed["mean"].clone(), observed["square"].clone()])
        deviation = self.variance.sqrt()[self.band]
        # Of the coefficients themselves: `observed` is of what they were turned into.
        center = self.center + deviation * mean.to(self.center.dtype)
        spread = deviation.square() * (square - mean.square()).to(self.center.dtype)
        counts = torch.bincount(self.band).to(spread.dtype)
        variance = torch.zeros_like(self.variance).index_add(0, self.band, spread) / counts
        # The first steps count alike, so that the start leaves no trace.
        rate = (1 / (self.steps + 1)).clamp(min=1 - self.momentum)
        self.center.lerp_(center, rate)
        self.variance.lerp_(variance.clamp(min=1e-6), rate)
        self.steps += 1


def _places(side: int) -> dict[str, Tensor]:
    """By component, the indices of its coefficients in (channel, row, column) order."""
    index = torch.arange(side)
    larger = torch.maximum(index[:, None], index[None, :]).flatten()
    octave = torch.where(larger == 0, 0, larger.clamp(min=1).float().log2().floor().long() + 1)
    places = {}
    for name, channels in (("luma", (0,)), ("chroma", (1, 2))):
        for number in range(math.ceil(math.log2(side)) + 1 if side > 1 else 1):
            own = (octave == number).nonzero().squeeze(1)
            places[f"{name}{number}"] = torch.cat([channel * side**2 + own for channel in channels])
    return places

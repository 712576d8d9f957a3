"""MAE's target as MaskFeat has it: histograms of oriented gradients (Wei et al. 2022, arXiv 2112.09133)."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vssl.learner.backbone import TimmBackbone
from vssl.learner.teacher import EMATeacher
from vssl.objectives.targets import Target, patchify

EPSILON = 1e-6


class HOG(Target):
    """In each cell of a patch and each channel, how strong the edges of each direction are, normalised to unit length.

    Gradients are Sobel's, directions unsigned. scikit-image's ``hog`` has neither gradients nor batches, and kornia has
    none, hence this one. Departure from MaskFeat's code, whose pixels vote for one direction each: a pixel's vote is
    shared linearly by the two directions next to it (Dalal and Triggs 2005), so that the target is continuous in the
    images, and has a derivative almost everywhere.

    Args:
        backbone: read for its patch size and how it normalises channels.
        bins: number of directions.
        cell: side of a cell, pixels; divides the patch. None is half a patch (MaskFeat: 8 px of 16).

    Raises:
        ValueError: `bins` below 2, or cells that do not fill the patch.
    """

    def __init__(self, backbone: TimmBackbone, bins: int = 9, cell: int | None = None):
        side = backbone.patch_size
        cell = max(side // 2, 1) if cell is None else cell
        if bins < 2:
            raise ValueError(f"HOG bins={bins} must be 2 or more, e.g. 9")
        if cell < 1 or side % cell:
            raise ValueError(f"HOG cell={cell} px must divide the patch of {backbone.name} ({side} px)")
        self.cells = side // cell
        super().__init__({"hog": 3 * bins * self.cells**2})
        self.bins, self.cell = bins, cell
        self.sobel: Tensor
        self.register_buffer("sobel", torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]), persistent=False)

    def forward(
        self, student: TimmBackbone, teacher: EMATeacher | None, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch patches values"]:
        with torch.autocast(images.device.type, enabled=False):
            return patchify(self.histograms((images - student.mean) / student.std), self.cells)

    def histograms(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch values cell_rows cell_columns"]:
        """Each cell's histogram of gradient directions, one for each colour channel.

        A histogram is ``bins`` numbers from 0 on, whose length as a vector is below 1. A cell's values are (channel,
        direction), flattened.
        """
        batch = len(images)
        padded = F.pad(images, (1, 1, 1, 1), mode="reflect").flatten(0, 1).unsqueeze(1)
        kernels = torch.stack([self.sobel, self.sobel.T]).unsqueeze(1).to(images.dtype)
        across, down = F.conv2d(padded, kernels).unbind(1)
        square = across.square() + down.square()
        flat = square < EPSILON**2
        # Neither root nor angle has a derivative at zero: there, both are taken of something else and then left out.
        strength = torch.where(flat, 0.0, torch.where(flat, 1.0, square).sqrt())
        angle = torch.atan2(torch.where(flat, 0.0, down), torch.where(flat, 1.0, across))
        votes = strength.unsqueeze(1) * self._shares(angle)
        of_cell = F.avg_pool2d(votes, self.cell).unflatten(0, (batch, 3))
        length = (of_cell.square().sum(2, keepdim=True) + EPSILON**2).sqrt()
        return (of_cell / length).flatten(1, 2)

    def _shares(self, angle: Float[Tensor, "rows height width"]) -> Float[Tensor, "rows bins height width"]:
        """How much of its vote a pixel gives to each direction; bin k is centred at (k + 1/2)·π / bins."""
        centre = (torch.arange(self.bins, device=angle.device, dtype=angle.dtype) + 0.5).view(-1, 1, 1)
        place = (angle * self.bins / math.pi).unsqueeze(1)
        half = self.bins / 2
        away = ((place - centre + half) % self.bins - half).abs()
        return F.relu(1 - away)

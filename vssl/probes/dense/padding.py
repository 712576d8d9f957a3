"""Images that are smaller than a training input, padded."""

import torch
from jaxtyping import Float
from mmseg.models.data_preprocessor import SegDataPreProcessor
from torch import Tensor


class MeanPadding(SegDataPreProcessor):
    """mmseg's preprocessor for images in [0, 1], padding with the colour that the backbone subtracts.

    The published codes pad what is normalised with 0, which is that colour. Here the backbone normalises, so that a 0
    before it would be black.

    Args:
        colour: RGB in [0, 1].
    """

    def __init__(self, colour: Float[Tensor, "3 1 1"], **settings):
        super().__init__(mean=[0.0] * 3, std=[255.0] * 3, bgr_to_rgb=True, **settings)
        self.register_buffer("colour", colour.clone(), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        data = super().forward(data, training)
        if training:
            for image, sample in zip(data["inputs"], data["data_samples"], strict=True):
                _, right, _, bottom = sample.padding_size
                height, width = image.shape[1:]
                outside = torch.ones(height, width, dtype=torch.bool, device=image.device)
                outside[: height - bottom, : width - right] = False
                image.copy_(torch.where(outside, self.colour, image))
        return data

"""Heads for dense probes, as mmseg decode heads: normalise the frozen features, then one 1×1 convolution.

What the papers call BN + linear; `hidden` puts a small convolutional decoder in between.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from mmcv.cnn import build_norm_layer
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.nn import functional as F

from vssl.datasets.conventions import IGNORE
from vssl.probes.dense.losses import ValidDepthLoss


class LabeledHead(BaseDecodeHead):
    """A head that says which of a sample's labels it predicts, ``"gt_sem_seg"`` or ``"gt_depth_map"``."""

    label_field: str


class DenseHead(LabeledHead):
    """What both tasks share: layers concatenated → norm → (channel dropout) → 1×1 convolution.

    Args:
        in_channels: channels of one layer of the frozen backbone.
        num_layers: how many layers it gives; they are concatenated.
        norm_cfg: mmcv norm layer; ``dict(type="BN", affine=False)`` since the convolution after it is affine anyway.
            ``dict(type=nn.Identity)`` for none.
        dropout_ratio: of whole channels (`Dropout2d`), in training.
        dropout_first: drop before the norm (DINOv3's order) rather than after it.
        upsample: enlarge what the convolution gives so many times, bilinearly, before a non-linearity. Without batch
            norm that is DINOv2's enlarging of the tokens (×4 for depth) for less memory, since both commute.
        hidden: channels of 3×3 convolutions, each with batch norm and ReLU, before the 1×1 convolution: a small decoder
            instead of a linear head.
        init_std: the convolution starts from N(0, init_std²), bias 0. At 0 the start does not depend on the seed.
        label_stride: the loss looks at every n-th label pixel in both directions (scores always use all of them).
            Neighbours see nearly the same bilinearly enlarged output, so that the loss changes little, its cost by n².
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        loss_decode: dict,
        num_layers: int = 1,
        norm_cfg: dict | None = None,
        dropout_ratio: float = 0.0,
        dropout_first: bool = False,
        upsample: int = 1,
        hidden: Sequence[int] = (),
        init_std: float = 0.01,
        label_stride: int = 1,
        **settings,
    ):
        several, features = num_layers > 1, in_channels * num_layers
        super().__init__(
            in_channels=[in_channels] * num_layers if several else in_channels,
            channels=[features, *hidden][-1],
            num_classes=num_classes,
            in_index=list(range(num_layers)) if several else -1,
            input_transform="resize_concat" if several else None,
            norm_cfg=norm_cfg or dict(type="BN", affine=False),
            dropout_ratio=dropout_ratio,
            loss_decode=loss_decode,
            init_cfg=None,
            **settings,
        )
        self.norm = build_norm_layer(self.norm_cfg, features)[1]
        self.decoder = nn.Sequential(*map(_conv_norm_relu, [features, *hidden], hidden))
        self.dropout_first, self.upsample, self.label_stride = dropout_first, upsample, label_stride
        nn.init.normal_(self.conv_seg.weight, std=init_std)
        nn.init.zeros_(self.conv_seg.bias)

    def init_weights(self) -> None:
        """Nothing: a head is initialised when it is built, under its own seed. The Runner calls this once more."""

    def forward(self, inputs: Sequence[Float[Tensor, "batch dim rows columns"]]) -> Tensor:
        output = self.conv_seg(self.decoder(self.normalised(inputs)))
        return F.interpolate(output, scale_factor=self.upsample, mode="bilinear") if self.upsample > 1 else output

    def normalised(self, inputs: Sequence[Float[Tensor, "batch dim rows columns"]]) -> Tensor:
        """What the convolutions see: the layers' features concatenated, normalised, some dropped in training."""
        features = self._transform_inputs(inputs)
        drop = nn.Identity() if self.dropout is None else self.dropout
        return self.norm(drop(features)) if self.dropout_first else drop(self.norm(features))

    def targets(self, samples: Sequence[SegDataSample]) -> Tensor:
        """Labels of the samples, (batch, height, width), thinned by `label_stride`."""
        first = self.label_stride // 2
        labels = torch.stack([getattr(sample, self.label_field).data[0] for sample in samples])
        return labels[:, first :: self.label_stride, first :: self.label_stride].contiguous()

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: Sequence[SegDataSample]) -> dict[str, Tensor]:
        return self.loss_on(seg_logits, self.targets(batch_data_samples))

    def loss_on(self, output: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Losses against stacked targets. mmseg's own also sorts all logits for a training accuracy; this does not."""
        output = resize(output, size=targets.shape[1:], mode="bilinear", align_corners=self.align_corners)
        return self.losses(output, targets)

    @abstractmethod
    def losses(self, output: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Each loss by its name, of output at the size of the targets."""


def _conv_norm_relu(channels: int, out_channels: int) -> nn.Module:
    convolution = nn.Conv2d(channels, out_channels, kernel_size=3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels), nn.ReLU())


class LinearSegHead(DenseHead):
    """Class logits per pixel; cross-entropy averaged over the labeled pixels (mmseg's default counts ignored ones)."""

    label_field = "gt_sem_seg"

    def __init__(self, in_channels: int, num_classes: int, ignore_index: int = IGNORE, **settings):
        settings.setdefault("loss_decode", dict(type=CrossEntropyLoss, avg_non_ignore=True))
        super().__init__(in_channels, num_classes, ignore_index=ignore_index, out_channels=num_classes, **settings)

    def losses(
        self, output: Float[Tensor, "batch classes height width"], targets: Int[Tensor, "batch height width"]
    ) -> dict[str, Tensor]:
        return {self.loss_decode.loss_name: self.loss_decode(output, targets, ignore_index=self.ignore_index)}


class DepthHead(DenseHead):
    """What depth heads share: several losses of metres, (batch, height, width), each counted under its own name."""

    label_field = "gt_depth_map"

    def __init__(self, in_channels: int, num_classes: int, loss_decode: Sequence[dict] | None = None, **settings):
        losses = list(loss_decode or [dict(type=ValidDepthLoss)])
        super().__init__(in_channels, num_classes, losses, out_channels=num_classes, threshold=0.0, **settings)

    def losses(
        self, output: Float[Tensor, "batch 1 height width"], targets: Float[Tensor, "batch height width"]
    ) -> dict[str, Tensor]:
        return {loss.loss_name: loss(output[:, 0], targets) for loss in self.loss_decode}


class LinearDepthHead(DepthHead):
    """Metres per pixel through a softplus, which keeps them positive.

    Args:
        init_depth: what the head predicts before training, in metres (the bias' start).
    """

    def __init__(self, in_channels: int, init_depth: float = 2.0, **settings):
        super().__init__(in_channels, num_classes=1, **settings)
        nn.init.constant_(self.conv_seg.bias, math.log(math.expm1(init_depth)))

    def forward(self, inputs: Sequence[Float[Tensor, "batch dim rows columns"]]) -> Tensor:
        return F.softplus(super().forward(inputs))


class BinDepthHead(DepthHead):
    """Metres per pixel as a mean over fixed depths, weighted with relu(x) + 0.1 (DINOv2's and DINOv3's depth head).

    The weights are normalised over the bins; the 0.1 keeps a gradient where every output is negative.

    Args:
        bins: how many depths, evenly spaced.
        min_depth, max_depth: the first and the last, metres.
    """

    def __init__(self, in_channels: int, bins: int = 256, min_depth: float = 1e-3, max_depth: float = 10.0, **settings):
        super().__init__(in_channels, num_classes=bins, **settings)
        self.register_buffer("depths", torch.linspace(min_depth, max_depth, bins), persistent=False)
        self.out_channels = 1  # of the prediction; mmseg's slide inference makes its canvas with this

    def forward(self, inputs: Sequence[Float[Tensor, "batch dim rows columns"]]) -> Tensor:
        weights = F.relu(super().forward(inputs)) + 0.1
        return torch.einsum("bkhw,k->bhw", weights, self.depths)[:, None] / weights.sum(dim=1, keepdim=True)

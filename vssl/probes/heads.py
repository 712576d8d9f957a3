"""Linear heads for dense probes, as mmseg decode heads: normalise the frozen features, then one 1×1 convolution."""

import math
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


class LinearHead(BaseDecodeHead):
    """What both tasks share: layers concatenated → norm → (channel dropout) → 1×1 convolution.

    Args:
        in_channels: channels of one layer of the frozen backbone.
        num_layers: how many layers it gives; they are concatenated.
        norm_cfg: mmcv norm layer; ``dict(type="BN", affine=False)`` since the convolution after it is affine anyway.
        init_std: the convolution starts from N(0, init_std²), bias 0. At 0 the start does not depend on the seed.
        label_stride: the loss looks at every n-th label pixel in both directions (scores always use all of them).
            Neighbours see nearly the same bilinearly enlarged output, so that the loss changes little, its cost by n².
    """

    label_field: str

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        loss_decode: dict,
        num_layers: int = 1,
        norm_cfg: dict | None = None,
        dropout_ratio: float = 0.0,
        init_std: float = 0.01,
        label_stride: int = 1,
        **settings,
    ):
        several = num_layers > 1
        super().__init__(
            in_channels=[in_channels] * num_layers if several else in_channels,
            channels=in_channels * num_layers,
            num_classes=num_classes,
            in_index=list(range(num_layers)) if several else -1,
            input_transform="resize_concat" if several else None,
            norm_cfg=norm_cfg or dict(type="BN", affine=False),
            dropout_ratio=dropout_ratio,
            loss_decode=loss_decode,
            init_cfg=None,
            **settings,
        )
        self.norm = build_norm_layer(self.norm_cfg, self.channels)[1]
        self.label_stride = label_stride
        nn.init.normal_(self.conv_seg.weight, std=init_std)
        nn.init.zeros_(self.conv_seg.bias)

    def init_weights(self) -> None:
        """Nothing: a head is initialised when it is built, under its own seed. The Runner calls this once more."""

    def forward(self, inputs: Sequence[Float[Tensor, "batch dim rows columns"]]) -> Tensor:
        return self.cls_seg(self.norm(self._transform_inputs(inputs)))

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
        return {self.loss_decode.loss_name: self.loss_decode(*self.match(output, targets))}

    def match(self, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return output, targets


class LinearSegHead(LinearHead):
    """Class logits per pixel; cross-entropy averaged over the labeled pixels (mmseg's default counts ignored ones)."""

    label_field = "gt_sem_seg"

    def __init__(self, in_channels: int, num_classes: int, ignore_index: int = 255, **settings):
        settings.setdefault("loss_decode", dict(type=CrossEntropyLoss, avg_non_ignore=True))
        super().__init__(in_channels, num_classes, ignore_index=ignore_index, out_channels=num_classes, **settings)

    def loss_on(
        self, output: Float[Tensor, "batch classes rows columns"], targets: Int[Tensor, "batch height width"]
    ) -> dict[str, Tensor]:
        output = resize(output, size=targets.shape[1:], mode="bilinear", align_corners=self.align_corners)
        return {self.loss_decode.loss_name: self.loss_decode(output, targets, ignore_index=self.ignore_index)}


class LinearDepthHead(LinearHead):
    """Metres per pixel through a softplus, which keeps them positive.

    Args:
        init_depth: what the head predicts before training, in metres (the bias' start).
    """

    label_field = "gt_depth_map"

    def __init__(self, in_channels: int, init_depth: float = 2.0, **settings):
        settings.setdefault("loss_decode", dict(type=ValidDepthLoss))
        super().__init__(in_channels, num_classes=1, out_channels=1, threshold=0.0, **settings)
        nn.init.constant_(self.conv_seg.bias, math.log(math.expm1(init_depth)))

    def forward(self, inputs: Sequence[Float[Tensor, "batch dim rows columns"]]) -> Tensor:
        return F.softplus(super().forward(inputs))

    def match(
        self, output: Float[Tensor, "batch 1 height width"], targets: Float[Tensor, "batch height width"]
    ) -> tuple[Tensor, Tensor]:
        return output[:, 0], targets


class ValidDepthLoss(nn.Module):
    """Mean |error| (power 1) or error² (power 2) in metres over pixels whose label is inside [min_depth, max_depth].

    A batch without a valid pixel costs nothing. 0 marks an invalid pixel, and so does everything out of range: mmseg
    pads depth with 255, which must not count as metres.
    """

    loss_name = "loss_depth"

    def __init__(self, power: int = 1, min_depth: float = 1e-3, max_depth: float = 10.0):
        super().__init__()
        if power not in (1, 2):
            raise ValueError(f"power={power}; 1 (L1) or 2 (L2) is needed")
        self.power, self.min_depth, self.max_depth = power, min_depth, max_depth

    def forward(self, depth: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        valid = (target >= self.min_depth) & (target <= self.max_depth)
        errors = torch.where(valid, depth - target, 0)
        errors = errors.abs() if self.power == 1 else errors.square()
        return errors.sum() / valid.sum().clamp(min=1)

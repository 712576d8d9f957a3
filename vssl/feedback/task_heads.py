"""The evaluator's heads: standardise frozen patch features, then one 1×1 convolution."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vssl.distributed import average, rank_and_size


class FeatureNorm(nn.BatchNorm2d):
    """Batch normalisation of *frozen* features; over ranks, the statistics of the whole batch.

    The input carries no gradient while a head is fitted, so that the statistics need none either and a plain
    all-reduce replaces SyncBatchNorm (which does not run on a CPU). In eval mode it is an affine map: while g_down is
    taken, no image of the feedback batch influences another.
    """

    def forward(self, x: Float[Tensor, "batch dim rows columns"]) -> Float[Tensor, "batch dim rows columns"]:
        if not self.training:
            return super().forward(x)
        if x.requires_grad:
            raise ValueError("FeatureNorm in train mode takes frozen features; call backbone and head under eval()")
        (mean,) = average([x.mean(dim=(0, 2, 3))])
        (variance,) = average([(x - mean[:, None, None]).square().mean(dim=(0, 2, 3))])
        count = x.numel() // x.shape[1] * rank_and_size()[1]
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / max(count - 1, 1), self.momentum)
        return nn.functional.batch_norm(x, mean, variance, self.weight, self.bias, training=False, eps=self.eps)


class LinearHead(nn.Sequential):
    """`FeatureNorm` and a 1×1 convolution: the head of the `paper` probe preset (spec: BN + 1×1)."""

    def __init__(self, dim: int, channels: int):
        super().__init__(FeatureNorm(dim), nn.Conv2d(dim, channels, kernel_size=1))
        nn.init.normal_(self[1].weight, std=0.01)
        nn.init.zeros_(self[1].bias)

"""The loss of a linear dense head over a whole training split, with what does not change worked out once.

`FullBatch` needs the loss and its gradient some 250 times. Three things save most of the work:

- Features are normalised once, and the 1×1 convolution is a matrix product over tokens.
- The bilinear enlargement U of the head's output is linear and separable: two small matrices. Its adjoint takes what
  the labels say of the pixels back to the tokens, once.
- What is left of the pixels is worked on a few images at a time, in the processor's cache, with a written-out gradient.

Cross-entropy of logits z is Σ logsumexp(Uz) − ⟨Uᵀ onehot, z⟩, so that only its first term meets the pixels. A squared
error of depths d is ⟨d, UᵀMU d⟩ − 2⟨UᵀMy, d⟩ + ⟨y, My⟩ with M the valid pixels, so that none does: bilinear weights
connect a token with its eight neighbours, and UᵀMU is nine numbers a token.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import torch
from jaxtyping import Bool, Float, Int
from mmseg.models.losses import CrossEntropyLoss
from torch import Tensor, nn
from torch.nn import functional as F

from vssl.probes.dense.heads import DenseHead, LinearDepthHead, LinearSegHead
from vssl.probes.dense.losses import ValidDepthLoss

CHUNK = {"cpu": 2**18, "cuda": 2**26}  # logits of pixels at a time: what a core's cache holds, what fills a device


def split_loss(head: nn.Module, features: Sequence[Tensor], targets: Tensor) -> "SplitLoss | None":
    """The loss of `head` over a split whose norm has its statistics already; None for a head or loss without one here.

    Args:
        features: of the whole split, one tensor (images, dim, rows, columns) per layer.
        targets: as `DenseHead.targets` gives them.
    """
    if not isinstance(head, DenseHead) or head.decoder or head.upsample > 1 or [*head.norm.parameters()]:
        return None
    several = isinstance(head.loss_decode, nn.ModuleList)
    loss, *more = head.loss_decode if several else [head.loss_decode]
    if type(head) is LinearSegHead and not more and _is_softmax(loss):
        return SplitCrossEntropy(head, features, targets)
    if type(head) is LinearDepthHead and not more and type(loss) is ValidDepthLoss and loss.power == 2:
        return SplitSquaredError(head, features, targets)
    return None


def _is_softmax(loss: nn.Module) -> bool:
    plain = type(loss) is CrossEntropyLoss and loss.reduction == "mean" and loss.class_weight is None
    return plain and not loss.use_sigmoid and not loss.use_mask


class SplitLoss(ABC):
    """A function without arguments: the loss at the head's present weights, with a gradient to them."""

    def __init__(self, head: DenseHead, features: Sequence[Tensor], targets: Tensor):
        self.convolution = head.conv_seg
        with torch.no_grad():
            maps = head.normalised(features)
        self.grid = maps.shape[2:]
        # all tokens of all images side by side: with few outputs the fastest shape for both products
        self.tokens: Float[Tensor, "dim images*tokens"] = maps.transpose(0, 1).flatten(1)
        self.down, self.right = (
            enlargement(tokens, pixels, head.align_corners).to(maps)
            for tokens, pixels in zip(self.grid, targets.shape[1:], strict=True)
        )

    def __call__(self) -> Float[Tensor, ""]:
        return _Evaluated.apply(self.convolution.weight, self.convolution.bias, self)

    @abstractmethod
    def evaluate(
        self, weight: Float[Tensor, "out dim"], bias: Float[Tensor, " out"]
    ) -> tuple[Tensor, Float[Tensor, "out dim"], Float[Tensor, " out"]]:
        """The loss and its gradients."""

    def enlarged(self, maps: Float[Tensor, "*batch rows columns"]) -> Float[Tensor, "*batch height width"]:
        """U: from tokens to label pixels."""
        return self.down @ (maps @ self.right.T)

    def gathered(self, pixels: Float[Tensor, "*batch height width"]) -> Float[Tensor, "*batch rows columns"]:
        """Uᵀ: from label pixels to tokens."""
        return (self.down.T @ pixels) @ self.right


class _Evaluated(torch.autograd.Function):
    """A loss that comes with its gradient."""

    @staticmethod
    def forward(ctx, weight: Tensor, bias: Tensor, loss: SplitLoss) -> Tensor:
        value, by_weight, by_bias = loss.evaluate(weight.detach().flatten(1), bias.detach())
        ctx.save_for_backward(by_weight.reshape(weight.shape), by_bias)
        return value.to(weight.dtype)

    @staticmethod
    def backward(ctx, outer: Tensor) -> tuple[Tensor, Tensor, None]:
        return *(outer * gradient for gradient in ctx.saved_tensors), None


class SplitCrossEntropy(SplitLoss):
    """Mean cross-entropy of class logits over the labeled pixels (or over all, if the head's loss counts all)."""

    def __init__(
        self,
        head: LinearSegHead,
        features: Sequence[Float[Tensor, "images dim rows columns"]],
        targets: Int[Tensor, "images height width"],
    ):
        super().__init__(head, features, targets)
        self.classes, loss = head.num_classes, head.loss_decode
        self.labeled: Bool[Tensor, "images height width"] = targets != head.ignore_index
        pixels = self.labeled.sum().clamp(min=1) if loss.avg_non_ignore else targets.numel()
        self.scale = loss.loss_weight / pixels
        self.images = max(CHUNK["cuda" if targets.is_cuda else "cpu"] // (self.classes * targets[0].numel()), 1)
        parts = zip(targets.split(self.images), self.labeled.split(self.images), strict=True)
        self.wanted = [self._wanted(*part) for part in parts]

    def _wanted(self, targets: Tensor, labeled: Tensor) -> Float[Tensor, "classes images*tokens"]:
        classes = F.one_hot(torch.where(labeled, targets, 0).long(), self.classes).movedim(-1, 0) * labeled
        return self.gathered(classes.to(self.tokens)).flatten(1)

    def evaluate(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        def chunk(tokens: Tensor, wanted: Tensor, labeled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            logits = weight @ tokens + bias[:, None]
            pixels = self.enlarged(logits.unflatten(1, (-1, *self.grid)))
            largest = pixels.amax(dim=0)
            total = pixels.sub_(largest).exp_().sum(dim=0)
            spread = (total.log() + largest) * labeled
            value = spread.sum(dtype=torch.float64) - (wanted * logits).sum(dtype=torch.float64)
            by_logits = self.gathered(pixels.mul_(labeled / total)).flatten(1) - wanted
            return value, by_logits @ tokens.T, by_logits.sum(dim=1)

        tokens = self.tokens.split(self.images * self.grid.numel(), dim=1)
        found = side_by_side(chunk, tokens, self.wanted, self.labeled.split(self.images))
        return tuple(sum(parts) * self.scale for parts in zip(*found, strict=True))


class SplitSquaredError(SplitLoss):
    """Mean squared error of depth, softplus of the head's output, over the valid pixels."""

    def __init__(
        self,
        head: LinearDepthHead,
        features: Sequence[Float[Tensor, "images dim rows columns"]],
        targets: Float[Tensor, "images height width"],
    ):
        super().__init__(head, features, targets)
        loss = head.loss_decode[0]
        valid = loss.valid(targets)
        self.scale = loss.weight / valid.sum().clamp(min=1)
        depths = torch.where(valid, targets, 0)
        self.wanted: Float[Tensor, "images rows columns"] = self.gathered(depths).double()
        self.constant = depths.square().sum(dtype=torch.float64)
        valid = valid.to(depths)
        # nine maps: what each token's pixels share with those of the neighbour at (y, x)
        self.shared = {
            (y, x): (shared(self.down, y).T @ (valid @ shared(self.right, x))).double()
            for y, x in product((-1, 0, 1), repeat=2)
        }

    def evaluate(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        output = (weight @ self.tokens + bias[:, None])[0]
        depths = F.softplus(output).unflatten(0, (-1, *self.grid)).double()
        rows, columns = self.grid
        around, spread = F.pad(depths, (1, 1, 1, 1)), torch.zeros_like(depths)
        for (y, x), weights in self.shared.items():
            spread += weights * around[:, 1 + y : 1 + y + rows, 1 + x : 1 + x + columns]
        value = (depths * (spread - 2 * self.wanted)).sum() + self.constant
        by_output = (2 * (spread - self.wanted)).flatten().to(output) * output.sigmoid()
        return value * self.scale, (self.tokens @ by_output)[None] * self.scale, by_output.sum()[None] * self.scale


def side_by_side(work: Callable[..., tuple], *parts: Sequence[Tensor]) -> list[tuple]:
    """`work` on each chunk, in order; on a CPU as many at a time as torch has threads, one thread each.

    Chunks are small. Threads that share one would wait for each other after every operation, for seconds where other
    processes take their turns.
    """
    threads = torch.get_num_threads()
    if threads == 1 or parts[0][0].is_cuda:
        return [work(*chunk) for chunk in zip(*parts, strict=True)]
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as executor:
            return list(executor.map(work, *parts))
    finally:
        torch.set_num_threads(threads)


def enlargement(tokens: int, pixels: int, align_corners: bool) -> Float[Tensor, "pixels tokens"]:
    """The matrix of linear interpolation along one axis, as `torch.nn.functional.interpolate` does it."""
    unit = torch.eye(tokens)[None]
    return F.interpolate(unit, size=pixels, mode="linear", align_corners=align_corners)[0].T.contiguous()


def shared(matrix: Float[Tensor, "pixels tokens"], offset: int) -> Float[Tensor, "pixels tokens"]:
    """Of every pixel, its weight on a token times that on the token `offset` further, 0 beyond the edge."""
    further = F.pad(matrix, (1, 1))[:, 1 + offset : 1 + offset + matrix.shape[1]]
    return matrix * further

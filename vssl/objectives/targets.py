"""What MAE predicts at each patch: pixels, or features of a frozen or an EMA teacher.

Further targets: `Bands` (bands.py) and `HOG` (hog.py). All are functions of the images, differentiable where the
function is.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vssl.learner.backbone import TimmBackbone
from vssl.learner.teacher import EMATeacher
from vssl.learner.weights import load_weights
from vssl.objectives.base import State
from vssl.objectives.dino_head import full_precision


class Target(nn.Module):
    """Base class. A subclass implements `forward`.

    Args:
        components: by name, how many values of each patch belong to it, in their order.
        weights: by component, its weight in the loss, 0 or more; 1 where nothing is given. With 0 a component is
            not trained.

    Raises:
        ValueError: a weight of an unknown component, or below 0.
    """

    uses_teacher: bool = False
    """Whether `forward` needs the EMA teacher of the backbone."""

    def __init__(self, components: dict[str, int], weights: Mapping[str, float] | None = None):
        super().__init__()
        weights = dict(weights or {})
        kind = type(self).__name__
        if unknown := weights.keys() - components.keys():
            raise ValueError(f"{kind} has no component {sorted(unknown)[0]!r}; it has {', '.join(components)}")
        if negative := [name for name, weight in weights.items() if not weight >= 0]:
            raise ValueError(f"{kind}: the weight of {negative[0]} is {weights[negative[0]]}; it must be 0 or more")
        self.components = components
        self.weights = {name: float(weights.get(name, 1.0)) for name in components}

    def forward(
        self, student: TimmBackbone, teacher: EMATeacher | None, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch patches values"]:
        """What is to be predicted at each patch of images in [0, 1]; changes nothing."""
        raise TypeError(f"{type(self).__name__} does not say what is to be predicted")

    def observe(self, values: Float[Tensor, "batch patches values"]) -> State:
        """What `update` needs of what `forward` returned; most targets need nothing."""
        return {}

    def update(self, observed: State) -> None:
        """Called once after a learner step, with what `observe` returned in it."""

    def transformer_blocks(self) -> Iterable[nn.Module]:
        """The target's own transformer blocks, which `compile=True` compiles."""
        return ()


class Pixels(Target):
    """The patch's pixels, (row, column, channel), as the backbone sees them (channels normalised): the paper's target.

    Its component is ``pixels``, without `normalize` ``raw_pixels``.

    Args:
        normalize: subtract each patch's mean and divide by its deviation.
    """

    def __init__(self, backbone: TimmBackbone, normalize: bool = True):
        super().__init__({"pixels" if normalize else "raw_pixels": 3 * backbone.patch_size**2})
        self.patch_size, self.normalize = backbone.patch_size, normalize

    def forward(
        self, student: TimmBackbone, teacher: EMATeacher | None, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch patches values"]:
        pixels = patchify((images - student.mean) / student.std, self.patch_size)
        if not self.normalize:
            return pixels
        # The constant inside the root keeps the gradient finite at a flat patch.
        return (pixels - pixels.mean(-1, keepdim=True)) / (pixels.var(-1, keepdim=True) + 1e-6).sqrt()


class Features(Target):
    """Patch features of a teacher that sees the whole image, each normalised over its values (as in data2vec).

    Args:
        backbone: of the student; a frozen teacher starts as its copy.
        teacher: ``"ema"``, the running mean of the student (data2vec, arXiv 2202.03555); ``"frozen"``, the student's
            backbone as it was at the start; or the settings of another `TimmBackbone`, frozen (EVA, arXiv 2211.07636).
        checkpoint: weights of the frozen copy, instead of the student's (docs/checkpoints.md).
        checkpoint_key: which of several networks in that file.

    Raises:
        ValueError: another word for `teacher`, a checkpoint for ``"ema"``, or a teacher with other patches.
    """

    def __init__(
        self,
        backbone: TimmBackbone,
        teacher: Literal["ema", "frozen"] | Mapping = "ema",
        checkpoint: str | None = None,
        checkpoint_key: str | None = None,
    ):
        if not (isinstance(teacher, Mapping) or teacher in ("ema", "frozen")):
            raise ValueError(f"Features teacher={teacher!r}; give 'ema', 'frozen', or dict(name=..., pretrained=True)")
        if checkpoint and teacher != "frozen":
            raise ValueError(f"Features checkpoint={checkpoint!r} is of teacher='frozen' alone, not {teacher!r}")
        frozen = TimmBackbone(**teacher) if isinstance(teacher, Mapping) else backbone
        if frozen.patch_size != backbone.patch_size:
            raise ValueError(
                f"Features: {frozen.name} has patches of {frozen.patch_size} px, the student of {backbone.patch_size}; "
                "they must be the same"
            )
        super().__init__({"features": frozen.embed_dim})
        self.uses_teacher = teacher == "ema"
        # As an EMATeacher that nothing moves: without gradients, in eval mode whatever `train` is called with.
        self.frozen = None if self.uses_teacher else EMATeacher(frozen)
        if checkpoint:
            load_weights(self.frozen.backbone.vit, checkpoint, checkpoint_key)

    def forward(
        self, student: TimmBackbone, teacher: EMATeacher | None, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch patches values"]:
        backbone = (teacher if self.frozen is None else self.frozen).backbone
        patches = full_precision(backbone.patch_tokens(backbone(images)))
        return F.layer_norm(patches, patches.shape[-1:])

    def transformer_blocks(self) -> Iterable[nn.Module]:
        return () if self.frozen is None else self.frozen.backbone.vit.blocks


def patchify(
    images: Float[Tensor, "batch channels height width"], patch_size: int
) -> Float[Tensor, "batch patches pixels"]:
    """Patches in row-major order, each flattened as (row, column, channel)."""
    # named axes: b batch, c channel, h/w patch row/column, p/q pixel row/column within the patch
    bchpwq = images.unflatten(3, (-1, patch_size)).unflatten(2, (-1, patch_size))
    return bchpwq.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)

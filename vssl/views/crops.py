"""What a recipe or a designer hands to an objective."""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Views:
    """The views of one batch, in [0, 1]; normalisation is the backbone's business.

    `global_crops[v, b]` is view v of image b. `local_crops` is None for recipes without small crops.

    Boxes say where a crop lies in its image: (left, top, right, bottom) as shares of the image's sides, left > right
    where the crop is mirrored. They are None where an op moved the pixels of a crop (rotation, shear, …), or where
    whoever made the views does not say.

    `patch_scores` are the logarithms of each patch's odds to be hidden, in the order of the patches, row by row; None
    where all have the same. `patch_weights` are positive and in the same order: how much the loss of a hidden patch
    counts beside that of the other hidden patches of its view; None where all count alike.
    """

    global_crops: Float[Tensor, "views batch 3 height width"]
    local_crops: Float[Tensor, "local_views batch 3 local_height local_width"] | None = None
    global_boxes: Float[Tensor, "views batch 4"] | None = None
    local_boxes: Float[Tensor, "local_views batch 4"] | None = None
    patch_scores: Float[Tensor, "views batch patches"] | None = None
    patch_weights: Float[Tensor, "views batch patches"] | None = None

    def detach(self) -> "Views":
        """The same views without a graph: what the learner is trained on."""
        return replace(self, **{name: None if t is None else t.detach() for name, t in vars(self).items()})

    def of_images(self, images: slice) -> "Views":
        """The views of some of the images."""
        return replace(self, **{name: None if t is None else t[:, images] for name, t in vars(self).items()})

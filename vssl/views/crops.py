"""What a task construction hands to an objective."""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Views:
    """The views of one batch, in [0, 1]; normalisation is the backbone's business.

    `global_crops[v, b]` is view v of image b. `local_crops` is None for recipes without small crops.
    """

    global_crops: Float[Tensor, "views batch 3 height width"]
    local_crops: Float[Tensor, "local_views batch 3 local_height local_width"] | None = None

    def detach(self) -> "Views":
        """The same views without a graph: what the learner is trained on."""
        local = None if self.local_crops is None else self.local_crops.detach()
        return replace(self, global_crops=self.global_crops.detach(), local_crops=local)

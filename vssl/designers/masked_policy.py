"""`MaskedPolicy`: a learned policy makes the views, a blur mask is laid over them, and both are trained together."""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from vssl.designers.base import Construction, Designer
from vssl.designers.blur_mask import MaskDesigner
from vssl.designers.policies import GlobalPolicy, PolicyDesigner
from vssl.designers.unet import UNetMask
from vssl.draws import Draws
from vssl.parts import build_part
from vssl.views.recipes import Recipe

GLOBAL_POLICY, UNET_MASK = {"type": GlobalPolicy}, {"type": UNetMask}


class MaskedPolicy(Designer):
    """Policy first, mask second; the mask sees the views that the policy made.

    In a config: ``designer=dict(type=MaskedPolicy, policy=dict(type=GlobalPolicy, learn=("hue",)),
    mask=dict(type=UNetMask, width=8))``.

    Args:
        recipe: where the policy starts.
        policy: ``type``, `GlobalPolicy` or `InstancePolicy`, and its settings.
        mask: ``type``, `UNetMask` or `DiTMask`, and its settings.

    Raises:
        ValueError: a type that is not a policy or not a mask.
    """

    def __init__(self, recipe: Recipe, policy: Mapping = GLOBAL_POLICY, mask: Mapping = UNET_MASK):
        super().__init__(recipe)
        self.policy = build_part(policy, PolicyDesigner, "MaskedPolicy: policy", recipe)
        self.mask = build_part(mask, MaskDesigner, "MaskedPolicy: mask", recipe)

    def forward(self, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Construction:
        drawn = self.policy(images, draws)
        masked = self.mask.masked(drawn.views)
        penalty, statistics = drawn.penalty + masked.penalty, drawn.statistics | masked.statistics
        return Construction(masked.views, penalty, statistics, masked.mask, drawn.weights)

    def describe(self, images: Float[Tensor, "batch 3 height width"]) -> dict[str, Any]:
        return self.policy.describe(images)

    def learned_numbers(self) -> tuple[list[dict[str, str]], list[nn.Parameter]]:
        return self.policy.learned_numbers()

    def project(self) -> None:
        self.policy.project()

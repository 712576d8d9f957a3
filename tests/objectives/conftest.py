"""Tiny fp64 backbones and views, so that finite differences are exact to many digits."""

import pytest
import torch

from vssl.learner import TimmBackbone
from vssl.learner.teacher import EMATeacher
from vssl.objectives import OBJECTIVES
from vssl.views.crops import Views

SMALL = {"patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2}
BACKBONES = {
    "vit": lambda: TimmBackbone("vit_tiny_patch16_224", img_size=32, **SMALL),
    # LayerScale starts at 1e-5 in DINOv3: at 1 the blocks matter.
    "dinov3": lambda: TimmBackbone("vit_small_patch16_dinov3", init_values=1.0, **SMALL),
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(params=BACKBONES)
def backbone(request):
    return BACKBONES[request.param]().double()


@pytest.fixture
def vit():
    return BACKBONES["vit"]().double()


@pytest.fixture(params=sorted(OBJECTIVES))
def objective(request, backbone):
    """Every registered objective; with three local crops where it takes them."""
    kind = OBJECTIVES[request.param]
    local = {"n_local_crops": 3} if kind.takes_local_crops else {}
    built = kind(backbone, **kind.small(backbone.embed_dim), **local).double()
    if request.param == "IJEPA":  # the authors' first weights are so small that at this width next to nothing passes
        with torch.no_grad():
            for parameter in built.predictor.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
    return built


def overlapping_boxes(views, batch):
    """Boxes that all hold the middle of the image; every other one is mirrored."""
    inwards = 0.3 * torch.rand(views, batch, 4, generator=torch.Generator().manual_seed(0)).double()
    boxes = torch.cat([inwards[..., :2], 1 - inwards[..., 2:]], dim=-1)
    boxes[:, ::2] = boxes[:, ::2, [2, 1, 0, 3]]
    return boxes


@pytest.fixture
def make_views():
    def make(objective, batch=4, size=32):
        local = torch.rand(objective.n_local_crops, batch, 3, 16, 16).double() if objective.n_local_crops else None
        crops = torch.rand(objective.n_global_crops, batch, 3, size, size).double()
        return Views(crops, local, *(None if c is None else overlapping_boxes(*c.shape[:2]) for c in (crops, local)))

    return make


@pytest.fixture
def make_teacher():
    """A teacher that is not equal to the student, as after some steps."""

    def make(backbone, objective):
        if not objective.uses_teacher:
            return None
        teacher = EMATeacher(backbone, objective.teacher_modules())
        with torch.no_grad():
            for parameter in teacher.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        return teacher

    return make

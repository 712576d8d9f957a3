"""All operations of the differentiable space, for files, plots and policies that want every one."""

from vssl.views.erasing import CUTOUT
from vssl.views.filtering import BLUR, SHARPNESS
from vssl.views.geometric import PERSPECTIVE, ROTATE, SCALE, SHEAR_X, SHEAR_Y, TRANSLATE_X, TRANSLATE_Y
from vssl.views.ops import Op
from vssl.views.photometric import BRIGHTNESS, CONTRAST, GAMMA, GRAYSCALE, HUE, NOISE, PLANCKIAN, SATURATION
from vssl.views.relaxed import EQUALIZE, POSTERIZE, SOLARIZE

# Geometric ops stand together, so that they cost one resample.
SPACE: tuple[Op, ...] = (
    TRANSLATE_X,
    TRANSLATE_Y,
    ROTATE,
    SCALE,
    SHEAR_X,
    SHEAR_Y,
    PERSPECTIVE,
    BRIGHTNESS,
    CONTRAST,
    SATURATION,
    HUE,
    GAMMA,
    PLANCKIAN,
    GRAYSCALE,
    EQUALIZE,
    POSTERIZE,
    SHARPNESS,
    BLUR,
    SOLARIZE,
    NOISE,
    CUTOUT,
)


def op_named(name: str) -> Op:
    """The op of a file; raises ValueError with the names that exist."""
    for op in SPACE:
        if op.name == name:
            return op
    raise ValueError(f"unknown op {name!r}; the space has {', '.join(op.name for op in SPACE)}")

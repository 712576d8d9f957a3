"""How a page becomes HTML: from templates, which escape what they are given, with its images inside the file."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.image import imsave

TEMPLATES = Path(__file__).parent / "templates"


def environment(*folders: Path) -> Environment:
    """Of the templates in `folders` and of those that all pages share: ``page.html`` and ``parts.html``."""
    return Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


_ENVIRONMENT = environment()


def render(template: str, **given: Any) -> str:
    """A page. Text that it is given is escaped; an object with ``__html__``, such as `image` returns, is not."""
    return _ENVIRONMENT.get_template(template).render(given)


def image(pixels: UInt8[np.ndarray, "height width 3"], alternative: str) -> Markup:
    """An ``<img>`` with the PNG inside; images beyond 256 pixels are thinned out."""
    stride = max(1, -(-max(pixels.shape[:2]) // 256))
    buffer = io.BytesIO()
    plain = {"Software": None}  # None leaves an entry out
    imsave(buffer, np.ascontiguousarray(pixels[::stride, ::stride]), format="png", metadata=plain)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup('<img alt="{}" src="data:image/png;base64,{}">').format(alternative, data)

"""How a page becomes HTML: from templates, which escape what they are given, with its images inside the file."""

import base64
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
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


# What follows is for the page of advice, which is no template yet. It takes markup as plain strings.


def document(title: str, body: str) -> str:
    """A complete page; it refers to nothing outside itself."""
    return render("page.html", title=title, body=Markup(body))


def section(title: str, *parts: str) -> str:
    return "\n".join([f"<h2>{escape(title)}</h2>", *filter(None, parts)])


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def figure(svg: str | None, caption: str, instead: str) -> str:
    return str(_parts().figure(None if svg is None else Markup(svg), caption, instead))


def table(header: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    return str(_parts().table(map(Markup, header), [list(map(Markup, row)) for row in rows], kind))


def _parts() -> Any:
    return _ENVIRONMENT.get_template("parts.html").module

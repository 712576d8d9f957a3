"""The HTML that a report page is made of: style sheet, sections, tables, and images inside the file."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from jaxtyping import UInt8
from matplotlib.image import imsave

STYLE = """
:root { color-scheme: light; --ink: #1d2429; --soft: #5c6770; --line: #dde2e6; --pale: #f5f7f8; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 1120px; color: var(--ink); background: #fff;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.35rem; margin: 0 0 .2rem; }
h2 { font-size: 1.1rem; margin: 2.4rem 0 .4rem; padding-top: .7rem; border-top: 1px solid var(--line); }
h3 { font-size: .95rem; margin: 1.1rem 0 .3rem; }
p { margin: .35rem 0; max-width: 82ch; }
.soft, figcaption { color: var(--soft); font-size: .86rem; }
.verdict { margin: 1rem 0; padding: .9rem 1.1rem; border-left: 6px solid #8a949c; background: var(--pale); }
.verdict.better { border-color: #1a8a4a; background: #eef8f1; }
.verdict.worse { border-color: #c0392b; background: #fcf0ee; }
.verdict.mixed { border-color: #b8860b; background: #fdf7e7; }
.verdict .headline { font-size: 1.2rem; font-weight: 650; max-width: none; }
.verdict .details { margin: .6rem 0 0; padding: 0; list-style: none; font-variant-numeric: tabular-nums; }
.verdict .details.marked { margin: 0; padding-left: 1.1rem; list-style: disc; }
.notes { margin: .8rem 0; padding: .6rem 1.1rem .6rem 2rem; background: #fff8e6; border: 1px solid #f0dfae; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; margin: .5rem 0; }
th, td { padding: .32rem .65rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; white-space: normal; }
td { vertical-align: top; }
th:first-child, td:first-child { text-align: left; }
td small, li small { color: var(--soft); }
tr.candidate td { background: #fdf5ef; }
li.better b, b.better { color: #15753e; }
li.worse b, b.worse { color: #b03022; }
.words td, .words th { text-align: left; white-space: normal; vertical-align: top; overflow-wrap: break-word; }
td.same { color: #a3abb1; }
.dot { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .45em; }
figure { margin: .6rem 0; overflow-x: auto; } svg { width: 100%; min-width: 680px; height: auto; }
figcaption { position: sticky; left: 0; }
.tiles td, .tiles th { border: 0; padding: 2px; text-align: center; font-size: .78rem; line-height: 1.2; }
.tiles td { vertical-align: middle; }
.tiles th { white-space: normal; max-width: 112px; overflow-wrap: anywhere; }
.tiles img { width: 112px; display: block; image-rendering: pixelated; background: #eee; }
.legend span { display: inline-block; margin: 0 .9em .2em 0; font-size: .82rem; white-space: nowrap; }
.legend i { display: inline-block; width: .9em; height: .9em; margin-right: .35em; vertical-align: -.1em;
  border: 1px solid #0002; }
.ramp { height: .8em; width: 260px; border: 1px solid #0002; }
.ends { display: flex; justify-content: space-between; width: 260px; }
pre { background: var(--pale); padding: .7rem .9rem; white-space: pre-wrap; overflow-wrap: anywhere; }
pre { font-size: .84rem; }
summary { cursor: pointer; color: var(--soft); }
@media print {
  body { max-width: none; padding: 0; font-size: 11px; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  h2 { break-after: avoid; } figure, tr, .verdict { break-inside: avoid; } .scroll { overflow: visible; }
  table { font-size: 9px; } .tiles img { width: 72px; } svg { min-width: 0; }
}
"""


def document(title: str, body: str) -> str:
    """A complete page; it refers to nothing outside itself."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    return "\n".join([f"<h2>{escape(title)}</h2>", *filter(None, parts)])


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def absent(text: str) -> str:
    """The line that stands where something could not be shown."""
    return paragraph(text, "soft")


def figure(svg: str | None, caption: str, instead: str) -> str:
    if svg is None:
        return absent(instead)
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table of cells that are HTML already; a row may be ``(css class, cells)``."""
    lines = [f'<div class="scroll"><table class="{kind}">', "<thead><tr>"]
    lines += [f"<th>{cell}</th>" for cell in header]
    lines.append("</tr></thead><tbody>")
    for row in rows:
        css, cells = row if isinstance(row, tuple) else ("", row)
        lines.append(f'<tr class="{css}">' + "".join(map(_cell, cells)) + "</tr>")
    return "\n".join([*lines, "</tbody></table></div>"])


def image(pixels: UInt8[np.ndarray, "height width 3"], alternative: str) -> str:
    """An ``<img>`` with the PNG inside; images beyond 256 pixels are thinned out."""
    stride = max(1, -(-max(pixels.shape[:2]) // 256))
    buffer = io.BytesIO()
    plain = {"Software": None}  # None leaves an entry out
    imsave(buffer, np.ascontiguousarray(pixels[::stride, ::stride]), format="png", metadata=plain)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{escape(alternative, quote=True)}" src="data:image/png;base64,{data}">'


def _cell(content: str) -> str:
    return content if content.startswith("<td") else f"<td>{content}</td>"

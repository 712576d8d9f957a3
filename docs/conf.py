"""The documents as a site, by Sphinx: `make docs`, then build/site/index.html.

The repository's root is the source folder, so every relative link holds on GitHub and in the site. The order of the
pages is that of docs/README.md. The reference comes from the docstrings. Nothing is fetched when a page is read.
"""

import os
import re
import sys
from pathlib import Path

from sphinx.addnodes import pending_xref

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import vssl  # noqa: E402

project = "vssl"
version = release = vssl.__version__
author = "the vssl authors"
root_doc = "README"
extensions = ["myst_nb", "sphinx.ext.apidoc", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
include_patterns = ["*.md", "data/README.md", "docs/**"]
exclude_patterns = ["**/.*", "build", "runs", "data/*/**", "docs/images", "docs/reference/modules.rst"]

# Markdown as GitHub reads it.
myst_heading_anchors = 6
myst_enable_extensions = []

# The tutorial is kept without outputs. The site shows those of a run of its own, in a temporary folder.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = -1
nb_merge_streams = True
nb_output_stderr = "remove"  # progress

# A page for each package, with all its modules. Shapes are jaxtyping's strings.
apidoc_modules = [
    {
        "path": str(ROOT / "vssl"),
        "destination": "docs/reference",
        "exclude_patterns": ["**/configs/**"],
        "module_first": True,
    }
]
autodoc_default_options = {"ignore-module-all": True}  # each object once, where it is defined
autodoc_inherit_docstrings = False  # torch's text about every forward()
autodoc_member_order = "bysource"
autodoc_use_type_comments = False
napoleon_use_ivar = True
default_role = "code"
# Docstrings are written for readers of the code: a slip in their markup stops nothing, nor does a class with two names.
suppress_warnings = ["docutils", "ref.python"]

html_theme = "furo"
html_title = f"vssl {release}"
html_show_search_summary = False  # a page opened from a file may not read the other ones
html_show_sourcelink = False
html_copy_source = False


def contents() -> str:
    """The sections of docs/README.md as tables of contents."""
    sections = re.split(r"^## ", (ROOT / "docs/README.md").read_text(), flags=re.M)
    blocks = []
    for title, text in [("Start", "](README.md)" + sections[0]), *(section.split("\n", 1) for section in sections[1:])]:
        pages = [os.path.normpath(f"docs/{link}") for link in re.findall(r"\]\(([^)#:]+\.(?:md|ipynb))\)", text)]
        blocks.append("\n".join(["```{toctree}", ":hidden:", f":caption: {title}", "", *pages, "```"]))
    return "\n\n".join([*blocks, "```{toctree}\n:hidden:\n:caption: Reference\n\ndocs/reference/vssl\n```"])


def as_a_page(app, docname: str, source: list[str]) -> None:
    """Contents below the first page; a link to a package leads to its reference, since a folder is no page."""
    folder = Path(docname).parent

    def reference(match: re.Match) -> str:
        target = os.path.normpath(folder / match.group(1))
        if not (target.startswith("vssl/") and (ROOT / target).is_dir()):
            return match.group(0)
        return f"]({os.path.relpath('docs/reference', folder)}/{target.replace('/', '.')}.rst)"

    if str(app.env.doc2path(docname)).endswith(".md"):
        source[0] = re.sub(r"\]\(([^)#:]+)\)", reference, source[0])
    if docname == root_doc:
        source[0] += "\n\n" + contents()


def plain_text(app, what, name, obj, options, lines: list[str]) -> None:
    """In docstrings `*shape` and |z| mean what they say, and not emphasis or a substitution."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            lines[i] = re.sub(r"(`+[^`]*`+)|([*|])", lambda found: found.group(1) or "\\" + found.group(2), line)


def own_types(app, doctree) -> None:
    """Types of other libraries are text: Sphinx would look each of them up among all of ours."""
    for reference in list(doctree.findall(pending_xref)):
        if reference["refdomain"] == "py" and not reference["reftarget"].startswith("vssl."):
            reference.replace_self(reference.children)


def first_page(app, exception) -> None:
    """index.html, where a reader of the folder or of a server begins."""
    if exception is None:
        Path(app.outdir, "index.html").write_text(f'<meta http-equiv="refresh" content="0; url={root_doc}.html">\n')


def setup(app) -> None:
    app.connect("source-read", as_a_page)
    app.connect("autodoc-process-docstring", plain_text, priority=400)  # before napoleon
    app.connect("doctree-read", own_types)
    app.connect("build-finished", first_page)

"""How the documentation is built: ``make docs``."""

from __future__ import annotations

import ast
from importlib import metadata
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parent.parent

project = "zproc"
author = "The zproc authors"
release = version = metadata.version("zproc")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
# What stands in single backticks is a link where there is something to link to, and code where there is not.
default_role = "py:obj"

myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "separated"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"zproc {version}"
html_static_path = ["_static"]
html_show_sourcelink = False


def list_examples(_app: Sphinx, document: str, source: list[str]) -> None:
    """Append every example to the page of that name, with its text, so that none can be forgotten."""
    if document != "examples":
        return
    for path in sorted((ROOT / "examples").glob("*.py")):
        text = path.read_text("utf-8")
        about = ast.get_docstring(ast.parse(text)) or "The program of the first page: five baked, five eaten."
        title = path.stem.replace("_", " ").capitalize()
        source[0] += f"\n## {title}\n\n{about}\n\n```{{literalinclude}} ../examples/{path.name}\n:language: python\n```\n"


def setup(app: Sphinx) -> None:
    """Connect what is done here by ourselves."""
    app.connect("source-read", list_examples)

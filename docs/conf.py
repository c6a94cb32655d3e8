"""How the documentation is built: ``make docs``."""

from __future__ import annotations

import ast
import contextlib
import io
import os
from importlib import metadata
from pathlib import Path

from sphinx.application import Sphinx

from zproc.cli.program import COMMANDS, main

ROOT = Path(__file__).parent.parent

project = "zproc"
author = "The zproc authors"
release = version = metadata.version("zproc")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
# What stands in single backticks is a link where there is something to link to, and code where there is not.
default_role = "py:obj"

myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "mixed"
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
        source[0] += (
            f"\n## {title}\n\n{about}\n\n```{{literalinclude}} ../examples/{path.name}\n:language: python\n```\n"
        )


def list_commands(_app: Sphinx, document: str, source: list[str]) -> None:
    """Append what every command says of itself to the page of the command line."""
    if document != "reference/cli":
        return
    os.environ["COLUMNS"] = "100"
    for title, words in [("zproc", ())] + [(f"zproc {' '.join(words)}", words) for words in commands()]:
        text = io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
            main([*words, "--help"])
        source[0] += f"\n## {title}\n\n```text\n{text.getvalue()}```\n"


def commands() -> list[tuple[str, ...]]:
    """Return all commands, in the order of ``zproc --help``."""
    names = [str(getattr(command, "__name__", "")).rpartition(".")[2] for command in COMMANDS]  # they are modules
    return [("keys", "new") if name == "keys" else (name,) for name in names]


def setup(app: Sphinx) -> None:
    """Connect what is done here by ourselves."""
    app.connect("source-read", list_examples)
    app.connect("source-read", list_commands)

"""``zproc generate``: write the typed client of a project's models, or tell whether it is what they give.

The law: the file is written whole or not at all, and left alone if it is right already but for the version of zproc; so
that a newer zproc that generates the same is no change to commit.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from importlib import metadata

from zproc.cli.command import FAILED, OK, Commands

__all__ = ["add_to", "run"]


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "generate",
        help="write the typed client of models",
        description="Write the typed client of models, by which a type checker knows every field, path and value.",
        epilog='Without arguments, [tool.zproc] of pyproject.toml says what: models = ["app.state:AppState"], '
        'out = "app/zproc_client.py".',
    )
    parser.add_argument("models", nargs="*", metavar="model", help="a model, like app.state:AppState")
    parser.add_argument("--out", metavar="file", help="the file to write; - for the standard output")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit with 1, and a diff, if the file is not what it would be",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the client, or compare it."""
    from zproc.cli.project import Project, model_at
    from zproc.codegen import body_of, generate
    from zproc.exceptions import UsageError

    project = Project.found(os.getcwd())
    addresses: list[str] = arguments.models or list(project.models)
    out: str | None = arguments.out or (project.out and os.path.join(project.root, project.out))
    if not addresses:
        raise UsageError("no model is named, here or in [tool.zproc] of pyproject.toml; see zproc generate --help")
    if not out:
        raise UsageError("no file to write is named, here (--out) or in [tool.zproc] of pyproject.toml")
    project.importing()
    text = generate([model_at(address) for address in addresses], version=metadata.version("zproc"))
    if out == "-":
        print(text, end="")
        return OK
    shown = os.path.relpath(out)
    present = _read(out)
    if present is not None and body_of(present) == body_of(text):
        print(f"{shown} is up to date", file=sys.stderr)
        return OK
    if arguments.check:
        return _differ(shown, present, text)
    _write(out, text)
    print(f"{shown} is written", file=sys.stderr)
    return OK


def _differ(shown: str, present: str | None, text: str) -> int:
    if present is None:
        print(f"zproc generate: {shown} is missing; run `zproc generate`", file=sys.stderr)
        return FAILED
    sys.stdout.writelines(
        difflib.unified_diff(
            present.splitlines(keepends=True), text.splitlines(keepends=True), shown, f"{shown} (generated)"
        )
    )
    print(f"zproc generate: {shown} is not what its models give; run `zproc generate`", file=sys.stderr)
    return FAILED


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _write(path: str, text: str) -> None:
    from zproc.exceptions import UsageError

    new = f"{path}.new"
    try:
        with open(new, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.replace(new, path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error

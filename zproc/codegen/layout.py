"""Layout of source text: on one line where it fits, otherwise one item a line.

The law: the text is what a formatter would produce at this width. The file tells formatters to leave it alone, whatever
their width is; the layout is for people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

__all__ = ["WIDTH", "Group", "Text", "docstring", "import_lines", "indented", "quoted", "union_lines"]

WIDTH: Final = 120


@dataclass(frozen=True, slots=True)
class Group:
    """Items between brackets.

    Attributes:
        before: what stands before the items, the opening bracket included.
        items: the items.
        after: what stands after them, the closing bracket included.
    """

    before: str
    items: Sequence[Text]
    after: str

    def __str__(self) -> str:
        return f"{self.before}{', '.join(map(str, self.items))}{self.after}"

    def lines(self, indent: int) -> Iterator[str]:
        """Yield the lines, each relative to the first.

        Args:
            indent: where the first begins.
        """
        flat = str(self)
        if indent + len(flat) <= WIDTH or not self.items:
            yield flat
            return
        yield self.before
        for item in self.items:
            *most, last = [item] if isinstance(item, str) else item.lines(indent + 5)  # for the comma, too
            yield from indented([*most, f"{last},"])
        yield self.after


Text: TypeAlias = str | Group


def indented(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines as the body of something."""
    for line in lines:
        yield f"    {line}" if line else line


def import_lines(module: str, names: Sequence[str]) -> list[str]:
    """Return the statement that imports names from a module."""
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= WIDTH:
        return [line]
    return [f"from {module} import (", *indented(f"{name}," for name in names), ")"]


def union_lines(before: str, parts: Sequence[str], indent: int = 0) -> list[str]:
    """Return the statement that gives a union a name, which ends with the name and the equals sign."""
    flat = " | ".join(parts)
    if indent + len(before) + len(flat) <= WIDTH:
        return [f"{before}{flat}"]
    inside = [flat] if indent + 4 + len(flat) <= WIDTH else [parts[0], *(f"| {part}" for part in parts[1:])]
    return [f"{before}(", *indented(inside), ")"]


def quoted(text: str) -> str:
    """Return a literal of a text, in the quotes that formatters prefer."""
    literal = repr(text)
    if literal[0] == "'" and '"' not in text:
        return f'"{literal[1:-1]}"'
    return literal


def docstring(text: str | None) -> list[str]:
    """Return a documentation as the lines of a docstring; none if there is none."""
    lines = [line.rstrip() for line in (text or "").strip().expandtabs().splitlines()]
    if not lines:
        return []
    margin = min((len(line) - len(line.lstrip()) for line in lines[1:] if line), default=0)
    body = [lines[0], *(line[margin:] for line in lines[1:])]
    escaped = [line.replace("\\", "\\\\").replace('"""', '\\"\\"\\"') for line in body]
    if len(escaped) == 1:
        end = " " if escaped[0].endswith('"') else ""
        return [f'"""{escaped[0]}{end}"""']
    return [f'"""{escaped[0]}', *escaped[1:], '"""']

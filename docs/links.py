"""Follows every link inside of the built documentation: ``python docs/links.py docs/_build``.

The law: a link leads to a file that is there, and, behind a ``#``, to a place that is in it. Links to other sites are
not followed: whether they work today says nothing about tomorrow, and a build must not depend on it.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

GENERATED = ("genindex.html", "search.html", "py-modindex.html", "_modules")


class Page(HTMLParser):
    """The links of a page, and the places in it that one can link to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of a tag."""
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.places.add(value)
            elif (tag, name) in {
                ("a", "href"),
                ("link", "href"),
                ("img", "src"),
                ("script", "src"),
                ("object", "data"),
            }:
                self.links.append(value)


def dead(site: Path) -> list[str]:
    """Return the links that lead nowhere, each with its page."""
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        for link in dict.fromkeys(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            lost = not target.exists() or (
                parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places
            )
            if lost:
                found.append(f"{path.relative_to(site.resolve())}: {link}")
    return found


def main(site: str) -> int:
    """Print the dead links of a site; their number, at most 1, is the exit code."""
    found = dead(Path(site))
    print(*found, sep="\n", end="\n" if found else "")
    return min(1, len(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

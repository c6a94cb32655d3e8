"""Dead links are found, and live ones are not taken for dead."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "docs"))

import links


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "index.html").write_text('<p id="here"><a href="deep/page.html#there">x</a><a href="#here">x</a></p>')
    (tmp_path / "deep" / "page.html").write_text('<a name="there" href="../index.html">x</a><img src="a%20b.svg">')
    (tmp_path / "deep" / "a b.svg").touch()
    return tmp_path


def test_a_site_whose_links_lead_somewhere_is_fine(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert links.main(str(site)) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("link", ["gone.html", "#gone", "deep/page.html#gone", "deep/gone.svg", "deep"])
def test_a_link_that_leads_nowhere_is_named(site: Path, link: str, capsys: pytest.CaptureFixture[str]) -> None:
    (site / "index.html").write_text(f'<a href="{link}">x</a>')
    assert links.main(str(site)) == 1
    assert capsys.readouterr().out == f"index.html: {link}\n"


def test_other_sites_are_not_followed(site: Path) -> None:
    (site / "index.html").write_text('<a href="https://example.invalid/">x</a><a href="mailto:x@example.invalid">x</a>')
    assert links.dead(site) == []

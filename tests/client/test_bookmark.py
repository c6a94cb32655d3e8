"""A place that outlives whoever noted it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from zproc.client.bookmark import Bookmark, Place
from zproc.typing import Epoch, Revision

START = Place(Epoch("0123456789abcdef"), Revision(7))


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("ZPROC_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def bookmark(directory: Path) -> Iterator[Bookmark]:
    made = Bookmark.make(START, "unix:///here")
    yield made
    made.remove()
    assert not list(directory.iterdir())


def test_it_begins_where_it_was_made(bookmark: Bookmark) -> None:
    assert bookmark.place() == START


def test_it_is_where_it_was_moved_to(bookmark: Bookmark) -> None:
    there = Place(Epoch("another"), Revision(2**63), 3, begun=True, lives=2)
    bookmark.move(there)
    assert bookmark.place() == there


def test_a_move_is_seen_after_the_mover_was_killed(bookmark: Bookmark) -> None:
    pid = os.fork()
    if pid == 0:
        bookmark.move(Place(START.epoch, Revision(8), 1, begun=True))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert bookmark.place() == Place(START.epoch, Revision(8), 1, begun=True)


def test_one_that_was_removed_is_at_its_start_and_can_be_moved_again(bookmark: Bookmark) -> None:
    bookmark.move(Place(START.epoch, Revision(9)))
    bookmark.remove()
    bookmark.remove()
    assert bookmark.place() == START
    bookmark.move(Place(START.epoch, Revision(9)))
    assert bookmark.place().revision == 9


def test_nobody_else_may_read_it(bookmark: Bookmark, directory: Path) -> None:
    (file,) = directory.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_those_of_a_server_that_is_gone_are_swept_and_no_others(bookmark: Bookmark, directory: Path) -> None:
    others = [Bookmark.make(START, "unix:///there") for _ in range(3)]
    (directory / "something else").touch()
    Bookmark.sweep("unix:///there")
    assert [other.place() for other in others] == [START] * 3
    assert len(list(directory.glob("*.mark"))) == 1
    assert bookmark.place() == START
    (directory / "something else").unlink()

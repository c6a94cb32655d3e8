"""Revision words: seen by every process as soon as they are written, and worthless once their server has ended."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from zproc.exceptions import Unavailable
from zproc.transport import NOWHERE, Words, clear, listen, publish, word
from zproc.transport.word import NO_REVISION
from zproc.typing import Epoch, Revision

FIRST, SECOND = Epoch("1" * 16), Epoch("2" * 16)


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"unix://{tmp_path}/s"


def published(address: str, epoch: Epoch = FIRST) -> Words:
    words = publish(address, epoch)
    assert words is not None
    return words


def test_what_is_written_is_seen(address: str) -> None:
    words = published(address)
    one, other = word(address, 0, FIRST), word(address, 1, FIRST)
    assert (one[0], other[0]) == (0, 0)
    words.write(1, Revision(7))
    assert (one[0], other[0]) == (0, 7)
    words.close()


SEE = """
import sys
from zproc.transport import word
seen = word(sys.argv[1], 3, sys.argv[2])
print(seen[0], flush=True)
while seen[0] != 1 << 40:
    pass
"""


def test_another_process_sees_it_without_a_message(address: str) -> None:
    words = published(address)
    with subprocess.Popen([sys.executable, "-c", SEE, address, FIRST], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        words.write(3, Revision(1 << 40))
        assert process.wait(20) == 0
    words.close()


def test_a_word_of_a_server_that_has_ended_stands_for_no_revision(address: str) -> None:
    words = published(address)
    words.write(0, Revision(5))
    seen = word(address, 0, FIRST)
    words.close()
    assert seen[0] == NO_REVISION
    assert word(address, 0, FIRST) is NOWHERE
    assert not os.path.exists(address.removeprefix("unix://") + ".rev")


def test_p7_before_anybody_reaches_a_new_server_the_words_of_a_dead_one_are_worthless(address: str) -> None:
    """Or who still holds the old state would take its revision for one of the new server's."""
    words = published(address)
    words.write(0, Revision(5))
    seen = word(address, 0, FIRST)
    listener = listen(address)
    try:
        assert seen[0] == NO_REVISION
        again = published(address, SECOND)
        again.write(0, Revision(5))
        assert seen[0] == NO_REVISION
        assert word(address, 0, FIRST) is NOWHERE, "another life's"
        assert word(address, 0, SECOND)[0] == 5
        again.close()
    finally:
        listener.close()


def test_what_a_killed_server_leaves_is_cleared_away(address: str, tmp_path: Path) -> None:
    published(address)
    clear(address)
    assert os.listdir(tmp_path) == []


def test_a_fork_of_the_server_does_not_end_the_words(address: str) -> None:
    words = published(address)
    words.write(0, Revision(5))
    pid = os.fork()
    if pid == 0:
        words.close()
        os._exit(0)
    os.waitpid(pid, 0)
    assert word(address, 0, FIRST)[0] == 5
    words.close()


def test_only_a_server_that_shares_a_file_system_has_words() -> None:
    assert publish("memory://somewhere", FIRST) is None
    assert word("memory://somewhere", 0, FIRST) is NOWHERE


def test_a_state_beyond_those_that_there_is_room_for_is_asked_for(address: str) -> None:
    words = published(address)
    words.write(480, Revision(5))
    assert word(address, 480, FIRST) is NOWHERE
    assert word(address, 479, FIRST)[0] == 0
    words.close()


def test_what_is_no_file_of_words_is_not_read(address: str) -> None:
    path = address.removeprefix("unix://") + ".rev"
    with open(path, "wb") as file:
        file.write(FIRST.encode() + b"\0")
    assert word(address, 0, FIRST) is NOWHERE
    os.unlink(path)
    os.symlink("/etc/passwd", path)
    assert word(address, 0, FIRST) is NOWHERE


@contextmanager
def disk_with(nbytes: int) -> Iterator[None]:
    """Have files end at a length, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 100])
def test_where_there_is_no_space_there_are_no_words_and_no_file(address: str, tmp_path: Path, room: int) -> None:
    with disk_with(room), pytest.raises(Unavailable, match=r"cannot make .*\.rev: "):
        publish(address, FIRST)
    assert os.listdir(tmp_path) == []


def test_the_space_is_taken_before_the_first_word_is_written(address: str) -> None:
    """A hole in the file would kill the server by SIGBUS on a disk that has become full."""
    words = published(address)
    found = os.stat(address.removeprefix("unix://") + ".rev")
    assert found.st_blocks * 512 >= found.st_size == 4096
    words.close()

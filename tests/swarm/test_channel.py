"""Tasks are messages, whole or not at all; the rest is a stream of frames."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from zproc.process import Packer, Segment, descriptor
from zproc.swarm.channel import Flag, Frame, Kind, Reader, Task, adopt, attached, locate, located, pairs, rights

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def line() -> Iterator[Ends]:
    (tasks, far_tasks), (near, far) = pairs()
    tasks.close()
    descriptor.close(far_tasks)
    other = adopt(far, socket.SOCK_STREAM)
    yield near, other
    near.close()
    other.close()


@pytest.fixture
def tasks() -> Iterator[Ends]:
    (near, far), (line, far_line) = pairs()
    line.close()
    descriptor.close(far_line)
    other = adopt(far, near.type)
    yield near, other
    near.close()
    other.close()


def test_a_task_survives_the_journey(tasks: Ends) -> None:
    near, far = tasks
    sent = Task(1, 2, 3, Flag.CAREFUL | Flag.PACKED, 0.5, b"items")
    near.send(sent.packed())
    read = Task.read(far.recv(1000))
    assert read[:5] == sent[:5]
    assert bytes(read.body) == b"items"


def test_each_message_is_had_by_one_of_two_who_read(tasks: Ends) -> None:
    near, far = tasks
    for chunk in range(3):
        near.send(Task(chunk, 0, 1, 0, 0.0, b"").packed())
    mine = adopt(descriptor.keep(os.dup(far.fileno())), far.type)
    seen = [Task.read(reader.recv(1000)).chunk for reader in (far, mine, far)]
    mine.close()
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("piece", [1, 7, 40, 10_000])
def test_frames_are_made_of_whatever_pieces_arrive(line: Ends, piece: int) -> None:
    near, far = line
    frames = [Frame(Kind.DONE, number, 1, Flag.ALONE, 0.25, b"x" * number) for number in range(5)]
    data = b"".join(frame.packed() for frame in frames)
    reader, read = Reader(far), []
    for start in range(0, len(data), piece):
        near.sendall(data[start : start + piece])
        read += [(frame[:5], bytes(frame.body)) for frame in reader.read() or ()]
    assert read == [(frame[:5], frame.body) for frame in frames]


def test_a_reader_tells_of_the_end(line: Ends) -> None:
    near, far = line
    far.setblocking(False)
    reader = Reader(far)
    with pytest.raises(BlockingIOError):
        reader.read()
    near.shutdown(socket.SHUT_WR)
    assert reader.read() is None


def test_descriptors_come_with_the_frame_that_they_belong_to(line: Ends) -> None:
    near, far = line
    segment = Segment(4096)
    layout = segment.fill(Packer().pack("hello"))
    near.sendmsg(
        [Frame(Kind.DONE, 1, 1, Flag.SEGMENT, 0.0, locate(7, segment, layout)).packed()], attached([segment.descriptor])
    )
    reader = Reader(far)
    frames = reader.read()
    assert frames is not None
    (frame,) = frames
    assert located(frame.body) == (7, 4096, layout)
    assert len(reader.descriptors) == 1
    reader.close()
    segment.close_descriptor()
    assert not reader.descriptors


def test_nothing_that_came_along_is_nothing() -> None:
    assert rights([]) == []
    assert attached([]) == []


def test_a_fork_closes_its_copies_and_nothing_else(line: Ends) -> None:
    near, far = line
    number = far.fileno()
    pid = os.fork()
    if pid == 0:
        ok = far.fileno() == -1
        try:
            os.fstat(number)
            ok = False
        except OSError:
            pass
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    near.sendall(b"x")
    assert far.recv(1) == b"x"

"""A program of several processes that work on one state while they are killed, stopped and cut off at random.

The law: every process writes down what it asks and what it is answered, and when, by the clock that all share; a call
is written down before it is made. Nothing is judged here.

It is run as a program of its own: ``python disaster.py SEED SECONDS FOLDER [BUG]``. Everything is forked, so that a bug
that is planted here is in the server and in the clients.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, cast

import zproc
from zproc.client.client import Client
from zproc.client.handle import address_of
from zproc.client.replica import Moment
from zproc.core.lease import Turns
from zproc.core.limits import Limits
from zproc.core.messages import Committed
from zproc.core.session import Session
from zproc.transport.channel import LocalChannel

LEASE = 0.15
CLIENTS = 4
CUT = 0.04
"""How often a connection is lost between a request and its answer."""


class Pair(zproc.StateModel):
    a: int = 0
    b: int = 0

    @zproc.action
    def move(self, k: int) -> list[int]:
        self.a += k
        self.b -= k
        return [self.a, self.b]


@zproc.atomic
def shift(state: Pair, k: int, delay: float) -> int:
    """Give b what a was, and a something more; sometimes too late."""
    before = state.a
    time.sleep(delay)
    state.a = before + k
    state.b = before
    return before


class Notes:
    """What one client process asks and is answered, line by line, in a file that survives it."""

    def __init__(self, folder: str) -> None:
        self._file = os.open(f"{folder}/{os.getpid()}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._number = 0

    def call(self, what: tuple[str, int], operation: Callable[[], tuple[object, int | None]]) -> None:
        self._number += 1
        self._write("call", what)
        try:
            answer, revision = operation()
        except zproc.CommitUnknown:
            self._write("unknown")
        except (zproc.LeaseLost, zproc.Unavailable, zproc.CommitRefused) as error:
            self._write("refused", type(error).__name__)
        else:
            self._write("return", answer, revision)

    def _write(self, *parts: object) -> None:
        line = json.dumps([time.monotonic_ns(), os.getpid(), self._number, *parts])
        os.write(self._file, f"{line}\n".encode())


def work(state: Pair, folder: str, seed: int) -> None:
    """Be a client, for ever."""
    chance = random.Random(seed)
    client, _ = address_of(cast("Any", state))
    notes = Notes(folder)
    revisions: list[int] = []
    noting_revisions(revisions)
    losing_connections(chance)

    def wrote(operation: Callable[[], object]) -> Callable[[], tuple[object, int | None]]:
        def perform() -> tuple[object, int | None]:
            revisions.clear()
            answer = operation()
            return answer, revisions[-1] if revisions else None

        return perform

    def read() -> tuple[object, int | None]:
        answer = state.a
        return int(answer), client._replica.moment.revision

    def snapshot() -> tuple[object, int | None]:
        _, revision, values = client.read(lambda _: None)
        return [cast("Pair", values).a, cast("Pair", values).b], revision

    def add(k: int) -> None:
        state.a += k

    def in_a_block(k: int) -> int:
        with zproc.transaction(state) as draft:
            before = draft.a
            draft.a, draft.b = before + k, before
        return before

    while True:
        k = chance.randrange(1, 10**6)
        delay = LEASE * 1.5 if chance.random() < 0.04 else 0.0
        verb = chance.choice(["read", "read", "read", "snapshot", "set", "add", "move", "shift", "block"])
        operations: dict[str, Callable[[], tuple[object, int | None]]] = {
            "read": read,
            "snapshot": snapshot,
            "set": wrote(lambda k=k: setattr(state, "a", k)),  # type: ignore[misc]  # a lambda with a default
            "add": wrote(lambda k=k: add(k)),  # type: ignore[misc]  # as above
            "move": wrote(lambda k=k: state.move(k)),  # type: ignore[misc]  # as above
            "shift": wrote(lambda k=k, delay=delay: shift(state, k, delay)),  # type: ignore[misc]  # as above
            "block": wrote(lambda k=k: in_a_block(k)),  # type: ignore[misc]  # as above
        }
        notes.call(("shift" if verb == "block" else verb, k), operations[verb])
        time.sleep(chance.random() * 0.01)


def noting_revisions(revisions: list[int]) -> None:
    """Have the revision of every commit of this process noted, which the public calls keep to themselves."""
    change_by = Client.change_by

    def noting(client: Client, connection: Any, command: Any) -> Committed | None:
        done = change_by(client, connection, command)
        if done is not None:
            revisions.append(done.revision)
        return done

    planted(Client, "change_by", noting)


def losing_connections(chance: random.Random) -> None:
    """Have connections break now and then after something was sent, and before it is answered."""
    send = LocalChannel.send

    def losing(channel: LocalChannel, frame: bytes, timeout: float | None = None) -> None:
        send(channel, frame, timeout)
        if chance.random() < CUT:
            with contextlib.suppress(OSError):
                channel._socket.shutdown(socket.SHUT_RD)

    planted(LocalChannel, "send", losing)


def planted(cls: type, name: str, function: Callable[..., object]) -> None:
    """Replace a method, in this process and in those that are forked from it."""
    setattr(cls, name, function)


def operands(commit: zproc.Commit) -> list[int]:
    """What it can have been called with that made this commit: what `a` became, or by how much it grew."""
    return [
        value
        for change in commit.changes
        if change.path == "a"
        for value in (int(cast("int", change.new)), int(cast("int", change.new)) - int(cast("int", change.old)))
    ]


# Bugs


def read_stale_values() -> None:
    """A client trusts its replica without a look at the revision word."""
    make = Moment.__init__

    def never_old(moment: Moment, word: memoryview, revision: Any, *rest: Any) -> None:
        make(moment, memoryview(int(revision).to_bytes(8, "little")).cast("Q"), revision, *rest)

    planted(Moment, "__init__", never_old)


def forget_outcomes() -> None:
    """The server takes every request for a new one."""
    planted(Session, "outcome", lambda _session, _request: None)


def take_any_turn() -> None:
    """The server applies the commit of a turn that was lost."""
    planted(Turns, "holds", lambda _turns, _peer, _lease: True)


BUGS = {"stale reads": read_stale_values, "no dedup": forget_outcomes, "no fencing": take_any_turn}


def main(seed: int, seconds: float, folder: str) -> None:
    """Let it happen, and write down what the server says has happened."""
    warnings.simplefilter("ignore")
    chance = random.Random(seed)
    limits = Limits(lease_time=LEASE, history_commits=1_000_000, history_bytes=1 << 30)
    with zproc.Context(Pair, limits=limits, start_method="fork") as ctx:

        def client() -> Any:
            return ctx.spawn(name="client", start_method="fork")(work, folder, chance.randrange(10**9))

        clients = [client() for _ in range(CLIENTS)]
        replaced: list[Any] = []
        stopped: dict[int, float] = {}
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(0.02)
            for pid, until in list(stopped.items()):
                if time.monotonic() >= until:
                    del stopped[pid]
                    os.kill(pid, signal.SIGCONT)
            place = chance.randrange(CLIENTS)
            fate, pid = chance.random(), clients[place].pid
            if fate < 0.02:
                stopped.pop(pid, None)
                os.kill(pid, signal.SIGKILL)
                replaced.append(clients[place])
                clients[place] = client()
            elif fate < 0.08 and pid not in stopped:
                stopped[pid] = time.monotonic() + chance.random() * 3 * LEASE
                os.kill(pid, signal.SIGSTOP)
        for each in clients:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGKILL)
        for each in [*replaced, *clients]:
            each.exception(20)  # once it is dead, nobody was told of more than is in the log
        commits = [[commit.revision, commit.author.pid, operands(commit)] for commit in ctx.history()]
    with open(f"{folder}/commits.json", "w") as file:
        json.dump(commits, file)


if __name__ == "__main__":
    if len(sys.argv) > 4:
        BUGS[sys.argv[4]]()
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3])

"""Whether what a watcher was told is what happened to it: the validators of watches, and a line that can be cut.

Each validator is named for what it finds broken. They trust the history that the server tells at the end, which
``test_linearizability.py`` holds against what the writers were told.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

from pydantic import BaseModel

from zproc.schema.event import Change, Commit
from zproc.schema.path import parse_path
from zproc.typing import Path

__all__ = ["Broken", "CuttableLine", "fold", "folded", "judge"]


class Broken(AssertionError):
    """A watcher was told what did not happen, or not told what did."""


def judge(
    heard: Sequence[Commit], truth: Sequence[Commit], concerned: Callable[[Commit], bool], since: int = 0
) -> None:
    """Hold what was heard against what happened.

    Args:
        heard: the commits in the order in which they were told.
        truth: all commits, in their order.
        concerned: whether the watcher asked for a commit.
        since: the revision after which it was listening.

    Raises:
        Broken: and how.
    """
    revisions = [commit.revision for commit in heard]
    if revisions != sorted(revisions):
        raise Broken(f"not ordered: {revisions}")
    if len(set(revisions)) != len(revisions):
        raise Broken(f"not unique: {revisions}")
    by_revision = {commit.revision: commit for commit in truth}
    for commit in heard:
        if commit != by_revision.get(commit.revision):
            raise Broken(f"not atomic, or not what it was: {commit} instead of {by_revision.get(commit.revision)}")
    wanted = [commit.revision for commit in truth if commit.revision > since and concerned(commit)]
    if missing := sorted({*wanted} - {*revisions}):
        raise Broken(f"not reliable: missing {missing}")
    if others := sorted({*revisions} - {*wanted}):
        raise Broken(f"not filtered: told of {others}")


def fold(model: type[BaseModel], state: dict[Any, Any], changes: Iterable[Change]) -> None:
    """Do to plain data what changes say that they did; their old values have to be the ones there.

    Raises:
        Broken: they are not.
    """
    for change in changes:
        path = parse_path(change.path, model)
        if change.kind in {"splice", "add", "discard"}:
            _within(_at(state, path), change)
            continue
        parent, key = _at(state, path[:-1]), path[-1]
        there = key in parent if isinstance(parent, dict) else True
        if there != (change.kind != "create") or (there and parent[key] != _plain(change.old)):
            raise Broken(f"not what was there before: {change}, in {state}")
        if change.kind == "delete":
            del parent[key]
        else:
            parent[key] = _plain(change.new)


def _within(container: Any, change: Change) -> None:
    if change.kind == "add":
        container |= cast("set[object]", change.new)
    elif change.kind == "discard":
        container -= cast("set[object]", change.old)
    else:
        old, new, at = cast("list[object]", change.old), cast("list[object]", change.new), cast("int", change.at)
        if container[at : at + len(old)] != old:
            raise Broken(f"not what was there before: {change}, in {container}")
        container[at : at + len(old)] = new


def _at(state: Any, path: Path) -> Any:
    for key in path:
        state = state[key]
    return state


def _plain(value: object) -> object:
    return value.model_dump() if isinstance(value, BaseModel) else value


def folded(model: type[BaseModel], commits: Iterable[Commit]) -> list[dict[Any, Any]]:
    """Return what a state came to after each commit, as plain data; the first is what it began with."""
    state = model().model_dump()
    states = [model(**state).model_dump()]
    for commit in commits:
        fold(model, state, commit.changes)
        states.append(model(**state).model_dump())
    return states


class CuttableLine:
    """A socket between clients and a server, whose connections can be cut: all at once, or one after so many bytes.

    Args:
        server: the path of the server's socket.
        path: where it listens.
    """

    def __init__(self, server: str, path: str) -> None:
        self.address: Final = f"unix://{path}"
        self.cuts = 0
        self.carried = 0
        """How many bytes came from the server on the connection that came last."""
        self._server = server
        self._left: int | None = None
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._down: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(100)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._bell, self._ear = socket.socketpair()
        self._selector.register(self._ear, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._carry, name="a line that can be cut")
        self._thread.start()

    def cut(self) -> None:
        """Cut all connections."""
        with self._lock:
            for one in list(self._pairs):
                self._end(one)

    def cut_after(self, size: int) -> None:
        """Cut the connection on which so many more bytes have come from the server, once."""
        with self._lock:
            self._left = size

    def close(self) -> None:
        """End it."""
        self._bell.send(b"x")
        self._thread.join(10)
        self.cut()
        for one in (self._listener, self._bell, self._ear):
            one.close()
        self._selector.close()

    def _carry(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._ear:
                    return
                with self._lock, contextlib.suppress(OSError):
                    if key.fileobj is self._listener:
                        self._accept()
                    else:
                        self._pass_on(cast("socket.socket", key.fileobj))

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            server.connect(self._server)
        except OSError:
            client.close()
            server.close()
            return
        self._pairs |= {client: server, server: client}
        self._down.add(server)
        self.carried = 0
        for one in (client, server):
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, source: socket.socket) -> None:
        if source not in self._pairs:
            return
        down = source in self._down
        data = source.recv(64 << 10 if not down or self._left is None else max(self._left, 1))
        if not data or (down and self._left == 0):
            self._left = None if down and self._left == 0 else self._left
            self._end(source)
            return
        if down:
            self.carried += len(data)
            if self._left is not None:
                self._left -= len(data)
        try:
            self._pairs[source].sendall(data)
        except OSError:
            self._end(source)

    def _end(self, one: socket.socket) -> None:
        other = self._pairs.pop(one, None)
        if other is None:
            return
        del self._pairs[other]
        self.cuts += 1
        for each in (one, other):
            self._down.discard(each)
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(each)
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

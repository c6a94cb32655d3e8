"""Waiting for the state instead of asking it again and again.

The law: what is waited for is looked for from a revision on, commit by commit, and every commit is looked at in the
state that it made. Nothing that happens after the starting revision is missed, and nothing is seen twice; if that
cannot be promised, because the history was dropped or the server is another one, it is an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from zproc.client.client import Client, expect
from zproc.client.connection import Connection
from zproc.core.messages import Changes, Watch
from zproc.exceptions import HistoryGone, WaitTimeout
from zproc.schema.model import StateModel
from zproc.schema.path import ANY, Pattern, format_path, parse_pattern
from zproc.typing import Revision

__all__ = ["Cursor"]


class Cursor:
    """A place in the sequence of commits that touch some patterns.

    Args:
        client: how the state is reached.
        fields: dotted paths or patterns; none for every field.
        since: the revision to start after; ``None`` for the newest one.
        own: whether commits of this process count.

    Raises:
        UnknownPath: a field leads nowhere.
        Unavailable: no server answers.
    """

    def __init__(
        self, client: Client, fields: tuple[str, ...], *, since: Revision | None = None, own: bool = True
    ) -> None:
        self._client = client
        self._patterns = tuple(parse_pattern(field, client.schema.model) for field in fields) or ((ANY,),)
        self._encoded = client.schema.codec.encode([_steps(pattern) for pattern in self._patterns])
        self._own = own
        self._epoch, newest = client.position()
        self.revision = newest if since is None else since

    def next(self, timeout: float | None = None) -> StateModel:
        """Wait for the next commit and return the state that it made.

        Args:
            timeout: how long to wait, in seconds; ``None`` for as long as it takes.

        Raises:
            WaitTimeout: no such commit came in time.
            HistoryGone: commits were dropped before they were seen, or the server was started anew.
            Unavailable: no server answers.
        """
        deadline = None if timeout is None else time.monotonic() + timeout

        def question(connection: Connection) -> tuple[Revision, StateModel]:
            self._insist_on_epoch(connection)
            watch = Watch(self._client.next_request(), self.revision, self._encoded, self._own, False, True, True)
            changes = expect(connection.call(watch, deadline), Changes)
            return changes.revision, connection.replica.snapshot(changes.state)

        try:
            self.revision, state = self._client.ask(question)
        except WaitTimeout:
            raise WaitTimeout(f"a change of {self}", timeout or 0.0) from None
        return state

    def _insist_on_epoch(self, connection: Connection) -> None:
        if connection.welcome.epoch != self._epoch:
            gone = HistoryGone(self.revision, connection.welcome.revision)
            gone.add_note("the server was started anew; its state, and its numbers of revisions, are others")
            raise gone

    def until(self, test: Callable[[StateModel], bool], what: str, timeout: float | None = None) -> StateModel:
        """Wait until a state passes a test, beginning with the present one, and return it.

        Args:
            test: looks at a frozen copy of the state.
            what: what is waited for, in words.
            timeout: how long to wait, in seconds; ``None`` for as long as it takes.

        Raises:
            WaitTimeout: it did not happen in time.
            HistoryGone: commits were dropped before they were seen, or the server was started anew.
            Unavailable: no server answers.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self._epoch, self.revision, state = self._client.read(lambda _: None)
        while not test(state):
            try:
                state = self.next(None if deadline is None else max(0.0, deadline - time.monotonic()))
            except WaitTimeout:
                raise WaitTimeout(what, timeout or 0.0) from None
        return state

    def __str__(self) -> str:
        return ", ".join(map(format_path, self._patterns))


def _steps(pattern: Pattern) -> list[list[object]]:
    return [[] if step is ANY else [step] for step in pattern]

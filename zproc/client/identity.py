"""Who a client is, to a server.

The law: a session is one client process, whatever connections it has; its name is a token that nobody else has. What a
process is called is for people, and nothing depends on it.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass

from zproc.core.messages import PROTOCOL, Hello
from zproc.schema.fingerprint import Table
from zproc.typing import RequestId, SessionId

__all__ = ["Identity", "name_by", "new_session", "process_name"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a client is, to a server.

    Attributes:
        address: where the server listens.
        namespace: the state.
        fingerprint: the identity of the client's schema.
        table: the entries of the client's schema.
        session: the name of this client process.
        process: the name of this process, for people.
    """

    address: str
    namespace: str
    fingerprint: str
    table: Table
    session: SessionId
    process: str

    def hello(self) -> Hello:
        """Return the first message.

        It must fit into what a stranger may send, so the table stays here, and the server sends its own.
        """
        return Hello(
            request=RequestId(0),
            version=PROTOCOL,
            namespace=self.namespace,
            fingerprint=self.fingerprint,
            table={},
            session=self.session,
            pid=os.getpid(),
            process=self.process,
        )


_naming: list[Callable[[], str | None]] = []


def name_by(naming: Callable[[], str | None]) -> None:
    """Register a function that names this process; if it returns ``None``, the name of the program is used."""
    _naming.append(naming)


def process_name() -> str:
    """Return the name of this process, for people."""
    return next((name for naming in _naming if (name := naming())), os.path.basename(sys.argv[0]))


def new_session() -> SessionId:
    """Return a name for a client process that no other has."""
    return SessionId(secrets.token_hex(16))

"""The identifiers that must not be mixed, and the protocols that signatures name.

The law: nothing here does anything. This module imports nothing of zproc.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NewType, Protocol, TypeAlias, TypeVar

__all__ = [
    "ChunkId",
    "Epoch",
    "JobId",
    "Key",
    "LeaseId",
    "Linked",
    "Live",
    "Path",
    "PeerId",
    "RequestId",
    "Revision",
    "SessionId",
    "WorkerId",
]

Revision = NewType("Revision", int)
"""The number of a commit in its namespace: 1, 2, 3 ... in the one order that everybody sees; 0 is the state before the
first.
"""

Epoch = NewType("Epoch", str)
"""The life of a server: (epoch, revision) names a state."""

PeerId = NewType("PeerId", int)
"""One connection, as the server's transport counts them."""

SessionId = NewType("SessionId", str)
"""One client process, through all its connections: a random token that it chose."""

RequestId = NewType("RequestId", int)
"""One request of a session. A request sent twice has one id, and one effect."""

LeaseId = NewType("LeaseId", int)
"""One turn. Later turns have greater ids, so that a commit of an older turn can be told and refused."""

JobId = NewType("JobId", int)
"""One map, or what was submitted on the same terms, as a scheduler counts them."""

ChunkId = NewType("ChunkId", int)
"""Items of one job that travel to a worker together."""

WorkerId = NewType("WorkerId", int)
"""One worker's life. The one that takes its place has another."""

Key: TypeAlias = Hashable
"""One step of a path: a field's name, a dict's key or a list's index."""

Path: TypeAlias = tuple[Key, ...]
"""The address of a part of the state, from its root: ``("stock", "a.b")``."""

T_co = TypeVar("T_co", covariant=True)


class Live(Protocol[T_co]):
    """What stands for a value that lives elsewhere, and is typed as more than that: a handle of a generated client."""

    def __zproc_value__(self) -> T_co:
        """Return the value itself."""
        ...


class Linked(Protocol[T_co]):
    """A model that tells type checkers, and nobody else, which class the contexts of it are of."""

    @property
    def __client__(self) -> type[T_co]:
        """The class, which is generated."""
        ...

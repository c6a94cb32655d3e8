"""A namespace with a keeper: programs read and watch it, and it is changed by one action of one kind of client.

The law: the first argument of that action is the caller's own session, and every other commit is refused. When a
session has ended, another action is told, which only the server can call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zproc.core.budget import Budget
from zproc.core.history import Author, Entry
from zproc.core.limits import Limits
from zproc.core.namespace import Namespace
from zproc.exceptions import UsageError
from zproc.schema.model import Schema, StateModel

__all__ = ["Keeper", "KeptNamespace", "namespace_of"]


@dataclass(frozen=True, slots=True)
class Keeper:
    """The two actions by which a kept state changes.

    Attributes:
        telling: the action that clients may call, with their own session as its first argument.
        farewell: the action that the server calls for each session that has ended.
    """

    telling: str
    farewell: str


class KeptNamespace(Namespace):
    """A state that has a keeper.

    Args:
        schema: what it is declared as.
        limits: the limits of the server.
        budget: what bounds the time of its actions.
        keeper: its keeper.
    """

    def __init__(self, schema: Schema[StateModel], limits: Limits, budget: Budget, keeper: Keeper) -> None:
        super().__init__(schema, limits, budget)
        self._keeper: Final = keeper

    def commit(self, encoded: bytes, author: Author, *, wall: float) -> tuple[Entry | None, bytes]:  # noqa: ARG002 - a namespace's
        """Refuse it: see `Namespace.commit`."""
        raise self._refusal()

    def act(self, action: str, call: bytes, author: Author, *, wall: float) -> tuple[Entry | None, bytes]:
        """Call the telling action on behalf of a client; see `Namespace.act`.

        Raises:
            UsageError: it does something else.
        """
        if action != self._keeper.telling or not self._is_own(call, author):
            raise self._refusal()
        return super().act(action, call, author, wall=wall)

    def see_off(self, author: Author, *, wall: float) -> Entry | None:
        """Call the farewell action for a session that has ended.

        Args:
            author: whose it was.
            wall: the time of day, in seconds since 1970.

        Returns:
            The entry of the commit, ``None`` if that changed nothing.
        """
        call = self.schema.codec.encode([[], [author.session], {}])
        return super().act(self._keeper.farewell, call, author, wall=wall)[0]

    def _is_own(self, call: bytes, author: Author) -> bool:
        match self._incoming.decode(call):
            case [[], [str(session), *_], {}]:
                return session == author.session
            case _:
                return False

    def _refusal(self) -> UsageError:
        name = self.schema.model.__name__
        return UsageError(f"the {name} is written by zproc alone; it can be read and watched, and not be changed")


def namespace_of(schema: Schema[StateModel], limits: Limits, budget: Budget, keeper: Keeper | None = None) -> Namespace:
    """Return a new state, with or without a keeper; see `Namespace`."""
    if keeper is None:
        return Namespace(schema, limits, budget)
    return KeptNamespace(schema, limits, budget, keeper)

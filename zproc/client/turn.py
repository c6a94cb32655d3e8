"""Atomic functions: a turn, a draft, a commit.

The law: the function runs here, alone, exactly once. Its changes are sent as one commit when it has returned, and
discarded when it raised, be it KeyboardInterrupt or SystemExit. If the turn was lost the commit is refused, and the
function is never run again. Whatever it reads of the state is of the one revision that its turn began at, and only what
it looks at is fetched.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Concatenate, ParamSpec, TypeVar, cast, overload

from pydantic import BaseModel

from zproc.client.connection import expect
from zproc.client.handle import Handle, address_of, gone, kind_of
from zproc.client.lazy import OnDemand, lazy_part
from zproc.client.replica import LARGEST, NEVER, typed
from zproc.core.messages import Acquire, Commit, Granted, Look, Read, Release, Values
from zproc.exceptions import Error, LeaseLost, Unavailable, UnknownPath, UsageError
from zproc.schema.action import drafted, refuse_unfinished, run, without_drafts
from zproc.schema.draft import Draft, ModelDraft, Session, validator_draft
from zproc.schema.fieldless import Fieldless
from zproc.schema.lazy import type_of
from zproc.schema.ops import Op
from zproc.schema.path import format_path
from zproc.schema.shape import Shape, shape_at
from zproc.schema.snapshot import assemble
from zproc.schema.transaction import Transaction
from zproc.schema.values import SCALARS, plain
from zproc.typing import Key, Live, Path

__all__ = ["atomic", "transact", "transaction"]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=BaseModel)
M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


def atomic(function: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Make a function of a state atomic: it runs alone, and what it does to the state happens at once or not at all.

    Called with a live state, the function waits for its turn, runs in this process on a draft, and commits. Called
    with a draft, inside another atomic function or an action, it is part of that one's commit: if it raises, and that
    one catches what it raised, what it did before remains. Called with a plain instance of the model it runs on that
    instance, all or nothing, without any server.

    Args:
        function: a function whose first argument is the state.

    Returns:
        The function to call in its place; it takes the same arguments and returns the same.

    Raises:
        UsageError: the function is a coroutine function or a generator, whose body does not run when it is called.

    Calling it raises whatever the function raises (nothing is applied then), and on a live state besides:

    * ``CommitRefused``: the state would break its schema; ``LeaseLost``: the turn was lost, since the function took
      too long.
    * ``CommitUnknown``: the connection was lost while committing.
    * ``Unavailable``: no server answers.
    * ``UsageError``: the live state was used within the function, instead of the draft.
    """
    refuse_unfinished(function, "atomic")
    name = getattr(function, "__qualname__", "")

    @functools.wraps(function)
    def call(state: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        given: object = state  # what a view is typed as is not what it is
        if isinstance(given, Handle):
            return transact(given, function, name, *args, **kwargs)
        if isinstance(given, Draft):
            return function(state, *args, **kwargs)
        _refuse_stranger(state, name)
        return run(state, lambda draft: function(draft, *args, **kwargs), len)[0]

    return call


def _refuse_stranger(state: object, name: str) -> None:
    if not isinstance(state, BaseModel):
        raise UsageError(f"{name} is atomic on a state, and was called on {state!r:.80}")


def transact(
    handle: Handle, body: Callable[Concatenate[T, P], R], name: str, /, *args: P.args, **kwargs: P.kwargs
) -> R:
    """Run a function on a draft of what a handle stands for, in a turn of its own.

    Args:
        handle: the live handle.
        body: what to do with the draft of it.
        name: what the history says who did it.
        args: what else the function is given.
        kwargs: and by name.

    Raises:
        LeaseLost: the turn was lost.
        CommitRefused: the state would break its schema.
        UnknownPath: what the handle stands for is no longer in the state.
        BaseException: whatever the function raises; nothing is applied then.
    """
    with _Turn(handle, name) as draft:
        result = body(draft, *args, **kwargs)  # type: ignore[arg-type]  # the draft of what it is annotated with
        return result if type(result) in SCALARS else cast("R", without_drafts(result))


@overload
def transaction(state: Live[M]) -> AbstractContextManager[M]: ...
@overload
def transaction(state: M) -> AbstractContextManager[M]: ...
def transaction(state: M) -> AbstractContextManager[M]:  # type: ignore[misc]  # a handle is typed as what it stands for
    """Change a state by a ``with`` block: the block runs alone, and what it does happens at once or not at all.

    This is the block form of `atomic`, and takes the same three: a live state, a draft, or a plain instance. The block
    uses what ``as`` gives it, not the live state.

    Args:
        state: what is to be changed.

    Returns:
        A context manager that gives the draft to the block, for one ``with`` statement; the draft is dead afterwards.

    Raises:
        CommitRefused: the state would break its schema.
        LeaseLost: the turn was lost, since the block took too long.
        CommitUnknown: the connection was lost while committing.
        Unavailable: no server answers.
        BaseException: whatever the block raises; nothing is applied then.
    """
    return _Block(state)


class _Block(Fieldless, AbstractContextManager[M]):
    """A transaction before its ``with`` statement."""

    __slots__ = ("_begun", "_drafting")

    def __init__(self, state: M) -> None:
        self._drafting = _drafting(state)
        self._begun = False

    def _where(self, name: str) -> str:
        return (
            "a transaction has no fields, the draft that it gives has: "
            f"with zproc.transaction(state) as draft: draft.{name}"
        )

    def __enter__(self) -> M:
        if self._begun:
            raise UsageError("a transaction is one block; make another: with zproc.transaction(state) as draft")
        self._begun = True
        return self._drafting.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._drafting.__exit__(kind, error, trace)


@contextmanager
def _drafting(state: M) -> Iterator[M]:
    given: object = state  # what a view is typed as is not what it is
    if isinstance(given, Handle):
        with _Turn(given, "transaction") as draft:
            yield cast("M", draft)
    elif isinstance(given, Draft):
        yield state
    else:
        _refuse_stranger(state, "a transaction")
        with drafted(state) as (part, whole):
            yield part
            whole.finish()


class _Turn:
    """A turn: waited for, held while a function works on a draft, and spent on a commit of what it did, or given up.

    A class and no generator, because it stands around every atomic function and costs a third.

    Args:
        handle: what the draft is of.
        name: what the history says who did it.
    """

    __slots__ = (
        "_client",
        "_connection",
        "_draft",
        "_granted",
        "_handle",
        "_name",
        "_outer",
        "_path",
        "_replica",
        "_session",
        "_transaction",
    )

    def __init__(self, handle: Handle, name: str) -> None:
        self._client, self._path = address_of(handle)
        self._handle = handle
        self._name = name

    def __enter__(self) -> Draft:
        # A connection that breaks before there is a turn may have died long ago, with a server that was started anew.
        for _ in range(2):
            self._connection = self._client.lend()
            try:
                if self._begin():
                    return self._open()
            except BaseException:
                self._client.take_back(self._connection)
                raise
            self._client.take_back(self._connection)
        raise Unavailable(self._client.address, "the connection was lost twice while waiting for a turn")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.end()
        self._client.leave_turn(self._outer)
        try:
            if kind is None and self._transaction.requested:
                self._commit(self._transaction.requested)
            else:
                self._give_up()
        except BaseException:
            self._give_up()
            raise
        finally:
            self._client.take_back(self._connection)
            # Its root fetches fields by this turn: all would wait for the collector.
            del self._transaction

    def _begin(self) -> bool:
        """Wait for the turn; whether it came, and not the end of the connection."""
        self._granted: Granted | None = None
        self._replica = replica = self._connection.replica
        # All that can be made before the turn begins is: while it lasts, others wait.
        model = self._client.schema.model
        fields = OnDemand({}, self._fetch, model.__pydantic_fields__)
        self._transaction = transaction = Transaction(
            assemble(model, fields), validator_draft, private=True, fresh=True
        )
        self._session = session = Session(transaction)
        self._draft = cast("Draft", session.root(model))
        try:
            held = replica.small()
            asked = Acquire(self._client.next_request(), tuple(held.values), held.revision, LARGEST)
            self._granted = granted = expect(self._connection.call(asked), Granted)
            fields.update(replica.take(held, granted.revision, granted.values, granted.large))
        except Unavailable:
            if not self._connection.closed:
                raise
            return False
        except BaseException:
            self._give_up()
            raise
        return True

    def _open(self) -> Draft:
        """Return the draft; from here on the live state is not to be used by this thread."""
        self._outer = self._client.enter_turn()
        try:
            return _descend(self._draft, self._path, kind_of(self._handle)) if self._path else self._draft
        except BaseException:
            self._session.end()
            self._client.leave_turn(self._outer)
            self._give_up()
            raise

    def _fetch(self, names: tuple[str, ...]) -> Mapping[str, object]:
        if len(names) > 1:
            return self._replica.decode(self._ask(Read(self._client.next_request(), names, None, None, None)).values)
        (name,) = names
        lazy = None if self._client.keeps(name) else lazy_part(self, (name,), self.shape.fields[name])
        if lazy is not None and self._replica.is_large(name):
            return {name: lazy}
        largest = None if lazy is None else LARGEST
        reply = self._ask(Read(self._client.next_request(), names, None, None, largest))
        found = self._replica.take(NEVER, reply.revision, reply.values, reply.large)
        return found if name in found else {name: lazy}

    @property
    def shape(self) -> Shape:
        """What the state is declared as."""
        return self._client.schema.shape

    def look(self, path: Path, question: str) -> object:
        """Ask about what stands at an address; see `Look`.

        Raises:
            SchemaError: an address like this cannot be sent.
        """
        encoded = self._client.schema.codec.encode(plain(list(path)))
        reply = self._ask(Look(self._client.next_request(), encoded, question, LARGEST))
        if path[0] not in reply.large:
            self._replica.found_small(cast("str", path[0]))
        return self._client.schema.codec.decode(reply.values)

    def whole(self, path: Path) -> object:
        """Return all of what stands at an address that says what may stand there, however large."""
        if len(path) > 1:
            shape = shape_at(self.shape, path)
            assert shape is not None, "only such are lazy"
            (found,) = cast("list[object]", self.look(path, "value"))
            return typed(shape, path, found)
        name = cast("str", path[0])
        reply = self._ask(Read(self._client.next_request(), (name,), None, None, None))
        return self._replica.decode(reply.values)[name]

    def _ask(self, question: Read | Look) -> Values:
        assert self._granted is not None, "the function runs in a turn"
        try:
            reply = expect(self._connection.call(question), Values)
        except Unavailable as error:
            raise LeaseLost(f"the connection, and the turn with it, was lost: {error}; nothing was applied") from error
        if reply.revision != self._granted.revision:
            raise LeaseLost(
                "the turn was lost while the function ran, and others have committed since; nothing was applied"
            )
        return reply

    def _commit(self, ops: list[Op]) -> None:
        assert self._granted is not None, "a commit is made in a turn"
        command = Commit(self._client.next_request(), self._granted.lease, self._client.encoded(ops), self._name)
        if self._client.change_by(self._connection, command) is None:
            raise LeaseLost(
                "the connection, and the turn with it, was lost before the commit came to the server; "
                "nothing was applied"
            )

    def _give_up(self) -> None:
        """Give up the turn. If the server cannot be told, it knows by the lost connection."""
        if self._connection.closed:
            return
        if self._granted is None:  # interrupted while waiting: who knows whether it was granted meanwhile
            self._connection.close()
            return
        try:
            self._connection.call(Release(self._client.next_request(), self._granted.lease))
        except Error:
            self._connection.close()


def _descend(draft: object, path: Path, kind: type) -> Draft:
    """Walk from the draft of the state to that of a part of it."""
    for depth, key in enumerate(path, start=1):
        try:
            draft = _step(draft, key)
        except (AttributeError, LookupError, TypeError):
            raise UnknownPath(format_path(path), f"there is no {format_path(path[:depth])!r} any longer") from None
    if not isinstance(draft, Draft) or type_of(draft.__zproc_value__()) is not kind:
        raise gone(path, kind)
    return draft


def _step(draft: object, key: Key) -> object:
    # What cannot be indexed is met by whoever asks.
    return getattr(draft, cast("str", key)) if isinstance(draft, ModelDraft) else draft[key]  # type: ignore[index]

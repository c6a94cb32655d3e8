"""One state: its model, present value, revision and history.

The law: a commit is applied whole, and then numbered, logged and announced, or not at all: whatever fails on the way,
an exceeded time budget included, leaves state, revision and history as they were. Nothing but a commit changes the
state.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import cast

from zproc.core.budget import Budget, BudgetExceeded
from zproc.core.history import PLACE_BYTES, Author, Entry, History, change_from_plain, change_to_plain, is_duplicate
from zproc.core.limits import ENVELOPE, Limits
from zproc.exceptions import LimitExceeded, ProtocolError, SchemaMismatch, UnknownPath
from zproc.schema.action import call_action
from zproc.schema.draft import Session, validator_draft
from zproc.schema.fingerprint import differences
from zproc.schema.method import METHODS, call_method
from zproc.schema.model import Schema, StateModel
from zproc.schema.ops import MISSING, Update, get, op_from_plain
from zproc.schema.path import Pattern, format_path, hashable, no_field, pattern_from_plain
from zproc.schema.size import NUMBERS, growth, size_of_state
from zproc.schema.transaction import Change, Transaction, scalar_change
from zproc.typing import Key, Path, Revision

__all__ = ["Budget", "BudgetExceeded", "Namespace"]


class Namespace:
    """One shared state.

    Args:
        schema: what it is declared as.
        limits: the limits of the server.
        budget: what bounds the time of the user's code.
    """

    def __init__(self, schema: Schema[StateModel], limits: Limits, budget: Budget) -> None:
        self.schema = schema
        self.history: History = History(limits.history_commits, limits.history_bytes)
        self._limits = limits
        self._encode = schema.codec.encode
        self._incoming = schema.codec.limited(limits.nesting)
        self._budget = budget(limits.compute_time)
        self._fields = schema.model.model_fields
        self._changed_at: dict[Key, Revision] = {}
        self._at_least: dict[Key, int] = {}
        """How many bytes fields have that were measured once, less what they can have lost since: a commit takes no
        more away than its entry, which holds what was there before."""
        self.begin(schema.initial())

    def begin(self, state: StateModel) -> None:
        """Replace the initial state, before the first commit."""
        assert not self.revision, "nothing but a commit changes the state"
        self.state: StateModel = state
        self._size = size_of_state(state)

    @property
    def revision(self) -> Revision:
        """The number of the newest commit."""
        return self.history.newest

    def agree(self, fingerprint: str, table: Mapping[str, str]) -> None:
        """Check that a client declares the state as it is declared here.

        Args:
            fingerprint: of the client's declaration; empty if it has none.
            table: its fields, for the error to say what differs; empty if they were not told.

        Raises:
            SchemaMismatch: it does not.
        """
        # Whoever has no declaration, such as the command line, says so; what it sends is validated like any other's.
        if fingerprint not in ("", self.schema.fingerprint):
            raise SchemaMismatch(
                self.schema.model.__name__,
                "the client declares the state differently",
                server=self.schema.fingerprint,
                client=fingerprint,
                differences=differences(self.schema.table, dict(table)) if table else (),
                declared={} if table else dict(self.schema.table),
            )

    # Reading

    def read(self, fields: tuple[str, ...], since: Revision | None = None) -> bytes:
        """Return encoded fields by name, all for none named; with ``since``, those that changed after that revision.

        Raises:
            UnknownPath: there is no such field.
            LimitExceeded: they are too large for a message.
        """
        return self.read_small(fields, since, sys.maxsize)[0]

    def read_small(
        self, fields: tuple[str, ...], since: Revision | None, largest: int
    ) -> tuple[bytes, tuple[str, ...]]:
        """Return encoded fields as ``read`` does, and the names of those that are left out because they are larger.

        Args:
            fields: their names; none for all.
            since: a revision; ``None`` if they are wanted whether or not they have changed.
            largest: how many bytes each may have.
        """
        values, changed_at = self.state.__dict__, self._changed_at
        small: dict[str, object] = {}
        large: tuple[str, ...] = ()
        for name in self._names(fields):
            if since is not None and (name not in changed_at or changed_at[name] <= since):
                continue
            if type(values[name]) in NUMBERS or not self._is_large(name, largest):
                small[name] = values[name]
            else:
                large += (name,)
        data = self._encode_fields(small)
        if len(data) > largest:
            over = tuple([name for name in small if self._measured(name) > largest])
            large += over
            data = self._encode_fields({name: small[name] for name in small if name not in over})
        return data, large

    def look(self, encoded: bytes, ask: str, largest: int) -> tuple[bytes, tuple[str, ...]]:
        """Return what is asked about one address, encoded, and the name of its field if that is large.

        Args:
            encoded: the address, as bytes of the codec.
            ask: ``"value"``, ``"length"``, ``"member"`` or ``"slice"``; see `Look`.
            largest: how many bytes a field has that is not large.

        Raises:
            UnknownPath: there is no such field, or nothing there that has a length, members or slices.
            ProtocolError: this is no address, or no question.
            LimitExceeded: the value is too large for a message.
        """
        match self._incoming.decode(encoded):
            case [str(name), *_] as keys:
                path = hashable(tuple(keys), "Look.path")
            case _:
                raise ProtocolError("Look.path: not an address")
        self._names((name,))
        large = (name,) if self._is_large(name, largest) else ()
        return self._deliverable(self._encode(self._answer(path, ask))), large

    def _answer(self, path: Path, ask: str) -> object:
        if ask == "slice":
            items = self._at(path[:-2])
            if not isinstance(items, list):
                raise UnknownPath(format_path(path[:-2]), "what stands there has no slices")
            first, end, _ = slice(*_bounds(path[-2:])).indices(len(items))
            return [first, items[first:end]]
        container = self._at(path[:-1])
        found = get(container, path[-1])
        if ask == "value":
            return [] if found is MISSING else [found]
        if ask == "length" and isinstance(found, (list, dict, set)):
            return len(found)
        if ask == "member" and isinstance(container, (dict, set)):
            return path[-1] in container
        if ask in ("length", "member"):
            raise UnknownPath(format_path(path), f"what stands there has no {ask}")
        raise ProtocolError(f"Look.ask: {ask!r} is no question")

    def _at(self, path: Path) -> object:
        value: object = self.state
        for key in path:
            value = get(value, key)
        return value

    def _is_large(self, name: str, largest: int) -> bool:
        """Whether a field is known to have more bytes, without a look at all of it."""
        value = self.state.__dict__[name]
        if isinstance(value, (list, dict, set, tuple, frozenset, str, bytes)) and len(value) > largest:
            return True
        return self._at_least.get(name, 0) > largest

    def _measured(self, name: str) -> int:
        size = self._at_least[name] = len(self._encode(self.state.__dict__[name]))
        return size

    def read_at(self, fields: tuple[str, ...], revision: Revision) -> bytes:
        """Return encoded fields as they were at a revision.

        Raises:
            HistoryGone: the history does not reach back to it.
            UnknownPath: there is no such field.
            LimitExceeded: they are too large for a message.
        """
        names = self._names(fields)
        entries = self.history.backwards(revision)
        past = Transaction(self.state, validator_draft, private=True)
        past.restore(change for entry in entries for change in reversed(self.changes_of(entry)))
        values = past.root.__dict__
        return self._encode_fields({name: values[name] for name in names})

    def _names(self, fields: tuple[str, ...]) -> tuple[str, ...]:
        for name in fields:
            if name not in self._fields:
                raise no_field(self.schema.model, name, name)
        return fields or tuple(self._fields)

    def _encode_fields(self, values: Mapping[str, object]) -> bytes:
        return self._deliverable(self._encode(values))

    def _deliverable(self, data: bytes) -> bytes:
        """Make sure that bytes fit into a reply."""
        if len(data) + ENVELOPE > self._limits.message_bytes:
            raise LimitExceeded("message_bytes", len(data) + ENVELOPE, self._limits.message_bytes)
        return data

    def changes_of(self, entry: Entry) -> list[Change]:
        """Return the changes of a commit, as they were applied."""
        parts = cast("list[list[object]]", self.schema.codec.decode(entry.encoded))
        return [change_from_plain(change) for change in parts[-1]]

    def patterns(self, encoded: bytes) -> tuple[Pattern, ...]:
        """Return the patterns of a watcher, which are encoded by ``pattern_to_plain``.

        Raises:
            ProtocolError: they are not.
            LimitExceeded: they are too many.
        """
        if len(encoded) > self._limits.pattern_bytes:
            raise LimitExceeded("pattern_bytes", len(encoded), self._limits.pattern_bytes)
        match self._incoming.decode(encoded):
            case [[*_], *_] as listed:
                return tuple(pattern_from_plain(pattern, "Watch.patterns") for pattern in listed)
            case _:
                raise ProtocolError("Watch.patterns: not a list of patterns")

    # Changing

    def commit(self, encoded: bytes, author: Author, *, wall: float) -> tuple[Entry | None, bytes]:
        """Apply encoded ops.

        Args:
            encoded: the ops, as bytes of the codec.
            author: who sent them.
            wall: the time of day, in seconds since 1970, for people to read.

        Returns:
            The entry of the commit, ``None`` if it changed nothing; and, of the commonest one that is an operation on
            a number, the field that it has changed, which whoever asked for it cannot know.

        Raises:
            CommitRefused: the state would break its schema.
            UnknownPath: an op goes nowhere.
            ProtocolError: these are no ops.
            LimitExceeded: too many ops, too much time, or too large a state.
        """
        data = self._incoming.decode(encoded)
        if not isinstance(data, list):
            raise ProtocolError("Commit.ops: not a list")
        if len(data) == 1:
            op = op_from_plain(data[0])
            found = scalar_change(self.schema.shape, self.state, op)
            if found is not None:
                name, value, change = found
                # First, for nothing may fail once it is published.
                result = self._encode({name: value}) if isinstance(op, Update) else b""
                return self._perform(name, value, change, author, wall), result
            ops = [op]
        elif len(data) <= self._limits.commit_ops:
            ops = list(map(op_from_plain, data))
        else:
            raise LimitExceeded("commit_ops", len(data), self._limits.commit_ops)

        def body(transaction: Transaction) -> bytes:
            for op in ops:
                transaction.apply(op)
            return b""

        return self._attempt(body, author, wall)

    def act(self, action: str, encoded: bytes, author: Author, *, wall: float) -> tuple[Entry | None, bytes]:
        """Call an action of a model, or a method of a container.

        Args:
            action: its name.
            encoded: (path, positional arguments, named arguments), as bytes of the codec.
            author: who calls.
            wall: the time of day, in seconds since 1970, for people to read.

        Returns:
            The entry of its commit, ``None`` if it changed nothing, and its result as bytes.

        Raises:
            CommitRefused: the state would break its schema.
            UnknownPath: there is no such action, or nothing at the path that has it.
            ProtocolError: this is no call.
            LimitExceeded: it took too much time, or the state would be too large.
            Exception: whatever the action raises.
        """
        path, positional, by_name = _call(self._incoming.decode(encoded))

        def body(transaction: Transaction) -> bytes:
            session = Session(transaction)
            try:
                root = session.root(self.schema.model)
                if path:
                    result = _call_below(root, path, action, positional, by_name)
                else:
                    result = call_action(root, action, positional, by_name)
                return self._deliverable(self._encode(result))
            finally:
                session.end()

        return self._attempt(body, author, wall)

    def _perform(self, name: str, value: object, change: Change, author: Author, wall: float) -> Entry:
        """Make and publish the only change of a commit, which is valid: what `_attempt` comes to with it.

        No code of the user's runs, so there is no time to be bounded, and all that can fail comes first.
        """
        entry = self._entry([change], author, wall)
        self.state.__dict__[name] = value
        self._publish(entry)
        return entry

    def _attempt(self, body: Callable[[Transaction], bytes], author: Author, wall: float) -> tuple[Entry | None, bytes]:
        """Run a transaction and publish it, or leave everything as it was."""
        transaction = Transaction(self.state, validator_draft)
        try:
            with self._budget:
                result = body(transaction)
                changes = transaction.finish()
                entry = self._entry(changes, author, wall) if changes else None
        except BaseException:
            transaction.rollback()
            raise
        # Nothing that can fail comes between the last moment at which the time may be up and the publication.
        if entry is not None:
            self._publish(entry)
        return entry, result

    def _entry(self, changes: list[Change], author: Author, wall: float) -> Entry:
        """Make the log's entry, while everything can still be undone.

        Raises:
            LimitExceeded: the state would become too large.
        """
        revision = Revision(self.history.newest + 1)
        touched: tuple[Path, ...]
        repeated: tuple[Path, ...]
        if len(changes) == 1:
            (change,) = changes
            listed = [change_to_plain(change)]
            touched, repeated = (change.op.path,), ()
            if is_duplicate(change):
                touched, repeated = repeated, touched
            grown = growth(change)
        else:
            listed = list(map(change_to_plain, changes))
            touched, repeated = _places(changes)
            grown = sum(map(growth, changes))
        # What is too large already, because its defaults are, may still become smaller.
        if grown > 0 and self._size + grown > self._limits.state_bytes:
            raise LimitExceeded("state_bytes", self._size + grown, self._limits.state_bytes, _TOO_LARGE)
        encoded = self._encode([revision, wall, author.pid, author.process, author.function, listed])
        size = len(encoded) + PLACE_BYTES * (len(touched) + len(repeated))
        return Entry(revision, author, touched, repeated, encoded, size, grown)

    def _publish(self, entry: Entry) -> None:
        self.history.append(entry)
        self._size += entry.growth
        for path in entry.touched + entry.repeated:
            self._changed_at[path[0]] = entry.revision
            if path[0] in self._at_least:
                self._at_least[path[0]] -= len(entry.encoded)


_TOO_LARGE = "take out of the state what nobody needs any more, or give the server zproc.Limits(state_bytes=...)"


def _bounds(keys: Path) -> tuple[int | None, int | None]:
    """Return the last keys of an address as the start and stop of a slice.

    Raises:
        ProtocolError: they are no such thing.
    """
    match keys:
        case (int() | None as start, int() | None as stop):
            return start, stop
        case _:
            raise ProtocolError("Look.path: not an address of a slice")


def _call(data: object) -> tuple[Path, list[object], dict[str, object]]:
    """Return what an action is called with: the path of its model, positional and named arguments.

    Raises:
        ProtocolError: that is not what there is.
    """
    if type(data) is list and len(data) == 3:  # noqa: PLR2004 - those
        path, positional, by_name = data
        if (
            type(path) is list
            and type(positional) is list
            and type(by_name) is dict
            and (not by_name or all(type(name) is str for name in by_name))
        ):
            return tuple(path), positional, by_name
    raise ProtocolError("Act.call: not a path, positional and named arguments")


def _places(changes: Iterable[Change]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return the addresses that changes gave another value, and those that they gave the value that was there."""
    touched: dict[Path, None] = {}
    repeated: dict[Path, None] = {}
    for change in changes:
        (repeated if is_duplicate(change) else touched)[change.op.path] = None
    return tuple(touched), tuple(repeated)


def _descend(draft: object, path: Path) -> object:
    """Return what stands at an address that came from anywhere, as a draft: of a model only fields are looked up."""
    where = format_path(path)
    for key in path:
        fields = _fields(draft)
        if fields is not None and not (isinstance(key, str) and key in fields):
            raise no_field(cast("type[StateModel]", draft.__class__), key, where)
        try:
            draft = draft[key] if fields is None else getattr(draft, cast("str", key))  # type: ignore[index]  # TypeError
        except (TypeError, LookupError) as error:
            raise UnknownPath(where, f"nothing stands there: {error}") from error
    return draft


def _call_below(root: object, path: Path, name: str, positional: list[object], by_name: dict[str, object]) -> object:
    """Call an action of a model that is a part of the state, or a method of a container."""
    draft = _descend(root, path)
    if name in METHODS:
        return call_method(draft, path, name, positional, by_name)
    if _fields(draft) is None:
        raise UnknownPath(format_path(path), "no model stands there")
    return call_action(draft, name, positional, by_name)


def _fields(value: object) -> Mapping[str, object] | None:
    """Return the fields of a model or of the draft of one, ``None`` for anything else."""
    return cast("Mapping[str, object] | None", getattr(value.__class__, "model_fields", None))

"""Code and values made fit for travel between a parent and its child.

The law: what goes down is a call, and what comes up is a value or an exception; in between are bytes. A function
travels by its name where a new process would find the very same function under it, and by value otherwise. What cannot
travel becomes words about it, never an error in the machinery: a child that cannot say what happened to it would be a
riddle to its parent.

Nothing but the line between a parent and the child it started carries what is made here (P9).
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import CodeType, ModuleType, TracebackType
from typing import Any, cast

import cloudpickle
import tblib

from zproc.exceptions import UsageError

__all__ = [
    "Call",
    "CodePickler",
    "Raised",
    "by_value",
    "describe",
    "dump",
    "full_name",
    "pack_call",
    "pack_error",
    "pack_value",
    "unfindable",
    "unpack",
    "unpack_error",
]

_TEXT_LIMIT = 10_000
_registering = threading.RLock()


def _after_fork_in_child() -> None:
    global _registering  # noqa: PLW0603 - its holder may not have come along
    _registering = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


@dataclass(frozen=True, slots=True)
class Call:
    """What a child is to do."""

    target: Callable[..., object]
    args: Sequence[object] = ()
    kwargs: Mapping[str, object] | None = None

    def perform(self) -> object:
        """Do it."""
        return self.target(*self.args, **(self.kwargs or {}))


@dataclass(frozen=True, slots=True)
class Raised:
    """What came of a call that did not return.

    Attributes:
        reason: what was being done.
        error: the ``repr`` of the exception.
        traceback: its traceback, as text.
        original: the exception itself, packed; ``None`` if it cannot travel.
        kinds: the full names of its classes, from its own to ``object``.
    """

    reason: str
    error: str
    traceback: str
    original: bytes | None = None
    kinds: tuple[str, ...] = ()


def pack_call(call: Call) -> bytes:
    """Pack a call for a process that shares nothing with this one.

    Raises:
        UsageError: something of it cannot travel; the cause says what.
    """
    try:
        return dump(call, unfindable(call.target))
    except Exception as error:
        raise unsendable(call.target, error) from error


def pack_value(value: object) -> bytes:
    """Pack a value on its way up.

    Plain pickle comes first, because names suffice for nearly everything a child returns, and in a forked child they
    are right even for classes of ``__main__``: the parent has them, too.
    """
    try:
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception:  # noqa: BLE001 - pickle raises what `__reduce__` raises; the second try tells the story
        return dump(value)


def unpack(data: bytes) -> Any:
    """Unpack what `pack_call` or `pack_value` made; raises whatever the classes inside raise."""
    return pickle.loads(data)


def pack_error(reason: str, error: BaseException) -> bytes:
    """Pack an exception with its traceback, causes and notes, and with words in case it cannot be unpacked."""
    text = "".join(traceback.format_exception(error))
    kinds = tuple(map(full_name, type(error).__mro__))
    raised = Raised(reason, describe(error), text, _pack_exception(error), kinds)
    return pickle.dumps(raised, pickle.HIGHEST_PROTOCOL)


def unpack_error(raised: Raised) -> BaseException | None:
    """Give the original exception, or ``None`` if it cannot be had here."""
    if raised.original is None:
        return None
    try:
        original = pickle.loads(raised.original)
    except Exception:  # noqa: BLE001 - an exception class of somebody may raise anything when it is rebuilt
        return None
    return original if isinstance(original, BaseException) else None


def full_name(kind: type) -> str:
    """Name a class with its module."""
    return f"{kind.__module__}.{kind.__qualname__}"


def unsendable(function: object, error: Exception) -> UsageError:
    """Make the error for a call of which something cannot travel.

    Args:
        function: what was to be called.
        error: what the pickler said.
    """
    return UsageError(
        f"{describe(function)} cannot be sent to another process, or something it uses or is given cannot: {error}; "
        "what belongs to one process, such as a lock, an open file or a connection, is made inside of the function"
    )


def describe(value: object) -> str:
    """Give the ``repr`` of anything, shortened, and never fail."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - it is the object's own `__repr__`
        return f"<{type(value).__qualname__} whose repr raises {type(error).__name__}>"
    return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]}..."


# ------------------------------------------------------------------------------------------------------------ functions


@contextlib.contextmanager
def by_value(module: ModuleType | None) -> Iterator[None]:
    """Have what a module defines travel by value."""
    if module is None:
        yield
        return
    with _registering:  # cloudpickle's list of such modules is the whole program's
        cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            cloudpickle.unregister_pickle_by_value(module)


def dump(value: object, module: ModuleType | None = None) -> bytes:
    """Pack a value, and by value whatever a module defines that another process would not find.

    Raises:
        Exception: whatever pickle, or the classes of the value, raise.
    """
    buffer = io.BytesIO()
    # What multiprocessing calls the main script in a process of its own, another process does not find by any name.
    with by_value(module), by_value(sys.modules.get("__mp_main__")):
        CodePickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


class CodePickler(cloudpickle.Pickler):  # type: ignore[misc, name-defined]
    """Pickles code with the name of its file, and what pydantic made of a class for its own sake.

    cloudpickle leaves the file out, so that the same function is the same bytes everywhere. A traceback without it
    shows neither where nor what went wrong.

    The validators of two models share parts of their schemas if one model is a field of the other. On arrival such a
    part may be still empty when the first validator is made of it, because the class it names comes in between.

    The lock of a cached property, which it has up to Python 3.11, is for the threads of one process.
    """

    def reducer_override(self, obj: object) -> Any:
        """Give the recipe of an object, as pickle asks for it."""
        if isinstance(obj, CodeType):
            return _code_of_file, (obj.co_filename, *self.dispatch_table[CodeType](obj))
        core = sys.modules.get("pydantic_core")  # not imported for those who have none of these
        if core is not None and isinstance(obj, (core.SchemaValidator, core.SchemaSerializer)):
            make, parts = cast("tuple[object, tuple[object, ...]]", obj.__reduce__())
            return make, tuple(map(_unshared, parts))
        if type(obj) is cached_property:
            return cached_property, (obj.func,), {"attrname": obj.attrname}
        return super().reducer_override(obj)


def _unshared(part: object) -> object:
    """Return a copy of a schema that has no part in common with another."""
    if isinstance(part, dict):
        return {key: _unshared(value) for key, value in part.items()}
    return list(map(_unshared, part)) if isinstance(part, list) else part


def _code_of_file(name: str, make: Callable[..., CodeType], args: tuple[object, ...]) -> CodeType:
    return make(*args).replace(co_filename=name)


def unfindable(target: object) -> ModuleType | None:
    """Give the target's module if it is in use here, but another process would not find it under its name.

    Modules that were run from a file, or made by a test runner, are of that kind. (``__main__`` is, too, and
    cloudpickle knows.)
    """
    name = getattr(target, "__module__", None)
    if not isinstance(name, str) or name in ("__main__", "builtins") or name not in sys.modules:
        return None
    module = sys.modules[name]
    origin = getattr(module, "__file__", None)
    # What has no file is built in, frozen or a namespace; or made by hand, and then its import fails, with its name.
    if origin is None or _found_at(name, tuple(sys.path)) == origin:
        return None
    return module


@lru_cache(maxsize=1024)
def _found_at(name: str, path: tuple[str, ...]) -> str | None:  # noqa: ARG001 - the path is there for the cache
    """Tell which file a new process would import under this name.

    `importlib.util.find_spec` cannot tell: it looks at ``sys.modules`` first, and imports the parents.
    """
    where: Sequence[str] | None = None
    origin: str | None = None
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        for finder in sys.meta_path:
            if (spec := finder.find_spec(".".join(parts[:count]), where)) is not None:
                origin, where = spec.origin, spec.submodule_search_locations
                break
        else:
            return None
    return origin


# ----------------------------------------------------------------------------------------------------------- exceptions


def _pack_exception(error: BaseException) -> bytes | None:
    for pickler in (_Pickler, _ValuePickler):
        buffer = io.BytesIO()
        try:
            pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(error)
            return buffer.getvalue()
        except Exception:  # noqa: BLE001, S112 - whatever an exception's attributes raise; words remain
            continue
    return None


class _Pickler(pickle.Pickler):
    """Pickles exceptions whole.

    tblib offers to teach the ``pickle`` of the whole program. A library must not.
    """

    def reducer_override(self, obj: object) -> Any:
        reduced = _reduce(obj)
        return NotImplemented if reduced is None else reduced


class _ValuePickler(CodePickler):
    """The same, for exceptions whose classes have to travel by value."""

    def reducer_override(self, obj: object) -> Any:
        reduced = _reduce(obj)
        return super().reducer_override(obj) if reduced is None else reduced


def _reduce(obj: object) -> tuple[object, ...] | None:
    if isinstance(obj, TracebackType):
        return _rebuild_traceback, (tuple(_entries(obj)),)
    if isinstance(obj, BaseException):
        return _reduce_exception(obj)
    return None


_HEAP_TYPE = 1 << 9
"""The flag of types that were made by a ``class`` statement."""


def _reduce_exception(error: BaseException) -> tuple[object, ...]:
    """Give the recipe of an exception: how to make it, and then what it is to have.

    What it has comes last, as state, because exceptions refer to each other in circles: one that is raised while
    another is handled has that as its context, and may be an attribute of it.
    """
    kind = type(error)
    hung = (error.__traceback__, error.__cause__, error.__context__, error.__suppress_context__)
    plain = kind.__reduce__ in (BaseException.__reduce__, OSError.__reduce__)
    if plain and kind.__flags__ & _HEAP_TYPE and "__init__" in _methods(kind):
        # Its `args` are seldom those of its own `__init__`: made again by calling the class, it would fail or lie.
        extra = {name: getattr(error, name, None) for name in ("errno", "strerror", "filename", "filename2")}
        known = {name: value for name, value in extra.items() if value is not None and isinstance(error, OSError)}
        return _revive, (kind, error.args), ({**error.__dict__, **known}, hung), None, None, _restore
    recipe = error.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    if isinstance(recipe, str):
        raise TypeError(f"{kind.__qualname__}.__reduce__ returns a name, as if the exception were a global")
    make, args, *state = recipe
    return make, args, (state[0] if state else None, hung), None, None, _restore


def _methods(kind: type[BaseException]) -> set[str]:
    """Name what the classes of Python, as opposed to the built-in ones, bring along."""
    return {name for each in kind.__mro__ if each.__flags__ & _HEAP_TYPE for name in vars(each)}


def _revive(kind: type[BaseException], args: tuple[object, ...]) -> BaseException:
    error = kind.__new__(kind, *args)
    error.args = args
    return error


def _restore(
    error: BaseException,
    state: tuple[
        dict[str, object] | None, tuple[TracebackType | None, BaseException | None, BaseException | None, bool]
    ],
) -> None:
    """Give an exception, as unpickled so far, what it had."""
    attributes, hung = state
    if attributes:
        error.__setstate__(attributes)
    trace, error.__cause__, error.__context__, error.__suppress_context__ = hung
    error.__traceback__ = trace


def _entries(trace: TracebackType | None) -> Iterator[tuple[object, int]]:
    """List a traceback, outermost call first.

    A list, because a chain as deep as that of a RecursionError cannot be pickled.
    """
    while trace is not None:
        yield tblib.Frame(trace.tb_frame), trace.tb_lineno  # type: ignore[attr-defined]
        trace = trace.tb_next


def _rebuild_traceback(entries: Sequence[tuple[Any, int]]) -> TracebackType | None:
    chain: Any = None
    for frame, line in reversed(entries):
        link: Any = object.__new__(tblib.Traceback)  # type: ignore[attr-defined]
        link.tb_frame, link.tb_lineno, link.tb_next = frame, line, chain
        chain = link
    trace = chain.as_traceback() if chain is not None else None
    assert trace is None or isinstance(trace, TracebackType)
    return trace

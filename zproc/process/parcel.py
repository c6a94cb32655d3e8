"""Pickling code, values and exceptions for the way between a parent and its child.

The law: a call travels down, and a value or an exception up. A function is pickled by name where a new process would
find the same function under it, and by value otherwise. An exception that cannot be pickled is described in words, and
never becomes an error of the machinery: a child must always be able to say what happened to it.

What is pickled here travels over the line between a parent and the child it started, and nowhere else (P9).
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
    """The call that a child is to make."""

    target: Callable[..., object]
    args: Sequence[object] = ()
    kwargs: Mapping[str, object] | None = None

    def perform(self) -> object:
        """Make the call."""
        return self.target(*self.args, **(self.kwargs or {}))


@dataclass(frozen=True, slots=True)
class Raised:
    """The outcome of a call that did not return.

    Attributes:
        reason: what was being done.
        error: the ``repr`` of the exception.
        traceback: its traceback, as text.
        original: the exception itself, pickled; ``None`` if it cannot be.
        kinds: the full names of its classes, in method resolution order.
    """

    reason: str
    error: str
    traceback: str
    original: bytes | None = None
    kinds: tuple[str, ...] = ()


def pack_call(call: Call) -> bytes:
    """Pickle a call for a process that shares no memory with this one.

    Raises:
        UsageError: something in it cannot be pickled; the cause says what.
    """
    try:
        return dump(call, unfindable(call.target))
    except Exception as error:
        raise unsendable(call.target, error) from error


def pack_value(value: object) -> bytes:
    """Pickle a value on its way to the parent.

    Plain pickle is tried first: names suffice for nearly everything that a child returns, and in a forked child they
    are right even for classes of ``__main__``, which the parent has as well.
    """
    try:
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception:  # noqa: BLE001 - whatever a `__reduce__` raises; the second try raises what matters
        return dump(value)


def unpack(data: bytes) -> Any:
    """Unpickle what `pack_call` or `pack_value` returned; raises whatever the classes inside raise."""
    return pickle.loads(data)


def pack_error(reason: str, error: BaseException) -> bytes:
    """Pickle an exception with its traceback, causes and notes, and in words in case it cannot be unpickled."""
    text = "".join(traceback.format_exception(error))
    kinds = tuple(map(full_name, type(error).__mro__))
    raised = Raised(reason, describe(error), text, _pack_exception(error), kinds)
    return pickle.dumps(raised, pickle.HIGHEST_PROTOCOL)


def unpack_error(raised: Raised) -> BaseException | None:
    """Return the original exception, or ``None`` if it cannot be unpickled here."""
    if raised.original is None:
        return None
    try:
        original = pickle.loads(raised.original)
    except Exception:  # noqa: BLE001 - an exception class may raise anything when it is rebuilt
        return None
    return original if isinstance(original, BaseException) else None


def full_name(kind: type) -> str:
    """Return the full name of a class, module included."""
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
    """Return the ``repr`` of anything, shortened; never raise."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - it is the object's own `__repr__`
        return f"<{type(value).__qualname__} whose repr raises {type(error).__name__}>"
    return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]}..."


# ------------------------------------------------------------------------------------------------------------ functions


@contextlib.contextmanager
def by_value(module: ModuleType | None) -> Iterator[None]:
    """Pickle by value what a module defines, within a ``with`` block."""
    if module is None:
        yield
        return
    with _registering:  # cloudpickle's registry is global
        cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            cloudpickle.unregister_pickle_by_value(module)


def dump(value: object, module: ModuleType | None = None) -> bytes:
    """Pickle a value, and by value whatever a given module defines.

    Raises:
        Exception: whatever pickle, or the classes of the value, raise.
    """
    buffer = io.BytesIO()
    # What multiprocessing calls the main script in a process of its own, another process does not find by any name.
    with by_value(module), by_value(sys.modules.get("__mp_main__")):
        CodePickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


class CodePickler(cloudpickle.Pickler):  # type: ignore[misc, name-defined]
    """Pickles code with its file name, and pydantic's validators without sharing parts of their schemas.

    cloudpickle drops the file name, so that equal functions are equal bytes everywhere. A traceback without it shows no
    source lines.

    The validators of two models share parts of their schemas if one model is a field of the other. When unpickled, such
    a part may still be empty when the first validator is built from it, because the class that it names is in between.

    The lock of a cached property, which it has up to Python 3.11, is for the threads of one process.
    """

    def reducer_override(self, obj: object) -> Any:
        """Return how to rebuild an object, as pickle asks."""
        if isinstance(obj, CodeType):
            return _code_of_file, (obj.co_filename, *self.dispatch_table[CodeType](obj))
        core = sys.modules.get("pydantic_core")  # not imported here: without it, there are no such objects
        if core is not None and isinstance(obj, (core.SchemaValidator, core.SchemaSerializer)):
            make, parts = cast("tuple[object, tuple[object, ...]]", obj.__reduce__())
            return make, tuple(map(_unshared, parts))
        if type(obj) is cached_property:
            return cached_property, (obj.func,), {"attrname": obj.attrname}
        return super().reducer_override(obj)


def _unshared(part: object) -> object:
    """Return a copy of a schema that shares no part with another."""
    if isinstance(part, dict):
        return {key: _unshared(value) for key, value in part.items()}
    return list(map(_unshared, part)) if isinstance(part, list) else part


def _code_of_file(name: str, make: Callable[..., CodeType], args: tuple[object, ...]) -> CodeType:
    return make(*args).replace(co_filename=name)


def unfindable(target: object) -> ModuleType | None:
    """Return the target's module if another process could not import it under its name; else ``None``.

    Such modules were run from a file, or created by a test runner. (``__main__`` is one, which cloudpickle knows.)
    """
    name = getattr(target, "__module__", None)
    if not isinstance(name, str) or name in ("__main__", "builtins") or name not in sys.modules:
        return None
    module = sys.modules[name]
    origin = getattr(module, "__file__", None)
    # A module without a file is built in, frozen or a namespace; or created by hand, and then its import fails by name.
    if origin is None or _found_at(name, tuple(sys.path)) == origin:
        return None
    return module


@lru_cache(maxsize=1024)
def _found_at(name: str, path: tuple[str, ...]) -> str | None:  # noqa: ARG001 - the path is there for the cache
    """Return the file that a new process would import under this name.

    `importlib.util.find_spec` will not do: it consults ``sys.modules`` first, and imports the parents.
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
    """Pickles exceptions with their tracebacks.

    tblib can register that globally, which a library must not do.
    """

    def reducer_override(self, obj: object) -> Any:
        reduced = _reduce(obj)
        return NotImplemented if reduced is None else reduced


class _ValuePickler(CodePickler):
    """The same, for exceptions whose classes have to be pickled by value."""

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
"""The flag of types created by a ``class`` statement."""


def _reduce_exception(error: BaseException) -> tuple[object, ...]:
    """Return how to rebuild an exception: how to create it, and then its state.

    The state comes last, because exceptions refer to each other in cycles: one raised while another is handled has that
    as its context, and may be an attribute of it.
    """
    kind = type(error)
    hung = (error.__traceback__, error.__cause__, error.__context__, error.__suppress_context__)
    plain = kind.__reduce__ in (BaseException.__reduce__, OSError.__reduce__)
    if plain and kind.__flags__ & _HEAP_TYPE and "__init__" in _methods(kind):
        # Its `args` are rarely those of its own `__init__`: rebuilt by calling the class, it would fail or lie.
        extra = {name: getattr(error, name, None) for name in ("errno", "strerror", "filename", "filename2")}
        known = {name: value for name, value in extra.items() if value is not None and isinstance(error, OSError)}
        return _revive, (kind, error.args), ({**error.__dict__, **known}, hung), None, None, _restore
    recipe = error.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    if isinstance(recipe, str):
        raise TypeError(f"{kind.__qualname__}.__reduce__ returns a name, as if the exception were a global")
    make, args, *state = recipe
    return make, args, (state[0] if state else None, hung), None, None, _restore


def _methods(kind: type[BaseException]) -> set[str]:
    """Return the attributes defined by its Python classes, as opposed to built-in ones."""
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
    """Restore the state of an exception that was just rebuilt."""
    attributes, hung = state
    if attributes:
        error.__setstate__(attributes)
    trace, error.__cause__, error.__context__, error.__suppress_context__ = hung
    error.__traceback__ = trace


def _entries(trace: TracebackType | None) -> Iterator[tuple[object, int]]:
    """Yield the entries of a traceback, outermost call first.

    As a flat sequence, because a chain as long as that of a RecursionError cannot be pickled.
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

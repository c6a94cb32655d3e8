"""Pickling functions, once for many uses where that makes no difference.

The law: what travels is the function as it is when it is sent. A function that another process can import is sent by
name. One that consists of nothing but its code, because all it refers to is immutable, is pickled once and cached on
both sides. Any other is pickled, and unpickled, each time.
"""

from __future__ import annotations

import pickle
import sys
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, Final

from cloudpickle.cloudpickle import list_registry_pickle_by_value

from zproc.process import parcel

__all__ = ["FunctionPacker", "FunctionShelf", "PackedFunction"]

PackedFunction = tuple[bytes, bool]
"""A pickled function, and whether equal bytes may be unpickled once and cached."""

_UNCHANGING: Final = frozenset({int, float, complex, str, bytes, bool, type(None), ModuleType, BuiltinFunctionType})
_KEPT: Final = 256


class FunctionPacker:
    """Pickles functions."""

    def __init__(self) -> None:
        self._packed: weakref.WeakKeyDictionary[Any, tuple[tuple[object, ...], bytes]] = weakref.WeakKeyDictionary()
        self._names: weakref.WeakKeyDictionary[CodeType, frozenset[str]] = weakref.WeakKeyDictionary()
        self._last: tuple[Callable[..., Any] | None, ModuleType | None, PackedFunction] = None, None, (b"", False)

    def pack(self, function: Callable[..., Any]) -> PackedFunction:
        """Pickle a function.

        Raises:
            Exception: whatever pickle, or the classes of what it refers to, raise.
        """
        last, module, packed = self._last
        if function is last and _is_still_in(module, last) and not list_registry_pickle_by_value():
            return packed  # the common case, at a quarter of the cost
        packed = self._pack(function)
        if type(function) is FunctionType and _is_known_by_name(function):
            self._last = function, sys.modules[function.__module__], packed
        return packed

    def _pack(self, function: Callable[..., Any]) -> PackedFunction:
        surroundings = self._surroundings(function)
        if surroundings is None:
            return parcel.dump(function, parcel.unfindable(function)), False
        known = self._packed.get(function)
        if known is not None and all(map(_same, known[0], surroundings)):
            return known[1], True
        data = parcel.dump(function, parcel.unfindable(function))
        self._packed[function] = surroundings, data
        return data, True

    def _surroundings(self, function: Callable[..., Any]) -> tuple[object, ...] | None:
        """Return what the function depends on, if none of that can change; else ``None``."""
        if type(function) is not FunctionType:
            return () if type(function) is BuiltinFunctionType and isinstance(function.__self__, ModuleType) else None
        if _is_known_by_name(function):
            return ()
        if function.__closure__ or function.__kwdefaults__ or function.__dict__:
            return None
        names = self._names.get(function.__code__)
        if names is None:
            names = self._names[function.__code__] = frozenset(_names(function.__code__))
        around = function.__globals__
        values = (*(function.__defaults__ or ()), *(around[name] for name in names if name in around))
        return values if _UNCHANGING.issuperset(map(type, values)) else None


class FunctionShelf:
    """Cache of functions that have arrived, by their pickles."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Callable[..., Any]] = OrderedDict()

    def function(self, packed: PackedFunction) -> Callable[..., Any]:
        """Return a function, unpickled now or earlier.

        Raises:
            Exception: whatever the import of its module raises.
        """
        data, lasting = packed
        function = self._known.get(data) if lasting else None
        if function is None:
            function = pickle.loads(data)
            if lasting:
                self._known[data] = function
                if len(self._known) > _KEPT:
                    self._known.popitem(last=False)
        return function


def _same(one: object, other: object) -> bool:
    return one is other


def _is_still_in(module: ModuleType | None, function: Any) -> bool:
    """Return whether a function that was importable by name still is."""
    return sys.modules.get(function.__module__) is module and getattr(module, function.__qualname__, None) is function


def _is_known_by_name(function: FunctionType) -> bool:
    module = sys.modules.get(function.__module__)
    if module is None or function.__module__ == "__main__" or parcel.unfindable(function) is not None:
        return False
    by_value = list_registry_pickle_by_value()
    if any(f"{function.__module__}.".startswith(f"{each}.") for each in by_value):
        return False  # the program says so
    return getattr(module, function.__qualname__, None) is function


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names that a function's code may look up, nested functions included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)

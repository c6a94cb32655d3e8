"""Errors as data: ours come out as they went in, the user's as far as that goes without importing anything."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import types
from typing import Any, NoReturn

import msgpack
import pytest
from hypothesis import given, strategies as st

from zproc import exceptions
from zproc.core import refusal
from zproc.core.limits import LARGEST_ERROR
from zproc.core.refusal import error_from_data, error_to_data
from zproc.exceptions import Error, Fault, LimitExceeded, ProtocolError, RemoteError, SchemaMismatch, ValidationRefused

OURS = [
    member
    for _, member in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(member, Error) and member.__module__ == exceptions.__name__
]

SAMPLES: dict[str, object] = {
    "str": "stöck.flour",
    "int": 7,
    "float": 2.5,
    "bool": True,
    "int | None": -9,
    "tuple[str, ...]": ("flour", "floor"),
    "tuple[Fault, ...]": (Fault("stock.flour", "greater_than_equal", "must be at least 0", "-1"),),
    "dict[str, str]": {"Shop.cookies": "int"},
}


def sample(cls: type[Error]) -> Error:
    return cls(**{field.name: SAMPLES[str(field.type)] for field in dataclasses.fields(cls)})


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001 - it comes back with its traceback
        return caught


def there_and_back(error: BaseException) -> BaseException:
    data = error_to_data(raised(error))
    assert len(data) <= LARGEST_ERROR
    return error_from_data(data)


@pytest.mark.parametrize("cls", OURS)
def test_every_error_of_ours_comes_out_with_its_fields(cls: type[Error]) -> None:
    error = sample(cls)
    twin = there_and_back(error)
    assert type(twin) is cls
    for field in dataclasses.fields(cls):
        assert getattr(twin, field.name) == getattr(error, field.name)
    assert str(twin) == str(error)


def test_every_error_of_ours_has_its_number() -> None:
    """A class that is missing here would come out as a foreign one; numbers are read by peers of other releases."""
    assert set(refusal._ERRORS) == set(OURS)
    assert [cls.__name__ for cls in refusal._ERRORS] == [
        "SchemaError",
        "UnknownPath",
        "SchemaMismatch",
        "UsageError",
        "CommitRefused",
        "ValidationRefused",
        "ValidatorCrashed",
        "LeaseLost",
        "HistoryGone",
        "LimitExceeded",
        "ProtocolError",
        "Unavailable",
        "CommitUnknown",
        "WaitTimeout",
        "ProcessError",
        "RemoteError",
        "Error",
        "AuthenticationError",
        "WorkerDied",
    ]


def test_an_absent_value_is_none() -> None:
    error = there_and_back(exceptions.ProcessError("it ended"))
    assert isinstance(error, exceptions.ProcessError)
    assert (error.pid, error.exitcode) == (None, None)


def test_a_whole_number_does_for_any() -> None:
    error = there_and_back(LimitExceeded("waiting", 3, 2))
    assert isinstance(error, LimitExceeded)
    assert (error.given, error.allowed) == (3, 2)


@pytest.mark.parametrize(
    "error",
    [
        ValidationRefused("no", tuple(Fault(f"a[{n}]", "r", "m", "x" * 80) for n in range(10_000))),
        ValidationRefused("no" * LARGEST_ERROR, (Fault("é" * LARGEST_ERROR, "r", "m", "x"),)),
        SchemaMismatch("Shop", "differs", "a" * 64, "b" * 64, tuple(f"{n}: int" for n in range(50_000)), {}),
        SchemaMismatch("Shop", "differs", declared={str(n): "int" for n in range(50_000)}),
        exceptions.CommitUnknown(7, "x" * LARGEST_ERROR),
        ValueError("x" * (1 << 20)),
        ValueError(*range(50_000)),
        type("T" * 5000, (ValueError,), {})("x"),
    ],
    ids=["faults", "texts", "differences", "table", "reason", "argument", "arguments", "name"],
)
def test_p10_an_error_that_is_too_long_is_shortened(error: BaseException) -> None:
    """What it is stays, and the beginning of what it says."""
    twin = there_and_back(error)
    if isinstance(error, Error):
        assert type(twin) is type(error)
        assert str(twin)[:2] == str(error)[:2]
    else:
        assert isinstance(twin, RemoteError)
        assert "ValueError" in twin.traceback or "TTT" in twin.traceback


def test_half_a_declaration_is_none() -> None:
    error = there_and_back(SchemaMismatch("Shop", "differs", declared={str(n): "int" for n in range(50_000)}))
    assert isinstance(error, SchemaMismatch)
    assert error.declared == {}


def test_an_error_of_ours_made_of_what_is_no_data_comes_out_as_a_remote_one() -> None:
    """An action may raise it."""
    for odd in (
        exceptions.UsageError(object()),  # type: ignore[arg-type]  # that is the point
        SchemaMismatch("a", "b", differences=("x", object())),  # type: ignore[arg-type]
    ):
        assert isinstance(there_and_back(odd), RemoteError)


def test_a_subclass_of_an_error_of_ours_is_the_users() -> None:
    class TooSweetError(exceptions.CommitRefused):
        pass

    assert isinstance(there_and_back(TooSweetError("sugar")), RemoteError)


# The user's


class ModuleLevel(Exception):
    pass


class Outer:
    class Inner(ValueError):
        pass


@dataclasses.dataclass
class TooHotError(Exception):
    temp: int
    limit: int = 300


@pytest.mark.parametrize("cls", [ValueError, KeyError, ZeroDivisionError, OSError, ModuleLevel, Outer.Inner])
def test_a_foreign_exception_keeps_its_type_where_it_is_loaded(
    cls: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())
    error = there_and_back(cls(7, "spoilt"))
    assert type(error) is cls
    assert error.args == (7, "spoilt")
    (note,) = error.__notes__
    assert note.startswith("raised in the state server:\nTraceback")
    assert "raise error" in note


def test_a_foreign_exception_keeps_its_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As pickle has it: what was given by name is not among the arguments."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())
    error = there_and_back(TooHotError(310, limit=305))
    assert error == TooHotError(310, 305)
    assert isinstance(there_and_back(TooHotError(temp=310)), RemoteError)


def _this_module() -> types.ModuleType:
    module = types.ModuleType(__name__)
    vars(module).update(globals())
    return module


def test_values_of_every_type_that_can_be_shared_are_arguments() -> None:
    error = there_and_back(ValueError((1, 2), {"a": {3}}, 2**100, None))
    assert error.args == ((1, 2), {"a": {3}}, 2**100, None)


def test_a_foreign_exception_that_is_not_loaded_is_a_remote_error() -> None:
    cls = type("FlourError", (Exception,), {"__module__": "bakery.flour"})
    error = there_and_back(cls("weevils"))
    assert isinstance(error, RemoteError)
    assert error.error == "FlourError('weevils')"
    assert "bakery.flour.FlourError: weevils" in error.traceback


def test_p9_nothing_is_imported_for_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the module that a message names, nor what a module that is loaded would import when it is asked."""

    def refuse(name: str) -> NoReturn:
        raise AssertionError(f"asked for {name}")

    lazy = types.ModuleType("lazy_bakery")
    lazy.__getattr__ = refuse  # type: ignore[method-assign]  # PEP 562
    monkeypatch.setitem(sys.modules, "lazy_bakery", lazy)
    before = set(sys.modules)
    for module in ("this", "antigravity", "lazy_bakery", "zproc.nowhere", ""):
        cls = type("FlourError", (Exception,), {"__module__": module})
        assert isinstance(there_and_back(cls("x")), RemoteError)
    assert set(sys.modules) == before


@pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt", "print", "int", "Exception.args", "__name__", ""])
def test_p9_only_exceptions_are_made_and_none_that_ends_a_program(name: str) -> None:
    data = msgpack.packb([-1, "builtins", name, msgpack.packb([["x"], {}]), "text", "trace"])
    error = error_from_data(data)
    assert isinstance(error, RemoteError)
    assert (error.error, error.traceback) == ("text", "trace")


def test_arguments_that_the_class_does_not_take_make_a_remote_error() -> None:
    assert isinstance(there_and_back(UnicodeDecodeError("utf-8", b"x", 0, 1, "bad")), UnicodeDecodeError)
    data = msgpack.packb([-1, "builtins", "UnicodeDecodeError", msgpack.packb([[1], {}]), "text", "trace"])
    assert isinstance(error_from_data(data), RemoteError)
    data = msgpack.packb([-1, "builtins", "ValueError", msgpack.packb(1), "text", "trace"])
    assert isinstance(error_from_data(data), RemoteError)


class OddReprError(Exception):
    def __repr__(self) -> str:
        raise SystemExit(3)

    __str__ = __repr__


class OddArgsError(Exception):
    @property
    def args(self) -> NoReturn:  # type: ignore[override]  # the user's code may do anything
        raise KeyboardInterrupt


class HalfACharacterError(Exception):
    def __str__(self) -> str:
        return "\ud800"

    __repr__ = __str__


def endless() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize(
    "error",
    [
        OddReprError(),
        OddArgsError(),
        HalfACharacterError(),
        ValueError("\ud800"),
        ValueError(object()),
        ValueError(endless()),
        ExceptionGroup("many", [ValueError(1), KeyError(2)]),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_p8_any_exception_can_be_made_data_however_odd(error: BaseException) -> None:
    assert isinstance(there_and_back(error), Exception)


def test_p10_of_a_long_traceback_both_ends_are_kept() -> None:
    def even(depth: int) -> None:  # two, since repeated lines are left out of a traceback
        if not depth:
            raise type("Deep", (Exception,), {"__module__": "elsewhere"})("at the bottom")
        odd(depth - 1)

    def odd(depth: int) -> None:
        even(depth - 1)

    with pytest.raises(Exception, match="at the bottom") as caught:
        even(300)
    twin = there_and_back(caught.value)
    assert isinstance(twin, RemoteError)
    assert "Traceback" in twin.traceback
    assert "at the bottom" in twin.traceback


# From anywhere


@given(st.binary(max_size=100))
def test_random_bytes_are_no_error(data: bytes) -> None:
    with pytest.raises((ProtocolError, LimitExceeded)):
        error_from_data(data)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**40) | st.floats(allow_nan=False) | st.text(max_size=5) | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)


@given(st.integers(-3, 20), st.lists(values, max_size=7))
def test_fields_of_the_wrong_types_are_refused_or_make_an_error_that_reads_well(number: int, fields: list[Any]) -> None:
    try:
        error = error_from_data(msgpack.packb([number, *fields]))
    except ProtocolError:
        return
    assert str(error) is not None


@pytest.mark.parametrize("cls", OURS)
def test_a_field_of_the_wrong_type_is_refused_by_name(cls: type[Error]) -> None:
    number = refusal._ERRORS.index(cls)
    fields = dataclasses.fields(cls)
    good = [refusal._field_to_plain(SAMPLES[str(field.type)]) for field in fields]
    for place, field in enumerate(fields):
        for bad in (b"bytes", [1], [["a", "b", "c", 4]], {"a": 1}, 0 if field.type == "bool" else True):
            wrong = [*good[:place], bad, *good[place + 1 :]]
            with pytest.raises(ProtocolError, match=f"not a {cls.__name__}: {field.name}"):
                error_from_data(msgpack.packb([number, *wrong]))
    with pytest.raises(ProtocolError, match=f"not a {cls.__name__}"):
        error_from_data(msgpack.packb([number, *good, 1]))

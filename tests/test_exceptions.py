"""The error tree: drawn as it is, documented, and able to travel between processes."""

from __future__ import annotations

import builtins
import copy
import dataclasses
import inspect
import pickle
import re

import pytest

from zproc import exceptions

ERRORS = [
    member
    for _, member in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(member, exceptions.Error) and member.__module__ == exceptions.__name__
]

SAMPLES: dict[str, object] = {
    "str": "stock.flour",
    "bool": True,
    "int": 7,
    "float": 2.5,
    "dict[str, str]": {"Oven.temp": "float"},
    "int | None": -9,
    "tuple[str, ...]": ("flour", "floor"),
    "tuple[Fault, ...]": (exceptions.Fault("stock.flour", "greater_than_equal", "must be at least 0", "-1"),),
}
"""A value for each type that a field of an error has. They are all different from the fields' defaults."""


def sample(cls: type[exceptions.Error]) -> exceptions.Error:
    return cls(**{field.name: SAMPLES[str(field.type)] for field in dataclasses.fields(cls)})


def drawing() -> dict[str, tuple[str, ...]]:
    """Read the tree in the module's docstring: each class with the names of its bases, as drawn."""
    bases: dict[str, tuple[str, ...]] = {"Error": ("Exception",)}
    branch: list[tuple[int, str]] = [(-1, "Error")]
    for line in (exceptions.__doc__ or "").splitlines():
        if match := re.match(r"([ |]*)\+-- (\w+)", line):
            depth, name = len(match[1]), match[2]
            while branch[-1][0] >= depth:
                branch.pop()
            builtin = re.search(r"  \(([\w, ]+)\)$", line)
            bases[name] = (branch[-1][1], *(builtin[1].split(", ") if builtin else ()))
            branch.append((depth, name))
    return bases


def test_the_tree_is_as_drawn_in_the_docstring() -> None:
    assert {cls.__name__: tuple(base.__name__ for base in cls.__bases__) for cls in ERRORS} == drawing()


def test_the_bases_that_are_drawn_are_errors_of_python_or_of_zproc() -> None:
    for name in {base for bases in drawing().values() for base in bases}:
        assert issubclass(getattr(exceptions, name, None) or getattr(builtins, name), Exception)


def test_the_module_exports_every_error() -> None:
    assert {cls.__name__ for cls in ERRORS} <= set(exceptions.__all__)


@pytest.mark.parametrize("cls", ERRORS)
class TestEveryError:
    def test_has_a_docstring_of_its_own(self, cls: type[exceptions.Error]) -> None:
        # A dataclass without one is given its signature.
        assert cls.__doc__
        assert not cls.__doc__.startswith(f"{cls.__name__}(")

    def test_computes_its_text_from_its_fields(self, cls: type[exceptions.Error]) -> None:
        error = sample(cls)
        assert bool(str(error)) == bool(dataclasses.fields(cls))

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_survives_pickling_with_fields_notes_and_cause(self, cls: type[exceptions.Error], protocol: int) -> None:
        error = sample(cls)
        error.add_note("while baking")
        error.__cause__ = KeyError("flour")

        twin = pickle.loads(pickle.dumps(error, protocol))

        assert type(twin) is cls
        for field in dataclasses.fields(cls):
            assert getattr(twin, field.name) == getattr(error, field.name)
        assert str(twin) == str(error)
        assert twin.__notes__ == ["while baking"]
        assert isinstance(twin.__cause__, KeyError)
        assert twin.__cause__.args == ("flour",)

    def test_survives_pickling_when_made_by_position(self, cls: type[exceptions.Error]) -> None:
        error = cls(*(SAMPLES[str(field.type)] for field in dataclasses.fields(cls)))
        assert str(pickle.loads(pickle.dumps(error))) == str(error)

    def test_can_be_copied(self, cls: type[exceptions.Error]) -> None:
        error = sample(cls)
        assert str(copy.copy(error)) == str(copy.deepcopy(error)) == str(error)

    def test_can_be_raised_and_caught_as_each_of_its_bases(self, cls: type[exceptions.Error]) -> None:
        for base in cls.__mro__[:-1]:
            if issubclass(base, BaseException):
                with pytest.raises(base):
                    raise sample(cls)

    def test_is_itself_only(self, cls: type[exceptions.Error]) -> None:
        # Equality by fields would make errors unhashable, which traceback printing relies on.
        error = sample(cls)
        assert error != sample(cls)
        assert hash(error) == hash(error)


def test_an_unknown_path_names_the_nearest_ones() -> None:
    error = exceptions.UnknownPath("AppState.cokies", "no such field", nearest=("cookies", "cook"))
    assert str(error) == "AppState.cokies: no such field; did you mean 'cookies' or 'cook'?"


def test_an_unknown_path_that_resembles_nothing_gives_no_hint() -> None:
    assert str(exceptions.UnknownPath("AppState.x", "no such field")) == "AppState.x: no such field"


def test_a_refusal_lists_every_fault() -> None:
    faults = (
        exceptions.Fault("cookies", "greater_than_equal", "must be at least 0", "-1"),
        exceptions.Fault("", "value_error", "more eaten than baked", "AppState()"),
    )
    assert str(exceptions.ValidationRefused("refused", faults)).splitlines() == [
        "refused",
        "  cookies: must be at least 0 [greater_than_equal, given -1]",
        "  more eaten than baked [value_error, given AppState()]",
    ]


@pytest.mark.parametrize(("exitcode", "name"), [(-9, "SIGKILL"), (-15, "SIGTERM"), (0, None), (1, None), (None, None)])
def test_a_process_error_names_the_signal(exitcode: int | None, name: str | None) -> None:
    error = exceptions.ProcessError("it ended", exitcode=exitcode)
    assert (error.signal.name if error.signal else None) == name


def test_a_process_error_without_name_or_pid_reads_well() -> None:
    assert str(exceptions.ProcessError("could not be started")) == "process: could not be started"


def test_a_revision_that_is_yet_to_come_is_told_from_one_that_is_gone() -> None:
    assert "the oldest held is 7" in str(exceptions.HistoryGone(2, 7))
    assert "not come to that" in str(exceptions.HistoryGone(9, 7))


def test_a_fault_of_what_is_missing_shows_no_value() -> None:
    assert str(exceptions.Fault("f()", "arguments", "too few", "")) == "f(): too few [arguments]"

"""What can be waited for: which commits are examined, and which of the states that they made count.

The law: a condition is data: the fields that it depends on, and a test of one state. Code that waits knows nothing else
about it, so all forms of waiting mean the same by it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar, cast

from pydantic import BaseModel

from zproc.exceptions import UsageError
from zproc.schema.path import ANY, Pattern, format_path, matches, parse_path, parse_pattern
from zproc.schema.possible import refuse_impossible
from zproc.schema.shape import Kind, shape_of
from zproc.schema.values import detached
from zproc.typing import Path

__all__ = ["COMPARING", "CONDITIONS", "Condition", "Scope", "change", "on_field", "passing", "passing_at", "values_at"]

M = TypeVar("M", bound=BaseModel)
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Scope:
    """Which changes concern somebody.

    Attributes:
        patterns: a commit that changes nothing here is of no concern.
        stored: the patterns that changes of stored fields are matched with.
        computed: patterns of fields that are, or may be, computed: a commit also counts if one of their values is
            another after it.
        exclude: changes at or below these are ignored.
    """

    patterns: tuple[Pattern, ...]
    stored: tuple[Pattern, ...]
    computed: tuple[Pattern, ...] = ()
    exclude: tuple[Pattern, ...] = ()

    @classmethod
    def of(cls, model: type[BaseModel], fields: Iterable[str], exclude: Iterable[str] = ()) -> Scope:
        """Return the scope of some fields of a model, given as dotted paths and patterns; none mean all.

        Raises:
            UnknownPath: one leads nowhere.
            UsageError: nothing is left that is not excluded.
        """
        if isinstance(exclude, str) or not isinstance(exclude, Iterable):
            raise UsageError(f"exclude is a list of fields: exclude=[{exclude!r}]")
        without = tuple(parse_pattern(field, model) for field in exclude)
        named = tuple(parse_pattern(field, model) for field in fields)
        if not named:
            named = ((ANY,),)
            whole = {pattern[0] for pattern in without if len(pattern) == 1}
            if whole:
                named = tuple((name,) for name in model.model_fields if name not in whole)
            if not named or ANY in whole:
                raise UsageError("every field is excluded, so nothing would ever be seen")
        sources = {pattern: _source(pattern, model) for pattern in named}
        return cls(
            patterns=tuple(dict.fromkeys(source or pattern for pattern, source in sources.items())),
            stored=named,
            computed=tuple(pattern for pattern, source in sources.items() if source is not None),
            exclude=without,
        )

    def concerns(self, path: Path) -> bool:
        """Whether a change at an address is one of stored fields that are meant."""
        # Loops, because every watcher that is woken comes by here.
        for pattern in self.exclude:
            if len(pattern) <= len(path) and matches(pattern, path):
                return False
        for pattern in self.stored:  # noqa: SIM110 - as above
            if matches(pattern, path):
                return True
        return False

    def computed_values(self, state: object) -> list[object]:
        """Return what the computed fields that are meant are in a state."""
        return [value for pattern in self.computed for value in values_at(state, pattern)]

    def __str__(self) -> str:
        return ", ".join(map(format_path, self.stored))


def _source(pattern: Pattern, model: type[BaseModel]) -> Pattern | None:
    """Return what a computed field is computed from; ``None`` if the pattern goes through stored fields only.

    That is the model that it is a field of. Which model that is, or whether the field is stored there, only the value
    can tell where it may be one of several; then it is taken for computed.
    """
    shape = shape_of(model)
    for depth, step in enumerate(pattern):
        unknown = shape.kind is Kind.UNION
        if unknown or (shape.model is not None and step in shape.model.model_computed_fields):
            return pattern[:depth] or (ANY,)
        if shape.kind is Kind.MODEL:
            if step is ANY:
                return None if depth + 1 == len(pattern) else (ANY,)
            shape = shape.fields[cast("str", step)]
        elif shape.item is not None:
            shape = shape.item
    return None


def values_at(state: object, pattern: Pattern) -> list[object]:
    """Return what stands at all addresses that a pattern means, in a state that stands by itself."""
    found = [state]
    for step in pattern:
        found = [value for parent in found for value in _children(parent, step)]
    return found


def _children(parent: object, step: object) -> list[object]:
    if step is ANY:
        if isinstance(parent, BaseModel):
            return list(parent.__dict__.values())
        return list(parent.values()) if isinstance(parent, dict) else list(cast("list[object]", parent))
    try:
        if isinstance(parent, BaseModel):
            return [getattr(parent, cast("str", step))]
        return [cast("dict[object, object]", parent)[step]]
    except (AttributeError, LookupError, TypeError):
        return []


@dataclass(frozen=True, slots=True)
class Condition(Generic[S]):
    """What is waited for.

    Attributes:
        scope: which commits are looked at.
        test: what the state after one has to pass; ``None`` if every commit counts, and the present state does not.
        text: what is waited for, in words.
    """

    scope: Scope
    test: Callable[[S], bool] | None
    text: str


def change(model: type[S], fields: Iterable[str], exclude: Iterable[str] = ()) -> Condition[S]:
    """Wait for a change of any of some fields, of all for none named.

    Raises:
        UnknownPath: a field leads nowhere.
        UsageError: all fields are excluded.
    """
    scope = Scope.of(cast("type[BaseModel]", model), fields, exclude)
    return Condition(scope, None, f"a change of {scope}")


def passing(model: type[S], test: Callable[[S], object]) -> Condition[S]:
    """Wait for a state that passes a test.

    Raises:
        UsageError: it cannot be called, or would have to be awaited.
    """
    name = _name_of(test)
    return Condition(Scope.of(cast("type[BaseModel]", model), ()), lambda state: bool(test(state)), f"{name}(state)")


def _name_of(test: Callable[[S], object]) -> str:
    if not callable(test):
        raise UsageError(f"a test is a function of the state, not {test!r}; for a field there is get_when_truthy")
    if inspect.iscoroutinefunction(test):
        raise UsageError(f"{test.__qualname__} is async: what it returns would be true before it ran")
    return cast("str", getattr(test, "__qualname__", repr(test)))


def passing_at(model: type[S], field: str, test: Callable[[object], object]) -> Condition[S]:
    """Wait until what stands at a field passes a test; where nothing does, it does not.

    Raises:
        UnknownPath: the field leads nowhere, or is a pattern.
    """
    path = parse_path(field, cast("type[BaseModel]", model))
    return Condition(
        Scope.of(cast("type[BaseModel]", model), (field,)),
        lambda state: any(bool(test(value)) for value in values_at(state, path)),
        f"{_name_of(test)}({field})",
    )


CONDITIONS: dict[str, tuple[Callable[[list[object], object], bool], str]] = {
    "equal": (lambda found, value: bool(found) and bool(found[0] == value), "== {!r:.80}"),
    "not_equal": (lambda found, value: bool(found) and bool(found[0] != value), "!= {!r:.80}"),
    "none": (lambda found, _: bool(found) and found[0] is None, "is None"),
    "not_none": (lambda found, _: bool(found) and found[0] is not None, "is not None"),
    "truthy": (lambda found, _: bool(found) and bool(found[0]), "is truthy"),
    "falsy": (lambda found, _: bool(found) and not found[0], "is falsy"),
    "available": (lambda found, _: bool(found) and found[0] is not None, "is available"),
}
"""By name: the test of what stands at a field, if anything does, and its words."""

COMPARING: Final = frozenset({"equal", "not_equal"})
"""Those that compare with a value."""


def on_field(model: type[S], name: str, field: str, value: object = None) -> Condition[S]:
    """Wait until what stands at a field passes one of the tests of the table.

    Args:
        model: the model of the state.
        name: which test.
        field: a dotted path.
        value: what is compared with.

    Raises:
        UnknownPath: the field leads nowhere, or is a pattern.
        UsageError: the field never has a value that equals the one it is compared with.
    """
    test, words = CONDITIONS[name]
    path = parse_path(field, cast("type[BaseModel]", model))
    wanted = detached(value)  # of a live handle, what it stands for now
    if name in COMPARING:
        refuse_impossible(cast("type[BaseModel]", model), path, wanted)
    return Condition(
        Scope.of(cast("type[BaseModel]", model), (field,)),
        lambda state: test(values_at(state, path), wanted),
        f"{field} {words.format(wanted)}",
    )

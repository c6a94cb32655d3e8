"""Hypothesis strategies of plain data for each place of a state.

The law: a strategy is derived from the annotations and their constraints. It may propose what a validator refuses,
since a validator cannot be analysed; whoever draws from it asks the schema.
"""

from __future__ import annotations

import enum
import types
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, TypedDict, Union, cast, get_args, get_origin

from annotated_types import GroupedMetadata
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, JsonValue, NaiveDatetime, StringConstraints, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

__all__ = ["Place", "place_of", "place_of_model"]

Values: TypeAlias = "st.SearchStrategy[object]"

_FEW: Final = 5
"""How many elements a container has at most that may have any number."""

_DEEP: Final = 2
"""How often a model is inside itself at most, where there may also be nothing.

A model that has two or more of itself on average would be drawn without end: Hypothesis gives up a hundred levels down,
which was the fate of four of five states.
"""


@dataclass
class Place:
    """What may stand somewhere, and where one can go on from it.

    Attributes:
        annotation: as what it is declared.
        values: plain data that may stand there.
        item: the elements of a list or set, the values of a dict.
        keys: the keys of a dict, the elements of a set.
        fields: the fields of a model.
        forms: what it may be, if it may be several things.
        number: whether it can be calculated with.
    """

    annotation: object
    values: Values
    item: Place | None = None
    keys: Values | None = None
    fields: dict[str, Place] = field(default_factory=dict)
    forms: list[Place] = field(default_factory=list)
    number: bool = False


class _Known(dict[object, Place]):
    """The places of models that are made already or being made, for models that contain themselves.

    Attributes:
        begun: the models whose places are being made.
        loops: how often one of those was met within itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begun: set[type[BaseModel]] = set()
        self.loops = 0
        self._inside: Counter[type[BaseModel]] = Counter()

    def counted(self, model: type[BaseModel], values: Values) -> Values:
        """Return values of a model which know how often they are inside each other."""

        @st.composite
        def nested(draw: st.DrawFn) -> object:
            self._inside[model] += 1
            try:
                return draw(values)
            finally:
                self._inside[model] -= 1

        return nested()

    def ended(self, values: Values, nothing: Callable[[], object]) -> Values:
        """Return values in whose place there is nothing where models are deep inside themselves."""

        @st.composite
        def shallow(draw: st.DrawFn) -> object:
            return nothing() if max(self._inside.values(), default=0) > _DEEP else draw(values)

        return shallow()


def place_of_model(model: type[BaseModel]) -> Place:
    """Return the place of a whole state.

    Args:
        model: as what it is declared.
    """
    return _model(model, _Known())


def place_of(annotation: object, metadata: Sequence[object] = (), known: _Known | None = None) -> Place:
    """Return the place of an annotation.

    Args:
        annotation: as what it is declared.
        metadata: its constraints, besides those in the annotation.
        known: places of models that are being made, for models that contain themselves.
    """
    known = _Known() if known is None else known
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        metadata = [*more, *metadata]
    limits = _Limits(metadata)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _model(annotation, known)
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _union(annotation, parts, known)
    if origin is Literal:
        return Place(annotation, st.sampled_from(parts))
    if origin in (list, set, frozenset, dict) or annotation in (list, set, frozenset, dict):
        return _container(annotation, cast("type", origin or annotation), parts, limits, known)
    if origin is tuple and Ellipsis not in parts:
        return Place(annotation, st.tuples(*(place_of(part, (), known).values for part in parts)))
    return _scalar(annotation, limits)


class _Size(TypedDict):
    min_size: int
    max_size: int


class _Limits:
    """Constraints, by the names that all libraries give them."""

    def __init__(self, metadata: Iterable[object]) -> None:
        self._metadata = list(_flattened(metadata))

    def __getattr__(self, name: str) -> Any:
        found = [getattr(each, name) for each in self._metadata if getattr(each, name, None) is not None]
        return found[-1] if found else None


def _flattened(metadata: Iterable[object]) -> Iterable[object]:
    for each in metadata:
        if isinstance(each, FieldInfo):
            yield from _flattened(each.metadata)
        elif isinstance(each, GroupedMetadata):
            yield from _flattened(each)
            yield each
        else:
            yield each


def _model(model: type[BaseModel], known: _Known) -> Place:
    if model in known:
        known.loops += model in known.begun
        return known[model]
    known.begun.add(model)
    loops = known.loops
    place = known[model] = Place(model, st.deferred(lambda: whole))
    frozen = {name for name, info in model.model_fields.items() if info.frozen or model.model_config.get("frozen")}
    parts = {name: place_of(info.annotation, info.metadata, known) for name, info in model.model_fields.items()}
    known.begun.discard(model)
    whole = cast("Values", st.fixed_dictionaries({name: part.values for name, part in parts.items()}))
    if known.loops > loops:
        whole = known.counted(model, whole)
    place.fields = {name: part for name, part in parts.items() if name not in frozen}
    return place


def _union(annotation: object, parts: tuple[object, ...], known: _Known) -> Place:
    loops = known.loops
    forms = [place_of(part, (), known) for part in parts if part is not type(None)]
    nothing = [st.none()] if type(None) in parts else []
    values: Values = st.one_of(*nothing, *(form.values for form in forms))
    if nothing and known.loops > loops:
        values = known.ended(values, lambda: None)
    return Place(annotation, values, forms=forms)


def _container(annotation: object, kind: type, parts: tuple[object, ...], limits: _Limits, known: _Known) -> Place:
    shortest = cast("int", limits.min_length or 0)
    longest = cast("int", max(shortest, _FEW) if limits.max_length is None else limits.max_length)
    size = _Size(min_size=shortest, max_size=min(longest, shortest + _FEW))
    loops = known.loops
    first, *rest = (place_of(part, (), known) for part in parts or (Any, Any))
    values: Values
    if kind is dict:
        values = cast("Values", st.dictionaries(first.values, rest[0].values, **size))
    elif kind is list:
        values = cast("Values", st.lists(first.values, **size))
    else:
        made = st.sets if kind is set else st.frozensets
        values = cast("Values", made(first.values, **size))
    if shortest == 0 and known.loops > loops:
        values = known.ended(values, kind)
    if kind is dict:
        return Place(annotation, values, item=rest[0], keys=first.values)
    if kind is list:
        return Place(annotation, values, item=first)
    return Place(annotation, values, keys=first.values if kind is set else None)


def _scalar(annotation: object, limits: _Limits) -> Place:
    if annotation is int:
        return Place(annotation, _integers(limits), number=True)
    if annotation is float:
        return Place(annotation, _floats(limits), number=True)
    if annotation is str:
        return Place(annotation, _strings(limits))
    if annotation is bytes:
        longest = limits.max_length if limits.max_length is not None else 20
        return Place(annotation, st.binary(min_size=limits.min_length or 0, max_size=longest))
    for known, values in _UNGUESSED.items():
        if annotation is known:
            return Place(annotation, values)
    if annotation in (Any, object):
        return Place(annotation, st.none() | st.booleans() | st.integers() | st.text(max_size=8))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return Place(annotation, cast("Values", st.sampled_from(annotation)))
    if annotation is Decimal:
        return Place(annotation, st.decimals(limits.ge, limits.le, allow_nan=False, allow_infinity=False), number=True)
    return Place(annotation, _valid(st.from_type(cast("type[object]", annotation)), annotation))


def _json() -> Values:
    floats = st.floats(allow_nan=False, allow_infinity=False)
    scalars = st.none() | st.booleans() | st.integers(-(1 << 31), 1 << 31) | floats | st.text(max_size=8)
    names = st.text(max_size=8)
    return st.recursive(
        scalars, lambda parts: st.lists(parts, max_size=3) | st.dictionaries(names, parts, max_size=3), max_leaves=5
    )


_UNGUESSED: Final[Mapping[object, Values]] = {
    AwareDatetime: st.datetimes(timezones=st.just(UTC)),
    NaiveDatetime: st.datetimes(),
    Path: st.lists(st.text("ab.", min_size=1, max_size=3), max_size=3).map(lambda parts: Path(*parts)),
    JsonValue: _json(),
}
"""What is drawn for types that Hypothesis by itself knows nothing of, or nothing good."""


def _valid(values: Values, annotation: object) -> Values:
    """Return those values of a strategy that pydantic takes."""
    adapter: TypeAdapter[object] = TypeAdapter(cast("type[object]", annotation))

    def valid(value: object) -> bool:
        try:
            adapter.validate_python(value, strict=True)
        except ValidationError:
            return False
        return True

    return values.filter(valid)


def _integers(limits: _Limits) -> Values:
    least = limits.ge if limits.gt is None else int(limits.gt) + 1
    most = limits.le if limits.lt is None else int(limits.lt) - 1
    if step := limits.multiple_of:
        low, high = (None if bound is None else bound // step for bound in (least, most))
        low = low + 1 if low is not None and low * step < least else low
        return st.integers(low, high).map(lambda value: value * step)
    return st.integers(least, most) if least is not None or most is not None else st.integers(-(1 << 31), 1 << 31)


def _floats(limits: _Limits) -> Values:
    open_below, open_above = limits.gt is not None, limits.lt is not None
    return st.floats(
        limits.gt if open_below else limits.ge,
        limits.lt if open_above else limits.le,
        exclude_min=open_below,
        exclude_max=open_above,
        allow_nan=False,
        allow_infinity=False,
    )


def _strings(limits: _Limits) -> Values:
    shortest = limits.min_length or 0
    longest = limits.max_length if limits.max_length is not None else shortest + 20
    if pattern := limits.pattern:
        bounds = StringConstraints(pattern=pattern, min_length=limits.min_length, max_length=limits.max_length)
        return _valid(st.from_regex(pattern), Annotated[str, bounds])  # two languages of patterns that differ a little
    # What cannot be encoded as UTF-8 cannot be shared.
    return st.text(st.characters(exclude_categories=["Cs"]), min_size=shortest, max_size=longest)

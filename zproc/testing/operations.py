"""Random operations on a state.

The law: an operation is drawn as an op and performed as a program does it: by assigning, calculating, appending. It
fits the state that it was drawn for; whether the schema accepts it, the schema decides.
"""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar, assert_never, cast, get_type_hints

from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from zproc.schema.interface import interface_of
from zproc.schema.ops import Add, Delete, Discard, Op, Set, Splice, Update
from zproc.schema.path import format_path
from zproc.testing.places import Place, place_of
from zproc.typing import Path

__all__ = ["Call", "Draw", "Edit", "OpDrawer", "Operation", "Seen", "calls_of_action", "calls_of_function"]

T = TypeVar("T")

Draw: TypeAlias = "Callable[[st.SearchStrategy[Any]], Any]"
Seen: TypeAlias = list[tuple[Path, Place]]
"""Places that values were put at."""

_IN_PLACE: Final[dict[str, Callable[[Any, Any], Any]]] = {"+": operator.iadd, "-": operator.isub, "*": operator.imul}


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of one place, as a program makes it; call it with the state."""

    op: Op

    def __call__(self, state: BaseModel) -> None:
        """Apply it to a live state, a draft, or (in `zproc.transaction`) a plain instance."""
        *above, last = self.op.path
        target: Any = state
        for key in above:
            target = _entry(target, key)
        match self.op:
            case Set(_, value):
                _put(target, last, copy.deepcopy(value))
            case Delete():
                del target[last]
            case Splice(_, None, 0, values):
                _entry(target, last).extend(copy.deepcopy(list(values)))
            case Splice(_, at, remove, values):
                found = _entry(target, last)
                start = len(found) if at is None else at
                start = max(start + len(found), 0) if start < 0 else start
                found[start : start + remove] = copy.deepcopy(list(values))
            case Add(_, values):
                _entry(target, last).update(values)
            case Discard(_, values):
                _entry(target, last).difference_update(values)
            case Update(_, symbol, operand):
                _put(target, last, _IN_PLACE[symbol](_entry(target, last), operand))
            case _:
                assert_never(self.op)

    def __repr__(self) -> str:
        where = f"state.{format_path(self.op.path)}"
        match self.op:
            case Set(_, value):
                return f"{where} = {value!r}"
            case Delete():
                return f"del {where}"
            case Splice(_, None, 0, values):
                return f"{where}.extend({list(values)!r})"
            case Splice(_, at, remove, values):
                return f"{where}[{'end' if at is None else at}:+{remove}] = {list(values)!r}"
            case Add(_, values):
                return f"{where}.update({values!r})"
            case Discard(_, values):
                return f"{where}.difference_update({values!r})"
            case Update(_, symbol, operand):
                return f"{where} {symbol}= {operand!r}"
            case _:
                assert_never(self.op)


@dataclass(frozen=True, slots=True)
class Call:
    """A call of an action of the model, or of a function of the state; call it with the state.

    Attributes:
        name: the function.
        function: what is called, with the state and the arguments.
        arguments: by name.
    """

    name: str
    function: Callable[..., object]
    arguments: dict[str, object]

    def __call__(self, state: BaseModel) -> object:
        """Call it, and return its result."""
        return self.function(state, **copy.deepcopy(self.arguments))

    def __repr__(self) -> str:
        listed = ", ".join([f"{name}={value!r}" for name, value in self.arguments.items()])
        return f"{self.name}(state{', ' if listed else ''}{listed})"


Operation: TypeAlias = Edit | Call
"""Something that can be done to a state: call it with the state."""


def _entry(container: Any, key: object) -> Any:
    return getattr(container, cast("str", key)) if isinstance(container, BaseModel) else container[key]


def _put(container: Any, key: object, value: object) -> None:
    if isinstance(container, BaseModel):
        setattr(container, cast("str", key), value)
    else:
        container[key] = value


@dataclass
class OpDrawer:
    """Draws ops that fit a state.

    Args:
        draw: Hypothesis's function of that name.
        wrong: values that do not fit, to be mixed in; ``None`` for none.
        wrong_keys: the same for keys.

    Attributes:
        seen: the places that values were put at.
    """

    draw: Draw
    wrong: st.SearchStrategy[object] | None = None
    wrong_keys: st.SearchStrategy[object] | None = None
    seen: Seen = field(default_factory=list)

    def value(self, place: Place) -> object:
        """Draw a value for a place."""
        right = self.wrong is None or self.draw(st.integers(0, 5))
        return copy.deepcopy(self.draw(place.values if right else cast("st.SearchStrategy[object]", self.wrong)))

    def key(self, keys: st.SearchStrategy[object]) -> object:
        """Draw a key of a dict."""
        right = self.wrong_keys is None or self.draw(st.integers(0, 4))
        return self.draw(keys if right else cast("st.SearchStrategy[object]", self.wrong_keys))

    def op(self, place: Place, path: Path, now: object) -> Op | None:
        """Draw an op at or below a place; ``None`` if there is none to be had.

        Args:
            place: what may stand there.
            path: where it is.
            now: what stands there, as plain data.
        """
        inside: list[Callable[[], Op | None]] = []
        for form in place.forms:
            if fits(form, now):
                inside.append(lambda form=form: self.op(form, path, now))  # type: ignore[misc]  # noqa: PERF401 - one line less is not clearer
        if isinstance(now, dict) and place.fields:
            inside += [
                lambda name=name: self.op(place.fields[name], (*path, name), now[name])  # type: ignore[misc]
                for name in place.fields
                if name in now
            ]
        elif isinstance(now, dict) and place.item is not None and place.keys is not None:
            inside += [lambda: self._on_dict(place, path, now)] * 2
        elif isinstance(now, list) and place.item is not None:
            inside += [lambda: self._on_list(place, path, now)] * 2
        elif isinstance(now, set) and place.keys is not None:
            inside += [lambda: self._on_set(place, path)] * 2
        if path:
            inside.append(lambda: self._set(place, path))
        if place.number and (self.wrong is not None or isinstance(now, (int, float))):
            inside.append(lambda: self._update(path))
        return self.draw(st.sampled_from(inside))() if inside else None

    def _set(self, place: Place, path: Path) -> Op:
        self.seen.append((path, place))
        return Set(path, self.value(place))

    def _update(self, path: Path) -> Op:
        operands = [1, 2, -4] if self.wrong is None else [1, 2, -4, 0.5]
        return Update(path, str(self.draw(st.sampled_from("+-"))), self.draw(st.sampled_from(operands)))

    def _on_dict(self, place: Place, path: Path, now: dict[object, object]) -> Op | None:
        assert place.item is not None
        assert place.keys is not None
        if now and self.draw(st.integers(0, 3)):
            key = self.draw(st.sampled_from(list(now)))
            if self.draw(st.booleans()):
                return Delete((*path, key))
            return self.op(place.item, (*path, key), now[key])
        key = self.key(place.keys)
        self.seen.append(((*path, key), place.item))
        return Set((*path, key), self.value(place.item))

    def _on_list(self, place: Place, path: Path, now: list[object]) -> Op | None:
        assert place.item is not None
        if now and self.draw(st.booleans()):
            index = cast("int", self.draw(st.integers(-len(now), len(now) - 1)))
            return self.op(place.item, (*path, index), now[index])
        inserted = [self.value(place.item) for _ in range(self.draw(st.integers(0, 2)))]
        at = cast("int | None", self.draw(st.none() | st.integers(-5, 5)))
        return Splice(path, at, cast("int", self.draw(st.integers(0, 3))), tuple(inserted))

    def _on_set(self, place: Place, path: Path) -> Op:
        assert place.keys is not None
        values = cast("list[object]", self.draw(st.lists(place.keys, max_size=3)))
        if self.draw(st.booleans()):
            return Discard(path, tuple(values))
        more = [] if self.wrong_keys is None else self.draw(st.lists(self.wrong_keys, max_size=1))
        return Add(path, (*values, *more))


def fits(form: Place, now: object) -> bool:
    """Return whether a value may be of one of the forms that its place may have."""
    if form.fields:
        return isinstance(now, dict) and now.keys() >= form.fields.keys()
    return form.item is not None or form.keys is not None or (form.number and isinstance(now, (int, float)))


def calls_of(
    name: str, function: Callable[..., object], parameters: dict[str, object], optional: Sequence[str] = ()
) -> st.SearchStrategy[Call]:
    """Return a strategy of calls of a function of the state.

    Args:
        name: the function's name, for people.
        function: what to call, with the state first.
        parameters: what its other parameters are annotated with, by name.
        optional: those that may be left out.
    """

    def values(annotation: object) -> st.SearchStrategy[object]:
        adapter: TypeAdapter[object] = TypeAdapter(cast("type[object]", annotation))
        return place_of(annotation).values.map(adapter.validate_python)

    required = {each: values(annotation) for each, annotation in parameters.items() if each not in optional}
    others = {each: values(annotation) for each, annotation in parameters.items() if each in optional}
    return st.fixed_dictionaries(required, optional=others).map(lambda drawn: Call(name, function, dict(drawn)))


def calls_of_function(function: Callable[..., object]) -> st.SearchStrategy[Call]:
    """Return a strategy of calls of a function whose first parameter is the state.

    Args:
        function: an atomic function, say. Its other parameters are annotated, or have defaults, which are then taken.

    Raises:
        TypeError: a parameter has neither.
    """
    name = getattr(function, "__name__", repr(function))
    signature = inspect.signature(function)
    hints = get_type_hints(inspect.unwrap(function), include_extras=True)
    _, *parameters = signature.parameters.values()
    bare = [each.name for each in parameters if each.name not in hints and each.default is each.empty]
    if bare:
        raise TypeError(f"{name}: nobody knows what to give for {', '.join(bare)}; annotate it")
    optional = [each.name for each in parameters if each.default is not each.empty]
    return calls_of(
        name, function, {each.name: hints[each.name] for each in parameters if each.name in hints}, optional
    )


def calls_of_action(model: type[BaseModel], name: str) -> st.SearchStrategy[Call]:
    """Return a strategy of calls of an action of a model."""
    parameters = {each: hint for each, hint in interface_of(model, name).types.items() if each != "return"}
    signature = inspect.signature(getattr(model, name))
    optional = [each for each, parameter in signature.parameters.items() if parameter.default is not parameter.empty]
    return calls_of(name, lambda state, **arguments: getattr(state, name)(**arguments), parameters, optional)

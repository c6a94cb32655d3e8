"""The property that all of this stands on: the fast path decides as pydantic's validation of the whole state does.

Random models, random states of them, and random commits, some valid, some not, some only as a whole. What a commit
comes to is also computed the slow way: its ops are applied to plain data by the few lines below, which know nothing of
the library but what an op means, and the result is validated as a whole.
"""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from random import Random
from typing import Annotated, Literal, Optional, Union, cast

import pytest
from annotated_types import Ge, Le, MaxLen, MinLen, MultipleOf
from hypothesis import HealthCheck, assume, event, given, settings, strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    JsonValue,
    ValidationError,
    ValidationInfo,
    WrapValidator,
    create_model,
    field_validator,
    model_validator,
)
from typing_extensions import TypedDict

from zproc.exceptions import CommitRefused, UnknownPath, ValidatorCrashed
from zproc.schema.codec import Codec
from zproc.schema.draft import validator_draft
from zproc.schema.ops import Add, Delete, Discard, Op, Set, Splice, Update
from zproc.schema.size import growth, size_of_state
from zproc.schema.transaction import Change, Transaction
from zproc.schema.values import plain, same
from zproc.testing.operations import OpDrawer
from zproc.testing.places import Place
from zproc.typing import Path

Draw = Callable[[st.SearchStrategy[object]], object]


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Note(TypedDict):
    text: str
    stars: int


MODELS = 150 if settings().max_examples <= 100 else 2_000
CODEC = Codec((Colour,))
WRONG = st.sampled_from([None, "much too long", "", -99, 99, 7, 1.5, True, b"x", (), [], {}, [1], {"a": 1}, {"x": "y"}])
WRONG_KEYS = st.sampled_from([True, 99, 1.0, "much too long"])


# The reference -------------------------------------------------------------------------------------------------------


class CannotBeApplied(Exception):
    """An op that means nothing where it goes."""


OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def applied(state: object, op: Op) -> None:
    """Apply an op to plain data, in the most simple-minded way."""
    *above, last = op.path
    node = state
    for key in above:
        node = child(node, key)
    present = child(node, last) if not (isinstance(op, Set) and isinstance(node, dict)) else None
    match op:
        case Set(_, value, before):
            put_before(cast("dict[object, object] | list[object]", node), last, copy.deepcopy(value), before)
        case Delete():
            if not isinstance(node, dict):
                raise CannotBeApplied
            del node[last]
        case Splice(_, at, remove, insert):
            if not isinstance(present, list):
                raise CannotBeApplied
            start = len(present) if at is None else at
            start = max(start + len(present), 0) if start < 0 else min(start, len(present))
            present[start : start + remove] = copy.deepcopy(list(insert))
        case Add(_, values):
            changed_set(present, values, set.update)
        case Discard(_, values):
            changed_set(present, values, set.difference_update)
        case Update(_, symbol, operand):
            if not isinstance(present, (int, float)) or not isinstance(operand, (int, float)):
                raise CannotBeApplied
            cast("dict[object, object]", node)[last] = OPERATORS[symbol](present, operand)


def put_before(target: dict[object, object] | list[object], key: object, value: object, before: object) -> None:
    if isinstance(target, list):
        target[cast("int", key)] = value
        return
    is_new = key not in target
    target[key] = value
    if is_new and before in target:
        for later in list(target)[list(target).index(before) : -1]:
            target[later] = target.pop(later)


def changed_set(
    present: object, values: tuple[object, ...], how: Callable[[set[object], tuple[object, ...]], None]
) -> None:
    if not isinstance(present, set):
        raise CannotBeApplied
    try:
        how(present, values)
    except TypeError as error:
        raise CannotBeApplied from error


def child(node: object, key: object) -> object:
    if isinstance(node, dict) and key in node:
        return node[key]
    if isinstance(node, list) and type(key) is int and -len(node) <= key < len(node):
        return node[key]
    raise CannotBeApplied


def validated(model: type[BaseModel], data: object) -> BaseModel:
    return model.model_validate(copy.deepcopy(data), strict=True, extra="forbid", by_alias=False, by_name=True)


# Random types --------------------------------------------------------------------------------------------------------


def not_seven(value: int) -> int:
    if value == 7:
        raise ValueError("seven")
    return value


def no_more_than_cap(value: int, info: ValidationInfo) -> int:
    if value > cast("int", info.data.get("cap", 5)):
        raise ValueError("over the cap")
    return value


def shortened(value: object) -> object:
    return value[:4] if isinstance(value, list) else value


def passed_on(value: object, handler: Callable[[object], object]) -> object:
    return handler(value)


def total_is_small(values: dict[str, int]) -> dict[str, int]:
    if sum(values.values()) > 15:
        raise ValueError("too much in all")
    return values


SMALL = st.integers(0, 10)
WORDS = st.sampled_from(["a", "b", "C", "dE", "abc"])
SCALARS = [
    Place(int, st.integers(-3, 12), number=True),
    Place(Annotated[int, Ge(0), Le(10)], SMALL, number=True),
    Place(Annotated[int, MultipleOf(2)], st.sampled_from([0, 2, 4, -6]), number=True),
    Place(Annotated[int, AfterValidator(not_seven)], st.integers(0, 6), number=True),
    Place(Annotated[float, Ge(-5.0)], st.sampled_from([0.5, 2.0, 7.25, float("inf")]), number=True),
    Place(bool, st.booleans()),
    Place(Annotated[str, MaxLen(3)], WORDS),
    Place(Annotated[str, AfterValidator(str.upper)], WORDS),
    Place(Annotated[str, BeforeValidator(lambda value: value.strip() if isinstance(value, str) else value)], WORDS),
    Place(Literal["a", "b", 3], st.sampled_from(["a", "b", 3])),
    Place(Colour, st.sampled_from(Colour)),
    Place(Optional[Annotated[int, Ge(0)]], st.none() | SMALL),  # noqa: UP045 - the annotation is a value here
    Place(Union[int, str], SMALL | WORDS),  # noqa: UP007 - as above
    Place(tuple[int, str], st.tuples(SMALL, WORDS)),
    Place(frozenset[int], st.frozensets(SMALL, max_size=3)),
    Place(
        JsonValue,
        st.sampled_from([None, 1, "a", [1, [2]], {"a": {"b": [1]}}]).map(copy.deepcopy),
        forms=[
            Place(JsonValue, WORDS, item=Place(JsonValue, WORDS), keys=WORDS),
        ],
    ),
    Place(
        Note,
        st.fixed_dictionaries({"text": WORDS, "stars": SMALL}),
        fields={"text": Place(str, WORDS), "stars": Place(int, SMALL, number=True)},
    ),
]
HASHABLE = [
    Place(Annotated[int, Ge(0), Le(20)], SMALL),
    Place(Annotated[str, MaxLen(3)], WORDS),
    Place(Colour, st.sampled_from(Colour)),
    Place(tuple[int, str], st.tuples(SMALL, WORDS)),
    Place(Union[int, str], SMALL | WORDS),  # noqa: UP007 - the annotation is a value here
]


def random_type(rng: Random, depth: int) -> Place:
    kinds = ["scalar", "list", "dict", "set", "model", "model", "optional", "union"]
    kind = rng.choice(kinds) if depth else "scalar"
    match kind:
        case "scalar":
            return rng.choice(SCALARS)
        case "model":
            return random_model(rng, depth - 1)
        case "optional":
            made = random_model(rng, depth - 1)
            return Place(Optional[made.annotation], st.none() | made.values, forms=[made])  # noqa: UP045 - as above
        case "union":
            return random_union(rng, depth - 1)
    return random_container(rng, kind, depth - 1)


def random_container(rng: Random, kind: str, depth: int) -> Place:
    shortest, longest = rng.choice([(0, 9), (0, 9), (0, 3), (1, 3), (2, 2)])
    metadata: list[object] = [MinLen(shortest), MaxLen(longest)] if longest < 9 else []
    most = min(longest, 4)
    if kind == "set":
        item = rng.choice(HASHABLE)
        made = Place(set[item.annotation], st.sets(item.values, min_size=shortest, max_size=most), keys=item.values)  # type: ignore[name-defined]  # made at run time
    elif kind == "list":
        item = random_type(rng, depth)
        values = st.lists(item.values, min_size=shortest, max_size=most)
        made = Place(list[item.annotation], values, item=item)  # type: ignore[name-defined]  # as above
        metadata += rng.choice([[], [], [], [BeforeValidator(shortened)], [WrapValidator(passed_on)]])
    else:
        key, item = rng.choice(HASHABLE), random_type(rng, depth)
        values = st.dictionaries(key.values, item.values, min_size=shortest, max_size=most)
        made = Place(dict[key.annotation, item.annotation], values, item=item, keys=key.values)  # type: ignore[name-defined]  # as above
        if item.annotation is int and rng.random() < 0.5:
            metadata.append(AfterValidator(total_is_small))
    if metadata:
        made.annotation = Annotated[(made.annotation, *metadata)]  # type: ignore[assignment]  # as above
    return made


def random_union(rng: Random, depth: int) -> Place:
    forms = [random_model(rng, depth, tag=tag) for tag in ("a", "b")]
    annotation = Union[forms[0].annotation, forms[1].annotation]  # noqa: UP007 - as above
    if rng.random() < 0.5:
        annotation = Annotated[annotation, Discriminator("tag")]
    return Place(annotation, forms[0].values | forms[1].values, forms=forms)


def weight(model: BaseModel) -> int:
    """Something that depends on all of a model's fields but its note."""
    found = 0
    for name in model.__class__.model_fields:
        value = getattr(model, name)
        if name not in ("note", "tag"):
            found += abs(value) if type(value) is int else len(value) if isinstance(value, (str, list, dict)) else 1
    return found


def not_heavy(self: BaseModel) -> BaseModel:
    if weight(self) > 30:
        raise ValueError("too heavy")
    return self


def noted(self: BaseModel) -> BaseModel:
    note = f"{weight(self)}"
    if self.note != note:  # type: ignore[attr-defined]
        self.note = note  # type: ignore[attr-defined]
    return self


def stripped(cls: type[BaseModel], data: object) -> object:
    if isinstance(data, dict):
        return {name: value.strip() if isinstance(value, str) else value for name, value in data.items()}
    return data


def around(cls: type[BaseModel], data: object, handler: Callable[[object], BaseModel]) -> BaseModel:
    return not_heavy(handler(data))


def told(self: BaseModel, info: ValidationInfo) -> BaseModel:
    return not_heavy(self)


MODEL_VALIDATORS = {
    "none": {},
    "after": {"check": model_validator(mode="after")(not_heavy)},
    "rewriting": {"rewrite": model_validator(mode="after")(noted), "check": model_validator(mode="after")(not_heavy)},
    "before": {"strip": model_validator(mode="before")(classmethod(stripped))},
    "wrap": {"wrap": model_validator(mode="wrap")(classmethod(around))},
    "told": {"told": model_validator(mode="after")(told)},
    "field": {"field": field_validator("one")(classmethod(lambda cls, value: value))},
}


def random_model(rng: Random, depth: int, *, tag: str | None = None) -> Place:
    fields = {name: random_type(rng, depth) for name in ("one", "two", "three")[: rng.randint(1, 3)]}
    if tag is not None:
        fields["tag"] = Place(Literal[tag], st.just(tag))  # type: ignore[valid-type]  # as above
    kind = rng.choice([*MODEL_VALIDATORS, "none", "after", "info"])
    if kind == "rewriting":
        fields["note"] = Place(str, WORDS)
    if kind == "info":
        fields["cap"] = Place(Annotated[int, Ge(0)], st.integers(5, 10), number=True)
        fields["below"] = Place(Annotated[int, AfterValidator(no_more_than_cap)], st.integers(0, 5), number=True)
    # What a model says of keys that it does not declare makes no difference in a state: they are refused.
    config = rng.choice([ConfigDict(), ConfigDict(extra="ignore"), ConfigDict(extra="forbid")])
    made = create_model(
        "Made",
        __config__=config,
        __validators__=MODEL_VALIDATORS.get(kind, {}),
        **{name: (part.annotation, ...) for name, part in fields.items()},  # type: ignore[call-overload]  # as above
    )
    return Place(made, st.fixed_dictionaries({name: part.values for name, part in fields.items()}), fields=fields)


@functools.cache
def state_of(seed: int) -> Place:
    """Return a random model. By number, because making one costs more than all that is done with it."""
    return random_model(Random(seed), 2)


# Random commits ------------------------------------------------------------------------------------------------------


@dataclass
class Case:
    model: type[BaseModel]
    before: dict[str, object]
    ops: list[Op]
    expected: BaseModel | None
    """The state after it, ``None`` if the commit is to be refused."""


@st.composite
def cases(draw: Draw) -> Case:
    root = state_of(cast("int", draw(st.integers(0, MODELS - 1))))
    model = cast("type[BaseModel]", root.annotation)
    try:
        before = cast("dict[str, object]", plain(validated(model, draw(root.values))))
    except ValidationError:
        assume(False)
    ops: list[Op] = []
    drawer = OpDrawer(draw, WRONG, WRONG_KEYS)
    now: object = copy.deepcopy(before)
    try:
        for _ in range(cast("int", draw(st.integers(1, 7)))):
            if drawer.seen and not draw(st.integers(0, 3)):
                # What was wrong may be made good, or what was good wrong, by a later op at the same place.
                path, part = cast("tuple[Path, Place]", draw(st.sampled_from(drawer.seen)))
                # If it still is one: a model that is of another kind by now has no such field, and says so at once.
                op: Op | None = Set(path, copy.deepcopy(draw(part.values))) if is_there(now, path) else None
            else:
                op = drawer.op(root, (), now)
            if isinstance(op, Set) and isinstance(op.value, dict) and op.value and not draw(st.integers(0, 7)):
                op.value["unknown"] = 1
            if op is not None:
                op = placed(draw, op, now)
                ops.append(op)
                applied(now, op)
        expected = validated(model, now)
    except (CannotBeApplied, ValidationError):
        return Case(model, before, ops, None)
    return Case(model, before, ops, expected)


def is_there(state: object, path: Path) -> bool:
    try:
        for key in path:
            state = child(state, key)
    except CannotBeApplied:
        return False
    return True


def placed(draw: Draw, op: Op, now: object) -> Op:
    """Let some of the keys that are put into a dict come before another, whether they are new or not."""
    if not isinstance(op, Set) or draw(st.integers(0, 2)):
        return op
    node = now
    try:
        for key in op.path[:-1]:
            node = child(node, key)
    except CannotBeApplied:
        return op
    return replace(op, before=draw(st.sampled_from([*node, "nowhere"]))) if isinstance(node, dict) else op


def outcome(transaction: Transaction, ops: list[Op]) -> list[Change] | None:
    try:
        for op in ops:
            transaction.apply(copy.deepcopy(op))
        return transaction.finish()
    except ValidatorCrashed:
        raise
    except (CommitRefused, UnknownPath):
        transaction.rollback()
        return None


ENOUGH = settings(
    max_examples=max(settings().max_examples, 100) * 5,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


@pytest.mark.slow
@ENOUGH
@given(cases())
def test_a_transaction_decides_as_whole_validation_does(case: Case) -> None:
    """What is accepted is the same, and what comes of it; refused or taken back, nothing is left, to the byte.

    And what is recorded and asked for on the way leads from the one state to the other.
    """
    state = validated(case.model, case.before)
    before = CODEC.encode(state)
    transaction = Transaction(state, validator_draft)
    event("accepted" if case.expected is not None else "refused")
    changes = outcome(transaction, case.ops)
    if case.expected is None:
        assert changes is None
        assert CODEC.encode(state) == before
        assert same(state, validated(case.model, case.before))
        is_refused_in_private(case, state)
        return
    assume(changes is not None or not meets_another_model(case))
    assert changes is not None
    assert same(state, case.expected)
    assert same(state, validated(case.model, plain(state)))
    assert size_of_state(state) == size_of_state(validated(case.model, case.before)) + sum(map(growth, changes))
    is_replayed(case, state, changes)
    is_reverted(case, state, changes)
    is_restored(case, state, changes)
    after = CODEC.encode(state)
    transaction.rollback()
    assert CODEC.encode(state) == before
    assert same(state, validated(case.model, case.before))
    is_asked_for(case, state, after)


def meets_another_model(case: Case) -> bool:
    """Whether a key is put into a model that has no such field: the reference takes models for dicts, and may go on."""
    transaction = Transaction(validated(case.model, case.before), validator_draft)
    try:
        for op in case.ops:
            transaction.apply(copy.deepcopy(op))
    except UnknownPath as error:
        return "has no field" in error.reason
    return False


def is_refused_in_private(case: Case, state: BaseModel) -> None:
    before = CODEC.encode(state)
    assert outcome(Transaction(state, validator_draft, private=True), case.ops) is None
    assert CODEC.encode(state) == before


def is_replayed(case: Case, state: BaseModel, changes: list[Change]) -> None:
    """On plain data, by the reference: the changes forwards, and their inverses back."""
    replayed = copy.deepcopy(case.before)
    for change in changes:
        applied(replayed, plain_op(change.op))
    assert CODEC.encode(replayed) == CODEC.encode(state)
    for change in reversed(changes):
        applied(replayed, plain_op(change.inverse()))
    assert same(replayed, case.before)
    assert CODEC.encode(replayed) == CODEC.encode(case.before), "the order of keys, too"


def is_reverted(case: Case, state: BaseModel, changes: list[Change]) -> None:
    """By a commit like any other, the order of keys included."""
    after = copy.deepcopy(state)
    reverting = Transaction(after, validator_draft)
    assert outcome(reverting, [change.inverse() for change in reversed(changes)]) is not None
    assert CODEC.encode(after) == CODEC.encode(case.before)


def is_restored(case: Case, state: BaseModel, changes: list[Change]) -> None:
    """In a private transaction on the present, which stays as it is."""
    present = CODEC.encode(state)
    past = Transaction(state, validator_draft, private=True)
    past.restore(reversed(changes))
    assert same(plain(past.root), case.before)
    assert CODEC.encode(past.root) == CODEC.encode(case.before), "the order of keys, too"
    assert CODEC.encode(state) == present


def is_asked_for(case: Case, state: BaseModel, after: bytes) -> None:
    """A private transaction leaves the original alone; what it was asked for does the same where the state is."""
    before = CODEC.encode(state)
    private = Transaction(state, validator_draft, private=True)
    assert outcome(private, case.ops) is not None
    assert CODEC.encode(private.root) == after
    assert CODEC.encode(state) == before
    assert outcome(Transaction(state, validator_draft), private.requested) is not None
    assert CODEC.encode(state) == after


def plain_op(op: Op) -> Op:
    match op:
        case Set(path, value, before):
            return Set(path, plain(value), before)
        case Splice(path, at, remove, values):
            return Splice(path, at, remove, tuple(map(plain, values)))
    return op

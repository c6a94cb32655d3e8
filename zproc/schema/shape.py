"""The compiled form of a model: which addresses exist, and where a change at one of them is validated.

The law: a shape is derived from pydantic's own core schema and says exactly what pydantic would do. Where the core
schema has a form that is not known here, or one whose parts depend on each other (a union, a validator around a
container, a validator that looks at other fields), the shape is *whole*: a change below it revalidates all of it.
Knowing less costs time, never correctness.

``pydantic_core`` documents core schemas but calls ``Model.__pydantic_core_schema__`` private;
``tests/schema/test_shape.py`` pins what is relied on here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from functools import cached_property
from typing import TypeAlias, cast

from pydantic import BaseModel
from pydantic_core import CoreConfig, CoreSchema, SchemaValidator

from zproc.typing import Path

__all__ = ["ANYTHING", "Kind", "Shape", "quiet_check", "shape_at", "shape_of"]

Definitions: TypeAlias = Mapping[str, Mapping[str, object]]
AfterValidator: TypeAlias = Callable[[object], object]
_Node: TypeAlias = Mapping[str, object]

# Entries of a core schema that hold no schemas, and anything else.
_NO_SCHEMAS = frozenset({"metadata", "serialization", "default", "cls", "expected", "members", "config"})
_FUNCTIONS = frozenset({"function-after", "function-before", "function-wrap", "function-plain"})
_PLAIN_KEYS = frozenset(
    {"str", "int", "bool", "bytes", "uuid", "date", "datetime", "enum", "literal", "tuple", "float", "decimal"}
)


class Kind(Enum):
    """What can be addressed below a value."""

    VALUE = auto()
    MODEL = auto()
    LIST = auto()
    DICT = auto()
    SET = auto()
    UNION = auto()


@dataclass(eq=False)
class Shape:
    """The compiled form of one annotation.

    Attributes:
        kind: what can be addressed below.
        whole: a change anywhere below revalidates this value as a whole.
        dependent: it cannot be validated by itself, because a validator of it looks at the other fields of its model.
        model: the class of a MODEL.
        item: the elements of a LIST or SET, the values of a DICT.
        key: the keys of a DICT.
        shortest: the least length of a container.
        longest: the greatest length of a container, ``None`` for any.
        fields: the fields of a MODEL by name.
        after: the model validators that run after the fields, innermost first.
        frozen: the value cannot be changed in place.
        frozen_fields: the fields of a MODEL that cannot be assigned.
    """

    kind: Kind
    schema: _Node = field(repr=False)
    definitions: Definitions = field(default_factory=dict, repr=False)
    config: _Node | None = field(default=None, repr=False)
    whole: bool = False
    dependent: bool = False
    model: type[BaseModel] | None = None
    item: Shape | None = None
    key: Shape | None = None
    shortest: int = 0
    longest: int | None = None
    fields: dict[str, Shape] = field(default_factory=dict, repr=False)
    after: tuple[AfterValidator, ...] = ()
    frozen: bool = False
    frozen_fields: frozenset[str] = frozenset()

    @cached_property
    def _validator(self) -> SchemaValidator:
        if self.model is not None and self.schema is self.model.__pydantic_core_schema__:
            return cast("SchemaValidator", self.model.__pydantic_validator__)
        schema = {"type": "definitions", "schema": self.schema, "definitions": list(self.definitions.values())}
        return SchemaValidator(cast("CoreSchema", schema), cast("CoreConfig | None", self.config))

    @cached_property
    def scalar_fields(self) -> Mapping[str, Callable[[object], object]]:
        """The fields of a MODEL that may be assigned and hold a scalar, each with what validates it by itself.

        No code of the user's is called by that; validators of the model may look at the field afterwards.
        """
        if self.whole or self.frozen:
            return {}
        fields = {name: shape for name, shape in self.fields.items() if name not in self.frozen_fields}
        return {name: shape.check for name, shape in fields.items() if _is_quiet(shape.schema)}

    @cached_property
    def quiet_fields(self) -> Mapping[str, Callable[[object], object]]:
        """The scalar fields of a MODEL if no validators of it look at them either."""
        return {} if self.after else self.scalar_fields

    @cached_property
    def check(self) -> Callable[[object], object]:
        """The same as `validate`; of a scalar for which no code of the user's runs, it is pydantic's own function.

        That takes a quarter of the time, most of which are the arguments that say how to validate.
        """
        return quiet_check(self.schema, self.config) or self.validate

    def validate(self, plain: object) -> object:
        """Validate plain data, strictly and by field names.

        A key that a model does not declare is refused, whatever its ``extra`` says: it would be dropped without a word.

        Raises:
            pydantic_core.ValidationError: the schema refuses it.
            BaseException: whatever a validator of the user's raises.
        """
        return self._validator.validate_python(plain, strict=True, extra="forbid", by_alias=False, by_name=True)

    def read(self, value: object) -> object:
        """Validate a text or number that stands for a value: a date, an enum by its value.

        Raises:
            pydantic_core.ValidationError: the schema refuses it.
        """
        return self._validator.validate_python(value, strict=False, extra="forbid", by_alias=False, by_name=True)

    def read_json(self, text: str) -> object:
        """Validate a JSON text.

        Raises:
            pydantic_core.ValidationError: the schema refuses it, or it is no JSON.
        """
        return self._validator.validate_json(text, strict=True, extra="forbid", by_alias=False, by_name=True)

    def child(self, container: object, key: object) -> Shape:
        """The shape of what stands at a key of a value of this shape; ANYTHING where only the value can tell."""
        if self.model is not None:
            return self.fields.get(cast("str", key), ANYTHING)
        if self.item is not None:
            return self.item
        if isinstance(container, BaseModel):
            return shape_of(type(container)).fields.get(cast("str", key), ANYTHING)
        return ANYTHING


ANYTHING = Shape(Kind.VALUE, {"type": "any"}, whole=True)
"""Below a union or an opaque value: what is there is validated from further up."""


def shape_at(shape: Shape, path: Path) -> Shape | None:
    """Return what may stand at an address, ``None`` if only the value of something above it can tell.

    Args:
        shape: of what the address leads from.
        path: the address.
    """
    if len(path) == 1 and shape.kind is Kind.MODEL:  # as nearly always
        return shape.fields.get(cast("str", path[0]))
    for depth, key in enumerate(path):
        # The fields of a state are values by themselves, whatever its validators look at.
        if depth and (shape.whole or shape.kind not in _ADDRESSED):
            return None
        found = shape.fields.get(cast("str", key)) if shape.kind is Kind.MODEL else shape.item
        if found is None:
            return None
        shape = found
    return shape


_ADDRESSED = (Kind.MODEL, Kind.LIST, Kind.DICT)

_Shapes: TypeAlias = dict[type[BaseModel], Shape]

_shapes: _Shapes = {}
"""The finished ones."""


def shape_of(model: type[BaseModel]) -> Shape:
    """Return the compiled form of a model, made once per class."""
    known = _shapes.get(model)
    if known is None:
        making: _Shapes = {}
        _shape_in(making, model)
        # Published once all are finished: a thread that asks meanwhile compiles its own, and the first counts.
        for cls, shape in making.items():
            _shapes.setdefault(cls, shape)
        known = _shapes[model]
    return known


def _shape_in(making: _Shapes, model: type[BaseModel]) -> Shape:
    known = _shapes.get(model) or making.get(model)
    if known is None:
        # Entered before its fields are compiled, so that a recursive model finds itself. Whoever finds it copies it:
        # what is decided last, the fields, is filled into the dict that all copies share.
        known = making[model] = Shape(Kind.MODEL, model.__pydantic_core_schema__, model=model)
        _fill_model(known, model, making)
    return known


def _fill_model(shape: Shape, model: type[BaseModel], making: _Shapes) -> None:
    definitions, node = _open(model.__pydantic_core_schema__)
    while node["type"] == "function-after":
        function = cast("_Node", node["function"])
        if function["type"] != "no-info":
            shape.whole = True
        shape.after = (cast("AfterValidator", function["function"]), *shape.after)
        node = cast("_Node", node["schema"])
    if node["type"] != "model" or node.get("custom_init") or _has_post_init(node, model):
        shape.whole = True
    node = _innermost(node)
    fields = cast("_Node", node["schema"])
    if fields["type"] != "model-fields":
        shape.whole = True
        fields = _innermost(fields)
    entries = {
        name: cast("_Node", entry["schema"]) for name, entry in cast("Mapping[str, _Node]", fields["fields"]).items()
    }
    dependent = {name for name, node in entries.items() if _looks_at_others(node, definitions, set())}
    shape.whole = shape.whole or bool(dependent)
    if shape.whole:
        shape.after = ()  # they run with all the rest
    shape.frozen = bool(model.model_config.get("frozen"))
    shape.frozen_fields = frozenset(name for name, info in model.model_fields.items() if info.frozen)
    config = cast("_Node | None", node.get("config"))
    for name, entry in entries.items():
        shape.fields[name] = replace(_compile(entry, definitions, config, making), dependent=name in dependent)


def _has_post_init(node: _Node, model: type[BaseModel]) -> bool:
    # A model with private attributes gets one from pydantic, which gives them their defaults and does nothing else.
    return bool(node.get("post_init")) and model.model_post_init.__name__ != "init_private_attributes"


def _open(schema: _Node) -> tuple[Definitions, _Node]:
    """Split a core schema into its definitions by name, and the schema they are for."""
    if schema["type"] != "definitions":
        return {}, schema
    definitions = {cast("str", entry["ref"]): entry for entry in cast("list[_Node]", schema["definitions"])}
    return definitions, _resolve(cast("_Node", schema["schema"]), definitions)


def _resolve(node: _Node, definitions: Definitions) -> _Node:
    while node["type"] == "definition-ref":
        node = definitions[cast("str", node["schema_ref"])]
    return node


def _innermost(node: _Node) -> _Node:
    while node["type"] in _FUNCTIONS and "schema" in node:
        node = cast("_Node", node["schema"])
    return node


def _looks_at_others(node: object, definitions: Definitions, seen: set[str]) -> bool:
    """Whether a validator in a model's fields, however deep, is handed the other fields (``info.data``)."""
    if isinstance(node, list):
        return any(_looks_at_others(part, definitions, seen) for part in node)
    if not isinstance(node, dict) or node.get("type") == "model":  # whose validators are handed its own fields
        return False
    if node.get("type") == "definition-ref":
        name = cast("str", node["schema_ref"])
        if name in seen:
            return False
        seen.add(name)
        return _looks_at_others(definitions[name], definitions, seen)
    if node.get("type") == "with-info":
        return True
    return any(_looks_at_others(part, definitions, seen) for name, part in node.items() if name not in _NO_SCHEMAS)


def _compile(
    schema: _Node,
    definitions: Definitions,
    config: _Node | None,
    making: _Shapes,
    trail: frozenset[str] = frozenset(),
) -> Shape:
    node, functions, names = _peel(schema, definitions)
    if names & trail and node["type"] != "model":  # a type that contains itself
        return Shape(Kind.VALUE, schema, definitions, config, whole=True)
    bare = _compile_bare(node, definitions, config, making, trail | names)
    if bare.model is not None:
        functions -= _peel(bare.model.__pydantic_core_schema__, definitions)[1]
    return replace(bare, schema=schema, definitions=definitions, config=config, whole=bare.whole or functions > 0)


def _peel(node: _Node, definitions: Definitions) -> tuple[_Node, int, frozenset[str]]:
    """Take off what does not change the address space: names, defaults, ``Optional``, functions.

    Returns:
        What is left, how many functions there were, and the names that led here.
    """
    functions = 0
    names: set[str] = set()
    if node["type"] == "definitions":
        definitions, node = _open(node)
    while True:
        kind = node["type"]
        if kind == "definition-ref":
            name = cast("str", node["schema_ref"])
            names.add(name)
            node = definitions[name]
        elif kind in ("default", "nullable"):
            node = cast("_Node", node["schema"])
        elif kind in _FUNCTIONS and "schema" in node:
            functions += 1
            node = cast("_Node", node["schema"])
        else:
            return node, functions, frozenset(names)


def _compile_bare(
    node: _Node, definitions: Definitions, config: _Node | None, making: _Shapes, trail: frozenset[str]
) -> Shape:
    kind = node["type"]
    if kind == "model":
        return _shape_in(making, cast("type[BaseModel]", node["cls"]))
    if kind in ("union", "tagged-union"):
        return Shape(Kind.UNION, node, definitions, config, whole=True)
    if kind not in ("list", "set", "dict"):
        # What is not known to have addresses below it may have them all the same (typed dicts, JSON ...): as a whole.
        return Shape(Kind.VALUE, node, definitions, config, whole=True)
    items = cast("_Node", node.get("values_schema" if kind == "dict" else "items_schema", {"type": "any"}))
    shape = Shape(
        Kind[kind.upper()],
        node,
        definitions,
        config,
        whole=bool(node.get("fail_fast")),
        item=_compile(items, definitions, config, making, trail),
        shortest=cast("int", node.get("min_length") or 0),
        longest=cast("int | None", node.get("max_length")),
    )
    if kind == "dict":
        keys = cast("_Node", node.get("keys_schema", {"type": "any"}))
        shape.key = _compile(keys, definitions, config, making, trail)
        shape.whole = shape.whole or _may_rewrite(_resolve(keys, definitions), config)
    return shape


def quiet_check(schema: _Node, config: _Node | None) -> Callable[[object], object] | None:
    """Return what validates a scalar strictly, with no code of the user's; ``None`` if the schema is of anything else.

    It is pydantic's own function, which is strict by its schema and not by an argument.
    """
    if not _is_quiet(schema):
        return None
    return SchemaValidator(cast("CoreSchema", _strict(schema)), cast("CoreConfig | None", config)).validate_python


def _is_quiet(node: _Node) -> bool:
    while node["type"] in ("default", "nullable"):
        if "on_error" in node:
            return False
        node = cast("_Node", node["schema"])
    # A pattern may take any time to be looked for, which is for whoever bounds it.
    return node["type"] in _QUIET and "pattern" not in node


def _strict(node: _Node) -> _Node:
    """Return the schema of a quiet value, strict by itself."""
    inner = {"schema": _strict(cast("_Node", node["schema"]))} if "schema" in node else {}
    return {**node, **inner, "strict": True}


_QUIET = ("int", "float", "bool", "str")


def _may_rewrite(key: _Node, config: _Node | None) -> bool:
    """Whether validation may turn a dict's key into another one, which would have to move."""
    rewriting = {"strip_whitespace", "to_lower", "to_upper"}
    configured = any(config.get(f"str_{rule}") for rule in rewriting) if config else False
    return configured or key["type"] not in _PLAIN_KEYS or any(key.get(rule) for rule in rewriting)

"""The models that a generated module mentions, and the types that their fields are read as.

The law: a model is visited once and has one entry, whatever fields refer to it; so it has one class of live handles and
one class of places, as it has at run time.
"""

from __future__ import annotations

import keyword
from dataclasses import dataclass, field
from typing import assert_never

from pydantic import BaseModel

from zproc.codegen.form import (
    Choice,
    Form,
    Forms,
    Items,
    Json,
    Model,
    Named,
    Plain,
    Record,
    Recursive,
    Unordered,
    union,
)
from zproc.codegen.names import Names, label
from zproc.exceptions import SchemaError

__all__ = ["Catalog", "Entry", "models_in"]


@dataclass
class Entry:
    """A model.

    Attributes:
        cls: the model.
        text: what it is called.
        handle: the name of the class of its live handles.
        watch: the name of the class of the places where it stands.
        fields: the forms of its fields.
        computed: the forms of its computed fields.
    """

    cls: type[BaseModel]
    text: str
    handle: str
    watch: str
    fields: dict[str, Form] = field(default_factory=dict)
    computed: dict[str, Form] = field(default_factory=dict)

    @property
    def frozen(self) -> bool:
        """Whether it cannot be changed in place, so that there is no live handle of it."""
        return bool(self.cls.model_config.get("frozen"))


class Catalog:
    """The models of a module in the making.

    Args:
        names: its names.
    """

    def __init__(self, names: Names) -> None:
        self.names = names
        self.forms: Forms = Forms(names)
        self.entries: dict[type[BaseModel], Entry] = {}
        self.placed: set[type[BaseModel]] = set()
        """The models of whose places a type was asked for."""

    def add(self, model: type[BaseModel]) -> Entry:
        """Return the entry of a model; with it, those that can be reached from it are entered.

        Raises:
            SchemaError: it cannot be spoken of in another module, and why.
        """
        known = self.entries.get(model)
        if known is not None:
            return known
        text, name = self.forms.model(model, model.__name__), label(model)
        entry = self.entries[model] = Entry(
            model, text, self.names.new(f"{name}Handle"), self.names.new(f"{name}Watch")
        )
        for field_name, info in model.model_fields.items():
            where = f"{model.__name__}.{field_name}"
            if not field_name.isidentifier() or keyword.iskeyword(field_name):
                raise SchemaError(where, "a field can be an attribute only if Python takes its name for one")
            entry.fields[field_name] = self._entered(self.forms.of(info.annotation, where))
        for field_name, computed in model.model_computed_fields.items():
            entry.computed[field_name] = self._computed(computed.return_type, f"{model.__name__}.{field_name}")
        return entry

    def complete(self) -> None:
        """Enter what recursive aliases lead to, which is known only when all of them were read."""
        for form in list(self.forms.recursive.values()):
            self._entered(form)

    def _computed(self, annotation: object, where: str) -> Form:
        # What a computed field returns need not be of a type that can be shared, or be annotated at all.
        try:
            return self.forms.of(annotation, where)
        except (SchemaError, TypeError):
            return Plain(self.names.builtin("object"))

    def _entered(self, form: Form) -> Form:
        for model in models_in(form):
            self.add(model.cls)
        return form

    def written(self, form: Form) -> str:
        """Return the type of what is declared."""
        return self.forms.written(form)

    def read(self, form: Form) -> str:
        """Return the type of what is read: as declared, or a live handle of it."""
        match form:
            case Plain(text):
                return text
            case Model(cls, text):
                return text if form.frozen else self.add(cls).handle
            case Items(None, item):
                return self._handle("ListHandle", item)
            case Items(key, item):
                assert key is not None, "the case before"
                return self._handle("DictHandle", item, self.written(key))
            case Record(_, item):
                return self._handle("DictHandle", item, self.names.builtin("str"))
            case Unordered(item):
                return f"{self._own('SetHandle')}[{self.written(item)}]"
            case Choice(parts):
                return union(map(self.read, parts))
            case Named(text, inner):
                found = self.read(inner)
                return text if found == self.written(inner) else found
            case Recursive(_, live):
                return live
            case Json():
                return self._own("LiveJson")
            case _:
                assert_never(form)

    def assigned(self, form: Form) -> str:
        """Return the type of what may be assigned: what is declared, or a live one of it."""
        match form:
            case Choice(parts):
                return union(map(self.assigned, parts))
            case Model(_, text):  # of which a live one is an instance
                return text
            case _:
                return union([self.written(form), self.read(form)])

    def place(self, form: Form, whole: str) -> str:
        """Return the type of a place.

        Args:
            form: of what stands there, or may.
            whole: the type of all that may stand there.
        """
        match form:
            case Choice(parts):
                something = [part for part in parts if part != Plain("None")]
                if len(something) == 1:
                    return self.place(something[0], whole)
            case Named(_, inner):
                return self.place(inner, whole)
            case Model(cls, _):
                self.placed.add(cls)
                return f"{self.add(cls).watch}[{whole}]"
            case Items(key, item):
                by = self.names.builtin("int") if key is None else self.written(key)
                return f"{self._own('ItemPlace')}[{whole}, {by}, {self.place(item, self.written(item))}]"
            case _:
                pass
        return f"{self.names.of('zproc', 'Watch')}[{whole}]"

    def _handle(self, cls: str, item: Form, *key: str) -> str:
        read, written = self.read(item), self.written(item)
        return f"{self._own(cls)}[{', '.join([*key, read] if read == written else [*key, read, written])}]"

    def _own(self, name: str) -> str:
        return self.names.of("zproc.generated", name)


def models_in(form: Form) -> list[Model]:
    """Return the models that a form names, wherever in it."""
    match form:
        case Model():
            return [form]
        case Items(_, item) | Record(_, item) | Named(_, item):
            return models_in(item)
        case Choice(parts):
            return [model for part in parts for model in models_in(part)]
        case _:
            return []

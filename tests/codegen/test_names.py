from __future__ import annotations

import sys
from types import ModuleType

import pytest
from pydantic import BaseModel

from zproc.codegen.names import Names, importable, label
from zproc.exceptions import SchemaError


class Oven(BaseModel):
    class Door(BaseModel):
        pass


def test_equal_names_of_two_modules_are_two() -> None:
    names = Names([])
    assert names.of("a", "Oven") == "Oven"
    assert names.of("b", "Oven") == "Oven_"
    assert names.of("a", "Oven.Door") == "Oven.Door"
    assert names.imports() == {"a": ["Oven"], "b": ["Oven as Oven_"]}


def test_a_name_that_a_field_would_hide_is_imported_by_another() -> None:
    names = Names(["int", "Stream", "Stream_"])
    assert names.builtin("int") == "int_"
    assert names.builtin("str") == "str"
    assert names.of("zproc", "Stream") == "Stream__"
    assert names.imports() == {"builtins": ["int as int_"], "zproc": ["Stream as Stream__"]}


def test_a_name_of_the_modules_own_is_told_from_others_by_a_number() -> None:
    names = Names(["OvenHandle"])
    assert names.new("OvenHandle") == "OvenHandle2"
    assert names.new("OvenHandle") == "OvenHandle3"
    assert names.of("app", "OvenHandle2") == "OvenHandle2_"


def test_imports_are_in_order() -> None:
    names = Names([])
    for module, name in (("b", "y"), ("a", "x"), ("b", "x")):
        names.of(module, name)
    assert list(names.imports().items()) == [("a", ["x"]), ("b", ["x as x_", "y"])]


def test_a_class_is_imported_from_where_it_is_documented() -> None:
    names = Names([])
    names.of("pathlib._local", "Path")
    assert names.imports() == {"pathlib": ["Path"]}


@pytest.mark.parametrize(
    ("name", "known"), [("Oven", "Oven"), ("Box[int]", "BoxInt"), ("Box[dict[str, Oven]]", "BoxDictStrOven")]
)
def test_a_class_has_an_identifier(name: str, known: str) -> None:
    assert label(type(name, (), {})) == known


def test_what_stands_where_it_says_can_be_imported() -> None:
    importable("x", __name__, "Oven", Oven)
    importable("x", __name__, "Oven.Door", Oven.Door)


def test_what_does_not_is_refused_with_what_to_do() -> None:
    class Local(BaseModel):
        pass

    with pytest.raises(SchemaError, match="define it at the top level of the module"):
        importable("State.x", __name__, Local.__qualname__, Local)
    with pytest.raises(SchemaError, match=r"State\.x: .* has no Oven to be imported"):
        importable("State.x", __name__, "Oven", Local)
    with pytest.raises(SchemaError, match="gone has no Oven"):
        importable("State.x", "gone", "Oven", Oven)
    with pytest.raises(SchemaError, match="move it to a module that can be imported"):
        importable("State.x", "__main__", "Oven", Oven)


def test_a_keyword_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("odd")
    vars(module)["class"] = Oven
    monkeypatch.setitem(sys.modules, "odd", module)
    with pytest.raises(SchemaError, match="has no class"):
        importable("x", "odd", "class", Oven)

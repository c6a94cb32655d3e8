from __future__ import annotations

from zproc.codegen.member import class_of, method, overloaded, property_of
from zproc.codegen.names import Names


def test_a_method_is_declared_and_has_no_body() -> None:
    assert method("f", ["a: int"], "str") == ["def f(self, a: int) -> str: ..."]
    assert method("__new__", [], "Self") == ["def __new__(cls) -> Self: ..."]
    assert method("f", [], "str", awaited=True) == ["async def f(self) -> str: ..."]


def test_a_documented_method_says_so() -> None:
    assert method("f", [], "str", documentation="Do it.", decorators=["cache"]) == [
        "@cache",
        "def f(self) -> str:",
        '    """Do it."""',
        "    ...",
    ]


def test_a_property_is_assigned_what_it_is_told() -> None:
    assert property_of(Names([]), "x", "int") == ["@property", "def x(self) -> int: ..."]
    assert property_of(Names(["property"]), "x", "int", "int | str", "Of it.") == [
        "@property_",
        "def x(self) -> int:",
        '    """Of it."""',
        "    ...",
        "",
        "@x.setter",
        "def x(self, value: int | str) -> None: ...",
    ]


def test_of_several_forms_each_is_an_overload() -> None:
    forms = [(["a: int"], "int"), (["a: str"], "str")]
    assert overloaded(Names([]), "f", forms, (["a: object"], "object")) == [
        "@overload",
        "def f(self, a: int) -> int: ...",
        "@overload",
        "def f(self, a: str) -> str: ...",
        "def f(self, a: object) -> object: ...",
    ]


def test_of_one_form_there_is_no_choice() -> None:
    assert overloaded(Names([]), "f", [(["a: int"], "int")], (["a: object"], "object")) == [
        "def f(self, a: int) -> int: ..."
    ]
    assert overloaded(Names([]), "f", [], (["a: object"], "object")) == ["def f(self, a: object) -> object: ..."]


def test_the_members_of_a_class_stand_apart() -> None:
    assert class_of("class C:", "Of it.", [["x = 1"], ["y = 2"]]) == [
        "class C:",
        '    """Of it."""',
        "",
        "    x = 1",
        "",
        "    y = 2",
    ]
    assert class_of("class C:", None, []) == ["class C:", "    ..."]

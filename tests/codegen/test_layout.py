from __future__ import annotations

import ast

import pytest
from hypothesis import given, strategies as st

from zproc.codegen.layout import WIDTH, Group, docstring, import_lines, indented, quoted, union_lines

LONG = ["x" * 30, "y" * 30, "z" * 30, "w" * 30]


def test_what_fits_is_on_one_line() -> None:
    assert list(Group("f(", ["a", "b: int"], ") -> None: ...").lines(8)) == ["f(a, b: int) -> None: ..."]


def test_what_does_not_fit_has_an_item_a_line() -> None:
    assert list(Group("f(", LONG, ")").lines(0)) == ["f(", *(f"    {item}," for item in LONG), ")"]


def test_a_group_within_a_group_is_laid_out_as_itself() -> None:
    inner = Group("[", LONG, "]")
    assert list(Group("f(", ["a", inner], ")").lines(0)) == [
        "f(",
        "    a,",
        "    [",
        *(f"        {item}," for item in LONG),
        "    ],",
        ")",
    ]


@pytest.mark.parametrize("indent", range(9))
def test_the_comma_of_an_item_is_within_the_width(indent: int) -> None:
    for length in range(WIDTH - 20, WIDTH + 1):
        item = Group("g(", ["a" * (length // 2), "b" * (length - length // 2)], ")")
        lines = list(indented(Group("f(", [item, item], ")").lines(indent)))
        assert all(len(line) - 4 + indent <= WIDTH for line in lines)


def test_an_import_is_broken_in_parentheses() -> None:
    assert import_lines("a", ["b", "c as d"]) == ["from a import b, c as d"]
    assert import_lines("a", LONG) == ["from a import (", *(f"    {name}," for name in LONG), ")"]


def test_a_union_is_broken_before_its_bars() -> None:
    assert union_lines("X = ", ["A", "B"]) == ["X = A | B"]
    assert union_lines("X = ", LONG) == ["X = (", f"    {LONG[0]}", *(f"    | {name}" for name in LONG[1:]), ")"]
    assert union_lines("X" * 80 + " = ", ["A" * 20, "B" * 20])[1:] == [f"    {'A' * 20} | {'B' * 20}", ")"]


@given(st.text())
def test_a_literal_is_the_text(text: str) -> None:
    assert ast.literal_eval(quoted(text)) == text


def test_a_literal_is_in_double_quotes_if_that_is_as_good() -> None:
    assert quoted("a'b") == '"a\'b"'
    assert quoted("a") == '"a"'
    assert quoted('a"b') == "'a\"b'"


WORDS = st.text(st.sampled_from('ab "\\\n\t'), max_size=30)


@given(WORDS)
def test_a_docstring_says_what_was_documented(text: str) -> None:
    lines = docstring(text)
    shown = ast.get_docstring(ast.parse("\n".join(["class C:", *indented(lines), "    x = 1"])).body[0])  # type: ignore[arg-type]  # it is a class
    wanted = "\n".join(line.rstrip() for line in text.strip().expandtabs().splitlines())
    assert (shown or "").split() == wanted.split()


def test_nothing_documented_is_no_docstring() -> None:
    assert docstring(None) == docstring("  \n ") == []


def test_the_margin_of_a_docstring_goes() -> None:
    assert docstring("First.\n\n        Second.\n            More.\n        ") == [
        '"""First.',
        "",
        "Second.",
        "    More.",
        '"""',
    ]

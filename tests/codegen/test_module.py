"""The generated module, imported as a program would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import zproc
from zproc.codegen import body_of, generate
from zproc.exceptions import SchemaError
from zproc.generated import ModelPlace
from zproc.schema.model import Schema

BAKERY = """
    import zproc
    from pydantic import BaseModel

    class Oven(BaseModel):
        temp: float = 20.0

    class BakeryState(zproc.StateModel):
        cookies: int = 0
        oven: Oven = Oven()
        tags: list[str] = []
        ovens: dict[str, Oven] = {}

    class State(zproc.StateModel):
        oven: Oven = Oven()

    class Bare(zproc.StateModel):
        pass
    """


def imported(text: str, path: Path) -> Any:
    space: dict[str, Any] = {"__name__": "generated_here"}
    path.write_text(text, "utf-8")
    exec(compile(text, str(path), "exec"), space)
    return space


def test_it_has_the_classes_of_zproc_by_its_names(module: Any, tmp_path: Path) -> None:
    made = module(BAKERY)
    space = imported(generate([made.BakeryState, made.State, made.Bare], version="1"), tmp_path / "client.py")
    for name in ("BakeryContext", "StateContext", "BareContext"):
        assert issubclass(space[name], zproc.Context)
        assert (space[name].__module__, space[name].__name__) == ("generated_here", name)
    for name in ("BakeryStateHandle", "StateHandle", "OvenHandle"):
        assert space[name].__name__ == name
    assert space["OvenWatch"] is ModelPlace
    key = f"{made.__name__}:BakeryState"
    schema = Schema.of(made.BakeryState)
    assert space["FINGERPRINTS"][key] == schema.fingerprint
    assert space["SCHEMAS"][key] == schema.table


def test_paths_can_be_named_at_run_time(module: Any, tmp_path: Path) -> None:
    made = module(BAKERY)
    space = imported(generate([made.BakeryState], version="1"), tmp_path / "client.py")
    assert "oven.temp" in str(space["BakeryStatePath"])
    assert "ovens.*.temp" in str(space["BakeryStatePattern"])


def test_it_imports_zproc_and_the_modules_of_the_models_and_what_types_are_made_of(module: Any) -> None:
    made = module(BAKERY)
    text = generate([made.BakeryState], version="1")
    sources = {line.split()[1] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert sources == {made.__name__, "__future__", "collections.abc", "typing", "zproc", "zproc.generated"}


def test_asyncio_is_imported_for_those_who_ask(module: Any, tmp_path: Path) -> None:
    made = module(BAKERY)
    (tmp_path / "client.py").write_text(generate([made.BakeryState], version="1"), "utf-8")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import client\n"
        "print('asyncio' in sys.modules, client.AsyncBakeryState.__module__, hasattr(client, 'AsyncState'))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False zproc.aio False\n"


def test_the_same_models_give_the_same_text_in_any_process(module: Any, tmp_path: Path) -> None:
    made = module(BAKERY)
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        f"import {made.__name__} as made\n"
        "from zproc.codegen import generate\n"
        "print(generate([made.BakeryState, made.State], version='1'), end='')"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert texts == {generate([made.BakeryState, made.State], version="1")}


def test_the_version_is_told_and_is_not_part_of_the_body(module: Any) -> None:
    made = module(BAKERY)
    one, other = (generate([made.State], version=version) for version in ("1.0", "2.0"))
    assert one != other
    assert "# zproc 1.0\n" in one
    assert body_of(one) == body_of(other)


def test_models_of_one_name_are_told_apart(module: Any, tmp_path: Path) -> None:
    one, other = module(BAKERY), module(BAKERY)
    text = generate([one.BakeryState, other.BakeryState], version="1")
    assert f"from {other.__name__} import BakeryState as BakeryState_, Oven as Oven_" in text
    space = imported(text, tmp_path / "client.py")
    assert space["BakeryContext"] is not space["BakeryContext2"]
    assert space["OvenHandle2"].__name__ == "OvenHandle2"


@pytest.mark.filterwarnings("ignore:Field name:UserWarning")  # pydantic says so, too
def test_a_field_by_the_name_of_a_method_is_refused_with_all_such_names(module: Any) -> None:
    made = module("""
        import zproc

        class Kitchen(zproc.StateModel):
            when_change: int = 0
        """)
    with pytest.raises(SchemaError, match=r"Kitchen\.when_change: .* reserved are changes, commits, .*when_truthy"):
        generate([made.Kitchen], version="1")


@pytest.mark.filterwarnings("ignore:Field name:UserWarning")
def test_a_state_within_a_state_may_have_no_such_field_either(module: Any) -> None:
    made = module("""
        import zproc

        class Inner(zproc.StateModel):
            changes: int = 0

        class Kitchen(zproc.StateModel):
            inner: Inner = Inner()
        """)
    with pytest.raises(SchemaError, match=r"Inner\.changes: .* reserved are"):
        generate([made.Kitchen], version="1")


def test_a_model_of_the_program_itself_is_refused(module: Any) -> None:
    made = module(BAKERY)
    made.State.__module__ = "__main__"
    with pytest.raises(SchemaError, match="State is defined in the program itself"):
        generate([made.State], version="1")


def test_a_model_that_cannot_be_shared_is_refused(module: Any) -> None:
    made = module("""
        import zproc

        class Kitchen(zproc.StateModel):
            handle: object = None
        """)
    with pytest.raises(SchemaError, match=r"Kitchen\.handle"):
        generate([made.Kitchen], version="1")

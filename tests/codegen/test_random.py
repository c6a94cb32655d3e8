"""Clients of any model: they import, mypy accepts them, they know their model, and they say what is there.

The models are written as source, because mypy reads no others. It takes one run for many of them, which is why each
example is a batch; the full size is in the soak tests.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

import zproc
from tests.codegen.truth import Client
from zproc.codegen import generate
from zproc.schema.model import Schema
from zproc.testing import MemoryServer, strategies

SHARED = '''
"""What the random models are made of."""

from __future__ import annotations

import enum
from typing import Generic, NewType, TypeVar

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

T = TypeVar("T")
Id = NewType("Id", int)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Box(BaseModel, Generic[T]):
    inside: T


class Point(BaseModel):
    model_config = ConfigDict(frozen=True)

    x: float = 0.0


class Node(BaseModel):
    value: int = 0
    next: "Node | None" = None


class Record(TypedDict):
    name: str
    marks: list[int]
'''

HEAD = """
from __future__ import annotations

# By names that no field hides.
import builtins as b
import datetime as dt
import decimal
import typing as t

import zproc as z
from annotated_types import Ge, Len
from pydantic import BaseModel, Field, JsonValue

import random_shared as s
"""

LEAVES = {
    "b.int": "0",
    "b.str": "''",
    "b.float": "0.0",
    "b.bool": "False",
    "b.bytes": "b''",
    "dt.date": "dt.date.min",
    "decimal.Decimal": "decimal.Decimal(0)",
    "s.Colour": "s.Colour.RED",
    "s.Id": "s.Id(0)",
    "t.Literal['a', 3, s.Colour.RED]": "'a'",
    "t.Annotated[b.int, Ge(0)]": "0",
    "t.Annotated[b.list[b.int], Len(0, 3)]": "[]",
    "b.tuple[b.int, b.str]": "(0, '')",
    "b.tuple[s.Point, ...]": "()",
    "b.frozenset[b.int]": "b.frozenset()",
    "b.set[b.str]": "b.set()",
    "s.Point": "s.Point()",
    "s.Node": "s.Node()",
    "s.Record": "{'name': '', 'marks': []}",
    "JsonValue": "None",
    "s.Box[b.int]": "s.Box[b.int](inside=0)",
    "s.Box[b.list[b.str]]": "s.Box[b.list[b.str]](inside=[])",
}
"""Annotations, and a default of each."""

SCALARS = list(LEAVES)[:9]
NAMES = [
    *("a", "b1", "cookies", "name", "temp", "x"),
    # what generated modules, their classes and places have names for
    *("int", "str", "list", "dict", "set", "tuple", "float", "bool", "type", "property", "object", "overload", "Final"),
    *("value", "options", "state", "spawn", "model", "field", "fields", "self", "cls", "handle", "context", "path"),
    *("get", "equals", "zproc", "Watch", "Watch_", "Literal", "Options", "V", "path_", "Colour", "Point", "datetime"),
]

_numbers = count(1)


def declarations(models: list[str]) -> st.SearchStrategy[tuple[str, str]]:
    """Annotations, each with a default."""
    leaves = st.sampled_from([*LEAVES.items(), *((model, f"{model}()") for model in models)])
    scalars, keys = st.sampled_from(SCALARS), st.sampled_from(["b.str", "b.int", "s.Colour", "s.Id"])
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            inner.map(lambda of: (f"b.list[{of[0]}]", "[]")),
            st.tuples(keys, inner).map(lambda both: (f"b.dict[{both[0]}, {both[1][0]}]", "{}")),
            inner.map(lambda of: (f"t.Optional[{of[0]}]", "None")),
            st.tuples(scalars, inner).map(lambda both: (f"t.Union[{both[0]}, {both[1][0]}]", LEAVES[both[0]])),
        ),
        max_leaves=4,
    )


@st.composite
def model(draw: st.DrawFn, name: str, base: str, models: list[str]) -> str:
    """The source of a model."""
    lines = [f"class {name}({base}):"]
    if draw(st.booleans()):
        lines.append(f"    {draw(st.sampled_from(['Of one line.', 'A backslash', 'Quotes: it', 'Several.']))!r}")
        lines.append("")
    for field in draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1, max_size=6)):
        annotation, default = draw(declarations(models))
        described = ", description='Of \\\\ \"it\".'" if draw(st.booleans()) else ""
        lines.append(f"    {field}: {annotation} = Field(default={default}{described})")
    if base != "BaseModel" and draw(st.booleans()):
        lines += ["", "    @z.action", "    def act(self, n: b.int) -> b.str:", "        return b.str(n)"]
    return "\n".join(lines)


@st.composite
def module(draw: st.DrawFn) -> str:
    """The source of a module with a state, and models that it is made of."""
    parts = [f"Part{number}" for number in range(draw(st.integers(0, 2)))]
    sources = [draw(model(part, "BaseModel", parts[:number])) for number, part in enumerate(parts)]
    return "\n\n\n".join([HEAD.strip(), *sources, draw(model("MadeState", "z.StateModel", parts))]) + "\n"


def write(directory: Path, source: str) -> Any:
    """Write a model and its client; return the client's module."""
    name = f"random{next(_numbers)}"
    (directory / f"{name}.py").write_text(source, "utf-8")
    importlib.invalidate_caches()
    state: type[zproc.StateModel] = importlib.import_module(name).MadeState
    (directory / f"{name}_client.py").write_text(generate([state], version="1"), "utf-8")
    importlib.invalidate_caches()
    return importlib.import_module(f"{name}_client")


def check_client(client: Any, data: st.DataObject) -> None:
    """Hold a client to what it says: of its model, and of a state of it."""
    model = client.MadeState
    schema = Schema.of(model)
    assert list(client.FINGERPRINTS.values()) == [schema.fingerprint]
    assert list(client.SCHEMAS.values()) == [schema.table]
    declared = Client(client)
    with MemoryServer(model, data.draw(strategies(model).states())) as server:
        context: Any = server.context
        assert isinstance(context, client.MadeContext)
        assert declared.complaints(context.state, "MadeStateHandle") == []
        assert declared.complaints_of_places(context.when, "MadePlaces") == []


def check_with_mypy(directory: Path, names: list[str]) -> None:
    cache = Path(__file__).parent.parent.parent / ".mypy_cache" / "typing"
    command = ["mypy", "--strict", "--config-file=", f"--cache-dir={cache}", "--no-error-summary", *names]
    done = subprocess.run([sys.executable, "-m", *command], cwd=directory, capture_output=True, text=True, check=False)
    # A model whose fields hide what pydantic's models have is the model's own fault.
    complaints = [line for line in done.stdout.splitlines() if "_client.py:" in line and " error: " in line]
    assert complaints == [], done.stdout
    assert done.stderr == ""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "random_shared", raising=False)
    (tmp_path / "random_shared.py").write_text(SHARED, "utf-8")
    return tmp_path


FEW = settings(
    max_examples=3,  # of which the first is the simplest that there is
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
MANY = settings(FEW, max_examples=150)
BATCH = st.lists(module(), min_size=8, max_size=8)


def check_batch(directory: Path, sources: list[str], data: st.DataObject) -> None:
    clients = [write(directory, source) for source in sources]
    for client in clients:
        check_client(client, data)
    check_with_mypy(directory, [f"{client.__name__}.py" for client in clients])


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.filterwarnings("ignore:Field name:UserWarning")  # a field may hide what pydantic's models have
@FEW
@given(sources=BATCH, data=st.data())
def test_clients_of_some_models_are_right(directory: Path, sources: list[str], data: st.DataObject) -> None:
    check_batch(directory, sources, data)


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore:Field name:UserWarning")
@MANY
@given(sources=BATCH, data=st.data())
def test_clients_of_many_models_are_right(directory: Path, sources: list[str], data: st.DataObject) -> None:
    """Twelve hundred models."""
    check_batch(directory, sources, data)

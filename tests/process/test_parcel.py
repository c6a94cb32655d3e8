"""Calls, values and exceptions on their way."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

from zproc.exceptions import Error, ProcessError, RemoteError, UsageError, ValidationRefused
from zproc.process import parcel
from zproc.process.parcel import Call, Raised


class Custom(Exception):
    """Its arguments are not those of its own ``__init__``."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Lost(OSError):
    def __init__(self, path: str) -> None:
        super().__init__(2, "gone", path)


def travel(error: BaseException) -> BaseException:
    """Raise it, catch it, and send it there and back."""
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001 - SystemExit travels, too
        packed = parcel.pack_error("raised", caught)
    arrived = parcel.unpack_error(pickle.loads(packed))
    assert arrived is not None
    assert arrived is not error
    return arrived


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x", 1),
        KeyError("k"),
        OSError(2, "no such", "file"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        StopIteration(3),
        SystemExit(4),
        Custom(code=5),
        Lost("/x"),
        json.JSONDecodeError("bad", "doc", 1),
        subprocess.CalledProcessError(3, "cmd", b"out"),
        ValidationRefused("no"),
        ProcessError("died", name="p", pid=3, exitcode=-9),
        RemoteError("raised", error="E()", traceback="tb"),
        ImportError("no", name="mod", path="p"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_arrives_as_it_was(error: BaseException) -> None:
    arrived = travel(error)
    assert type(arrived) is type(error)
    assert (str(arrived), repr(arrived)) == (str(error), repr(error))
    assert arrived.args == error.args or isinstance(error, Error)  # zproc's own are made of fields, and say so
    assert arrived.__dict__ == error.__dict__
    assert [frame.name for frame in traceback.extract_tb(arrived.__traceback__)] == ["travel"]


def test_the_whole_story_of_an_exception_arrives() -> None:
    cause, context = KeyError("cause"), TypeError("context")
    error = ExceptionGroup("several", [ValueError("one"), Custom(code=2)])
    error.add_note("a note")
    error.__context__ = context
    error.__cause__ = cause
    # In a new thread, which handles no exception that would become the context: one that is interrupted between two
    # bytecodes, as tests of time limits have it, may go on as if it still did.
    with ThreadPoolExecutor(1) as pool:
        arrived = pool.submit(travel, error).result()
    assert isinstance(arrived, ExceptionGroup)
    assert repr(arrived.exceptions) == repr(error.exceptions)
    assert arrived.__notes__ == ["a note"]
    assert (repr(arrived.__cause__), repr(arrived.__context__)) == (repr(cause), repr(context))
    assert arrived.__suppress_context__


def test_an_exception_of_a_local_class_arrives() -> None:
    class Local(Exception):
        pass

    assert type(travel(Local("x"))) is Local  # cloudpickle remembers the classes that it has seen


class Attached(Exception):
    def __init__(self) -> None:
        super().__init__("attached")
        self.lock = threading.Lock()


class Unbuildable(Exception):
    def __reduce__(self) -> tuple[object, ...]:
        return int, ("x",)


@pytest.mark.parametrize("error", [Attached(), Unbuildable("u")])
def test_of_an_exception_that_cannot_travel_words_arrive(error: Exception) -> None:
    raised = pickle.loads(parcel.pack_error("raised", error))
    assert isinstance(raised, Raised)
    assert raised.error == repr(error)
    assert type(error).__name__ in raised.traceback
    assert parcel.unpack_error(raised) is None


def test_describing_never_fails() -> None:
    class Rude:
        def __repr__(self) -> NoReturn:
            raise RuntimeError

    assert parcel.describe(Rude()).endswith("Rude whose repr raises RuntimeError>")
    assert len(parcel.describe("x" * 1_000_000)) < 11_000


def outside(packed: bytes) -> str:
    """Perform a call in a new interpreter with the same search path."""
    code = (
        "import sys; sys.path[:] = sys.argv[1:]\n"
        "from zproc.process import parcel\n"
        "print(parcel.unpack(sys.stdin.buffer.read()).perform())"
    )
    path = [*sys.path, str(Path(parcel.__file__).parent.parent.parent)]
    done = subprocess.run([sys.executable, "-c", code, *path], input=packed, capture_output=True, check=False)
    return (done.stdout + done.stderr).decode().strip()


@pytest.mark.parametrize(
    ("target", "args", "result"),
    [
        (len, ("abc",), "3"),
        (os.path.join, ("a", "b"), "a/b"),
        (lambda x: x * 2, (4,), "8"),
        (json.dumps, ([1],), "[1]"),
    ],
)
def test_a_call_is_performed_by_a_process_that_shares_nothing(
    target: Callable[..., object], args: tuple[object, ...], result: str
) -> None:
    assert outside(parcel.pack_call(Call(target, args))) == result


def load_from(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_function_of_a_module_that_cannot_be_found_travels_by_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "strange.py").write_text("def inner(): return 'inner'\ndef f(): return inner()\n")
    monkeypatch.setitem(sys.modules, "strange", ModuleType("strange"))
    module = load_from(tmp_path / "strange.py", "strange")
    packed = parcel.pack_call(Call(module.f))
    assert outside(packed) == "inner"
    monkeypatch.syspath_prepend(tmp_path)
    assert len(parcel.pack_call(Call(module.f))) < len(packed)  # by name, because now it can be found


def test_the_main_script_in_a_process_of_multiprocessing_travels_by_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There it goes by a name that leads nowhere; what is called may be found, and be given a class of it."""
    (tmp_path / "script.py").write_text("class Shop:\n    name = 'shop'\n")
    monkeypatch.setitem(sys.modules, "__mp_main__", ModuleType("__mp_main__"))
    module = load_from(tmp_path / "script.py", "__mp_main__")
    assert outside(parcel.pack_call(Call(getattr, (module.Shop, "name")))) == "shop"


SCRIPT = """
from __future__ import annotations
import sys
from functools import cached_property
from pydantic import BaseModel
from zproc import StateModel
from zproc.process import parcel

class Part(BaseModel):
    name: str = "part"

class Whole(StateModel):
    left: list[Part] = []
    right: list[Part] = []

    @cached_property
    def count(self) -> int:
        return len(self.right)

def show(kind):
    assert kind(right=[Part()]).count == 1
    return kind.model_validate({"right": [{"name": "new"}]}).model_dump_json()

sys.stdout.buffer.write(parcel.pack_call(parcel.Call(show, (Whole,))))
"""


def test_models_of_a_script_are_themselves_again_elsewhere(tmp_path: Path) -> None:
    """Their validators share parts, and were made of what had not come yet."""
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(tmp_path / "script.py")], capture_output=True, check=True)
    assert outside(done.stdout) == '{"left":[],"right":[{"name":"new"}]}'


def test_a_function_whose_name_means_another_module_elsewhere_travels_by_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "twin.py").write_text(f"def f(): return {folder!r}\n")
    monkeypatch.syspath_prepend(tmp_path / "there")
    monkeypatch.setitem(sys.modules, "twin", ModuleType("twin"))
    module = load_from(tmp_path / "here" / "twin.py", "twin")
    assert outside(parcel.pack_call(Call(module.f))) == "here"


def test_a_function_that_travels_by_value_keeps_its_place_in_its_file() -> None:
    """So that a traceback shows where it went wrong, and what stands there; functions inside of it, too."""

    def outer() -> str:
        def inner() -> None:
            raise ValueError("here")  # this very line

        try:
            inner()
        except ValueError:
            return traceback.format_exc()
        return ""

    text = outside(parcel.pack_call(Call(outer)))
    assert f'File "{__file__}"' in text
    assert "# this very line" in text
    assert "in inner" in text


def test_a_call_that_cannot_travel_says_why() -> None:
    with pytest.raises(UsageError, match=r"print.* cannot be sent .*lock") as caught:
        parcel.pack_call(Call(print, (threading.Lock(),)))
    assert isinstance(caught.value.__cause__, TypeError)


def test_values_arrive_by_name_or_by_value() -> None:
    assert parcel.unpack(parcel.pack_value({"a": (1, 2)})) == {"a": (1, 2)}
    assert parcel.unpack(parcel.pack_value(lambda: 5))() == 5

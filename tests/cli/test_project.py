from __future__ import annotations

import sys
from pathlib import Path

import pytest

from zproc.cli.project import Project, model_at
from zproc.exceptions import SchemaError, UsageError

SETTINGS = """
[tool.zproc]
models = ["app.state:AppState", "app.state:Other"]
out = "app/client.py"
"""


def test_settings_are_found_from_within_the_project(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    within = tmp_path / "app" / "deep"
    within.mkdir(parents=True)
    found = Project(str(tmp_path), ("app.state:AppState", "app.state:Other"), "app/client.py")
    assert Project.found(str(within)) == Project.found(str(tmp_path)) == found


@pytest.mark.parametrize("text", ["", "[tool.ruff]\nline-length = 88"])
def test_a_project_may_say_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    assert Project.found(str(tmp_path)) == Project(str(tmp_path))


def test_without_a_project_the_directory_itself_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.isfile", lambda path: False)
    assert Project.found(str(tmp_path)) == Project(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('model = "app:State"', "has no 'model'; there are 'models' and 'out'"),
        ('models = "app:State"', "models is a list of texts"),
        ("models = [3]", "models is a list of texts"),
        ("out = 3", "out is a text"),
        ("out = ", "pyproject.toml: "),
    ],
)
def test_settings_that_make_no_sense_are_refused(text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.zproc]\n{text}\n")
    with pytest.raises(UsageError) as refused:
        Project.found(str(tmp_path))
    assert complaint in str(refused.value)


def test_modules_are_imported_from_the_root_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    project = Project(str(tmp_path))
    project.importing()
    project.importing()
    assert sys.path[0] == str(tmp_path)
    assert sys.path.count(str(tmp_path)) == 1


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "kitchen.py").write_text(
        "import zproc\nclass Kitchen(zproc.StateModel):\n    class Nested(zproc.StateModel): ...\nx = 3\n"
    )
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found\n")
    (tmp_path / "crashing.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "kitchen", raising=False)
    return "kitchen"


def test_a_model_is_imported_by_its_address(package: str) -> None:
    assert model_at("kitchen:Kitchen").__name__ == "Kitchen"
    assert model_at("kitchen:Kitchen.Nested").__qualname__ == "Kitchen.Nested"


@pytest.mark.parametrize(
    ("address", "error", "complaint"),
    [
        ("kitchen", UsageError, "write it like app.state:AppState"),
        ("kitchen.Kitchen", UsageError, "write it like app.state:AppState"),
        (":Kitchen", UsageError, "write it like app.state:AppState"),
        ("kitchen:Kitchn", UsageError, "kitchen has no 'Kitchn'"),
        ("kitchen:x", SchemaError, "no subclass of zproc.StateModel"),
        ("kitchn:Kitchen", UsageError, "there is no module 'kitchn'"),
        ("kitchn.state:Kitchen", UsageError, "there is no module 'kitchn'"),
        ("kitchen.state:Kitchen", UsageError, "there is no module 'kitchen.state'"),
    ],
)
def test_what_is_no_model_is_told(address: str, error: type[Exception], complaint: str, package: str) -> None:
    with pytest.raises(error) as refused:
        model_at(address)
    assert complaint in str(refused.value)


def test_what_is_wrong_within_the_module_is_the_modules_own_error(package: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
        model_at("broken:Kitchen")
    with pytest.raises(ZeroDivisionError):
        model_at("crashing:Kitchen")

"""``zproc doctor``: facts, and what to do about those that are in the way."""

from __future__ import annotations

import os
import resource
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from zproc.transport import fresh_address


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("ZPROC_"):
            monkeypatch.delenv(name)


def found(zproc: Any, *arguments: str) -> dict[str, Any]:
    return {each["what"]: each for each in zproc.json("doctor", *arguments)}


def test_versions_limits_and_settings_are_told(zproc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZPROC_NAMESPACE", "shop")
    facts = found(zproc)
    assert facts["zproc"]["value"] == metadata.version("zproc")
    assert {"python", "platform", "pydantic", "pyzmq", "libzmq", "start method", "runtime directory"} <= facts.keys()
    assert facts["ZPROC_NAMESPACE"]["value"] == "shop"
    assert str(resource.getrlimit(resource.RLIMIT_NOFILE)[0]) in facts["limits"]["value"]
    assert all(each["ok"] for each in facts.values())
    assert zproc("doctor").startswith("ok  python: CPython")


def test_what_is_in_the_way_is_exit_code_1_and_says_what_to_do(
    zproc: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o755)
    monkeypatch.setenv("ZPROC_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("ZPROC_START_METHOD", "teleport")
    from zproc.cli.program import main

    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert f"!!  runtime directory: in the way\n    {tmp_path} has mode 0755; make it private: chmod 700" in out
    assert "ZPROC_START_METHOD 'teleport' is not one of" in out


def test_few_descriptors_are_in_the_way(
    zproc: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from zproc.cli.program import main

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    assert main(["doctor"]) == 1
    assert "raise it: ulimit -n 1024" in capsys.readouterr().out


def test_a_package_that_is_missing_is_in_the_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from zproc.cli import doctor
    from zproc.cli.program import main

    monkeypatch.setattr(doctor, "_PACKAGES", ("no-such-package",))
    assert main(["doctor"]) == 1
    assert "pip install no-such-package" in capsys.readouterr().out


def test_the_server_is_asked_if_there_is_an_address(zproc: Any, served: Any) -> None:
    assert f"{served.address}: process 0 answers" in found(zproc)["server"]["value"]


def test_one_that_is_not_there_is_in_the_way(zproc: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from zproc.cli.program import main

    assert main(["doctor", "--address", fresh_address()]) == 1
    assert "nobody listens here" in capsys.readouterr().out

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest

from zproc.cli.command import FAILED, INTERRUPTED, OK, USAGE, Command, Commands
from zproc.cli.program import COMMANDS, main
from zproc.exceptions import Unavailable, UsageError


def command(run: Callable[[argparse.Namespace], int]) -> Command:
    """A command ``knead`` that takes one argument."""

    def add_to(commands: Commands) -> None:
        parser = commands.add_parser("knead", help="knead the dough")
        parser.add_argument("--times", type=int, default=1)
        parser.set_defaults(run=run)

    return cast("Command", SimpleNamespace(add_to=add_to, run=run))


def knead(arguments: argparse.Namespace) -> int:
    print("kneaded" * arguments.times)
    return OK


def test_a_command_is_found_and_given_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["knead", "--times", "2"], [command(knead)]) == OK
    assert capsys.readouterr() == ("kneadedkneaded\n", "")


@pytest.mark.parametrize("code", [OK, FAILED])
def test_the_exit_code_is_the_commands(code: int) -> None:
    assert main(["knead"], [command(lambda arguments: code)]) == code


@pytest.mark.parametrize("argv", [[], ["nead"], ["knead", "--time"], ["knead", "--times", "often"]])
def test_what_is_not_understood_exits_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(argv, [command(knead)])
    assert left.value.code == USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: zproc")


def test_an_error_of_zproc_is_one_line_and_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(arguments: argparse.Namespace) -> int:
        raise Unavailable("unix:///nowhere", "nobody listens there")

    assert main(["knead"], [command(fail)]) == FAILED
    assert capsys.readouterr() == ("", "zproc knead: unix:///nowhere: nobody listens there\n")


def test_any_other_exception_is_a_bug_and_keeps_its_traceback() -> None:
    def crash(arguments: argparse.Namespace) -> int:
        raise LookupError("a bug")

    with pytest.raises(LookupError, match="a bug"):
        main(["knead"], [command(crash)])


def test_ctrl_c_ends_it_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(arguments: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    assert main(["knead"], [command(interrupted)]) == INTERRUPTED
    assert capsys.readouterr() == ("", "")


def test_the_text_of_an_error_is_the_text_that_a_program_sees(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(arguments: argparse.Namespace) -> int:
        raise UsageError("50 % of it is {braces}")

    main(["knead"], [command(fail)])
    assert capsys.readouterr().err == "zproc knead: 50 % of it is {braces}\n"


def test_every_command_has_a_name_of_its_own_and_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == OK
    shown = capsys.readouterr().out
    for module in COMMANDS:
        name = cast("SimpleNamespace", module).__name__.rpartition(".")[2]
        assert f"\n    {name} " in shown


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    """As in ``zproc log | head -1``."""
    program = (
        "import sys; sys.path.insert(0, 'tests/cli')\n"
        "import zproc.cli.program as program, test_program as tests\n"
        "sys.exit(program.main(['knead', '--times', '1000000'], [tests.command(tests.knead)]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=30) == FAILED


@pytest.mark.slow
def test_python_m_zproc_is_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "zproc", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("zproc ")

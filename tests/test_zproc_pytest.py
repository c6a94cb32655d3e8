"""The pytest plugin, in test runs of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

HEAVY = ("hypothesis", "msgpack", "multiprocessing", "psutil", "pydantic", "zmq", "zproc")

MODEL = """
import subprocess
import pytest
import zproc

class Shop(zproc.StateModel):
    cookies: int = 0

@zproc.atomic
def bake(state: Shop) -> None:
    state.cookies += 1
"""


def test_importing_the_plugin_imports_nothing_but_pytest() -> None:
    program = f"import sys, pytest; import _zproc_pytest; print(*sorted(set(sys.modules) & set({HEAVY})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    # By module name, so that it is there however this checkout was installed; and not twice.
    options = ("-p", "no:zproc", "-p", "_zproc_pytest", "-p", "no:randomly", "-p", "no:hypothesispytest")
    return pytester.runpytest_subprocess(*options, "--strict-markers", "-W", "error", *arguments)


@pytest.mark.slow
class TestInARunOfItsOwn:
    def test_collection_with_the_plugin_imports_nothing_heavy(self, pytester: pytest.Pytester) -> None:
        pytester.makeconftest(
            "import sys\n"
            "def pytest_collection_finish(session):\n"
            f"    print('heavy:', sorted(set(sys.modules) & set({HEAVY})))\n"
        )
        pytester.makepyfile("def test_it(): pass")
        run(pytester, "--collect-only").stdout.fnmatch_lines(["heavy: []"])

    def test_the_fixtures_give_what_they_promise(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            MODEL
            + """
def test_a_server_in_memory(zproc_server, zproc_history):
    server = zproc_server(Shop, Shop(cookies=5))
    history = zproc_history(server.context)
    bake(server.state)
    assert server.state.cookies == 6
    assert history.functions() == ["bake"]

def test_the_clock_is_that_of_the_servers(zproc_server, zproc_clock):
    server = zproc_server(Shop)
    with pytest.raises(zproc.LeaseLost), zproc.transaction(server.state) as draft:
        draft.cookies = 1
        zproc_clock.advance(31)

def test_real_processes(zproc_context, zproc_history):
    ctx = zproc_context(Shop)
    history = zproc_history(ctx)
    process = ctx.spawn(bake)
    assert process.wait() is None
    assert history.values("cookies") == [0, 1]

@pytest.mark.zproc(start_method="spawn")
def test_options_by_the_marker(zproc_context):
    assert zproc_context(Shop).state.cookies == 0
"""
        )
        run(pytester).assert_outcomes(passed=4)

    def test_a_leak_fails_the_test_unless_that_is_not_wanted(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            MODEL
            + """
from zproc.testing import leaks
leaks.leak_check.__wrapped__.__kwdefaults__["grace"] = 0.2

def test_leaky(zproc_context):
    zproc_context(Shop)
    subprocess.Popen(["sleep", "5"])

@pytest.mark.zproc(leak_check=False)
def test_leaky_and_content_with_it(zproc_context):
    zproc_context(Shop)
    subprocess.Popen(["sleep", "0"])
"""
        )
        result = run(pytester, "-W", "ignore::ResourceWarning", "-W", "ignore::pytest.PytestUnraisableExceptionWarning")
        result.assert_outcomes(passed=2, errors=1)
        result.stdout.fnmatch_lines(["*the test left behind:*", "*process * sleep 5*"])

"""The guard itself: what a test leaves behind is found, named, and charged to the test that left it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

pytestmark = pytest.mark.slow

LEAKS = {
    "process": "kept.append(subprocess.Popen(['sleep', '60']))",
    "grandchild": "kept.append(subprocess.Popen(['sh', '-c', 'sleep 60 & wait']))",
    "zombie": "kept.append(subprocess.Popen(['true']))",
    "thread": "threading.Thread(target=threading.Event().wait, args=(60,), daemon=True).start()",
    "socket": "kept.append(socket.socketpair())",
    "pipe": "kept.append(os.pipe())",
    "file": "s = socket.socket(socket.AF_UNIX); s.bind(os.environ['XDG_RUNTIME_DIR'] + '/s'); s.close()",
    "orphan": "subprocess.run(['sh', '-c', 'setsid sleep 60 </dev/null >/dev/null 2>&1 & exit 0'], check=True)",
}
TIDY = {
    "nothing": "pass",
    "collected": "subprocess.run(['true'], check=True)",
    "slow to end": "threading.Thread(target=threading.Event().wait, args=(0.05,)).start()",
    "closed": "[end.close() for end in socket.socketpair()]",
}


@pytest.fixture
def guarded(pytester: pytest.Pytester) -> pytest.Pytester:
    """A test run of its own under the same guard, with less patience."""
    conftest = Path(__file__).with_name("conftest.py").read_text("utf-8")
    assert "GRACE = 5.0\n" in conftest
    pytester.makeconftest(conftest.replace("GRACE = 5.0\n", "GRACE = 0.3\n"))
    return pytester


def run(guarded: pytest.Pytester, body: str) -> pytest.RunResult:
    guarded.makepyfile(f"import os, socket, subprocess, threading\nkept = []\ndef test_it():\n    {body}\n")
    return guarded.runpytest_subprocess("-p", "no:randomly")


@pytest.mark.parametrize("body", LEAKS.values(), ids=LEAKS)
def test_a_leak_is_an_error_of_the_test(guarded: pytest.Pytester, body: str) -> None:
    run(guarded, body).assert_outcomes(passed=1, errors=1)


@pytest.mark.parametrize("body", TIDY.values(), ids=TIDY)
def test_a_test_that_tidies_up_passes(guarded: pytest.Pytester, body: str) -> None:
    run(guarded, body).assert_outcomes(passed=1)

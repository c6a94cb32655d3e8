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


def run(guarded: pytest.Pytester, bodies: dict[str, str]) -> pytest.RunResult:
    tests = [f"def test_{name.replace(' ', '_')}():\n    {body}\n" for name, body in bodies.items()]
    guarded.makepyfile("\n".join(["import os, socket, subprocess, threading", "kept = []", *tests]))
    return guarded.runpytest_subprocess("-p", "no:randomly", "-rA")


def test_a_leak_is_an_error_of_the_test_that_left_it_and_of_no_other(guarded: pytest.Pytester) -> None:
    """In one run, each after one that leaves nothing; the orphan, which only the end of a run finds, is the last."""
    bodies = {key: body for name, body in LEAKS.items() for key, body in ((f"tidy after {name}", "pass"), (name, body))}
    result = run(guarded, bodies)
    result.assert_outcomes(passed=len(bodies), errors=len(LEAKS))
    charged = [line for line in result.outlines if line.startswith("ERROR ")]
    assert [line.partition("::test_")[2].partition(" ")[0] for line in charged] == list(LEAKS)


def test_a_test_that_tidies_up_passes(guarded: pytest.Pytester) -> None:
    run(guarded, TIDY).assert_outcomes(passed=len(TIDY))

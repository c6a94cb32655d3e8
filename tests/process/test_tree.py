"""Ending trees of processes."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from zproc.process import tree

Eventually = Callable[[Callable[[], object]], None]
Alive = Callable[[psutil.Process], bool]

CHAIN = """
import os, signal
signal.alarm(20)
print(os.getpid(), flush=True)
for setsid in (False, True, False):
    if os.fork():
        break
    signal.alarm(20)
    if setsid:
        os.setsid()
    print(os.getpid(), flush=True)
signal.pause()
"""

# Programs that multiply have two brakes, for the day when what is tested here does not work: an end to the number of
# forks, and an alarm in every process, which a fork does not inherit. None of them multiplies faster than linearly.
FORKER = """
import os, signal, sys, time
signal.alarm(20)
print(os.getpid(), flush=True)
for _ in range(300):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
    if (pid == 0) == (sys.argv[1] == "fan"):     # fan: the first one goes on; chain: the newest one
        signal.pause()
    time.sleep(0.005)
signal.pause()
"""


@pytest.fixture
def begin() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    begun = []

    def run(source: str, *arguments: str) -> subprocess.Popen[str]:
        begun.append(
            subprocess.Popen(
                [sys.executable, "-c", source, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        )
        return begun[-1]

    yield run
    for each in begun:
        each.kill()
        each.communicate()


def lines(process: subprocess.Popen[str], count: int) -> list[psutil.Process]:
    assert process.stdout is not None
    return [psutil.Process(int(process.stdout.readline())) for _ in range(count)]


def test_a_tree_is_killed_to_its_leaves(begin: Any, eventually: Eventually, alive: Alive) -> None:
    process = begin(CHAIN)
    family = lines(process, 4)
    assert tree.descendants(process.pid) == set(family[1:])
    assert tree.family(process.pid) == set(family)
    tree.kill_tree(process.pid)
    eventually(lambda: not any(map(alive, family)))
    assert process.wait() == -9


def test_what_is_spared_lives_on_with_its_descendants(begin: Any, eventually: Eventually, alive: Alive) -> None:
    process = begin(CHAIN)
    family = lines(process, 4)
    tree.kill_tree(process.pid, spare=[family[2].pid])
    eventually(lambda: not any(map(alive, family[:2])))
    assert all(map(alive, family[2:]))
    assert family[3].status() != psutil.STATUS_STOPPED
    tree.kill_tree(family[2].pid)


def test_descendants_are_killed_without_their_root(begin: Any, eventually: Eventually, alive: Alive) -> None:
    process = begin(CHAIN)
    family = lines(process, 4)
    tree.kill_descendants(process.pid)
    eventually(lambda: not any(map(alive, family[1:])))
    assert alive(family[0])


@pytest.mark.parametrize("shape", ["fan", "chain"])
def test_a_tree_that_forks_without_end_is_killed(shape: str, begin: Any, eventually: Eventually, alive: Alive) -> None:
    """To kill what one look finds leaves what was made since."""
    token = uuid.uuid4().hex
    process = begin(FORKER, shape, token)
    lines(process, 1)
    eventually(lambda: len(tree.descendants(process.pid)) > 8)
    seen = tree.family(process.pid)
    tree.kill_tree(process.pid)
    process.wait()
    eventually(lambda: not any(map(alive, seen)))
    eventually(lambda: not [each for each in psutil.process_iter() if token in arguments(each)])


def arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else []
    except psutil.Error:
        return []


def test_a_process_that_is_gone_is_passed_over(begin: Any) -> None:
    process = begin("pass")
    process.wait()
    tree.kill_tree(process.pid)
    tree.kill_descendants(process.pid)
    assert tree.family(process.pid) == set()


def test_nobody_kills_itself_by_a_search(begin: Any) -> None:
    assert tree.end_all(lambda: [psutil.Process()]) == set()


def test_a_process_ends_itself_with_its_descendants(begin: Any, eventually: Eventually, alive: Alive) -> None:
    """Also while another of its threads makes more of them."""
    process = begin(
        "import os, subprocess, sys, threading\n"
        "from zproc.process import tree\n"
        "def more():\n"
        "    for _ in range(300):\n"
        "        print(subprocess.Popen(['sleep', '20']).pid, flush=True)\n"
        "threading.Thread(target=more, daemon=True).start()\n"
        "sys.stdin.readline()\n"
        "tree.end_self()\n"
    )
    family = lines(process, 5)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == -9
    for line in out.split():
        if psutil.pid_exists(int(line)):
            family.append(psutil.Process(int(line)))
    eventually(lambda: not any(map(alive, family)))


def test_a_look_waits_for_no_import_that_another_thread_is_in_the_middle_of(begin: Any) -> None:
    """That thread has been held, and would hold the lock of imports for ever."""
    process = begin(
        "import _imp, os, threading\n"
        "from zproc.process import tree\n"
        "looks = threading.Thread(target=tree.kill_descendants, args=(os.getpid(),), daemon=True)\n"
        "_imp.acquire_lock()\n"
        "looks.start()\n"
        "looks.join(20)\n"
        "os._exit(looks.is_alive())\n"
    )
    assert process.wait(30) == 0


def test_who_holds_what_the_look_waits_for_ends_the_process(begin: Any) -> None:
    process = begin(
        "import sys, threading\n"
        "from zproc.process import tree\n"
        "tree._HELD = 0.1\n"
        "lock = threading.Lock()\n"
        "tree.kill_descendants = lambda _: lock.acquire()\n"
        "with lock:\n"
        "    threading.Thread(target=tree.end_self).start()\n"
        "    while True:\n"
        "        sys.audit('something')\n"
    )
    assert process.wait(20) == -9

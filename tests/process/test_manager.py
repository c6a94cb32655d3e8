"""The processes of a context, as their manager has them."""

from __future__ import annotations

import os

from zproc.process import Manager, StartMethod


def test_processes_are_listed_in_the_order_in_which_they_were_made(method: StartMethod) -> None:
    manager = Manager({"start_method": method})
    made = [manager.make(int, (number,), options={"name": f"n{number}"}) for number in range(3)]
    assert manager.record() == made
    assert manager.record().wait(20) == [0, 1, 2]


def test_a_fork_begins_with_an_empty_record() -> None:
    manager = Manager()
    manager.make(int).wait(20)
    pid = os.fork()
    if pid == 0:
        os._exit(len(manager.record()))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(manager.record()) == 1

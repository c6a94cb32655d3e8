"""Starting processes, watching over them, and ending them with all their descendants.

The law: this package knows nothing of state. It makes processes that run a function and tell what came of it, sees to
it that none of them outlives who started it, and leaves every decision about them (again? how often? in what order?) to
others. It is the only one that touches psutil, multiprocessing and pickle.
"""

from __future__ import annotations

from zproc.process.child import Orders, announce_ready, current_name, parent_watch
from zproc.process.forkserver import fork_server_pid, shut_down
from zproc.process.incarnation import Incarnation, stop_all
from zproc.process.launch import start
from zproc.process.manager import Manager, mapped, times
from zproc.process.process import Process, Report
from zproc.process.process_list import ProcessList, StrategyName
from zproc.process.run import is_root, run_id, sweep
from zproc.process.signals import (
    ProcessExit,
    SignalException,
    exception_to_signal,
    send_signal,
    signal_name,
    signal_to_exception,
)
from zproc.process.spawner import Spawn
from zproc.process.start_method import StartMethod, choose
from zproc.process.task import Options
from zproc.process.tree import descendants, describe, kill_tree
from zproc.process.usage import Usage, usage_of
from zproc.process.watch import Watch, watch_process

__all__ = [
    "Incarnation",
    "Manager",
    "Options",
    "Orders",
    "Process",
    "ProcessExit",
    "ProcessList",
    "Report",
    "SignalException",
    "Spawn",
    "StartMethod",
    "StrategyName",
    "Usage",
    "Watch",
    "announce_ready",
    "choose",
    "current_name",
    "descendants",
    "describe",
    "exception_to_signal",
    "fork_server_pid",
    "is_root",
    "kill_tree",
    "mapped",
    "parent_watch",
    "run_id",
    "send_signal",
    "shut_down",
    "signal_name",
    "signal_to_exception",
    "start",
    "stop_all",
    "sweep",
    "times",
    "usage_of",
    "watch_process",
]

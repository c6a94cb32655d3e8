"""Starting processes, supervising them, and ending them together with all their descendants.

The law: this package knows nothing of state. It starts processes that run a function, reports how they ended, and makes
sure that none outlives the process that started it. Policy (restart? how often? in which order?) is decided elsewhere.
No other package uses psutil, multiprocessing or pickle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zproc.homes import lazy_getattr
from zproc.process import descriptor, parcel

if TYPE_CHECKING:  # the same for type checkers; `tests/test_homes.py` compares the two
    from zproc.process.cargo import INLINE, Cargo, Loan, Packer, Segment, unpack_cargo
    from zproc.process.child import Orders, announce_ready, current_name, parent_watch, take_descriptors
    from zproc.process.fitting import refuse_misfit
    from zproc.process.forkserver import fork_server_pid, shut_down, spare_pid
    from zproc.process.functions import FunctionPacker, FunctionShelf, PackedFunction
    from zproc.process.incarnation import Incarnation, stop_all
    from zproc.process.launch import start
    from zproc.process.manager import Manager, mapped, times
    from zproc.process.memory import kills_for_memory
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
    from zproc.process.supervision import LOG
    from zproc.process.task import Options
    from zproc.process.tree import descendants, describe, kill_tree
    from zproc.process.usage import Usage, usage_of
    from zproc.process.watch import Watch, watch_process

__all__ = [
    "INLINE",
    "LOG",
    "Cargo",
    "FunctionPacker",
    "FunctionShelf",
    "Incarnation",
    "Loan",
    "Manager",
    "Options",
    "Orders",
    "PackedFunction",
    "Packer",
    "Process",
    "ProcessExit",
    "ProcessList",
    "Report",
    "Segment",
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
    "descriptor",
    "exception_to_signal",
    "fork_server_pid",
    "is_root",
    "kill_tree",
    "kills_for_memory",
    "mapped",
    "parcel",
    "parent_watch",
    "refuse_misfit",
    "run_id",
    "send_signal",
    "shut_down",
    "signal_name",
    "signal_to_exception",
    "spare_pid",
    "start",
    "stop_all",
    "sweep",
    "take_descriptors",
    "times",
    "unpack_cargo",
    "usage_of",
    "watch_process",
]

# A process that is a new interpreter, for one function, needs a third of this; the rest is loaded when it is asked for.
_HOMES = {
    "zproc.process.cargo": ["INLINE", "Cargo", "Loan", "Packer", "Segment", "unpack_cargo"],
    "zproc.process.child": ["Orders", "announce_ready", "current_name", "parent_watch", "take_descriptors"],
    "zproc.process.fitting": ["refuse_misfit"],
    "zproc.process.forkserver": ["fork_server_pid", "shut_down", "spare_pid"],
    "zproc.process.functions": ["FunctionPacker", "FunctionShelf", "PackedFunction"],
    "zproc.process.incarnation": ["Incarnation", "stop_all"],
    "zproc.process.launch": ["start"],
    "zproc.process.manager": ["Manager", "mapped", "times"],
    "zproc.process.memory": ["kills_for_memory"],
    "zproc.process.process": ["Process", "Report"],
    "zproc.process.process_list": ["ProcessList", "StrategyName"],
    "zproc.process.run": ["is_root", "run_id", "sweep"],
    "zproc.process.signals": [
        "ProcessExit",
        "SignalException",
        "exception_to_signal",
        "send_signal",
        "signal_name",
        "signal_to_exception",
    ],
    "zproc.process.spawner": ["Spawn"],
    "zproc.process.start_method": ["StartMethod", "choose"],
    "zproc.process.supervision": ["LOG"],
    "zproc.process.task": ["Options"],
    "zproc.process.tree": ["descendants", "describe", "kill_tree"],
    "zproc.process.usage": ["Usage", "usage_of"],
    "zproc.process.watch": ["Watch", "watch_process"],
}


if not TYPE_CHECKING:  # a checker would take any name for one of ours
    __getattr__ = lazy_getattr(__name__, _HOMES)

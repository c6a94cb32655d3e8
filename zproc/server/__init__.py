"""The shell around the server's rules: one loop, one clock.

The law: this package passes what arrives to ``ServerCore``, carries out its effects, and decides nothing about the
state.
"""

from zproc.server.budget import alarm_budget
from zproc.server.loop import Clock, SystemClock, perform, serve

__all__ = ["Clock", "SystemClock", "alarm_budget", "perform", "serve"]

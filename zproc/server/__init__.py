"""The shell around the server's rules: one loop, one clock.

The law: this package moves what arrives into ``ServerCore`` and what it answers out of it, and decides nothing about
the state.
"""

from zproc.server.budget import alarm_budget
from zproc.server.loop import Clock, SystemClock, perform, serve

__all__ = ["Clock", "SystemClock", "alarm_budget", "perform", "serve"]

"""The record of the processes of a run: a state like any other, which zproc writes and everybody can watch.

The law: what happens to a process never waits for the record of it, and never fails because of it.
"""

from zproc.record.recorder import Recorder
from zproc.record.table import KEEPER, NAMESPACE, ProcessRow, ProcessTable

__all__ = ["KEEPER", "NAMESPACE", "ProcessRow", "ProcessTable", "Recorder"]

"""The record of the processes of a run: a state like any other, which zproc writes and everybody can watch.

The law: nothing that happens to a process waits for its record, or fails because of it.
"""

from zproc.record.recorder import Recorder
from zproc.record.table import KEEPER, NAMESPACE, ProcessRow, ProcessTable

__all__ = ["KEEPER", "NAMESPACE", "ProcessRow", "ProcessTable", "Recorder"]

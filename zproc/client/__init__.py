"""The client: connections, a replica, live handles, atomic functions, watchers.

The law: this package asks and waits, and decides nothing about the state. It knows the server by its address only, and
knows nothing of processes.
"""

from zproc.client import state  # noqa: F401 - it registers the handles of states
from zproc.client.bookmark import Bookmark, Place
from zproc.client.client import Client
from zproc.client.containers import DictHandle, ListHandle, SetHandle
from zproc.client.handle import Handle, address_of, handle_class, model_handle
from zproc.client.history import commits_since, revert
from zproc.client.identity import name_by, new_session
from zproc.client.stream import ClientWatchers
from zproc.client.turn import atomic, transaction
from zproc.client.watch import Cursor

__all__ = [
    "Bookmark",
    "Client",
    "ClientWatchers",
    "Cursor",
    "DictHandle",
    "Handle",
    "ListHandle",
    "Place",
    "SetHandle",
    "address_of",
    "atomic",
    "commits_since",
    "handle_class",
    "model_handle",
    "name_by",
    "new_session",
    "revert",
    "transaction",
]

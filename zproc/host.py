"""A state server in a process of its own, and the process in which it is made.

The law: the server serves until it is told to end or until whoever made it is gone; it is given models, and nothing
else that is code, by him alone, over the line between the two. What its owner leaves behind at his death it ends.
"""

from __future__ import annotations

import os
import secrets
import signal
import threading
from types import FrameType
from typing import Final, cast

from zproc import record
from zproc.client import Bookmark
from zproc.core.limits import Limits
from zproc.core.server import ServerCore
from zproc.exceptions import Error
from zproc.process import Orders, StartMethod, announce_ready, is_root, parent_watch, run_id, start, sweep
from zproc.schema.model import Schema, StateModel
from zproc.server import alarm_budget, serve
from zproc.transport import clear, fresh_address, listen, publish
from zproc.typing import Epoch

__all__ = ["Host"]

_LINGER: Final = 5.0
"""How long a server may outlive its owner, to end what the owner left behind, in seconds."""

_GRACE: Final = 2.0
"""How long a server may take to end when it is asked to, in seconds."""


class Host:
    """The process of a state server that was started here; it listens when this is made.

    Args:
        namespace: the name of its first state.
        model: what that is declared as.
        limits: its limits.
        method: how its process is made.

    Attributes:
        address: where it listens.

    Raises:
        UsageError: the model cannot be sent there.
        ProcessError: no process can be made.
    """

    def __init__(
        self, namespace: str, model: type[StateModel], limits: Limits, method: StartMethod | str | None
    ) -> None:
        self.address: Final = fresh_address()
        arguments = (namespace, model, limits, self.address, run_id() if is_root() else None)
        self._process = start(
            _be_server, arguments, name="server", method=method, ready=True, detached=True, linger=_LINGER
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def add(self, namespace: str, model: type[StateModel]) -> None:
        """Have it serve one more state.

        Args:
            namespace: the name of that state; if there is one already, it has to be declared like this.
            model: what it is declared as.

        Raises:
            SchemaMismatch: the state is declared differently.
            UsageError: the model cannot be sent there, or this process has not made the server.
            ProcessError: the server has ended.
        """
        self._process.ask(model, namespace)

    def stop(self) -> None:
        """End it, and wait until it is gone."""
        self._process.stop(_GRACE)
        clear(self.address)
        Bookmark.sweep(self.address)


def _be_server(namespace: str, model: type[StateModel], limits: Limits, address: str, run: str | None) -> None:
    owner = parent_watch()
    orders = Orders()
    stopping = threading.Event()
    epoch = Epoch(secrets.token_hex(8))
    core = ServerCore({namespace: _schema(model)}, epoch=epoch, pid=os.getpid(), limits=limits, budget=alarm_budget)
    core.add(record.NAMESPACE, _schema(record.ProcessTable), record.FAREWELL)
    listener = listen(address)
    words = publish(address, epoch)

    def stop(_signum: int, _frame: FrameType | None) -> None:
        stopping.set()
        listener.wake()

    def finished() -> bool:
        _obey(orders, core)
        return stopping.is_set() or owner.gone()

    signal.signal(signal.SIGTERM, stop)
    try:
        listener.add_waker(owner.fileno())
        listener.add_waker(orders.fileno())
        announce_ready()
        serve(core, listener, finished, words)
    finally:
        if words is not None:
            words.close()
        listener.close()
        orders.close()
    if run is not None and owner.gone():
        sweep(run)
    Bookmark.sweep(address)


def _obey(orders: Orders, core: ServerCore) -> None:
    """Take in the states that the owner wants served."""
    while (order := orders.take()) is not None:
        try:
            core.add(cast("str", order.args[0]), _schema(cast("type[StateModel]", order.target)))
        except Error as error:
            orders.answer(error)
        else:
            orders.answer(None)


def _schema(model: type[StateModel]) -> Schema[StateModel]:
    return cast("Schema[StateModel]", Schema.of(model))

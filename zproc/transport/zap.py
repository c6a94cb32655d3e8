"""The ZAP handler: the thread that ZeroMQ asks in every handshake whether a key is admitted.

The law: unknown keys are refused, and all keys if the thread has died, because the socket enforces its domain. It has a
thread of its own, because a busy server must not keep handshakes waiting.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

import zmq

from zproc.core.quota import Quota
from zproc.transport.keys import to_text
from zproc.transport.zmq import DOMAIN

__all__ = ["KeyCheck"]

_log = logging.getLogger(__name__)

_PLACE: Final = "inproc://zeromq.zap.01"
_VERSION: Final = b"1.0"

_TOLD: Final = 20
"""How many refusals are logged one by one in each period."""

_PERIOD: Final = 60.0
"""The length of that period, in seconds."""


class KeyCheck:
    """Authenticates clients for the sockets of one context.

    Args:
        context: the context; when it is terminated, this ends.
        allowed: returns whether a public key, as text, is admitted.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], allowed: Callable[[bytes], bool]) -> None:
        self._allowed = allowed
        self._strangers = Quota(_TOLD, _PERIOD)
        self._socket = context.socket(zmq.REP)
        self._socket.set(zmq.LINGER, 0)
        self._socket.bind(_PLACE)
        self._thread = threading.Thread(target=self._run, name="zproc key check", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the end, after the context's."""
        self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                self._socket.send_multipart(self._answer(self._socket.recv_multipart()))
        except zmq.ContextTerminated:
            pass
        finally:
            self._socket.close(0)

    def _answer(self, request: list[bytes]) -> list[bytes]:
        version, number, domain, place, _, mechanism, *credentials = request
        known = (
            (version, domain, mechanism) == (_VERSION, DOMAIN, b"CURVE")
            and len(credentials) == 1
            and self._is_known(to_text(credentials[0]))
        )
        if known:
            return [_VERSION, number, b"200", b"OK", to_text(credentials[0]), b""]
        self._tell(place.decode("ascii", "replace"), time.monotonic())
        return [_VERSION, number, b"400", b"unknown key", b"", b""]

    def _tell(self, place: str, now: float) -> None:
        """Log a refusal; of many, only the number."""
        if held := self._strangers.release(now):
            _log.warning("%d more were not let in within %g s and are not listed", held, self._strangers.period)
        if self._strangers.takes(now):
            _log.warning("a client at %s was not let in: its key is not known", place)

    def _is_known(self, key: bytes) -> bool:
        try:
            return self._allowed(key)
        except Exception:  # noqa: BLE001 - whatever it is, nobody is admitted
            _log.exception("keys cannot be checked")
            return False

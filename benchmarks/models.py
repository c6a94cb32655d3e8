"""The state that is measured where nothing about it matters: alone in its module, so that a server imports no more."""

from __future__ import annotations

import zproc

__all__ = ["Counter"]


class Counter(zproc.StateModel):
    c: int = 0

"""The state of the README."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import zproc
from pydantic import Field

if TYPE_CHECKING:
    from cookie.client import CookieContext


class CookieState(zproc.StateModel):
    if TYPE_CHECKING:
        __client__: ClassVar[type[CookieContext]]

    cookies: int = Field(default=0, ge=0)

    @zproc.action
    def restock(self, n: int) -> int:
        self.cookies += n
        return self.cookies

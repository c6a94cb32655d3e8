"""What the link promises of a model that has everything."""

from __future__ import annotations

from typing import assert_type

import zproc
from nasty.client import NastyContext
from nasty.state import Base, NastyState

assert_type(zproc.Context(NastyState), NastyContext)
assert_type(zproc.Context(Base), zproc.Context[Base])
zproc.Context(NastyState).state.boxes.inside.inside = 3  # E
zproc.Context(NastyState).when.root.next.next.valu  # E
zproc.Context(Base).when  # E

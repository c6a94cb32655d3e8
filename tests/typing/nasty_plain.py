"""What is promised of a model that has everything by the model alone."""

from __future__ import annotations

from typing import assert_type

import zproc
from nasty.state import Box, Cat, Dog, NastyState, Node


def uses(ctx: zproc.Context[NastyState]) -> None:
    state = ctx.state
    assert_type(state.boxes, Box[Box[str]])
    state.boxes.inside.inside = 3  # E
    assert_type(state.root.next, Node | None)
    state.root.children.append(Cat())  # E
    assert_type(state.pet, Cat | Dog)
    state.pet = Node()  # E
    state.owner = 3  # E
    state.heat(3.0, quickly=True)
    state.heat(3.0, True)  # E
    ctx.select(lambda nasty: nasty.matrix[0][1]).equals(1.5)
    ctx.select(lambda nasty: nasty.matrix[0][1]).equals("x")  # E

"""A row of the results: two figures of the same rounds, their ratio, the goal, and what to make of it.

The law: a number alone says more about the machine than about the code, so a row is a comparison wherever there is
something to compare with, and the verdict is computed from the figures and from nothing else. A row that could not be
measured says why in the place of its figures; it is never left out. It knows nothing of how anything is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

__all__ = ["Row", "figure", "from_json", "table", "to_json"]


@dataclass
class Row:
    """One comparison.

    Attributes:
        what: what was compared.
        ours: our rate or cost, median of the rounds.
        peer: the peer's; None if the goal is for ours alone.
        unit: what they are given in; rates end in ``/s``, everything else is a cost.
        ratio: how many times better ours is, median of the rounds; above 1 is better.
        goal: what the ratio should be at least.
        rounds: the ratio of each round, in order; of ours alone its figures.
        key: the name by which the command line and the documents know this row.
        at_most: what ours may be at most, in ``unit``, whatever the peer's is.
        absent: why nothing was measured, and what to do about it.
        subject: what was compared, without the names of ours and the peer.
        ours_name: which of ours.
        peer_name: which peer.
    """

    what: str
    ours: float | None = None
    peer: float | None = None
    unit: str = ""
    ratio: float | None = None
    goal: float | None = None
    rounds: list[float] = field(default_factory=list)
    key: str = ""
    at_most: float | None = None
    absent: str = ""
    subject: str = ""
    ours_name: str = ""
    peer_name: str = ""

    @property
    def verdict(self) -> str:
        """Whether the goals are met, and by how much they are missed."""
        if self.absent:
            return self.absent
        missed = [short for short in self._shortfalls() if short > 1]
        if missed:
            return f"falls short by {max(missed):.2f} x"
        return "pass" if self._shortfalls() else ""

    def _shortfalls(self) -> list[float]:
        """Return for each goal how many times better ours would have to be to meet it."""
        shortfalls = []
        if self.goal is not None:
            shortfalls.append(self.goal / self.ratio if self.ratio else float("inf"))
        if self.at_most is not None:
            shortfalls.append(float("inf") if self.ours is None else self.ours / self.at_most)
        return shortfalls

    @property
    def _as_cost(self) -> bool:
        """Whether the goal bounds what ours may cost more than the peer: "at most 1.3 x" reads better than "0.77 x"."""
        return self.goal is not None and self.goal < 1 and not self.unit.endswith("/s")

    def _times(self, ratio: float) -> str:
        times = 1 / ratio if self._as_cost and ratio else ratio
        return f"{times:,.0f}" if times >= 100 else f"{times:.2f}"

    @property
    def times(self) -> str:
        """The ratio, in the sense in which the goal is meant."""
        return "" if self.ratio is None else f"{self._times(self.ratio)} x"

    @property
    def spread(self) -> str:
        """The smallest and the largest ratio of a round, in the same sense."""
        if self.ratio is None or len(self.rounds) < 2:
            return ""
        ends = [self._times(end) for end in (min(self.rounds), max(self.rounds))]
        return "-".join(reversed(ends) if self._as_cost else ends)

    @property
    def aim(self) -> str:
        """The goals in words."""
        aims = []
        if self.goal is not None:
            aims.append(f"<= {1 / self.goal:.3g} x" if self._as_cost else f">= {self.goal:g} x")
        if self.at_most is not None:
            aims.append(f"<= {self.at_most:g} {self.unit}")
        return ", ".join(aims)


def figure(value: float | None) -> str:
    """Return a figure to three digits or to ones, whichever is more; nothing for none."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def to_json(row: Row) -> dict[str, Any]:
    """Return what is kept of a row, and, for those who read it without this module, what can be computed of it."""
    return {**asdict(row), "times": row.times, "aim": row.aim, "verdict": row.verdict}


def from_json(kept: Mapping[str, Any]) -> Row:
    """Return a row that was kept; the verdict is computed anew."""
    return Row(**{each.name: kept[each.name] for each in fields(Row)})


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text of aligned columns."""
    lines = [("key", "what", "ours", "peer", "unit", "ratio", "rounds", "goal", "verdict")]
    lines += [
        (row.key, row.what, figure(row.ours), figure(row.peer), row.unit, row.times, row.spread, row.aim, row.verdict)
        for row in rows
    ]
    numbers = {2, 3, 5}
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place in numbers else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )

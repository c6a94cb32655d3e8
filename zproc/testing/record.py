"""The commits to a state since a test began to look.

The law: they are read from the server's history, not from what clients believe, and checked: without a gap, in one
order, of one life of the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from zproc.context import Context
from zproc.schema.event import Change, Commit
from zproc.schema.model import StateModel
from zproc.schema.path import matches, steps

__all__ = ["History"]

M = TypeVar("M", bound=StateModel)


class History(Generic[M]):
    """The commits of a context since this was made.

    Args:
        context: how the state is reached.

    Attributes:
        since: the revision after which it begins.
    """

    def __init__(self, context: Context[M]) -> None:
        self._context = context
        self.since: int = max((commit.revision for commit in context.history()), default=0)

    def commits(self) -> list[Commit]:
        """Return the commits, oldest first.

        Raises:
            HistoryGone: the server has forgotten some of them; give it larger ``limits``.
            AssertionError: they are not one after the other.
        """
        commits = list(self._context.history(since=self.since))
        numbers = [commit.revision for commit in commits]
        assert numbers == list(range(self.since + 1, self.since + 1 + len(commits))), f"revisions {numbers}"
        assert len({commit.epoch for commit in commits}) <= 1, "commits of two servers"
        return commits

    def changes(self, path: str | None = None) -> list[Change]:
        """Return the single changes, oldest first.

        Args:
            path: only those at this dotted path or pattern, above it or below it.
        """
        return [
            change
            for commit in self.commits()
            for change in commit.changes
            if path is None or _related(change.path, path)
        ]

    def functions(self) -> list[str]:
        """Return who made the commits: the names of atomic functions and actions; empty for assignments."""
        return [commit.author.function for commit in self.commits()]

    def values(self, path: str) -> list[Any]:
        """Return what stood at a dotted path, before and after each commit that changed it, oldest first.

        Args:
            path: a place that was there all the time.
        """
        changing = [
            commit.revision
            for commit in self.commits()
            if any(_related(change.path, path) for change in commit.changes)
        ]
        return [self._context.state_at(revision)[path] for revision in (self.since, *changing)]

    def assert_order(self, functions: Sequence[str]) -> None:
        """Make sure that some functions have committed in this order, whatever else has in between.

        Args:
            functions: their names.

        Raises:
            AssertionError: they have not; it tells which did.
        """
        happened = self.functions()
        rest = iter(happened)
        assert all(name in rest for name in functions), f"not in this order: {list(functions)}; it was {happened}"


def _related(changed: str, asked: str) -> bool:
    return matches(tuple(steps(asked)), tuple(steps(changed)))

"""A connection is lent to one at a time, and a question outlives those that break."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from zproc.client import Client, atomic
from zproc.client.connection import Losses
from zproc.core.limits import Limits
from zproc.core.messages import Hello, Read
from zproc.exceptions import CommitRefused, LimitExceeded, Unavailable, UsageError
from zproc.schema import StateModel

if TYPE_CHECKING:
    from tests.client.conftest import Serve


class Shop(StateModel):
    cookies: int = 0


@atomic
def bake(shop: Shop) -> int:
    shop.cookies += 1
    return shop.cookies


class TestLending:
    def test_one_after_the_other_share_one(self, serving: Serve) -> None:
        served = serving(Shop)
        for _ in range(5):
            served.state.cookies += 1
            bake(served.state)
        assert len(served.asked(Hello)) == 1

    def test_those_at_one_time_have_one_each(self, serving: Serve) -> None:
        served = serving(Shop)
        with served.client.connection() as one, served.client.connection() as two:
            assert one is not two
        with served.client.connection() as again:
            assert again in (one, two)

    def test_no_more_are_kept_than_are_of_use(self, serving: Serve, together: Callable[..., None]) -> None:
        served = serving(Shop)
        together(*[lambda: served.client.revision() for _ in range(20)])
        assert len(served.client._idle) <= 8
        assert served.client._open == set(served.client._idle)

    def test_a_refusal_leaves_a_connection_in_use(self, serving: Serve) -> None:
        served = serving(Shop)
        for _ in range(3):
            with pytest.raises(CommitRefused):
                served.state.cookies = "x"  # type: ignore[assignment]  # that is the point
        assert len(served.asked(Hello)) == 1


class TestGreeting:
    """Who knows that the server is there need not wait for its welcome before he asks something."""

    def test_the_first_question_goes_by_the_connection_that_has_greeted(self, serving: Serve) -> None:
        served = serving(Shop)
        client = served.client
        client.greet()
        served.wait_for(Hello)
        assert served.state.cookies == 0
        assert len(served.asked(Hello)) == 1
        assert bake(served.state) == 1

    def test_one_that_is_never_asked_by_is_closed_with_the_client(self, serving: Serve) -> None:
        served = serving(Shop)
        client = served.client
        client.greet()
        served.wait_for(Hello)
        client.close()
        with pytest.raises(UsageError):
            served.state.cookies  # noqa: B018 - it is read

    def test_a_refusal_is_told_to_who_asks_first(self, serving: Serve) -> None:
        served = serving(Shop, limits=Limits(sessions=1))
        first = served.client
        first.greet()
        served.wait_for(Hello)
        second = Client(first.schema, first.address, first.namespace)
        second.greet()
        with pytest.raises(LimitExceeded):
            second.revision()
        second.close()


class TestLosses:
    """A question is asked again however often the line breaks, but not for ever."""

    def test_what_is_no_loss_is_raised(self) -> None:
        with pytest.raises(Unavailable):
            Losses().add(cast("Any", SimpleNamespace(closed=False)), Unavailable("x", "y"))

    def test_a_question_outlives_many(self, serving: Serve) -> None:
        served = serving(Shop, fault=(Read, "before", 50))
        assert served.state.snapshot() == Shop()

    def test_but_not_all(self, serving: Serve) -> None:
        served = serving(Shop, fault=(Read, "before", 10**9))
        with pytest.raises(Unavailable):
            served.state.snapshot()

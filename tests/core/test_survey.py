"""What is said of who does and who waits for what."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.core.conftest import Wire


def of_the_shop(wire: Wire) -> list[str]:
    lines = wire.core.survey(now=wire.now)
    return lines[: lines.index("state 'other', revision 0")]


def test_where_nothing_goes_on_nothing_is_said_but_what_states_there_are(wire: Wire) -> None:
    assert wire.core.survey(now=wire.now) == ["state 'shop', revision 0", "state 'other', revision 0"]


def test_whoever_has_the_turn_is_named_and_how_long_he_may_have_it(wire: Wire) -> None:
    line = wire.connect()
    line.granted()
    wire.now += 10
    assert of_the_shop(wire) == [
        "state 'shop', revision 0",
        "  process 1 (pid 101) has the turn, for another 20.0 s at most",
    ]


def test_who_waits_for_the_turn_is_named_in_the_order_of_service_and_what_for(wire: Wire) -> None:
    holder, second, third, fourth = (wire.connect() for _ in range(4))
    holder.granted()
    second.send(second.acquire())
    third.send(third.act("bake", 1))
    fourth.send(fourth.add())
    assert of_the_shop(wire)[2:] == [
        "  process 2 (pid 102) waits for the turn, to run an atomic function",
        "  process 3 (pid 103) waits for the turn, to have bake run",
        "  process 4 (pid 104) waits for the turn, to commit test",
    ]


def test_who_waits_for_a_change_is_named_and_of_what(wire: Wire) -> None:
    one, other = wire.connect(), wire.connect()
    one.send(one.watch(("oven", "temp"), ("stock", ...)))
    other.send(other.watch())
    said = of_the_shop(wire)[1:]
    assert said == [
        "  process 1 (pid 101) waits for a change of oven.temp or stock.*",
        "  process 2 (pid 102) waits for a change of anything",
    ]


def test_looking_changes_nothing(wire: Wire) -> None:
    line = wire.connect()
    line.granted()
    before = wire.fingerprint(), wire.core.next_deadline()
    wire.core.survey(now=wire.now + 1000)
    assert (wire.fingerprint(), wire.core.next_deadline()) == before
    assert wire.core.effects() == []

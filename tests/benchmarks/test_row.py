from __future__ import annotations

import json

import pytest
from row import Row, from_json, table, to_json

RATE = Row(
    what="action", ours=30_000, peer=20_000, unit="/s", ratio=1.5, goal=1.3, rounds=[1.4, 1.5, 1.7], key="action"
)
COST = Row(
    what="start", ours=12, peer=10, unit="ms", ratio=1 / 1.2, goal=1 / 1.5, rounds=[0.8, 1 / 1.2, 1.0], key="start"
)


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (RATE, "pass"),
        (COST, "pass"),
        (Row("reaches it exactly", 2, 1, "/s", ratio=2, goal=2), "pass"),
        (Row("too slow", 10, 20, "/s", ratio=0.5, goal=2), "falls short by 4.00 x"),
        (Row("too dear", 30, 10, "ms", ratio=1 / 3, goal=1 / 1.5), "falls short by 2.00 x"),
        (Row("bound kept", 0.2, unit="us", at_most=0.3), "pass"),
        (Row("bound broken", 0.6, unit="us", at_most=0.3), "falls short by 2.00 x"),
        (Row("the worse of two", 0.6, 0.6, "us", ratio=1, goal=4, at_most=0.3), "falls short by 4.00 x"),
        (Row("no work done at all", 0, 20, "/s", ratio=0, goal=2), "falls short by inf x"),
        (Row("nothing to reach", 10, 20, "/s", ratio=0.5), ""),
        (Row("no peer", goal=2, absent="not installed: pip install it"), "not installed: pip install it"),
    ],
    ids=lambda value: value.what if isinstance(value, Row) else "",
)
def test_the_verdict_is_what_the_figures_say(row: Row, verdict: str) -> None:
    assert row.verdict == verdict


def test_a_goal_for_a_rate_bounds_it_from_below_and_one_for_a_cost_from_above() -> None:
    assert (RATE.times, RATE.spread, RATE.aim) == ("1.50 x", "1.40-1.70", ">= 1.3 x")
    assert (COST.times, COST.spread, COST.aim) == ("1.20 x", "1.00-1.25", "<= 1.5 x")


def test_a_cost_that_is_to_be_many_times_smaller_reads_as_times_better() -> None:
    row = Row("read", 0.2, 40, "us", ratio=200, goal=100, at_most=0.3)
    assert (row.times, row.aim) == ("200 x", ">= 100 x, <= 0.3 us")


def test_a_row_survives_json_and_its_verdict_is_computed_anew() -> None:
    kept = json.loads(json.dumps(to_json(RATE)))
    assert kept["verdict"] == "pass"
    assert from_json(kept) == RATE
    assert from_json(kept | {"goal": 2.0}).verdict == "falls short by 1.33 x"


def test_a_peer_that_is_missing_has_its_line_in_the_table() -> None:
    lines = table([RATE, Row("action against Redis", goal=1.2, key="redis", absent="not installed: pip install redis")])
    assert [line.split()[0] for line in lines.splitlines()] == ["key", "action", "redis"]
    assert lines.endswith(">= 1.2 x  not installed: pip install redis")


def test_the_columns_of_the_table_stand_under_their_heads() -> None:
    head, *lines = table([RATE, COST]).splitlines()
    assert {line.index(verdict) for line in lines for verdict in ["pass"]} == {head.index("verdict")}

from __future__ import annotations

import subprocess
import sys

import counts
import pytest
from counts import Count, Counts, Ledger, markdown


def outer() -> int:
    return inner() + inner()


def inner() -> int:
    return 1


def counted() -> Counts:
    count = Count()
    count.begin()
    outer()
    return count.end()


def test_calls_and_bytecodes_are_counted_by_function() -> None:
    found = counted()
    assert found.calls == {"benchmarks/test_counts.py outer": 1, "benchmarks/test_counts.py inner": 2}
    assert set(found.bytecodes) == set(found.calls)
    assert found.bytecodes["benchmarks/test_counts.py inner"] >= 2 * 2, "a constant, and its return"


def test_the_same_takes_the_same() -> None:
    assert counted() == counted()


def test_what_is_counted_ends_with_the_count() -> None:
    before = sys.gettrace()
    counted()
    assert sys.gettrace() is before


def test_a_ledger_tells_what_was_counted_since() -> None:
    ledger, total = Ledger(), Counts()
    earlier = ledger.settled()
    total.bytecodes["core/x.py f"] += 7
    total.calls[counts.TAKE] += 2
    ledger.put(total)
    assert ledger.get(2).without(earlier).bytecodes == {"core/x.py f": 7}
    with pytest.raises(AssertionError, match="somebody else"):
        ledger.get(1)


def test_a_table_tells_of_one_request() -> None:
    found = counted()
    line = markdown({"outer": counts.Sides(client=found)}, 1).splitlines()[-1]
    assert line == f"| outer | {found.bytecodes.total()} (3) |  |  |"


@pytest.mark.slow
def test_every_request_is_counted_in_real_processes() -> None:
    """In a process of its own, since it forks."""
    command = [sys.executable, counts.__file__, "--times", "5"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True).stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines() if line.startswith("|")]
    lines = {row[0]: row[1:] for row in rows}
    for name in ("single-op commit", "+=", "action", "@atomic", counts.WAKE_UP):
        asked, served = (int(cell.split("(")[0].replace(",", "")) for cell in lines[name][:2])
        assert asked > 100, name
        assert served > 100, name
    assert lines["read, unchanged"][1] == "", "a read of what has not changed asks nobody"
    assert lines[counts.WAKE_UP][2] != ""

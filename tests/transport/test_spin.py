"""When it is worth a look before a sleep."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zproc.transport import spin as spins
from zproc.transport.spin import LONGEST, Spin

SHORT, LONG = LONGEST / 2, LONGEST


@pytest.fixture
def spin(monkeypatch: pytest.MonkeyPatch) -> Spin:
    """One on a machine of several processors, whatever this one has, and with nothing else to do."""
    monkeypatch.setattr(spins, "_processors", lambda: 4)
    monkeypatch.setattr(spins, "_crowded", lambda: False)
    return Spin()


def _sleeps_until_worth(spin: Spin) -> int:
    count = 0
    while not spin.worth:
        spin.slept(SHORT)
        count += 1
    return count


def test_looking_is_worth_it_after_two_short_sleeps_in_a_row(spin: Spin) -> None:
    """Not after one, and a long one between makes them none."""
    assert not spin.worth
    spin.slept(SHORT)
    spin.slept(LONG)
    spin.slept(SHORT)
    assert not spin.worth
    spin.slept(SHORT)
    assert spin.worth


def test_it_stays_worth_it_as_long_as_looks_find_something(spin: Spin) -> None:
    """However often, and one in vain ends it."""
    _sleeps_until_worth(spin)
    for _ in range(1000):
        spin.looked(found=True)
    assert spin.worth
    spin.looked(found=False)
    assert not spin.worth


def test_each_look_in_vain_puts_the_next_twice_as_far_away(spin: Spin) -> None:
    """Up to 4,096 sleeps: then a look in vain costs each less than a twentieth of a microsecond."""
    needed = []
    for _ in range(13):
        needed.append(_sleeps_until_worth(spin))
        spin.looked(found=False)
    assert needed == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 4096]


def test_sixteen_looks_that_found_something_make_up_for_all_in_vain(spin: Spin) -> None:
    """Fifteen do not."""
    for proof, needed in ((15, 16), (16, 4)):
        spin = Spin()
        for _ in range(2):
            _sleeps_until_worth(spin)
            spin.looked(found=False)
        assert _sleeps_until_worth(spin) == 8
        for _ in range(proof):
            spin.looked(found=True)
        spin.looked(found=False)
        assert _sleeps_until_worth(spin) == needed


def test_a_single_processor_is_left_to_whom_one_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never worth a look."""
    monkeypatch.setattr(spins, "_processors", lambda: 1)
    spin = Spin()
    for _ in range(10_000):
        spin.slept(SHORT)
    assert not spin.worth


def test_who_looks_for_himself_leaves_a_crowded_machine_to_others(spin: Spin, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not worth a look then, and sixty-four looks after it has become so it is no longer."""
    monkeypatch.setattr(spins, "_crowded", lambda: True)
    for _ in range(2 + 4 + 8):
        spin.slept(SHORT)
        assert not spin.worth
    monkeypatch.setattr(spins, "_crowded", lambda: False)
    assert _sleeps_until_worth(spin) == 16
    monkeypatch.setattr(spins, "_crowded", lambda: True)
    for _ in range(63):
        spin.looked(found=True)
    assert spin.worth
    spin.looked(found=True)
    assert not spin.worth


def test_who_looks_for_all_goes_on_in_a_crowd(spin: Spin, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them wait for what he does next."""
    monkeypatch.setattr(spins, "_crowded", lambda: True)
    spin = Spin(for_all=True)
    assert _sleeps_until_worth(spin) == 2
    for _ in range(1000):
        spin.looked(found=True)
    assert spin.worth


@pytest.mark.parametrize(
    ("said", "crowded"),
    [
        ("0.50 0.40 0.30 3/345 12345\n", False),
        ("0.50 0.40 0.30 5/345 12345\n", True),
        ("", False),
        ("0 0 0 many/345", False),
        (None, False),
    ],
)
def test_a_machine_is_crowded_when_more_could_run_than_there_are_processors(
    said: str | None, crowded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system that does not tell, or tells it otherwise, is not."""
    if said is not None:
        (tmp_path / "loadavg").write_text(said)
    monkeypatch.setattr(spins, "_RUNNING", str(tmp_path / "loadavg"))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert spins._crowded() is crowded

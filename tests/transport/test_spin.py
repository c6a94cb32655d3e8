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
    monkeypatch.setattr(spins, "_crowded", lambda _together: False)
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


def test_the_processor_is_left_to_others_who_could_use_it(spin: Spin, monkeypatch: pytest.MonkeyPatch) -> None:
    """While there are such it does not become worth a look; and what has become so ends 256 looks later."""
    monkeypatch.setattr(spins, "_crowded", lambda _together: True)
    for _ in range(2 + 4 + 8):
        spin.slept(SHORT)
        assert not spin.worth
    monkeypatch.setattr(spins, "_crowded", lambda _together: False)
    assert _sleeps_until_worth(spin) == 16
    monkeypatch.setattr(spins, "_crowded", lambda _together: True)
    for _ in range(255):
        spin.looked(found=True)
    assert spin.worth
    spin.looked(found=True)
    assert not spin.worth


def test_who_belongs_together_is_told_from_others(spin: Spin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client and its server are two; a server says how many its clients and itself are."""
    asked: list[int] = []
    monkeypatch.setattr(spins, "_crowded", asked.append)
    _sleeps_until_worth(spin)
    spin.together = 9
    for _ in range(256):
        spin.looked(found=True)
    assert asked == [2, 9]


@pytest.mark.parametrize(
    ("said", "together", "crowded"),
    [
        ("0.50 0.40 0.30 4/345 12345\n", 2, False),
        ("0.50 0.40 0.30 5/345 12345\n", 2, True),
        ("0.50 0.40 0.30 9/345 12345\n", 9, False),
        ("0.50 0.40 0.30 10/345 12345\n", 9, True),
        ("", 2, False),
        ("0 0 0 many/345", 2, False),
        (None, 2, False),
    ],
)
def test_others_are_more_than_there_are_processors_and_than_belong_together(
    said: str | None, together: int, crowded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On four processors; where the system does not tell, or tells it otherwise, there are none."""
    if said is not None:
        (tmp_path / "loadavg").write_text(said)
    monkeypatch.setattr(spins, "_RUNNING", str(tmp_path / "loadavg"))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert spins._crowded(together) is crowded

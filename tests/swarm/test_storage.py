"""A segment is used again only when nobody holds anything in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from zproc.process import Packer
from zproc.swarm import storage as module
from zproc.swarm.storage import Storage

LARGE = Packer().pack(b"x" * (1 << 20))


@pytest.fixture
def storage() -> Iterator[Storage]:
    made = Storage()
    yield made
    made.close()


def test_what_was_given_back_is_used_again(storage: Storage) -> None:
    first, *_ = storage.place(LARGE)
    storage.give_back(first)
    second, *_ = storage.place(LARGE)
    assert first == second


def test_what_is_out_is_not_used_again(storage: Storage) -> None:
    assert storage.place(LARGE)[0] != storage.place(LARGE)[0]


def test_what_was_parted_with_is_not_used_again(storage: Storage) -> None:
    first, *_ = storage.place(LARGE)
    storage.part_with(first)
    storage.give_back(first)
    assert storage.place(LARGE)[0] != first


def test_what_does_not_fit_stays(storage: Storage) -> None:
    first, *_ = storage.place(LARGE)
    storage.give_back(first)
    assert storage.place(Packer().pack(b"x" * (4 << 20)))[0] != first


def test_what_is_kept_is_bounded(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 3 << 20)
    numbers = [storage.place(LARGE)[0] for _ in range(5)]
    for number in numbers:
        storage.give_back(number)
    assert sum(segment.size for segment in storage._free.values()) <= 3 << 20
    assert storage.place(LARGE)[0] == numbers[-1], "the newest is the likeliest to be near"

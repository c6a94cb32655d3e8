"""Addresses, limits and arrivals, as values."""

from __future__ import annotations

import math

import pytest

import zproc.transport
from zproc.exceptions import UsageError
from zproc.transport import Address, Closed, Limits, Opened, Received, parse_address, with_keys
from zproc.transport.base import LONGEST_WAIT, SCHEMES, capped
from zproc.typing import PeerId


@pytest.mark.parametrize(
    ("text", "scheme", "place"),
    [
        ("unix:///run/zproc/s", "unix", "/run/zproc/s"),
        ("unix:///with space/ä://s", "unix", "/with space/ä://s"),
        ("memory://x", "memory", "x"),
        ("tcp://127.0.0.1:5", "tcp", "127.0.0.1:5"),
        ("ipc:///tmp/s", "ipc", "/tmp/s"),
    ],
)
def test_an_address_is_taken_apart_and_put_together(text: str, scheme: str, place: str) -> None:
    """And is the same text again."""
    assert parse_address(text) == Address(scheme, place)
    assert str(parse_address(text)) == text


@pytest.mark.parametrize("text", ["", "unix", "unix:/run/s", "/run/s", "http://x", "UNIX:///run/s", " unix:///run/s"])
def test_what_is_no_address_is_refused_with_the_list_of_those_that_are(text: str) -> None:
    """A user who mistypes reads what to type."""
    with pytest.raises(UsageError, match="is not an address; known are") as caught:
        parse_address(text)
    for form in SCHEMES.values():
        assert form in str(caught.value)


@pytest.mark.parametrize("text", ["unix://", "unix://run/s", "unix:///run/\0s", "memory://", "ipc://run/s", "tcp://"])
def test_an_address_without_its_form_is_refused_with_the_form(text: str) -> None:
    """A relative path would mean another place in every process."""
    with pytest.raises(UsageError, match="is not of the form") as caught:
        parse_address(text)
    assert SCHEMES[text.partition(":")[0]] in str(caught.value)


def test_the_directory_of_keys_is_part_of_a_tcp_address() -> None:
    """It goes wherever the address goes; what others are told is without it."""
    address = with_keys("tcp://10.0.0.1:5000", "/etc/zproc/client")
    assert address == "tcp://10.0.0.1:5000?keys=/etc/zproc/client"
    parsed = parse_address(address)
    assert (parsed.place, parsed.keys) == ("10.0.0.1:5000", "/etc/zproc/client")
    assert (str(parsed), parsed.public) == (address, "tcp://10.0.0.1:5000")
    assert with_keys(address, "/elsewhere") == "tcp://10.0.0.1:5000?keys=/elsewhere"
    assert with_keys(address, None) == address


def test_keys_where_they_make_no_sense_are_refused() -> None:
    """A relative directory in an address would be another one for every process."""
    with pytest.raises(UsageError, match="absolute"):
        parse_address("tcp://10.0.0.1:5000?keys=client")
    for address in ("unix:///tmp/s", "ipc:///tmp/s", "memory://s"):
        with pytest.raises(UsageError, match="keys are for tcp"):
            with_keys(address, "/etc/zproc/client")


@pytest.mark.parametrize("name", ["first_frame", "frame", "backlog", "peers", "handshake"])
def test_a_limit_is_positive(name: str) -> None:
    """Zero is not "no limit"."""
    with pytest.raises(UsageError, match=f"the limit '{name}' must be positive, not 0"):
        Limits(**{name: 0})


def test_a_frame_limit_fits_its_header() -> None:
    """The highest bit is taken."""
    assert Limits(frame=(1 << 31) - 1).frame == 2147483647
    for name in ("frame", "first_frame"):
        with pytest.raises(UsageError, match="shorter than 2 GiB"):
            Limits(**{name: 1 << 31})


def test_arrivals_are_values() -> None:
    """Equal when their fields are, and shown with them."""
    peer = PeerId(7)
    assert Received(peer, b"x") == Received(peer, b"x") != Received(peer, b"y")
    assert repr(Opened(peer, None)) == "Opened(peer=7, pid=None)"
    match Closed(peer, "why"):
        case Closed(which, reason):
            assert (which, reason) == (7, "why")


def test_a_timeout_is_cut_to_what_the_system_takes() -> None:
    """Neither negative nor without end."""
    assert capped(1.5) == 1.5
    assert capped(-3) == 0
    assert capped(math.inf) == LONGEST_WAIT
    with pytest.raises(UsageError, match="NaN"):
        capped(math.nan)


def test_names_of_the_package_are_there() -> None:
    """What ``__all__`` promises can be imported."""
    for name in zproc.transport.__all__:
        assert hasattr(zproc.transport, name)

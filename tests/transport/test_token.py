"""Tokens are found by this user's processes, by the address, for as long as their server listens."""

from __future__ import annotations

import os
import stat

import pytest

from zproc.exceptions import UsageError
from zproc.transport.token import claim_address, is_loopback, new_token, publish_token, read_token

PORT = 1  # nobody listens there; here are only files


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "localhost", "::1"])
def test_loopback_addresses_are_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "192.0.2.7", "8.8.8.8", "0.0.0.0", "2001:db8::1"])
def test_other_addresses_are_not_taken_for_them(host: str) -> None:
    assert not is_loopback(host)


def test_a_host_that_is_none_is_named() -> None:
    with pytest.raises(UsageError, match="there is no host 'no such host'"):
        is_loopback("no such host")


def test_a_token_is_found_until_its_server_is_gone() -> None:
    assert read_token("127.0.0.1", PORT) is None
    claim = claim_address("127.0.0.1", PORT)
    token = new_token()
    publish_token(claim, token)
    assert read_token("127.0.0.1", PORT) == read_token("localhost", PORT) == token
    assert read_token("127.0.0.2", PORT) is None
    claim.release()
    assert read_token("127.0.0.1", PORT) is None


def test_nobody_else_can_read_it() -> None:
    claim = claim_address("127.0.0.1", PORT)
    publish_token(claim, new_token())
    assert stat.S_IMODE(os.lstat(claim.path).st_mode) == 0o600
    claim.release()


def test_a_token_that_a_killed_server_left_is_replaced() -> None:
    killed = claim_address("127.0.0.1", PORT)
    publish_token(killed, new_token())
    killed.disown()  # the kernel does the same
    claim = claim_address("127.0.0.1", PORT)
    token = new_token()
    publish_token(claim, token)
    assert read_token("127.0.0.1", PORT) == token
    claim.release()


def test_an_address_is_one_servers() -> None:
    claim = claim_address("127.0.0.1", PORT)
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(UsageError, match=f"tcp://{host}:1: address in use by process {os.getpid()}"):
            claim_address(host, PORT)
    claim.release()


@pytest.mark.parametrize("content", [b"", b"zz", b"00", b"\xff"])
def test_what_is_no_token_is_none(content: bytes) -> None:
    claim = claim_address("127.0.0.1", PORT)
    with open(claim.path, "wb") as file:
        file.write(content)
    claim.hold()
    assert read_token("127.0.0.1", PORT) is None
    claim.release()


def test_tokens_differ() -> None:
    assert len({new_token() for _ in range(100)}) == 100

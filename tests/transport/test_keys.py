"""Keys are made so that nobody else can read them, and read so that nothing else passes for one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import zmq

from zproc.exceptions import UsageError
from zproc.transport.keys import (
    AllowList,
    client_keys,
    client_keys_of_token,
    make_keys,
    server_keys,
    server_keys_of_token,
    to_text,
    write_secret,
)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    make_keys(str(tmp_path / "keys"), ["alice", "bob"])
    return tmp_path / "keys"


def test_a_directory_for_the_server_and_one_for_each_client_are_made(made: Path) -> None:
    assert sorted(each.relative_to(made).as_posix() for each in made.rglob("*")) == [
        "alice",
        "alice/public.key",
        "alice/secret.key",
        "alice/server.key",
        "bob",
        "bob/public.key",
        "bob/secret.key",
        "bob/server.key",
        "server",
        "server/clients",
        "server/public.key",
        "server/secret.key",
    ]


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_nobody_else_can_read_what_is_made(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make_keys(str(tmp_path / "keys"), ["alice"])
    finally:
        os.umask(before)
    modes = {each.name: stat.S_IMODE(each.lstat().st_mode) for each in (tmp_path / "keys").rglob("*")}
    assert all(mode == (0o700 if "." not in name and name != "clients" else 0o600) for name, mode in modes.items())


def test_the_keys_of_server_and_clients_fit(made: Path) -> None:
    server = server_keys(str(made / "server"))
    alice, bob = client_keys(str(made / "alice")), client_keys(str(made / "bob"))
    assert alice.server == bob.server == zmq.curve_public(server.secret)
    assert alice.public == zmq.curve_public(alice.secret) != bob.public
    assert server.allowed(alice.public)
    assert server.allowed(bob.public)
    assert not server.allowed(zmq.curve_keypair()[0])


def test_whoever_has_the_keys_of_the_server_is_a_client_too(made: Path) -> None:
    server, own = server_keys(str(made / "server")), client_keys(str(made / "server"))
    assert own.server == own.public
    assert server.allowed(own.public)


def test_a_client_that_is_added_later_is_let_in_without_a_restart(made: Path) -> None:
    server = server_keys(str(made / "server"))
    before = client_keys(str(made / "alice"))
    assert make_keys(str(made), ["carol"]) == [str(made / "carol")]
    carol = client_keys(str(made / "carol"))
    assert carol.server == before.server
    assert server.allowed(carol.public)


def test_a_client_that_is_taken_off_the_list_is_let_in_no_more(made: Path) -> None:
    server, alice = server_keys(str(made / "server")), client_keys(str(made / "alice"))
    assert server.allowed(alice.public)
    (made / "server" / "clients").write_text("# nobody\n")
    assert not server.allowed(alice.public)


def test_what_is_there_is_not_made_anew(made: Path) -> None:
    with pytest.raises(UsageError, match="exists already"):
        make_keys(str(made), ["alice"])
    with pytest.raises(UsageError, match="exists already"):
        make_keys(str(made), ["dave", "alice"])
    assert not (made / "dave").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "server", "a/b", "a\nb", "a\0b"])
def test_a_name_that_would_be_another_place_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name"):
        make_keys(str(tmp_path), [name])


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot make keys in .*file"):
        make_keys(str(tmp_path / "file"), ["alice"])


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_secret_that_others_can_read_is_refused(made: Path, mode: int) -> None:
    for name, read in (("server", server_keys), ("alice", client_keys)):
        (made / name / "secret.key").chmod(mode)
        with pytest.raises(UsageError, match="others can read"):
            read(str(made / name))


def test_a_directory_without_keys_says_how_to_make_some(tmp_path: Path) -> None:
    for read in (server_keys, client_keys):
        with pytest.raises(UsageError, match="zproc keys new"):
            read(str(tmp_path))


def test_a_server_with_the_keys_of_a_client_says_which_it_needs(made: Path) -> None:
    with pytest.raises(UsageError, match="no list of clients"):
        server_keys(str(made / "alice"))


@pytest.mark.parametrize("text", ["", "short", "x" * 41, " " * 40, "ü" * 20, "~" * 40])
def test_what_is_no_key_is_refused_by_its_place(made: Path, text: str) -> None:
    for name in ("secret.key", "server.key"):
        kept = (made / "alice" / name).read_text()
        (made / "alice" / name).write_text(text)
        with pytest.raises(UsageError, match=rf"{name}: this is no key"):
            client_keys(str(made / "alice"))
        (made / "alice" / name).write_text(kept)


def test_a_line_of_the_list_that_is_no_key_is_named(made: Path) -> None:
    with (made / "server" / "clients").open("a") as file:
        file.write("rubbish\n")
    with pytest.raises(UsageError, match=r"clients, line 4: this is no key"):
        server_keys(str(made / "server"))


def test_comments_and_what_stands_behind_a_key_are_for_people(tmp_path: Path) -> None:
    key = to_text(bytes([0xFF]) * 32)
    path = tmp_path / "clients"
    path.write_bytes(b"# a comment\n\n  " + key + b" the odd one # out\n")
    allowed = AllowList(str(path), b"own")
    assert allowed(key)
    assert allowed(b"own")
    assert not allowed(b"odd")


def test_no_key_can_be_taken_for_a_comment() -> None:
    """The greatest key there is begins with a character below the sign of a comment."""
    alphabet = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    assert alphabet.index(to_text(bytes([0xFF]) * 32)[:1]) < alphabet.index(b"#")


def test_a_list_that_is_gone_lets_nobody_in(made: Path) -> None:
    server, alice = server_keys(str(made / "server")), client_keys(str(made / "alice"))
    (made / "server" / "clients").unlink()
    with pytest.raises(UsageError, match="cannot read the list of clients"):
        server.allowed(alice.public)


def test_a_token_makes_keys_that_fit_and_fit_no_other() -> None:
    server, client = server_keys_of_token(b"token"), client_keys_of_token(b"token")
    assert client.server == zmq.curve_public(server.secret)
    assert client.public == zmq.curve_public(client.secret) != client.server
    assert server.allowed(client.public)
    other = client_keys_of_token(b"Token")
    assert not server.allowed(other.public)
    assert other.server != client.server


def test_secrets_are_in_no_text() -> None:
    server, client = server_keys_of_token(b"token"), client_keys_of_token(b"token")
    assert server.secret.decode() not in repr(server)
    assert client.secret.decode() not in repr(client)


def test_a_secret_is_written_over_nothing(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_secret(str(path), b"one")
    with pytest.raises(FileExistsError):
        write_secret(str(path), b"two")
    assert path.read_bytes() == b"one"

"""Directories that only we can enter, and paths that are never stolen."""

from __future__ import annotations

import fcntl
import os
import resource
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zproc import transport
from zproc.exceptions import Unavailable, UsageError
from zproc.transport.rendezvous import (
    LONGEST_PATH,
    Claim,
    Credentials,
    check_path,
    clear_path,
    fresh_address,
    left_behind,
    peer_credentials,
    runtime_directory,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")


@pytest.fixture
def short(runtime_directory: str) -> str:
    """A directory whose paths are short enough for sockets."""
    return runtime_directory


@pytest.fixture
def path(short: str) -> Iterator[str]:
    """A path in a directory of its own."""
    directory = tempfile.mkdtemp(dir=short)
    yield f"{directory}/s"
    shutil.rmtree(directory)


@pytest.fixture
def umask() -> Iterator[Callable[[int], object]]:
    """Sets the umask until the end of the test."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.fixture
def chosen(tmp_path_factory: pytest.TempPathFactory, short: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that ``ZPROC_RUNTIME_DIR`` names and that does not exist yet."""
    directory = Path(short) / "chosen"
    monkeypatch.setenv("ZPROC_RUNTIME_DIR", str(directory))
    yield directory
    if directory.is_symlink() or directory.is_file():
        directory.unlink()
    elif directory.exists():
        directory.rmdir()


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


class TestRuntimeDirectory:
    def test_is_the_one_that_is_named(self, chosen: Path) -> None:
        """It is made for us alone."""
        assert runtime_directory() == str(chosen)
        assert mode(chosen) == 0o700
        assert runtime_directory() == str(chosen)

    @pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o277, 0o777])
    def test_is_private_whatever_the_umask(self, chosen: Path, umask: Callable[[int], object], mask: int) -> None:
        """Neither more nor less than we need."""
        umask(mask)
        runtime_directory()
        assert mode(chosen) == 0o700

    def test_is_beside_those_of_other_programs_otherwise(self, short: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The desktop's directory is not shared with them."""
        monkeypatch.delenv("ZPROC_RUNTIME_DIR", raising=False)
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        assert runtime_directory() == f"{short}/zproc"

    @pytest.mark.parametrize("desktop", ["", "relative", "/nowhere/at/all", "/proc/self/exe"])
    def test_is_in_tmp_when_there_is_no_desktop(self, monkeypatch: pytest.MonkeyPatch, desktop: str) -> None:
        """A variable that leads nowhere is as good as none."""
        monkeypatch.delenv("ZPROC_RUNTIME_DIR", raising=False)
        monkeypatch.setenv("XDG_RUNTIME_DIR", desktop)
        assert runtime_directory() == f"/tmp/zproc-{os.geteuid()}"
        assert mode(f"/tmp/zproc-{os.geteuid()}") == 0o700

    def test_is_in_tmp_when_the_desktops_path_is_too_long(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A socket there could not be bound."""
        deep = tmp_path / ("x" * 100)
        deep.mkdir()
        monkeypatch.delenv("ZPROC_RUNTIME_DIR", raising=False)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
        assert runtime_directory() == f"/tmp/zproc-{os.geteuid()}"

    @needs_root
    def test_is_in_tmp_when_the_desktop_is_another_users(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """After sudo the variable names the directory of who called it."""
        os.chown(tmp_path, 12345, 12345)
        monkeypatch.delenv("ZPROC_RUNTIME_DIR", raising=False)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        assert runtime_directory() == f"/tmp/zproc-{os.geteuid()}"
        assert list(tmp_path.iterdir()) == []

    def test_is_never_a_link(self, chosen: Path, tmp_path: Path) -> None:
        """Whoever made it decides where it leads."""
        tmp_path.chmod(0o700)
        chosen.symlink_to(tmp_path)
        with pytest.raises(UsageError, match="is not a directory; remove it, or set ZPROC_RUNTIME_DIR"):
            runtime_directory()

    def test_is_never_a_file(self, chosen: Path) -> None:
        """The error says what to do."""
        chosen.touch()
        with pytest.raises(UsageError, match="is not a directory"):
            runtime_directory()

    @pytest.mark.parametrize("wrong", [0o755, 0o770, 0o701, 0o500])
    def test_with_another_mode_is_refused(self, chosen: Path, wrong: int) -> None:
        """It may be open on purpose, so it is not changed; the error tells how."""
        chosen.mkdir()
        chosen.chmod(wrong)
        with pytest.raises(UsageError, match=f"has mode {wrong:04o}; make it private: chmod 700 {chosen}"):
            runtime_directory()
        assert mode(chosen) == wrong

    @needs_root
    def test_of_another_user_is_refused(self, chosen: Path) -> None:
        """Even when it looks private."""
        chosen.mkdir(0o700)
        os.chown(chosen, 12345, 12345)
        with pytest.raises(UsageError, match="belongs to uid 12345"):
            runtime_directory()

    def test_that_cannot_be_made_is_refused(self, short: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the system's reason and ours."""
        monkeypatch.setenv("ZPROC_RUNTIME_DIR", f"{short}/no/such")
        with pytest.raises(UsageError, match=r"No such file or directory; set ZPROC_RUNTIME_DIR"):
            runtime_directory()

    def test_that_is_too_long_or_relative_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was asked for by name is not replaced in silence."""
        monkeypatch.setenv("ZPROC_RUNTIME_DIR", "/" + "x" * 100)
        with pytest.raises(UsageError, match=f"has at most {LONGEST_PATH}"):
            runtime_directory()
        monkeypatch.setenv("ZPROC_RUNTIME_DIR", "here")
        with pytest.raises(UsageError, match="is not an absolute path"):
            runtime_directory()


class TestAddresses:
    def test_are_fresh_each_time(self, short: str) -> None:
        """Eight hexadecimal digits in the runtime directory."""
        addresses = {fresh_address() for _ in range(100)}
        assert len(addresses) == 100
        for address in addresses:
            directory, _, name = address.removeprefix("unix://").rpartition("/")
            assert directory == f"{short}/zproc"
            assert len(name) == 8
            int(name, 16)

    def test_in_use_are_not_fresh(self, short: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither is one whose server is only just beginning or ending."""
        taken = fresh_address().removeprefix("unix://")
        names = iter([taken.rpartition("/")[2]] * 2 + ["fee1dead"])
        monkeypatch.setattr(secrets, "token_hex", lambda _: next(names))
        claim = Claim(taken)
        try:
            assert fresh_address().endswith("/fee1dead")
        finally:
            claim.release()

    def test_have_as_many_bytes_as_a_socket_takes(self, short: str) -> None:
        """The limit is the system's, and it counts bytes."""
        longest = f"{short}/" + "ä" * ((LONGEST_PATH - len(short)) // 2 - 1)
        longest += "x" * (LONGEST_PATH - len(os.fsencode(longest)))
        claim = Claim(check_path(longest))
        claim.bind().close()
        claim.release()
        with pytest.raises(UsageError, match=f"{LONGEST_PATH + 1} bytes, but a socket's path has at most"):
            Claim(longest + "x")


class TestClaim:
    def test_leaves_nothing_behind(self, path: str) -> None:
        """Released twice, it is released."""
        claim = Claim(path)
        bound = claim.bind()
        assert sorted(os.listdir(os.path.dirname(path))) == [os.path.basename(path), os.path.basename(path) + ".lock"]
        bound.close()
        claim.release()
        claim.release()
        assert os.listdir(os.path.dirname(path)) == []

    @pytest.mark.parametrize("mask", [0o000, 0o777])
    def test_is_private_whatever_the_umask(self, path: str, umask: Callable[[int], object], mask: int) -> None:
        """Both files are for us to read and write, and for nobody else."""
        umask(mask)
        claim = Claim(path)
        with claim.bind():
            assert mode(path) == mode(path + ".lock") == 0o600
        claim.release()

    def test_leaves_nothing_on_a_full_disk(self, path: str) -> None:
        """There a file can be made and not be written."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        try:
            with pytest.raises(Unavailable, match="cannot listen here"):
                Claim(path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert os.listdir(os.path.dirname(path)) == []

    def test_is_exclusive(self, path: str) -> None:
        """The error names the process."""
        claim = Claim(path)
        with pytest.raises(UsageError, match=f"unix://{path}: address in use by process {os.getpid()};"):
            Claim(path)
        claim.release()
        Claim(path).release()

    def test_is_exclusive_before_its_holder_has_signed(self, path: str) -> None:
        """The lock counts, not what is written in the file."""
        claim = Claim(path)
        os.truncate(path + ".lock", 0)
        with pytest.raises(UsageError, match="address in use by another process;"):
            Claim(path)
        claim.release()

    def test_replaces_what_a_dead_server_left(self, path: str) -> None:
        """A socket that nobody listens at, and a lock that nobody holds."""
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
        Path(path + ".lock").write_text("99999999")
        claim = Claim(path)
        with claim.bind() as bound:
            bound.listen()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
        claim.release()

    @pytest.mark.slow
    def test_replaces_what_a_killed_server_left(self, path: str, program: Any) -> None:
        """The kernel has given the lock back."""
        server = program(
            "import sys; from zproc.transport.rendezvous import Claim; claim = Claim(sys.argv[1])\n"
            "bound = claim.bind(); bound.listen(); print('ready', flush=True); input()",
            path,
        )
        with pytest.raises(UsageError, match=f"in use by process {server.pid};"):
            Claim(path)
        server.send_signal(signal.SIGKILL)
        server.wait()
        assert os.path.exists(path)
        claim = Claim(path)
        claim.bind().close()
        claim.release()

    @pytest.mark.slow
    def test_is_free_when_its_holder_was_killed_and_left_a_forked_child(self, path: str, program: Any) -> None:
        """The child has inherited the lock's descriptor, and let go of it."""
        server = program(
            "import os, sys; from zproc.transport.rendezvous import Claim; claim = Claim(sys.argv[1])\n"
            "if os.fork() == 0: print('ready', flush=True); sys.stdin.readline(); os._exit(0)\n"
            "import signal; signal.pause()",
            path,
        )
        server.send_signal(signal.SIGKILL)
        server.wait()
        Claim(path).release()

    def test_never_steals_from_a_server_that_knows_no_lock(self, path: str) -> None:
        """Whoever accepts there is alive."""
        with socket.socket(socket.AF_UNIX) as alive:
            alive.bind(path)
            alive.listen()
            claim = Claim(path)
            with pytest.raises(UsageError, match="address in use by a process that holds no lock on it"):
                claim.bind()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
        assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]

    def test_never_steals_from_a_server_that_is_too_busy_to_answer(self, path: str) -> None:
        """Only a refusal means that nobody is there."""
        with socket.socket(socket.AF_UNIX) as alive, socket.socket(socket.AF_UNIX) as waiting:
            alive.bind(path)
            alive.listen(0)
            waiting.connect(path)
            with pytest.raises(UsageError, match="address in use"):
                Claim(path).bind()
            assert os.path.exists(path)
        os.unlink(path)

    @pytest.mark.parametrize("make", [os.mkdir, lambda path: Path(path).write_text("precious")])
    def test_never_removes_what_is_not_a_socket(self, path: str, make: Callable[[str], object]) -> None:
        """It is somebody's, however it came there."""
        make(path)
        with pytest.raises(UsageError, match="exists and is not a socket"):
            Claim(path).bind()
        assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]

    def test_never_removes_anothers_files(self, path: str) -> None:
        """Even under its own names."""
        claim = Claim(path)
        claim.bind().close()
        for name in (path, path + ".lock"):
            os.rename(name, name + ".old")
            Path(name).touch()
        claim.release()
        left = os.path.basename(path)
        assert sorted(os.listdir(os.path.dirname(path))) == [left, left + ".lock", left + ".lock.old", left + ".old"]

    def test_lasts_when_somebody_has_removed_its_files(self, path: str) -> None:
        """Releasing what is gone is no error."""
        claim = Claim(path)
        claim.bind().close()
        os.unlink(path)
        os.unlink(path + ".lock")
        claim.release()

    def test_of_a_place_that_is_none_is_refused(self, path: str) -> None:
        """The system's reason is told."""
        with pytest.raises(Unavailable, match="cannot listen here: No such file or directory"):
            Claim(path + "/x")

    def test_follows_no_link(self, path: str, tmp_path: Path) -> None:
        """The file that a link leads to would be emptied."""
        precious = tmp_path / "precious"
        precious.write_text("everything")
        os.symlink(precious, path + ".lock")
        with pytest.raises(Unavailable, match="cannot listen here"):
            Claim(path)
        assert precious.read_text() == "everything"
        os.unlink(path + ".lock")

    def test_starts_over_when_the_lock_was_taken_away_meanwhile(
        self, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The last holder removed the file after we had opened it, and before we had its lock."""
        flock = fcntl.flock
        opened: list[int] = []

        def slow_flock(descriptor: int, operation: int) -> None:
            if not opened:
                os.unlink(path + ".lock")
            opened.append(descriptor)
            flock(descriptor, operation)

        monkeypatch.setattr(fcntl, "flock", slow_flock)
        claim = Claim(path)
        assert len(opened) == 2
        assert os.path.exists(path + ".lock")
        claim.release()

    @pytest.mark.slow
    def test_is_one_processs_at_a_time(self, path: str, tmp_path: Path, program: Any) -> None:
        """Three processes take and release it as fast as they can; nobody ever finds another inside."""
        source = (
            "import os, sys\n"
            "from zproc.exceptions import UsageError\n"
            "from zproc.transport.rendezvous import Claim\n"
            "print('ready', flush=True); input(); won = 0\n"
            "while won < 100:\n"
            "    try: claim = Claim(sys.argv[1])\n"
            "    except UsageError: continue\n"
            "    os.close(os.open(sys.argv[2], os.O_CREAT | os.O_EXCL))\n"
            "    claim.bind().close(); won += 1\n"
            "    os.unlink(sys.argv[2]); claim.release()\n"
        )
        contenders = [program(source, path, str(tmp_path / "inside")) for _ in range(3)]
        for contender in contenders:
            contender.stdin.write("\n")
            contender.stdin.flush()
        assert [contender.wait(30) for contender in contenders] == [0, 0, 0]


def test_the_kernel_tells_who_is_at_the_other_end() -> None:
    """Process and user."""
    left, right = socket.socketpair()
    with left, right:
        assert peer_credentials(left) == Credentials(os.getpid(), os.geteuid())


def test_only_we_and_root_are_trusted() -> None:
    """Nobody is trusted for a name."""
    assert Credentials(None, os.geteuid()).trusted
    assert Credentials(None, 0).trusted
    assert not Credentials(1, 12345).trusted


def test_what_dead_servers_left_is_removed_and_what_living_ones_have_is_not(
    short: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZPROC_RUNTIME_DIR", short)
    os.chmod(short, 0o700)
    dead, living, young = (transport.fresh_address().removeprefix("unix://") for _ in range(3))
    code = (
        "import os, sys; from zproc.transport.rendezvous import Claim\n"
        "for path in sys.argv[1:]: Claim(path).bind()\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, dead], check=True, timeout=30)
    Path(f"{young}.lock").touch()
    claim = Claim(living)
    bound = claim.bind()
    Path(short, "mine.lock").touch()
    for path in (living, f"{short}/mine"):
        os.utime(f"{path}.lock", (0, 0))
    transport.clear_all()
    assert not os.path.exists(dead)
    assert not os.path.exists(f"{dead}.lock")
    assert os.path.exists(living)
    assert os.path.exists(f"{young}.lock"), "its maker may be just about to lock it"
    assert os.path.exists(f"{short}/mine.lock")
    bound.close()
    claim.release()
    os.utime(f"{young}.lock", (0, 0))
    transport.clear_all()
    assert set(os.listdir(short)) <= {"mine.lock", "zproc"}, "and what other tests have made stays"
    os.unlink(f"{short}/mine.lock")


def test_where_there_is_no_runtime_directory_there_is_nothing_to_remove(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZPROC_RUNTIME_DIR", "/proc/nowhere")
    transport.clear_all()


def test_what_dead_servers_have_left_is_found_and_removed_and_what_others_have_is_not(chosen: Path) -> None:
    """Whatever it is called, and whatever stands there: a socket, a token, nothing."""
    transport.runtime_directory()
    dead = subprocess.Popen(["true"])
    dead.wait()
    for name in ("shop", "tcp-localhost-5000", "nothing"):
        (chosen / f"{name}.lock").write_text(str(dead.pid))
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(chosen / "shop"))
    (chosen / "tcp-localhost-5000").write_text("token")
    (chosen / "shop.rev").write_bytes(bytes(4096))
    (chosen / "being-made.lock").touch()
    alive = Claim(str(chosen / "alive"))
    (chosen / "other.lock").write_text(str(os.getpid()))
    found = left_behind()
    assert [os.path.basename(place) for place in found] == ["nothing", "shop", "tcp-localhost-5000"]
    assert all(map(clear_path, found))
    assert not clear_path(alive.path)
    assert not clear_path(str(chosen / "no" / "such"))
    assert sorted(os.listdir(chosen)) == ["alive.lock", "being-made.lock", "other.lock"]
    alive.release()
    shutil.rmtree(chosen)

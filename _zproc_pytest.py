"""The pytest plugin of zproc: fixtures for the tests of programs that use it.

The law: every test run of everybody who has zproc installed imports this module, so it imports nothing but pytest; it
stands beside the package and not in it, because importing ``zproc._anything`` imports zproc. What a fixture needs is
imported when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from zproc import Context
    from zproc.testing import Contexts, FakeClock, History, MemoryServer

__all__ = ["zproc_clock", "zproc_context", "zproc_history", "zproc_server"]

M = TypeVar("M")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "zproc(leak_check=True, **options): options for the contexts of this test, start_method='spawn' say; "
        "leak_check=False does not look for what is left",
    )


@pytest.fixture
def zproc_context(request: pytest.FixtureRequest) -> Iterator[Contexts]:
    """Make contexts with real servers and processes.

    ``ctx = zproc_context(AppState)`` takes the options of `zproc.Context`. The contexts are closed after the test; a
    process, thread, descriptor or socket file that is left then fails it.
    """
    from zproc.testing import Contexts, LeakError  # noqa: PLC0415 - see the law

    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("zproc"))):
        options.update(marker.kwargs)
    left = ""
    try:
        with Contexts(**options) as make:
            yield make
    except LeakError as error:
        left = str(error)
    if left:
        pytest.fail(f"the test {left}", pytrace=False)


@pytest.fixture
def zproc_clock() -> FakeClock:
    """Give the clock of this test's `zproc_server`, which stands still until ``zproc_clock.advance(30)``."""
    from zproc.testing import FakeClock  # noqa: PLC0415 - see the law

    return FakeClock()


@pytest.fixture
def zproc_server(request: pytest.FixtureRequest) -> Iterator[Callable[..., MemoryServer[Any]]]:
    """Make state servers in memory, without processes.

    ``server = zproc_server(AppState)`` takes the options of `zproc.testing.MemoryServer`. The clock of these servers is
    `zproc_clock` if the test asks for that one too.
    """
    from contextlib import ExitStack  # noqa: PLC0415 - see the law

    from zproc.testing import MemoryServer  # noqa: PLC0415 - see the law

    if "zproc_context" in request.fixturenames:
        request.getfixturevalue("zproc_context")  # begins before us, so that it looks for leaks after us
    clock = request.getfixturevalue("zproc_clock") if "zproc_clock" in request.fixturenames else None
    with ExitStack() as stack:

        def make(model: Any, state: Any = None, **options: Any) -> MemoryServer[Any]:
            server = MemoryServer(model, state, **{"clock": clock, **options})
            stack.callback(server.close)
            return server

        yield make


@pytest.fixture
def zproc_history() -> Callable[[Context[Any]], History[Any]]:
    """Take note of what happens to the state of a context, from the call with that context on."""
    from zproc.testing import History  # noqa: PLC0415 - see the law

    return History

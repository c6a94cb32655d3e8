"""``zproc watch``: a line a change, as it comes."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize("model", [(), ("--model", "appstate:AppState")])
def test_each_change_of_what_is_watched_is_a_line(zproc: Any, served: Any, model: tuple[str, ...]) -> None:
    """What one commit did elsewhere is not among them."""
    state = served.state
    state.cookies = 1
    state.update(cookies=2, name="x")
    state.stock["sugar"] = 4
    state.name = "y"
    state.ovens[0].temp = 99
    seen = zproc.json("watch", "cookies", "stock.*", "ovens[*].temp", "--since", "0", "--count", "4", *model)
    assert [(each["revision"], each["path"], each["old"], each["new"]) for each in seen] == [
        (1, "cookies", 0, 1),
        (2, "cookies", 1, 2),
        (3, "stock.sugar", None, 4),
        (5, "ovens[0].temp", 20, 99),
    ]


def test_without_a_pattern_it_is_everything(zproc: Any, served: Any) -> None:
    served.state.update(cookies=2, name="x")
    assert zproc("watch", "--since", "0", "--count", "2") == '1  cookies: set 0 -> 2\n1  name: set "" -> "x"\n'


def test_it_waits_for_what_is_yet_to_come(zproc: Any, served: Any) -> None:
    """It begins with now; the change is made when it is known to wait."""
    import threading

    from zproc.core.messages import Watch

    state = served.state
    state.cookies = 1

    def change() -> None:
        with served.core.changed:
            served.core.changed.wait_for(
                lambda: any(isinstance(command, Watch) and command.wait for command in served.core.commands), 10
            )
        state.cookies = 2

    thread = threading.Thread(target=change)
    thread.start()
    assert [each["new"] for each in zproc.json("watch", "cookies", "--count", "1")] == [2]
    thread.join(10)


def test_what_was_dropped_is_said(zproc: Any, served: Any) -> None:
    assert "is not in the history" in zproc("watch", "--since", "7", code=1)

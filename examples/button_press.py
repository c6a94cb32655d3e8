"""Wait for a press of a button and no more, from a stream of readings; presses of before are looked past.

A real program would read a pin; this one makes its readings up.
"""

import zproc


class Panel(zproc.StateModel):
    pressed: bool = False
    asked: int = 0  # how many presses were waited for


def pin(panel: Panel) -> None:
    """Press the button whenever somebody waits for it, and a few times more."""
    for number in (1, 2, 3):
        panel.get_when_equal("asked", number, timeout=20)
        for _ in range(number):
            panel.pressed = True
            panel.pressed = False


def wait_for_press(panel: Panel) -> None:
    here = panel.go_live()  # what was pressed up to now was not meant for us
    panel.asked += 1
    panel.get_when_truthy("pressed", since=here, timeout=20)


with zproc.Context(Panel) as ctx:
    button = ctx.spawn(pin)
    for number in (1, 2, 3):
        wait_for_press(ctx.state)
        print("press", number)
    button.wait(20)

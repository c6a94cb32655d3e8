"""Have the state server tell what goes on. From a terminal: kill -USR1, and the process id that `zproc ping` tells."""

import signal
import time

import zproc


class Oven(zproc.StateModel):
    temperature: int = 20


def baker(state: Oven) -> None:
    state.get_when_equal("temperature", 180)


with zproc.Context(Oven, wait=True) as ctx:
    ctx.spawn(baker)
    ctx.processes.get_when(lambda table: any(row.state == "running" for row in table.rows.values()))
    with zproc.transaction(ctx.state) as draft:
        draft.temperature = 180
        zproc.send_signal(signal.SIGUSR1, ctx.ping().pid)  # told on the server's standard error
        time.sleep(0.5)  # something that takes long, with the turn in hand

"""Servers with an address, which other programs join."""

import zproc


class Bakery(zproc.StateModel):
    cookies: int = 0


with zproc.start_server(Bakery, address="tcp://127.0.0.1:0") as server:  # a zproc.Server; port 0 is one that is free
    pulse = zproc.ping(server.address, timeout=5)
    assert pulse.pid == server.pid
    assert pulse.latency < 5

    with zproc.Context(Bakery, address=server.address) as ctx:  # in this program, or in another one
        ctx.state.cookies = 3

    with zproc.Context(Bakery, address=server.address) as ctx:  # the state is the server's
        assert ctx.state.cookies == 3

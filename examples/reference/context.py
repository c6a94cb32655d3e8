"""A context: a server, a state, processes."""

import zproc


class Bakery(zproc.StateModel):
    cookies: int = 0


class Statistics(zproc.StateModel):
    visits: int = 0


with zproc.Context(Bakery, limits=zproc.Limits(lease_time=5.0), start_method="forkserver") as ctx:
    ctx.state.cookies = 3

    with zproc.Context(Bakery, address=ctx.address) as joined:  # another context of the same state
        assert joined.state.cookies == 3

    statistics = ctx.namespace("statistics", Statistics)  # another state of the same server
    statistics.state.visits += 1

    cookies = ctx.select(lambda state: state.cookies)  # a zproc.Watch: a place, known to the type checker
    assert cookies.get() == 3
    assert cookies.equals(3, timeout=5) == 3

    commits = list(ctx.history())
    assert isinstance(commits[0], zproc.Commit)
    assert isinstance(commits[0].author, zproc.Author)
    assert ctx.state_at(0).cookies == 0
    ctx.revert(commits[0].revision)
    assert ctx.state.cookies == 0

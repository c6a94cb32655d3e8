"""Somebody has emptied the shelf. Who, when, and what was there before?"""

import logging

import zproc


class Shelf(zproc.StateModel):
    cookies: dict[str, int] = {"plain": 10, "nuts": 5}


@zproc.atomic
def restock(state: Shelf) -> None:
    state.cookies["plain"] += 5


@zproc.atomic
def tidy_up(state: Shelf) -> None:
    state.cookies.clear()


logging.getLogger("zproc").setLevel(logging.INFO)

with zproc.Context(Shelf) as ctx:
    ctx.spawn(restock).wait()
    cleaner = ctx.spawn(name="night cleaner")(tidy_up)
    cleaner.wait()

    # Who changed it?
    for commit in ctx.history():
        for change in commit.changes:
            if change.path.startswith("cookies"):
                who = commit.author
                print(f"revision {commit.revision}: {change.kind} {change.path} by {who.function} in {who.process!r}")

    # What was there before?
    last = list(ctx.history())[-1]
    print("before:", dict(ctx.state_at(last.revision - 1).cookies))

    # Take it back.
    ctx.revert(last.revision)
    print("now:", dict(ctx.state.cookies))

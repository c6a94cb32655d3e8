"""A hundred processes eat from one jar: every cookie is eaten once, and nobody eats one that is not there."""

import zproc
from pydantic import Field

EATERS = 100


class Jar(zproc.StateModel):
    cookies: int = Field(default=0, ge=0)


@zproc.atomic
def eat(state: Jar) -> bool:
    if not state.cookies:
        return False  # somebody else was faster
    state.cookies -= 1
    return True


def eater(state: Jar) -> str:
    while True:
        state.get_when_truthy("cookies")
        if eat(state):
            return "nom"


with zproc.Context(Jar) as ctx:
    eaters = ctx.spawn(count=EATERS)(eater)
    for _ in range(EATERS // 20):
        ctx.state.cookies += 20
    print(eaters.wait().count("nom"), "processes have eaten a cookie each;", ctx.state.cookies, "are left")

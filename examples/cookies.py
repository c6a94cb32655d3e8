import zproc
from pydantic import Field


class AppState(zproc.StateModel):
    cookies: int = Field(default=0, ge=0)

    @zproc.action  # runs in the state server: one round trip, atomic
    def restock(self, n: int) -> int:
        self.cookies += n
        return self.cookies


@zproc.atomic  # runs here, alone: exactly once, all or nothing
def eat_cookie(state: AppState) -> None:
    state.cookies -= 1
    print("nom nom nom")


@zproc.atomic
def bake_cookie(state: AppState) -> None:
    state.cookies += 1
    print("Here's a cookie!")


ctx = zproc.Context(AppState, wait=True)


@ctx.call_when_change("cookies", count=5)  # a process; a change made by itself does not wake it
def cookie_eater(snapshot: AppState, state: AppState) -> None:
    eat_cookie(state)


for _ in range(5):
    bake_cookie(ctx.state)

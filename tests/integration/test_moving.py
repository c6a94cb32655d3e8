"""What is read of a live state and put elsewhere in it is what it was when it was read, whatever happened since."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import BaseModel

import zproc
from zproc.testing import MemoryServer


class User(BaseModel):
    name: str = "nobody"
    age: int = 0
    tags: list[str] = []


class Shared(zproc.StateModel):
    users: list[User] = []
    more: list[User] = []
    by_name: dict[str, User] = {}

    @zproc.action
    def welcome(self, name: str, tags: list[str]) -> None:
        self.more.append(User(name=name, tags=tags))


def swap(state: Shared) -> None:
    state.users[0], state.users[1] = state.users[1], state.users[0]


def swap_by_key(state: Shared) -> None:
    state.by_name["a"], state.by_name["b"] = state.by_name["b"], state.by_name["a"]


def swap_fields(state: Shared) -> None:
    state.users, state.more = state.more, state.users


def swap_inner(state: Shared) -> None:
    users = state.users
    users[0].tags, users[1].tags = users[1].tags, users[0].tags


def rotate(state: Shared) -> None:
    users = state.users
    users[0], users[1], users[2] = users[1], users[2], users[0]


def swap_across(state: Shared) -> None:
    state.users[0], state.by_name["a"], state.more[0] = state.by_name["a"], state.more[0], state.users[0]


def take_out_and_put_in(state: Shared) -> None:
    user = state.users[0]
    del state.users[0]
    state.more.append(user)


def insert_and_put(state: Shared) -> None:
    user = state.users[1]
    state.users.insert(0, User(name="new"))
    user_before = state.users[0]
    state.by_name["c"] = user
    state.by_name["d"] = user_before


def sort_and_put(state: Shared) -> None:
    user = state.users[0]
    state.users.sort(key=lambda user: -user.age)
    state.more.extend([user])


def replace_in_a_turn_and_put(state: Shared) -> None:
    user = state.users[1]
    with zproc.transaction(state) as draft:
        draft.users[0] = User(name="new")
        draft.users[1] = User(name="newer")
    state.more.insert(0, user)


def clear_and_put(state: Shared) -> None:
    users, named = state.users, state.by_name["a"]
    state.users = []
    state.by_name.clear()
    state.more.extend(users)
    state.more[0] = named


def change_and_put(state: Shared) -> None:
    user = state.users[0]
    user.age = 9
    user.tags.append("changed")
    state.more.append(user)


def call_with_what_moved(state: Shared) -> None:
    tags = state.users[0].tags
    state.users[0].tags = []
    state.welcome("w", tags)


MOVES: list[Callable[[Shared], None]] = [
    swap,
    swap_by_key,
    swap_fields,
    swap_inner,
    rotate,
    swap_across,
    take_out_and_put_in,
    insert_and_put,
    sort_and_put,
    replace_in_a_turn_and_put,
    clear_and_put,
    change_and_put,
    call_with_what_moved,
]


def start() -> Shared:
    return Shared(
        users=[User(name=name, age=age, tags=[name]) for age, name in enumerate("xyz")],
        more=[User(name="m")],
        by_name={name: User(name=name) for name in "ab"},
    )


def does_the_same(state: Shared, move: Callable[[Shared], None]) -> None:
    real = start()
    state.update(users=real.users, more=real.more, by_name=real.by_name)
    move(state)
    move(real)
    assert state.snapshot() == real, move.__name__


@pytest.mark.parametrize("move", MOVES)
def test_parts_move_as_between_real_lists(move: Callable[[Shared], None]) -> None:
    """Where a handle is not told how new the state is, as in memory and over a network."""
    with MemoryServer(Shared) as server:
        does_the_same(server.state, move)


def test_parts_move_as_between_real_lists_with_a_server_of_its_own() -> None:
    with zproc.Context(Shared) as ctx:
        for move in MOVES:
            does_the_same(ctx.state, move)


def test_what_others_did_meanwhile_is_no_reason_to_put_something_else() -> None:
    with zproc.Context(Shared) as ctx, zproc.Context(Shared, address=ctx.address) as joined:
        mine, other = ctx.state, joined.state
        mine.users = [User(name="a"), User(name="b")]
        first, second = mine.users
        other.users.insert(0, User(name="new"))
        other.users[1].age = 7
        other.users[2] = User(name="c")
        mine.more = [first, second]
        assert mine.more == [User(name="a", age=7), User(name="b")]
        other.users[0] = User(name="newer")
        mine.more = [mine.users[0]]
        assert mine.more == [User(name="newer")]

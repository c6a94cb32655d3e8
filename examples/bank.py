"""A bank: transfers from several processes at once, an invariant in the schema, a history that tells who did what."""

import random
from typing import Self

import zproc
from pydantic import Field, model_validator


class Bank(zproc.StateModel):
    accounts: dict[str, int] = Field(default={"Ada": 100, "Grace": 100, "Alan": 100})

    @model_validator(mode="after")
    def _no_money_is_made_or_lost(self) -> Self:
        if sum(self.accounts.values()) != 300:
            raise ValueError(f"there is {sum(self.accounts.values())} in all")
        if min(self.accounts.values()) < 0:
            raise ValueError("an account is overdrawn")
        return self


@zproc.atomic
def transfer(state: Bank, source: str, target: str, amount: int) -> None:
    state.accounts[source] -= amount  # between these two lines the sum is wrong,
    state.accounts[target] += amount  # and nobody can see it


def trade(state: Bank, seed: int) -> int:
    chance = random.Random(seed)
    refused = 0
    for _ in range(50):
        source, target = chance.sample(["Ada", "Grace", "Alan"], 2)
        try:
            transfer(state, source, target, chance.randint(1, 60))
        except zproc.ValidationRefused:  # the account would be overdrawn
            refused += 1
    return refused


with zproc.Context(Bank) as ctx:
    traders = [ctx.spawn(trade, seed) for seed in range(4)]
    refused = sum(trader.wait() for trader in traders)
    accounts = dict(ctx.state.accounts)
    print("sum:", sum(accounts.values()), "- overdrawn:", [name for name, money in accounts.items() if money < 0])

    history = list(ctx.history())
    print("transfers:", len(history), "made,", refused, "refused,", len(history) + refused, "tried")
    print(
        "by",
        {commit.author.function for commit in history},
        "in",
        len({commit.author.pid for commit in history}),
        "processes",
    )
    print("all revisions right:", all(sum(ctx.state_at(n).accounts.values()) == 300 for n in range(len(history) + 1)))

    try:
        ctx.state.accounts["Ada"] += 1000
    except zproc.ValidationRefused as error:
        print("refused:", error.faults[0].message)

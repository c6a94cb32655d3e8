"""Processes that make processes: all share one state, all are in one record, and none is left behind."""

import os

import zproc


class Tree(zproc.StateModel):
    depths: list[int] = []


def grow(ctx: zproc.Context[Tree], depth: int) -> int:
    """Make two children, wait for them, and tell how many there are from here on."""
    ctx.state.depths.append(depth)
    if depth == 3:
        return 1
    children = [ctx.spawn(pass_context=True)(grow, depth + 1) for _ in range(2)]
    return 1 + sum(child.wait() for child in children)


with zproc.Context(Tree) as ctx:
    root = ctx.spawn(name="root", pass_context=True)(grow, 1)
    print(root.wait(), "processes of depths", sorted(ctx.state.depths))

    rows = ctx.processes.get_when(lambda table: len(table.ended) == 7).rows
    print(sum(row.parent == os.getpid() for row in rows.values()), "of them was made here,")
    print(sum(row.parent == root.pid for row in rows.values()), "by the root, and each", rows["root"].state)

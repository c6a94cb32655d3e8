# %%
import zproc


class Run(zproc.StateModel):
    done: int = 0
    best: dict[str, float] = {}


ctx = zproc.Context(Run)  # once; it ends with the kernel, also when that is killed


# %%
def search(state: Run, name: str, values: list[float]) -> None:
    for value in values:
        state.done += 1
        if value > state.best.get(name, 0.0):
            state.best[name] = value


searches = [ctx.spawn(search, name, [0.1, 0.7, 0.3]) for name in ("left", "right")]

# %%
print(ctx.state.get_when_equal("done", 6, timeout=10).best["left"])  # look while they work, or wait

# %%
for process in searches:
    process.wait()
print(ctx.state.done, sorted(ctx.state.best))

# %%
ctx.close()

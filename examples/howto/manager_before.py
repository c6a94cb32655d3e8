"""As it is done with multiprocessing.Manager."""

import multiprocessing
from multiprocessing.managers import DictProxy
from multiprocessing.synchronize import Lock
from typing import Any


def bake(state: "DictProxy[str, Any]", lock: Lock) -> None:
    for _ in range(5):
        with lock:  # forget it once, and cookies are lost
            state["cookies"] = state["cookies"] + 1
            notes = state["notes"]
            notes.append("baked")  # changes a copy ...
            state["notes"] = notes  # ... which has to be put back


if __name__ == "__main__":
    with multiprocessing.Manager() as manager:
        state: "DictProxy[str, Any]" = manager.dict({"cookies": 0, "notes": []})
        lock = manager.Lock()
        bakers = [multiprocessing.Process(target=bake, args=(state, lock)) for _ in range(2)]
        for baker in bakers:
            baker.start()
        for baker in bakers:
            baker.join()
        print(state["cookies"], "cookies,", len(state["notes"]), "notes")

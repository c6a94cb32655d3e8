"""What the figures are of: the machine, how busy it was, and the versions of everything that was measured."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version

__all__ = ["busy", "header", "machine"]

_OURS = ("zproc", "pydantic", "msgpack", "pyzmq", "cloudpickle")
_PEERS = ("redis", "hiredis", "loky", "UltraDict", "ray", "numpy")


def header() -> str:
    """Say in a line what machine and versions the figures are of."""
    about = machine()
    packages = ", ".join(f"{name} {number}" for name, number in _versions().items())
    return f"{about['system']}, {about['processor']}, {about['cores']} cores, Python {about['python']}; {packages}"


def machine() -> dict[str, str | int | dict[str, str]]:
    """Return what the figures are of."""
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": _versions(),
        "commit": _commit(),
        "measured": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def busy() -> float:
    """Return how many processes wanted a core over the last minute."""
    return round(os.getloadavg()[0], 2)


def _versions() -> dict[str, str]:
    return {**_installed(), **_redis_server()}


def _installed() -> dict[str, str]:
    found = {}
    for name in _OURS + _PEERS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _output(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    here = os.path.dirname(os.path.abspath(__file__))
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=10, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _redis_server() -> dict[str, str]:
    said = dict(word.split("=", 1) for word in _output("redis-server", "--version").split() if "=" in word)
    return {"redis-server": said["v"]} if "v" in said else {}


def _commit() -> str:
    """Return the commit that was measured; with a plus sign if files differ from it."""
    commit = _output("git", "rev-parse", "--short=10", "HEAD")
    return commit + ("+" if commit and _output("git", "status", "--porcelain", "--untracked-files=no") else "")


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except FileNotFoundError:
        names = []
    return names[0] if names else platform.processor() or "unknown processor"

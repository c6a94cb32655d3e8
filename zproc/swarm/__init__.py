"""Worker pools: workers, and the work that is distributed over them.

The law: which item goes to which worker, and what follows when one is lost, is decided in `zproc.core.scheduler` and
carried out here. Only the process that started a worker talks to it, over two sockets that nobody else has; no item
ever passes through the state server.
"""

from zproc.swarm.crews import Crews, Maps
from zproc.swarm.results import Results
from zproc.swarm.swarm import MapOptions, Swarm

__all__ = ["Crews", "MapOptions", "Maps", "Results", "Swarm"]

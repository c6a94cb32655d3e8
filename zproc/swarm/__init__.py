"""Workers, and the work that is spread over them.

The law: which item goes to which worker, and what follows when one is lost, is decided in `zproc.core.scheduler`; here
it is done. Only the process that has started a worker talks to it, over two sockets that nobody else has, and no item
ever passes through the state server.
"""

from zproc.swarm.crews import Crews, Maps
from zproc.swarm.results import Results
from zproc.swarm.swarm import MapOptions, Swarm

__all__ = ["Crews", "MapOptions", "Maps", "Results", "Swarm"]

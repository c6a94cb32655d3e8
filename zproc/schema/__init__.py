"""What a state is: models, addresses, mutations and their validation.

The law: this package is pure. It knows values and rules about them, and pydantic; it knows no server, no client, no
clock and no I/O.
"""

from zproc.schema.action import action
from zproc.schema.model import Schema, StateModel

__all__ = ["Schema", "StateModel", "action"]

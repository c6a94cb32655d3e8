"""The shared state as a schema: models, paths, mutations and validation.

The law: this package is pure. It knows values, the rules about them, and pydantic; it knows no server, client, clock or
I/O.
"""

from zproc.schema.action import action
from zproc.schema.model import Schema, StateModel

__all__ = ["Schema", "StateModel", "action"]

"""The schema that a generated client was made from, compared with the model as it is now.

The law: a client that is older than its model is never used, because what it promises to a type checker no longer
holds. The error says which fields differ, and which command to run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zproc.exceptions import SchemaMismatch
from zproc.schema.fingerprint import differences, fingerprint
from zproc.schema.model import Schema, StateModel

__all__ = ["Declared"]


@dataclass(frozen=True, slots=True)
class Declared:
    """What a generated file says of a model.

    Attributes:
        model: the model.
        module: the file, by the name of its module.
        table: what identified the model when the file was generated, entry by entry.
    """

    model: type[StateModel]
    module: str
    table: Mapping[str, str]

    def check(self) -> None:
        """Make sure that the model is what it was when the file was generated.

        Raises:
            SchemaMismatch: it is not; with the fields that differ, and the command that makes the file anew.
        """
        now = Schema.of(self.model).table
        if now == self.table:
            return
        raise SchemaMismatch(
            self.module,
            f"{self.model.__name__} has changed since this client was generated from it; run `zproc generate`",
            client=fingerprint(dict(self.table)),
            differences=differences(now, dict(self.table), ("the model", "this client")),
        )

from typing import NamedTuple, Self

from typing_extensions import disjoint_base

class _Fields(NamedTuple):
    code: int
    data: bytes

@disjoint_base
class ExtType(_Fields):
    def __new__(cls, code: int, data: bytes) -> Self: ...

from typing import NamedTuple

class ExtType(NamedTuple):
    code: int
    data: bytes

from collections.abc import Callable
from types import FrameType

def install(
    *exc_classes_or_instances: type[BaseException] | BaseException,
    get_locals: Callable[[FrameType], dict[str, object]] | None = None,
) -> type[BaseException] | None: ...

"""What live handles of lists, dicts and sets have in common: they ask for a part, and change without a look.

The law: nothing here fetches a container that is too large to be held. What is asked about it is answered where it is;
what is done to it without a look is one op or one call, and the caller takes a turn where that is not possible.
"""

from __future__ import annotations

from collections.abc import Sized
from typing import ClassVar, cast

from zproc.client.handle import Handle
from zproc.client.replica import LARGE, typed
from zproc.core.messages import Act
from zproc.exceptions import Error, UnknownPath
from zproc.schema.ops import MISSING, Op
from zproc.schema.shape import Kind, Shape, shape_at
from zproc.schema.values import SCALARS, plain, value_of
from zproc.typing import Key

__all__ = ["ContainerHandle"]


class ContainerHandle(Handle):
    """The live handle of a container."""

    __slots__ = ()
    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # like the containers that it stands for
    _zproc_form: ClassVar[Kind]
    """The kind of the containers that handles of this class stand for."""

    def __len__(self) -> int:
        found = self._zproc_found()
        return self._zproc_length() if found is LARGE else len(cast("Sized", found))

    def __eq__(self, other: object) -> bool:
        return self.__zproc_value__() == value_of(other)

    def _zproc_length(self) -> int:
        """Return how long the container is, without its contents."""
        return cast("int", self._zproc_client.look(self._zproc_path, "length"))

    def _zproc_has(self, key: Key) -> bool:
        """Whether something is a key of the dict, or an element of the set, without its other contents."""
        return bool(self._zproc_client.look((*self._zproc_path, plain(key)), "member"))

    def _zproc_element(self, key: Key, missing: LookupError) -> object:
        """Return what a reader is handed for the element at a key, without the others."""
        value = self._zproc_client.part((*self._zproc_path, plain(key)))
        if value is MISSING:
            raise missing
        return self._zproc_child(key, value)

    def _zproc_at_once(self, op: Op) -> bool:
        """Commit an op on this container without a look at it, and return whether that was possible.

        It is not if the schema allows something else here, or if the op leads nowhere; then the container's own method
        raises what a list or a dict would.
        """
        if self._zproc_shape() is None:
            return False
        try:
            self._zproc_commit(op)
        except UnknownPath:
            return False
        return True

    def _zproc_shape(self) -> Shape | None:
        """Return the shape of this container; ``None`` if the schema allows something else here."""
        shape = shape_at(self._zproc_client.schema.shape, self._zproc_path)
        return shape if shape is not None and shape.kind is self._zproc_form else None

    def _zproc_item(self) -> Shape | None:
        """Return the shape of an element of this container; ``None`` if the schema allows something else here."""
        shape = self._zproc_shape()
        return None if shape is None else shape.item

    def _zproc_call(self, method: str, *arguments: object) -> object:
        """Call a method of the container at the server, and return the result as plain data; see `METHODS`.

        Raises:
            SchemaError: the arguments cannot be sent.
        """
        client = self._zproc_client
        codec = client.schema.codec
        call = codec.encode(plain([list(self._zproc_path), list(arguments), {}]))
        try:
            return codec.decode(client.change(Act(client.next_request(), method, call)).result)
        except (IndexError, KeyError, ValueError, TypeError) as error:
            if not isinstance(error, Error):  # one that a list would raise here, so it is of no interest where it was
                error.__notes__ = []
            raise

    def _zproc_typed(self, item: Shape, value: object) -> object:
        """Return plain data as an element of this container."""
        return value if type(value) in SCALARS and item.model is None else typed(item, self._zproc_path, value)

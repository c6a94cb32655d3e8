"""Pickling values so that large ones are copied once only on their way to another process.

The law: a value is pickled into pieces that are not joined until they are written where the other side reads them.
Large buffers (of arrays, by pickle's protocol 5) and large ``bytes`` are pieces of their own. Short values travel in
the message; long ones are written to a `Segment` of shared memory, and only a description of it travels. Whoever
created a segment may reuse it once the other side has released it.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import pickle
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, Final, NamedTuple

from zproc.process import descriptor, parcel

__all__ = ["INLINE", "Cargo", "Loan", "Packer", "Segment", "unpack_cargo"]

INLINE: Final = 32 << 10
"""The longest value that travels in a message, in bytes."""

_ATOMS: Final = frozenset({int, float, complex, bool, type(None)})
"""Types that pickle always writes as one short piece."""

_ALIGNMENT: Final = 64
_PAGE: Final = mmap.PAGESIZE


class Cargo(NamedTuple):
    """A pickled value.

    Attributes:
        pieces: what pickle has written, in order.
        buffers: the out-of-band buffers.
        nbytes: the length of all of it.
    """

    pieces: Sequence[bytes | memoryview]
    buffers: Sequence[memoryview]
    nbytes: int

    @property
    def is_short(self) -> bool:
        """Whether it fits into a message."""
        return not self.buffers and self.nbytes <= INLINE

    def joined(self) -> bytes:
        """Return it as one piece, for a message.

        Raises:
            ValueError: it has out-of-band buffers.
        """
        if self.buffers:
            raise ValueError("what has parts outside is not one piece")
        return self.pieces[0] if len(self.pieces) == 1 and isinstance(self.pieces[0], bytes) else b"".join(self.pieces)


class _Sink:
    """A file for picklers, which keeps large pieces without copying them."""

    def __init__(self) -> None:
        self.pieces: list[bytes | memoryview] = []
        self.write = self.pieces.append  # picklers ask for it once


class Packer:
    """Pickles values for the processes that this one has started, or for the one that started it.

    Functions and classes of ``__main__`` are pickled by value.

    Args:
        names: whether to try plain pickle first, for values on their way to the parent, which has what its child has.
    """

    def __init__(self, *, names: bool = False) -> None:
        kinds: tuple[Any, ...] = (_Plain, parcel.CodePickler) if names else (parcel.CodePickler,)
        self._picklers = [_Reusable(kind) for kind in kinds]

    def pack(self, value: object, module: ModuleType | None = None) -> Cargo:
        """Pickle a value.

        Args:
            value: the value.
            module: a module whose classes and functions are to be pickled by value, too; see `parcel.unfindable`.

        Raises:
            Exception: whatever pickle, or the classes of the value, raise.
        """
        if type(value) in _ATOMS:  # a pickler with a file of its own costs six times as much
            data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
            return Cargo((data,), (), len(data))
        *first, last = self._picklers
        for pickler in first:
            with contextlib.suppress(Exception):
                return pickler.pack(value)
        if module is None:
            return last.pack(value)
        with parcel.by_value(module):
            return last.pack(value)

    @staticmethod
    def pack_whole(value: object, module: ModuleType | None = None) -> bytes:
        """Pickle a value as one piece, which costs a copy.

        Raises:
            Exception: whatever pickle, or the classes of the value, raise.
        """
        return parcel.dump(value, module)


class _Reusable:
    """A pickler that is created once: creating one costs more than pickling most values."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._busy = False
        self._sink = _Sink()
        self._outside: list[memoryview] = []
        self._pickler = kind(self._sink, pickle.HIGHEST_PROTOCOL, buffer_callback=self._leave_outside)

    def pack(self, value: object) -> Cargo:
        if self._busy:  # reentered: a `__reduce__` pickles something itself
            return _Reusable(self._kind).pack(value)
        self._busy = True
        try:
            self._outside = []
            self._pickler.dump(value)
            pieces, buffers = tuple(self._sink.pieces), self._outside
        finally:
            self._sink.pieces.clear()
            self._pickler.clear_memo()
            self._outside = []
            self._busy = False
        nbytes = sum(map(len, pieces)) + sum(each.nbytes for each in buffers)
        return Cargo(pieces, buffers, nbytes)

    def _leave_outside(self, buffer: pickle.PickleBuffer) -> bool:
        """Take a large buffer out of band; return true for one that stays in the stream."""
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous
            return True
        if raw.nbytes <= INLINE:
            return True
        self._outside.append(raw)
        return False


class _Plain(pickle.Pickler):
    pass


def unpack_cargo(stream: bytes | memoryview, buffers: Sequence[memoryview] = ()) -> Any:
    """Unpickle what `Packer.pack` returned; raises whatever the classes inside raise."""
    return pickle.loads(stream, buffers=buffers)


# ------------------------------------------------------------------------------------------------------------- segments


class Segment:
    """Shared memory, passed to another process by its descriptor.

    Args:
        number: the descriptor, if another process created it; ``None`` to allocate it.
        size: its length, in bytes.

    Raises:
        OSError: it cannot be allocated or mapped.
    """

    def __init__(self, size: int, number: int | None = None) -> None:
        self.size = size
        self._owner = os.getpid()
        if number is None:
            number = descriptor.keep(_anonymous())
            try:
                os.truncate(number, size)
            except BaseException:
                descriptor.close(number)
                raise
        self.descriptor: int = number
        try:
            self._memory = _mapped(number, size)
        except BaseException:
            self.close_descriptor()
            raise

    @classmethod
    def room_for(cls, cargo: Cargo) -> Segment:
        """Allocate one for a cargo, and others of about its length."""
        needed = sum(map(len, cargo.pieces)) + sum(_aligned(each.nbytes) for each in cargo.buffers) + _ALIGNMENT
        return cls(_rounded(needed))

    def fits(self, cargo: Cargo) -> bool:
        """Return whether a cargo fits without wasting most of it."""
        needed = sum(map(len, cargo.pieces)) + sum(_aligned(each.nbytes) for each in cargo.buffers) + _ALIGNMENT
        return needed <= self.size <= 4 * _rounded(needed)

    def fill(self, cargo: Cargo) -> tuple[int, ...]:
        """Copy a cargo in, the only copy that is made; return the layout that `Loan` needs."""
        place, memory = 0, self.view()
        for piece in cargo.pieces:
            memory[place : place + len(piece)] = piece
            place += len(piece)
        layout = [place]
        for buffer in cargo.buffers:
            place = _aligned(place)
            memory[place : place + buffer.nbytes] = buffer
            layout += [place, buffer.nbytes]
            place += buffer.nbytes
        return tuple(layout)

    def view(self) -> memoryview:
        """Return its content."""
        return memoryview(self._memory).cast("B")

    def close_descriptor(self) -> None:
        """Close the descriptor; the mapping stays as long as it is used."""
        descriptor.close(self.descriptor)
        self.descriptor = -1

    def __del__(self) -> None:
        # For a pool that is dropped, or a message that was never read. In a fork the number was closed at once, and may
        # mean something else by now.
        if getattr(self, "descriptor", -1) >= 0 and self._owner == os.getpid():
            self.close_descriptor()


class Loan:
    """A cargo in a segment, as the other side reads it.

    Args:
        segment: the segment.
        layout: what `Segment.fill` returned.
    """

    def __init__(self, segment: Segment, layout: Sequence[int]) -> None:
        length, *rest = layout
        whole = segment.view()
        self._views = [whole[start : start + size] for start, size in _pairs(rest)]
        self._stream = whole[:length]
        self._whole = whole

    def read(self) -> Any:
        """Unpickle it; arrays in the result lie in the segment itself."""
        # By way of a `PickleBuffer`, because a view of a view refers to the underlying object; this way, every view
        # that is derived from ours, however indirectly, keeps ours from being released.
        return unpack_cargo(self._stream, [memoryview(pickle.PickleBuffer(view)) for view in self._views])

    def give_back(self) -> bool:
        """Release it, and return whether nothing that was read lies in it any more."""
        try:
            for view in (*self._views, self._stream, self._whole):
                view.release()
        except BufferError:
            return False
        return True


def _mapped(number: int, size: int) -> Any:
    """Map memory for as long as anything refers to what this returns.

    `mmap.mmap` would keep a descriptor of its own as long, and a program may have more results than descriptors.
    """
    address = _libc.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, number, 0)
    if address == _FAILED:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    memory = (ctypes.c_char * size).from_address(address)
    weakref.finalize(memory, _libc.munmap, address, size).atexit = False
    return memory


_FAILED: Final = ctypes.c_void_p(-1).value
_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)


def _pairs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    return zip(numbers[::2], numbers[1::2], strict=True)


def _aligned(place: int) -> int:
    return -(-place // _ALIGNMENT) * _ALIGNMENT


def _rounded(size: int) -> int:
    """Round up to pages and to eighths of the next power of two, so that similar sizes are equal."""
    step = max(_PAGE, 1 << max(0, size.bit_length() - 4))
    return -(-size // step) * step


def _anonymous() -> int:
    create = getattr(os, "memfd_create", None)  # Linux
    if create is not None:
        return int(create("zproc-segment"))
    with tempfile.TemporaryFile() as file:  # unlinked at once
        return os.dup(file.fileno())

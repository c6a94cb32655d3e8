"""Values that are too many, or too large, to be copied more than once on their way.

The law: a value is packed into pieces that nobody joins until they are put where the other side reads them. Large
buffers (of arrays, by pickle's protocol 5) and large ``bytes`` are such pieces by themselves. What is short travels in
the message; what is long is put into a `Segment`, memory that both sides see, and only its description travels. Whoever
made a segment may use it again when the other side has let go of it.
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
"""How long something may be to travel in a message, in bytes."""

_ATOMS: Final = frozenset({int, float, complex, bool, type(None)})
"""Kinds that pickle writes in one short piece, whatever their values."""

_ALIGNMENT: Final = 64
_PAGE: Final = mmap.PAGESIZE


class Cargo(NamedTuple):
    """A packed value.

    Attributes:
        pieces: what pickle has written, in order.
        buffers: what it has left outside.
        nbytes: how long all of it is.
    """

    pieces: Sequence[bytes | memoryview]
    buffers: Sequence[memoryview]
    nbytes: int

    @property
    def is_short(self) -> bool:
        """Whether it travels in a message."""
        return not self.buffers and self.nbytes <= INLINE

    def joined(self) -> bytes:
        """Give it as it travels in a message.

        Raises:
            ValueError: parts of it are outside.
        """
        if self.buffers:
            raise ValueError("what has parts outside is not one piece")
        return self.pieces[0] if len(self.pieces) == 1 and isinstance(self.pieces[0], bytes) else b"".join(self.pieces)


class _Sink:
    """What a pickler takes for a file; it keeps large pieces without copying them."""

    def __init__(self) -> None:
        self.pieces: list[bytes | memoryview] = []
        self.write = self.pieces.append  # picklers ask for it once


class Packer:
    """Packs values for processes that this one has started, or was started by.

    Functions and classes of ``__main__`` travel by value.

    Args:
        names: whether to try names first, for values on their way up: the parent has what its child has.
    """

    def __init__(self, *, names: bool = False) -> None:
        kinds: tuple[Any, ...] = (_Plain, parcel.CodePickler) if names else (parcel.CodePickler,)
        self._picklers = [_Reusable(kind) for kind in kinds]

    def pack(self, value: object, module: ModuleType | None = None) -> Cargo:
        """Pack a value.

        Args:
            value: which.
            module: a module whose classes and functions are to travel by value, too; see `parcel.unfindable`.

        Raises:
            Exception: whatever pickle, or the classes of the value, raise.
        """
        if type(value) in _ATOMS:  # a pickler that writes elsewhere costs six times as much
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
        """Pack a value in one piece, which costs a copy.

        Raises:
            Exception: whatever pickle, or the classes of the value, raise.
        """
        return parcel.dump(value, module)


class _Reusable:
    """A pickler that is made once: making it costs more than what most values cost."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._busy = False
        self._sink = _Sink()
        self._outside: list[memoryview] = []
        self._pickler = kind(self._sink, pickle.HIGHEST_PROTOCOL, buffer_callback=self._leave_outside)

    def pack(self, value: object) -> Cargo:
        if self._busy:  # what is being packed packs something itself
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
        """Keep a large buffer out of the stream; true says that it stays in."""
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
    """Unpack what `Packer.pack` packed; raises whatever the classes inside raise."""
    return pickle.loads(stream, buffers=buffers)


# ------------------------------------------------------------------------------------------------------------- segments


class Segment:
    """Memory that can be given to another process by its descriptor.

    Args:
        number: the descriptor, from somebody else; ``None`` to make new memory.
        size: how long, in bytes.

    Raises:
        OSError: there is no such memory left.
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
        """Make one that a cargo fits into, and others of about its length."""
        needed = sum(map(len, cargo.pieces)) + sum(_aligned(each.nbytes) for each in cargo.buffers) + _ALIGNMENT
        return cls(_rounded(needed))

    def fits(self, cargo: Cargo) -> bool:
        """Tell whether a cargo fits, and does not waste most of it."""
        needed = sum(map(len, cargo.pieces)) + sum(_aligned(each.nbytes) for each in cargo.buffers) + _ALIGNMENT
        return needed <= self.size <= 4 * _rounded(needed)

    def fill(self, cargo: Cargo) -> tuple[int, ...]:
        """Put a cargo in, the only copy that is made of it; return what `Loan` needs to find it."""
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
        """Give what is in it."""
        return memoryview(self._memory).cast("B")

    def close_descriptor(self) -> None:
        """Let nobody else be given it any more; what was made of it here stays."""
        descriptor.close(self.descriptor)
        self.descriptor = -1

    def __del__(self) -> None:
        # A pool that is forgotten, a message that never arrived: the number goes with the last who knew it. In a fork
        # it was closed at once, and may mean something else by now.
        if getattr(self, "descriptor", -1) >= 0 and self._owner == os.getpid():
            self.close_descriptor()


class Loan:
    """A cargo in a segment, as the other side reads it.

    Args:
        segment: where it is.
        layout: what `Segment.fill` returned.
    """

    def __init__(self, segment: Segment, layout: Sequence[int]) -> None:
        length, *rest = layout
        whole = segment.view()
        self._views = [whole[start : start + size] for start, size in _pairs(rest)]
        self._stream = whole[:length]
        self._whole = whole

    def read(self) -> Any:
        """Unpack it; arrays among what comes out lie in the segment itself."""
        # By way of a `PickleBuffer`, because a view of a view is one of what is below; this way each that is made of a
        # view, however far removed, is counted by it.
        return unpack_cargo(self._stream, [memoryview(pickle.PickleBuffer(view)) for view in self._views])

    def give_back(self) -> bool:
        """Let go of it, and tell whether nothing that was read lies in it any more."""
        try:
            for view in (*self._views, self._stream, self._whole):
                view.release()
        except BufferError:
            return False
        return True


def _mapped(number: int, size: int) -> Any:
    """Map memory, for as long as anything is made of what this returns.

    `mmap.mmap` would keep a descriptor of its own for as long, and a program may have more results than descriptors.
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
    """Round up to a page, and to an eighth of the next power of two, so that similar sizes are one size."""
    step = max(_PAGE, 1 << max(0, size.bit_length() - 4))
    return -(-size // step) * step


def _anonymous() -> int:
    create = getattr(os, "memfd_create", None)  # Linux
    if create is not None:
        return int(create("zproc-segment"))
    with tempfile.TemporaryFile() as file:  # unlinked at once
        return os.dup(file.fileno())

"""bpf(2) by ctypes and ring buffers by mmap: pinned objects are used without a BPF library."""

import ctypes
import errno
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.errors import SensorError

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long
_SYSTEM_CALL = {"x86_64": 321, "aarch64": 280}
_ATTRIBUTE_BYTES = 128
_LOOKUP, _UPDATE, _DELETE, _NEXT_KEY, _PIN, _GET, _RAW_TRACEPOINT = 1, 2, 3, 4, 6, 7, 17
_INFO, _LINK_BY_ID = 15, 30
_PAGE = mmap.PAGESIZE
_BUSY, _DISCARDED, _LENGTH = 0x80000000, 0x40000000, 0x3FFFFFFF
# Of a ring, in this order: where the reader is, where the kernel is, the data.
_PRODUCER_AT, _DATA_AT = _PAGE, 2 * _PAGE
_HEAD = struct.Struct("<I")
# More than the largest record has.
_WINDOW_BYTES = 1 << 18


def _bpf(command: int, attribute: bytes) -> int:
    buffer = ctypes.create_string_buffer(attribute.ljust(_ATTRIBUTE_BYTES, b"\0"), _ATTRIBUTE_BYTES)
    number = _SYSTEM_CALL[os.uname().machine]
    result = int(_LIBC.syscall(number, command, buffer, _ATTRIBUTE_BYTES))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def open_pinned(path: Path) -> int:
    """Return a descriptor of a pinned map, program or link; raise SensorError naming the path."""
    text = ctypes.create_string_buffer(os.fsencode(path))
    try:
        return _bpf(_GET, struct.pack("<QII", ctypes.addressof(text), 0, 0))
    except OSError as error:
        raise SensorError(f"{path}: {error.strerror}; unload and start the agent again") from error


def pin(descriptor: int, path: Path) -> None:
    """Pin a map, program or link at `path` on bpffs."""
    text = ctypes.create_string_buffer(os.fsencode(path))
    _bpf(_PIN, struct.pack("<QII", ctypes.addressof(text), descriptor, 0))


def attach(program: int, tracepoint: str | None) -> int:
    """Attach a program to a raw tracepoint, or to the function that it was loaded for.

    Returns the descriptor of the link.
    """
    text = ctypes.create_string_buffer((tracepoint or "").encode())
    name = ctypes.addressof(text) if tracepoint else 0
    return _bpf(_RAW_TRACEPOINT, struct.pack("<QII", name, program, 0))


def link_id(path: Path) -> int:
    """Return the number that the kernel has given to a pinned link."""
    descriptor = open_pinned(path)
    info = ctypes.create_string_buffer(88)
    _bpf(_INFO, struct.pack("<IIQ", descriptor, 88, ctypes.addressof(info)))
    os.close(descriptor)
    number: int = struct.unpack_from("<II", info.raw)[1]
    return number


def link_exists(number: int) -> bool:
    """Return whether the kernel still has a link; one that lost its pin goes a moment later."""
    try:
        os.close(_bpf(_LINK_BY_ID, struct.pack("<I", number)))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True


class Map:
    """A pinned map of fixed-size keys and values, given and returned as bytes."""

    def __init__(
        self, path: Path, key_bytes: int, value_bytes: int | None, copies: int = 1
    ) -> None:
        """Open the map at `path`; raise SensorError if it has other sizes than these.

        Without `value_bytes` values have any size, for who asks for keys only. A per-processor map
        has `copies` values per key, which are given and returned in a row.
        """
        self.fd = open_pinned(path)
        info = ctypes.create_string_buffer(88)
        _bpf(_INFO, struct.pack("<IIQ", self.fd, 88, ctypes.addressof(info)))
        _, _, key_size, value_size = struct.unpack_from("<IIII", info.raw)
        value_bytes = value_size if value_bytes is None else value_bytes
        if (key_size, value_size) != (key_bytes, value_bytes):
            raise SensorError(
                f"{path}: keys and values have {key_size} and {value_size} bytes, not {key_bytes} "
                f"and {value_bytes}; another version is loaded: run holdfast-agent unload"
            )
        self._key = ctypes.create_string_buffer(key_bytes)
        self._value = ctypes.create_string_buffer(value_bytes * copies)
        self._attribute = struct.pack(
            "<IIQQQ", self.fd, 0, ctypes.addressof(self._key), ctypes.addressof(self._value), 0
        )

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None if the map has no such key."""
        self._key.raw = key
        try:
            _bpf(_LOOKUP, self._attribute)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return self._value.raw

    def set(self, key: bytes, value: bytes, *, only_new: bool = False) -> bool:
        """Store a value; with `only_new` return False, and change nothing, if the key is there."""
        self._key.raw = key
        self._value.raw = value
        try:
            _bpf(_UPDATE, self._attribute[:24] + struct.pack("<Q", 1 if only_new else 0))
        except OSError as error:
            if only_new and error.errno == errno.EEXIST:
                return False
            raise
        return True

    def delete(self, key: bytes) -> bool:
        """Remove a key; return whether it was there."""
        self._key.raw = key
        try:
            # The kernel wants zeros behind the key.
            _bpf(_DELETE, self._attribute[:16])
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True

    def all_keys(self) -> list[bytes]:
        """Return all keys. One that is added or removed meanwhile may be there or not."""
        found: list[bytes] = []
        size = len(self._key.raw)
        following = ctypes.create_string_buffer(size)
        first = struct.pack("<IIQQ", self.fd, 0, 0, ctypes.addressof(following))
        later = struct.pack(
            "<IIQQ", self.fd, 0, ctypes.addressof(self._key), ctypes.addressof(following)
        )
        attribute = first
        while True:
            try:
                _bpf(_NEXT_KEY, attribute)
            except OSError as error:
                if error.errno == errno.ENOENT:
                    return found
                raise
            self._key.raw = following.raw
            found.append(following.raw)
            attribute = later

    def close(self) -> None:
        """Give the descriptor back; the pinned map stays."""
        os.close(self.fd)


class Ring:
    """A pinned ring buffer. Mapped while it is read only, so that its size is not the agent's.

    The kernel has the data twice in a row, so no record is split.
    """

    def __init__(self, path: Path) -> None:
        """Open the ring at `path`."""
        descriptor = open_pinned(path)
        info = ctypes.create_string_buffer(88)
        _bpf(_INFO, struct.pack("<IIQ", descriptor, 88, ctypes.addressof(info)))
        self._map(descriptor, struct.unpack_from("<IIIII", info.raw)[4])

    @classmethod
    def over(cls, descriptor: int, size: int) -> "Ring":
        """Return a ring over any descriptor whose pages are laid out like the kernel's."""
        ring = cls.__new__(cls)
        ring._map(descriptor, size)
        return ring

    def _map(self, descriptor: int, size: int) -> None:
        self.fd = descriptor
        self.unread = 0  # records that `unpack` could not read, and passed over
        self._size = size
        self._consumer = mmap.mmap(
            self.fd, _PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE
        )
        self._producer = mmap.mmap(
            self.fd, _PAGE, mmap.MAP_SHARED, mmap.PROT_READ, offset=_PRODUCER_AT
        )
        self._read_at = memoryview(self._consumer)[:8].cast("Q")
        self._written_to = memoryview(self._producer)[:8].cast("Q")

    @contextmanager
    def _window(self, position: int, size: int) -> Iterator[memoryview]:
        """Map `size` bytes of the data; nothing of them may be kept behind the with."""
        at = position & (self._size - 1)
        before = at % _PAGE
        with (
            mmap.mmap(
                self.fd,
                before + size,
                mmap.MAP_SHARED,
                mmap.PROT_READ,
                offset=_DATA_AT + at - before,
            ) as mapped,
            memoryview(mapped) as whole,
            whole[before : before + size] as data,
        ):
            yield data

    def records(self) -> Iterator[bytes]:
        """Yield what is there now, oldest first.

        A record counts as read once the next one is asked for, so stopping early loses nothing.
        """
        position, end = self._read_at[0], self._written_to[0]
        while position < end:
            with self._window(position, min(end - position, _WINDOW_BYTES)) as data:
                at = 0
                while at < len(data):
                    (head,) = _HEAD.unpack_from(data, at)
                    length = head & _LENGTH
                    following = at + ((length + 15) & ~7)
                    if head & _BUSY:
                        return
                    if following > len(data):
                        if at:
                            break  # it begins the next window
                        # Never past what was written, whatever a damaged head says: the kernel
                        # counts on it.
                        following = len(data)
                    if not head & _DISCARDED:
                        yield bytes(data[at + 8 : at + 8 + length])
                    position += following - at
                    at = following
                    self._read_at[0] = position

    def unpack(self, record: struct.Struct, limit: int) -> list[tuple[Any, ...]]:
        """Return up to `limit` records of one size, unpacked; far cheaper than one at a time.

        `record` begins with the ring's own head, "<II", which comes first in each tuple. The ring
        should hold nothing else; what has another size is passed over and counted in `unread`.
        """
        position, end, whole = self._read_at[0], self._written_to[0], record.size - 8
        found: list[tuple[Any, ...]] = []
        while position < end and len(found) < limit:
            count = min((end - position) // record.size, limit - len(found))
            if count:
                with self._window(position, count * record.size) as data:
                    rows = list(record.iter_unpack(data))
                heads = [row[0] for row in rows]
                if heads.count(whole) != count:
                    del rows[next(n for n, head in enumerate(heads) if head != whole) :]
                found += rows
                position += len(rows) * record.size
                if len(rows) == count:
                    continue
            following = self._behind_odd(position, end)
            if following == position:
                break  # still being written
            position = following
        self._read_at[0] = position
        return found

    def _behind_odd(self, position: int, end: int) -> int:
        """Return where the record behind one of another size begins; itself if it is not whole."""
        with self._window(position, _HEAD.size) as data:
            head: int = _HEAD.unpack(data)[0]
        if head & _BUSY:
            return position
        self.unread += not head & _DISCARDED
        return min(position + (((head & _LENGTH) + 15) & ~7), end)

    def close(self) -> None:
        """Unmap and give the descriptor back; the pinned ring stays."""
        self._read_at.release()
        self._written_to.release()
        self._consumer.close()
        self._producer.close()
        os.close(self.fd)

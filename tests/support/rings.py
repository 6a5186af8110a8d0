"""A ring buffer laid out as the kernel's, and a held map, that a test fills with any bytes."""

import mmap
import os
import struct

from agent.sensor.bpf import Ring

SIZE = 1 << 17
BUSY, DISCARDED = 0x80000000, 0x40000000
_PAGE = mmap.PAGESIZE


class FilledRing:
    """The writing side of a ring; `ring` is the agent's side of it."""

    def __init__(self) -> None:
        descriptor = os.memfd_create("ring")
        os.ftruncate(descriptor, 2 * _PAGE + 2 * SIZE)
        self._pages = mmap.mmap(descriptor, 2 * _PAGE + 2 * SIZE)
        self._written = 0
        self.ring = Ring.over(descriptor, SIZE)

    @property
    def read(self) -> int:
        """How far the agent has read."""
        number: int = struct.unpack_from("<Q", self._pages)[0]
        return number

    @property
    def written(self) -> int:
        """How far this side has written."""
        return self._written

    def put(self, data: bytes, *, flags: int = 0, length: int | None = None) -> None:
        """Write one record. `length` is what its head says, if not the truth."""
        head = struct.pack("<II", (len(data) if length is None else length) | flags, 0)
        record = head + data.ljust((len(data) + 7) & ~7, b"\0")
        # The kernel maps the same pages twice in a row; here each byte is written twice.
        at, data_at = self._written % SIZE, 2 * _PAGE
        assert self._written + len(record) - self.read <= SIZE, "the ring is full"
        self._pages[data_at + at : data_at + at + len(record)] = record
        over = max(0, at + len(record) - SIZE)
        self._pages[data_at : data_at + over] = record[len(record) - over :]
        first = record[: len(record) - over]
        self._pages[data_at + SIZE + at : data_at + SIZE + at + len(first)] = first
        self._written += len(record)
        struct.pack_into("<Q", self._pages, _PAGE, self._written)

    def close(self) -> None:
        """Unmap it."""
        self.ring.close()
        self._pages.close()


class FilledMap:
    """A held map with any values in it. A key in `broken` cannot be read."""

    def __init__(self, values: dict[int, bytes]) -> None:
        self.values = {struct.pack("<Q", number): value for number, value in values.items()}
        self.broken: set[bytes] = set()

    def get(self, key: bytes) -> bytes | None:
        """Return a value."""
        if key in self.broken:
            raise OSError(5, "Input/output error")
        return self.values.get(key)

    def all_keys(self) -> list[bytes]:
        """Return all keys."""
        return list(self.values)

    def delete(self, key: bytes) -> bool:
        """Remove a key."""
        return self.values.pop(key, None) is not None

"""A Bloom filter of a Parquet file: the split-block form, with XXH64, as the format has it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import xxhash

# The header after the size: split-block, XXH64, not compressed, in Thrift's compact form.
_FORM = bytes.fromhex("1c1c00001c1c00001c1c000000")
_SALTS = (
    0x47B6137B,
    0x44974D91,
    0x8824AD5B,
    0xA2B7289D,
    0x705495C7,
    0x2DF1424B,
    0x9EFC4947,
    0x5C6BFB31,
)
_BLOCK = 32  # bytes
_LONGEST_HEADER = 32


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter; `value in it` is False only if the filter says that the value is not there."""

    bits: bytes

    @classmethod
    def read(cls, file: Path, offset: int, length: int | None) -> Self:
        """Return the filter at a place of a file; raise OSError, or ValueError if there is none."""
        with file.open("rb") as opened:
            opened.seek(offset)
            head = opened.read(_LONGEST_HEADER)
            size, at = _size(head)
            if head[at : at + len(_FORM)] != _FORM or size <= 0 or size % _BLOCK:
                raise ValueError("not in the form that collectors write")
            header = at + len(_FORM)
            if length is not None and length != header + size:
                raise ValueError(f"it has {header + size} bytes, not {length}")
            opened.seek(offset + header)
            bits = opened.read(size)
        if len(bits) != size:
            raise ValueError("it is cut")
        return cls(bits)

    def __contains__(self, value: bytes) -> bool:
        hashed = xxhash.xxh64_intdigest(value)
        block = (hashed >> 32) * (len(self.bits) // _BLOCK) >> 32
        words = self.bits[block * _BLOCK : (block + 1) * _BLOCK]
        low = hashed & 0xFFFFFFFF
        for place, salt in enumerate(_SALTS):
            bit = (low * salt & 0xFFFFFFFF) >> 27
            if not words[place * 4 + (bit >> 3)] >> (bit & 7) & 1:
                return False
        return True


def _size(head: bytes) -> tuple[int, int]:
    """Return the number of bytes of the filter, the first field, and where what follows begins."""
    if head[:1] != b"\x15":
        raise ValueError("not in the form that collectors write")
    value = shift = 0
    for at, byte in enumerate(head[1:6], 2):
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value >> 1, at
        shift += 7
    raise ValueError("not in the form that collectors write")

"""Remembers which holds the trail may have, in a fixed megabyte: a new one is not looked up.

It never forgets one that was added; of one that was not, it says "maybe" now and then.
"""

_BITS = 23
_SLICES = 5  # of an id's 128 bits; ids are random, so each is as good as a hash


class Known:
    """A Bloom filter over ids of 32 hexadecimal digits.

    With a million ids about one new id in fifty is looked up for nothing. A host that chooses its
    ids can only cause more of those.
    """

    def __init__(self) -> None:
        self._bits = bytearray(1 << (_BITS - 3))

    def add(self, one: str) -> None:
        """Remember an id for good."""
        for place in _places(one):
            self._bits[place >> 3] |= 1 << (place & 7)

    def maybe(self, one: str) -> bool:
        """Return False if the id was never added."""
        return all(self._bits[place >> 3] & (1 << (place & 7)) for place in _places(one))


def _places(one: str) -> tuple[int, ...]:
    number = int(one, 16)
    mask = (1 << _BITS) - 1
    return tuple((number >> (_BITS * index)) & mask for index in range(_SLICES))

"""Grants in the kernel's maps: what passes without a stop, how often yet, and each use of it.

The agent writes what may pass and a limit; the kernel alone counts, so that a use is never counted
by both and none is lost with the agent.
"""

import struct
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.sensor.bpf import Map, Ring
from agent.sensor.interface import HeldKey, Terms, Use
from agent.sensor.records import (
    FACTS_BYTES,
    IDENTITY_BYTES,
    act_fields,
    call_is_to_come,
    identity_of,
)
from wire.ids import OrderId

_KEY = struct.Struct("<IIII")
_TERMS = struct.Struct(f"<QQQ6I32s{IDENTITY_BYTES}s")
_THREAD_BYTES = 8  # where an identity begins, and what a grant does not look at
_MAXIMUM: Final = 256
_SERIAL_SHIFT, _PLACES = 8, 0xFF
_SERIALS = 0xFFFFFF


@dataclass(slots=True)
class _Place:
    """One element of the map of terms. `key` is where the kernel finds it."""

    key: bytes
    terms: bytes
    limit: int


class NoPermits:
    """For a kernel side in which nothing passes by itself."""

    def terms_of(self, key: HeldKey) -> Terms | None:
        """Nothing is known that could be compared."""
        return None

    def permit(
        self,
        order: OrderId,
        terms: Terms,
        *,
        whole_subject: bool,
        uses: int,
        expires_boot_ns: int,
    ) -> bool:
        """It cannot be."""
        return False

    def left(self) -> Mapping[OrderId, int]:
        """None are there."""
        return {}

    def forbid(self, order: OrderId) -> None:
        """It never was."""

    def limit(self, order: OrderId, uses: int) -> None:
        """It never was."""

    def take_use(self, order: OrderId) -> bool:
        """Only the journal counts."""
        return True

    def uses(self) -> Iterator[Use]:
        """None are made."""
        return iter(())


class KernelPermits:
    """Implements interface.Permits over pinned maps, which outlive the agent."""

    def __init__(self, maps: Path) -> None:
        """Open the maps under `maps` (a directory of bpffs)."""
        self._holds = Map(maps / "hf_holds", 8, FACTS_BYTES)
        self._granted = Map(maps / "hf_granted", _KEY.size, 4)
        self._terms = Map(maps / "hf_terms", 4, _TERMS.size)
        self._taken = Map(maps / "hf_taken", 4, 8)
        self._ring = Ring(maps / "hf_uses")
        self._places: dict[OrderId, tuple[int, _Place]] = {}
        # The longest free is taken first: the kernel may still be at work with one just given back.
        self._free: deque[int] = deque()
        self._serials: dict[int, tuple[int, OrderId]] = {}
        self._read()

    def _read(self) -> None:
        keys = {}
        for key in self._granted.all_keys():
            (at,) = struct.unpack("<I", self._granted.get(key) or b"\xff\xff\xff\xff")
            keys[at] = key
        for at in range(_MAXIMUM):
            raw = self._terms.get(struct.pack("<I", at))
            assert raw is not None  # an array has all its elements
            _, limit, _, _, _, _, _, serial, _, order_text, _ = _TERMS.unpack(raw)
            order = OrderId(order_text.rstrip(b"\0").decode("ascii", "replace"))
            self._serials[at] = serial, order
            if at in keys and limit:
                self._places[order] = at, _Place(keys.pop(at), raw, limit)
            else:
                self._free.append(at)
        for key in keys.values():  # of one whose end an earlier agent had begun
            self._granted.delete(key)

    @property
    def fd(self) -> int:
        """A descriptor that is readable while uses are to be taken."""
        return self._ring.fd

    def terms_of(self, key: HeldKey) -> Terms | None:
        """Return what makes a held call that call; None if it is over, or was made already."""
        raw = self._holds.get(struct.pack("<Q", key))
        if raw is None or not call_is_to_come(raw):
            return None
        fields = act_fields(raw)
        identity_hash, identity = identity_of(raw)
        return Terms(
            subject=fields.subject,
            root_pid=fields.root_tgid,
            root_start_ns=fields.root_start_ns,
            uid=fields.uid,
            gid=fields.gid,
            identity_hash=identity_hash,
            identity=bytes(_THREAD_BYTES) + identity[_THREAD_BYTES:],
        )

    def permit(
        self,
        order: OrderId,
        terms: Terms,
        *,
        whole_subject: bool,
        uses: int,
        expires_boot_ns: int,
    ) -> bool:
        """Let calls like this pass so often, until then; False if another grant does already."""
        if order in self._places:
            return True
        root, start = (0, 0) if whole_subject else (terms.root_pid, terms.root_start_ns)
        key = _KEY.pack(terms.subject, root, terms.identity_hash, 0)
        if not self._free or self._granted.get(key) is not None:
            return False
        at = self._free.popleft()
        serial = self._serials[at][0] % _SERIALS + 1
        limit = self._count(at) + uses
        raw = _TERMS.pack(
            expires_boot_ns, limit, start, root, terms.subject, terms.uid, terms.gid, serial, 0,
            order.encode("ascii"), terms.identity,
        )  # fmt: skip
        self._terms.set(struct.pack("<I", at), raw)
        self._granted.set(key, struct.pack("<I", at))
        self._serials[at] = serial, order
        self._places[order] = at, _Place(key, raw, limit)
        return True

    def left(self) -> Mapping[OrderId, int]:
        """Return how many uses each grant has left here."""
        return {
            order: max(place.limit - self._count(at), 0)
            for order, (at, place) in self._places.items()
        }

    def forbid(self, order: OrderId) -> None:
        """Let nothing pass by a grant any more."""
        if order not in self._places:
            return
        at, place = self._places.pop(order)
        self._put(at, place, 0)
        self._granted.delete(place.key)
        self._free.append(at)

    def limit(self, order: OrderId, uses: int) -> None:
        """Leave a grant so many uses from now on."""
        at, place = self._places[order]
        self._put(at, place, self._count(at) + uses)

    def take_use(self, order: OrderId) -> bool:
        """Take one of the kernel's uses, for an act that is let go here; False if none is left."""
        if order not in self._places:
            return True
        at, place = self._places[order]
        # The limit first, then the look: of the kernel and us, the later one sees the other.
        self._put(at, place, place.limit - 1)
        if self._count(at) <= place.limit:
            return True
        self._put(at, place, place.limit + 1)
        return False

    def uses(self) -> Iterator[Use]:
        """Yield each use of a grant, oldest first; it is kept until the next one is asked for."""
        for raw in self._ring.records():
            number = act_fields(raw).grant
            serial, order = self._serials[number & _PLACES]
            known = serial == number >> _SERIAL_SHIFT
            yield Use(order if known else None, raw)

    def close(self) -> None:
        """Give the descriptors back."""
        for one in (self._holds, self._granted, self._terms, self._taken, self._ring):
            one.close()

    def _put(self, at: int, place: _Place, limit: int) -> None:
        place.limit = limit
        place.terms = place.terms[:8] + struct.pack("<Q", limit) + place.terms[16:]
        self._terms.set(struct.pack("<I", at), place.terms)

    def _count(self, at: int) -> int:
        (count,) = struct.unpack("<Q", self._taken.get(struct.pack("<I", at)) or bytes(8))
        return int(count)

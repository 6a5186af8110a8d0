"""The tombstones of a trail: which events retention has dropped, and whether each is in order.

One counts only if the collector's key has signed it. What it says of its batches must be so.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from collector.proof.tombstone import is_signed
from collector.proof.verify.report import Report, What
from collector.proof.verify.source import Source
from collector.trail.schema import TOMBSTONES

_NAMES = TOMBSTONES.schema.names


@dataclass(slots=True)
class Tombstone:
    """A row of `tombstones`; what its batches have is counted as they go by."""

    row: dict[str, Any]
    number: int
    events: int = 0
    odd: bool = False  # some of its batches came twice: nobody can say how many events that was

    @property
    def called(self) -> str:
        """What to call it."""
        kind = f"kind {self.row['kind']}" if self.row["kind"] else "every kind"
        batches = f"batches {self.row['first_batch']} to {self.row['last_batch']}"
        return f"row {self.number} ({kind} of {self.row['host']}, {batches})"


@dataclass(slots=True)
class Buried:
    """All that count. Batches are asked for in their order, each once."""

    by_host: dict[str, list[Tombstone]] = field(default_factory=dict)
    events: int = 0
    _host: str = ""
    _waiting: list[Tombstone] = field(default_factory=list)
    _open: list[Tombstone] = field(default_factory=list)

    def of(self, host: str, sequence: int) -> list[Tombstone]:
        """Return those that are about a batch."""
        if host != self._host:
            found = self.by_host.get(host, [])
            self._host, self._open = host, []
            self._waiting = sorted(found, key=lambda one: one.row["first_batch"], reverse=True)
        while self._waiting and self._waiting[-1].row["first_batch"] <= sequence:
            self._open.append(self._waiting.pop())
        self._open = [one for one in self._open if one.row["last_batch"] >= sequence]
        return self._open

    def all(self) -> Iterable[Tombstone]:
        """Return every one."""
        return (one for found in self.by_host.values() for one in found)


def buried_in(source: Source, trusted: frozenset[str], report: Report) -> Buried:
    """Return the tombstones that count; say which do not.

    `trusted`: the keys that were given, or else those that have signed the checkpoints.
    """
    found = Buried()
    if TOMBSTONES.name not in source.tables():
        return found
    for number, values in enumerate(source.rows(TOMBSTONES.name, _NAMES), 1):
        one = Tombstone(dict(zip(_NAMES, values, strict=True)), number)
        key = one.row["signed_by"]
        if not is_signed(source.trail, one.row):
            report.add(What.CHANGED, TOMBSTONES.name, f"{one.called}: its signature does not fit")
        elif trusted and key not in trusted:
            report.add(What.FORGED, TOMBSTONES.name, f"{one.called}: signed by key {key}")
        else:
            found.by_host.setdefault(one.row["host"], []).append(one)
    return found


def check_buried(buried: Buried, report: Report) -> None:
    """Say what is wrong with tombstones, once every batch has gone by."""
    count = 0
    for one in buried.all():
        count += 1
        if not one.odd and one.events != one.row["events"]:
            which = (
                f"{one.called} says {one.row['events']} events, and its batches had {one.events}"
            )
            report.add(What.CHANGED, TOMBSTONES.name, which)
    report.figures["dropped_by_retention"] = buried.events
    if count:
        report.notes.append(
            f"{buried.events} events were dropped by retention, under {count} tombstones"
        )

"""Checks events against the leaves of their batches, some batches of a host at a time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import duckdb

from collector.proof.verify.buried import Buried, check_buried
from collector.proof.verify.links import Batch
from collector.proof.verify.report import Report, What
from collector.proof.verify.source import Source
from wire.chain import leaf
from wire.events import NAMES
from wire.ids import HostId

_AT_ONCE = 100_000  # events
_MOST_TOLD = 20
# An event without these was never sealed; it must not keep others from being checked.
_FILLED = {"number": "coalesce(number, -1) AS number", "kind": "coalesce(kind, '') AS kind"}
# It is made from time_ns, and what people ask for by a time goes by it.
_WHEN = """
SELECT host, batch, min(number), max(number), count(*) FROM {events}
WHERE "when" IS DISTINCT FROM make_timestamp(time_ns // 1000)
GROUP BY host, batch ORDER BY ALL LIMIT 20
"""
_ORPHANS = """
SELECT host, batch, min(number), max(number), count(*) FROM {events}
WHERE (host, batch) NOT IN (SELECT host, sequence FROM batches)
GROUP BY host, batch ORDER BY ALL LIMIT 20
"""


def check_events(source: Source, batches: Iterable[Batch], buried: Buried, report: Report) -> None:
    """Say which events are not those that their hosts have sealed, nor dropped by retention."""
    for name, why in source.lost:
        report.add(What.DROPPED, "segments", f"{name} cannot be read: {why}")
    checked = linked = seen = 0
    before = ("", 0)
    for run in _runs(batches):
        for batch, found in _read(source, run):
            here = batch.host, batch.sequence
            seen += len(found.numbers) if here != before else 0  # of a fork once
            before = here
            gone = _gone(buried, batch, report)
            found.compare(batch, gone, report)
            buried.events += gone.events
            checked += batch.count - gone.events if batch.checkable else 0
            linked += 0 if batch.checkable else batch.count - gone.events
    for host, sequence, first, last, count in source.query(_WHEN.format(events=source.events)):
        which = f"when of {count} events ({first} to {last}) of batch {sequence}"
        report.add(What.CHANGED, f"events of {host}", which)
    for host, sequence, first, last, count in source.query(_ORPHANS.format(events=source.events)):
        which = f"{count} events ({first} to {last}) of a batch {sequence} that is not there"
        report.add(What.INSERTED, f"events of {host}", which)
    if (count := source.all_events()) != seen:
        which = (
            f"{count} are there, and {seen} were found by the host and batch of a row of batches"
        )
        report.add(What.INSERTED if count > seen else What.DROPPED, "events", which)
    check_buried(buried, report)
    report.figures["events"] = checked + linked
    if linked:
        report.notes.append(
            f"{linked} events are linked, but not checked one by one: they are of earlier agents, "
            "of a batch that came twice, or had columns that the collector did not know"
        )


@dataclass(frozen=True, slots=True)
class _Gone:
    """What retention has dropped of a batch: kinds, or all of it, and how many events that is."""

    kinds: frozenset[str] = frozenset()
    whole: bool = False
    events: int = 0


def _gone(buried: Buried, batch: Batch, report: Report) -> _Gone:
    """Return what tombstones say of a batch; say where one covers what was too young for it."""
    covered: dict[str, int] = {}
    for one in buried.of(batch.host, batch.sequence):
        kind = one.row["kind"]
        count = batch.leaves.get(kind, (0, ""))[0] if kind else batch.count
        one.events += count
        one.odd |= batch.forked
        if count and batch.received_ns + one.row["kept_ns"] > one.row["time_ns"]:
            which = f"batch {batch.sequence} was younger than {one.called} of tombstones allows"
            report.add(What.DROPPED, f"events of {batch.host}", which)
        if count:
            covered[kind] = count
    whole = "" in covered
    events = batch.count if whole else sum(covered.values())
    return _Gone(frozenset(covered), whole, events)


@dataclass(slots=True)
class _Found:
    """What the trail has of one batch: its numbers, and its columns by kind."""

    numbers: list[int] = field(default_factory=list)
    kinds: dict[str, dict[str, list[Any]]] = field(default_factory=dict)

    def compare(self, batch: Batch, gone: _Gone, report: Report) -> None:
        """Say what is not as it was sealed; what is `gone` must not be there."""
        place, here = f"events of {batch.host}", set(self.numbers)
        wanted = range(batch.first, batch.first + batch.count)
        if gone.events:
            if not batch.forked:  # of a fork nobody can say which of them is whose
                self._compare_rest(batch, gone, report)
            return
        missing = [number for number in wanted if number not in here]
        extra = [number for number in self.numbers if number not in wanted]
        twice = len(self.numbers) - len(here)
        if batch.forked and (twice or extra):
            return  # nobody can say which of them is whose
        if missing:
            report.add(What.DROPPED, place, f"{_ranges(missing)} of batch {batch.sequence}")
        if extra or twice:
            again = sorted(number for number in here if self.numbers.count(number) > 1)
            which = _ranges(sorted({*extra, *again}))
            report.add(What.INSERTED, place, f"{which} of batch {batch.sequence}")
        if not batch.checkable or missing or extra or twice:
            return
        for kind in sorted({*self.kinds, *batch.leaves}):
            self._compare_leaf(batch, kind, report)

    def _compare_leaf(self, batch: Batch, kind: str, report: Report) -> None:
        columns = self.kinds.get(kind, {})
        count, signed = batch.leaves.get(kind, (0, ""))
        made = leaf(HostId(batch.host), batch.sequence, kind, columns) if columns else ""
        if made != signed:
            numbers = columns.get("number", [])
            which = _ranges(numbers) if numbers else f"{count} events"
            words = f"{which} of kind {kind} in batch {batch.sequence}"
            report.add(What.CHANGED, f"events of {batch.host}", words)

    def _compare_rest(self, batch: Batch, gone: _Gone, report: Report) -> None:
        """Compare the kinds that were not dropped: by their leaves, which have their numbers."""
        place = f"events of {batch.host}"
        for kind in sorted({*self.kinds, *batch.leaves}):
            numbers = self.kinds.get(kind, {}).get("number", [])
            count, words = len(numbers), f"of kind {kind} in batch {batch.sequence}"
            if gone.whole or kind in gone.kinds:
                if numbers:
                    which = f"{_ranges(numbers)} {words}, which a tombstone says are gone"
                    report.add(What.INSERTED, place, which)
                continue
            wanted = batch.leaves.get(kind, (0, ""))[0]
            if count < wanted:
                which = f"{wanted - count} of the {wanted} events {words}"
                report.add(What.DROPPED, place, which)
            elif count > wanted:
                report.add(What.INSERTED, place, f"some of {_ranges(numbers)} {words}")
            elif batch.checkable:
                self._compare_leaf(batch, kind, report)


def _runs(batches: Iterable[Batch]) -> Iterator[list[Batch]]:
    """Yield the batches of a host that are read together."""
    run: list[Batch] = []
    size = 0
    for batch in batches:
        if run and (batch.host != run[0].host or size + batch.count > _AT_ONCE):
            yield run
            run, size = [], 0
        run.append(batch)
        size += batch.count
    if run:
        yield run


def _read(source: Source, run: list[Batch]) -> Iterator[tuple[Batch, _Found]]:
    columns = ", ".join(_FILLED.get(name, f'"{name}"') for name in ("batch", "number", *NAMES))
    cursor = source.connection.cursor()
    try:
        table = cursor.execute(
            f"SELECT {columns} FROM {source.events} WHERE host = ? AND batch BETWEEN ? AND ?"  # noqa: S608
            " ORDER BY batch, kind, number",
            [run[0].host, run[0].sequence, run[-1].sequence],
        ).to_arrow_table()
    except duckdb.Error:
        cursor.close()
        raise
    cursor.close()
    filled = [name for name in ("number", *NAMES) if table[name].null_count < len(table)]
    values = {name: table[name].to_pylist() for name in filled}
    sequences = table["batch"].to_pylist()
    kinds = values.pop("kind", [])
    found: dict[int, _Found] = {}
    start = 0
    for end in range(1, len(table) + 1):
        here = sequences[start], kinds[start]
        if end < len(table) and (sequences[end], kinds[end]) == here:
            continue
        part = {name: all_[start:end] for name, all_ in values.items()}
        batch = found.setdefault(here[0], _Found())
        batch.kinds[here[1]] = part
        batch.numbers += part["number"]
        start = end
    for one in run:
        yield one, found.get(one.sequence, _Found())


def _ranges(numbers: Iterable[int]) -> str:
    """Return "event 3", or "events 3, 5 to 9", of numbers that are sorted."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    words = [f"{a} to {b}" if a < b else f"{a}" for a, b in spans[:_MOST_TOLD]]
    more = f" and others ({len(spans) - _MOST_TOLD} more runs)" if len(spans) > _MOST_TOLD else ""
    one = len(spans) == 1 and spans[0][0] == spans[0][1]
    return f"event{'' if one else 's'} {', '.join(words)}{more}"

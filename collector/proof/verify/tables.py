"""Checks the rows of every table but events against the running digests that were signed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from collector.proof.checkpoint import MARK, TableState
from collector.proof.running import Running, row_digest
from collector.proof.verify.report import Report, What
from collector.proof.verify.signed import Signed, all_states
from collector.proof.verify.source import Source


def check_tables(source: Source, signed: Signed, report: Report) -> None:
    """Say which rows are not those that were signed."""
    for table, states in sorted(signed.tables.items()):
        if table not in source.tables():
            report.add(What.DROPPED, table, "the whole table is missing")
            continue
        names = source.columns(table)
        for state in states:
            if state.columns > len(names):
                report.add(What.CHANGED, table, f"it had {state.columns} columns")
            elif _digest(source, table, names[: state.columns], state.rows) != state.digest:
                _Explained(source, table, names[: state.columns], state).tell(report)
                break
    for table in sorted(source.proven()):
        count = report.figures[table] = source.count(table)
        rows = signed.tables[table][-1].rows if table in signed.tables else 0
        if count > rows:
            report.notes.append(f"{table}: the {count - rows} newest rows are not signed yet")


def _digest(source: Source, table: str, names: Sequence[str], rows: int) -> str:
    """Return the running digest over the first rows; "" if there are not so many."""
    running = Running()
    if rows:
        for values in source.rows(table, names):
            running.take(row_digest(table, names, values))
            if running.rows == rows:
                break
    return running.digest if running.rows == rows else ""


@dataclass(frozen=True, slots=True)
class _Explained:
    """A table whose digest is not the one signed: which rows it is."""

    source: Source
    table: str
    names: Sequence[str]
    last: TableState

    def tell(self, report: Report) -> None:
        """Say it by the marks of the rows, or, where they were too many to be kept, roughly."""
        states = all_states(self.source, self.table, self.last.columns)
        marks: list[str] = []
        for state in states:
            marks += [state.marks[at : at + MARK] for at in range(0, len(state.marks), MARK)]
            if len(marks) != state.rows:
                return self._roughly(states, report)
        return self._by_marks(marks, report)

    def _by_marks(self, signed: list[str], report: Report) -> None:
        found: list[str] = []
        called: list[str] = []
        for number, values in enumerate(self.source.rows(self.table, self.names), 1):
            found.append(row_digest(self.table, self.names, values).hex()[:MARK])
            called.append(_called(number, self.names, values))
        missing, extra = _without(signed, found), _without(found, signed)
        # Behind the last row that was signed others may have come since.
        ends = _at_the_end(missing, len(signed)), _at_the_end(extra, len(found))
        changed = list(zip(*ends, strict=False))
        extra = [at for at in extra if at not in ends[1]]
        missing = [at for at in missing if at not in {gone for gone, _ in changed}]
        both = set(missing) & set(extra)
        changed += [(at, at) for at in both]
        for _, at in sorted(changed):
            report.add(What.CHANGED, self.table, called[at])
        for at in sorted(set(extra) - both):
            report.add(What.INSERTED, self.table, called[at])
        gone = sorted(set(missing) - both)
        if gone and gone == ends[0]:
            which = f"rows {gone[0] + 1} to {gone[-1] + 1} are missing at the end"
            report.add(What.TRUNCATED, self.table, which)
        else:
            for at in gone:
                report.add(What.DROPPED, self.table, f"row {at + 1} is missing")
        if not changed and not extra and not gone:
            turned = (at for at, mark in enumerate(signed) if mark != found[at])
            report.add(What.REORDERED, self.table, f"from {called[next(turned, 0)]}")

    def _roughly(self, states: list[TableState], report: Report) -> None:
        running = Running()
        rows = self.source.rows(self.table, self.names)
        before = 0
        for state in states:
            for values in rows:
                running.take(row_digest(self.table, self.names, values))
                if running.rows == state.rows:
                    break
            if running.rows < state.rows:
                which = f"rows {running.rows + 1} to {self.last.rows} are missing at the end"
                return report.add(What.TRUNCATED, self.table, which)
            if running.digest != state.digest:
                which = f"one of the rows {before + 1} to {state.rows}, or one between them"
                return report.add(What.CHANGED, self.table, which)
            before = state.rows
        return report.add(What.CHANGED, self.table, f"its checkpoints at row {before}")


def _without(these: Sequence[str], others: Sequence[str]) -> list[int]:
    """Return the places of `these` that have no fellow among `others`."""
    left = Counter(others)
    places = []
    for at, mark in enumerate(these):
        if left[mark]:
            left[mark] -= 1
        else:
            places.append(at)
    return places


def _at_the_end(places: Sequence[int], length: int) -> list[int]:
    """Return those of the places, in order, behind which there is no other place."""
    start = length
    chosen = set(places)
    while start - 1 in chosen:
        start -= 1
    return list(range(start, length))


def _called(number: int, names: Sequence[str], values: Sequence[Any]) -> str:
    """Return what to call a row: its place and its first values."""
    first = list(zip(names, values, strict=True))[:2]
    return f"row {number} ({', '.join(f'{name} {str(value)[:40]!r}' for name, value in first)})"

"""Checks the checkpoints themselves: each follows from the one before, by a key that is trusted."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from collector.errors import ProofError
from collector.proof.checkpoint import Checkpoint, HostState, TableState, digest_of, read
from collector.proof.verify.report import Report, What
from collector.proof.verify.source import Source, numbered
from wire.chain import NOTHING_BEFORE

_TABLE, _FILE = "checkpoints", "checkpoints.jsonl"


@dataclass(slots=True)
class Signed:
    """What the checkpoints say of the trail.

    `tables`: the newest state of each table, and before it the last with each number of columns;
    `hosts`: the newest batch of each.
    """

    number: int = 0
    tables: dict[str, list[TableState]] = field(default_factory=dict)
    hosts: dict[str, HostState] = field(default_factory=dict)


def check_checkpoints(source: Source, trusted: frozenset[str], report: Report) -> Signed:
    """Return what is signed; what does not follow is said."""
    signed, previous, keys = Signed(), NOTHING_BEFORE, set[str]()
    superseded = _superseded(source, report)
    has_file = source.checkpoint_file.exists()
    in_file = _digests(source.checkpoint_file) if has_file else {}
    for number, digest, previous_said, line in source.checkpoints():
        where, own = f"checkpoint {number}", digest_of(line)
        copy = in_file.pop(number, None)
        if has_file and copy != own:
            what = What.CHANGED if copy else What.TRUNCATED
            report.add(what, _FILE, f"{where} is {'another one' if copy else 'missing'}")
        if number != signed.number + 1:
            missing = f"checkpoints {signed.number + 1} to {number - 1} are missing"
            report.add(What.DROPPED, _TABLE, missing)
            previous = previous_said
        signed.number = number
        try:
            found, key = read(line)
        except ProofError as error:
            report.add(What.CHANGED, _TABLE, f"{where}: {error}")
        else:
            keys.add(key)
            if trusted and key not in trusted:
                report.add(What.FORGED, _TABLE, f"{where}: signed by key {key}, not one given")
            if (found.number, own, found.previous) != (number, digest, previous_said):
                report.add(What.CHANGED, _TABLE, f"{where}: its columns are not those of its line")
            elif found.previous != previous:
                report.add(What.CHANGED, _TABLE, f"{where} does not follow from the one before")
            if found.trail != source.trail:
                report.add(What.FORGED, _TABLE, f"{where} is of another trail, {found.trail}")
            _take(signed, found, rows=number not in superseded)
        previous = own
    for number in in_file:
        # The views of a collector that runs are a few seconds behind its file of checkpoints.
        if source.live and number > signed.number:
            continue
        name = f"checkpoint {number}" if number > 0 else f"line {-number}"
        report.add(What.TRUNCATED, _TABLE, f"{name} is in {_FILE} alone")
    _note(source, signed, trusted, tuple(sorted(keys)), report)
    return signed


def check_anchored(source: Source, anchors: Sequence[Path], report: Report) -> None:
    """Compare with what anchors have kept; without that, say what they have answered."""
    # All lines: a collector on a trail that was put back gives its anchor other ones of a number.
    kept = {pair: None for copy in anchors for pair in _lines(copy)}
    ours = {number: digest for number, digest, _, _ in source.checkpoints()} if kept else {}
    for number, digest in kept:
        if number not in ours:
            report.add(What.TRUNCATED, _TABLE, f"checkpoint {number} is at the anchor alone")
        elif ours[number] != digest:
            report.add(What.FORGED, _TABLE, f"checkpoint {number} is another one at the anchor")
    receipts = source.receipts()
    # An anchor of the lost disk says nothing of the rows that came again.
    lost = _superseded(source, Report())
    same = [number for number, digest in kept if ours.get(number) == digest]
    newest = max((number for number in same if number not in lost), default=0)
    if newest:
        report.anchored = f"anchored up to checkpoint {newest}"
    elif receipts:
        report.anchored = (
            f"receipts up to checkpoint {max(receipts)}; not compared with what the anchor has, "
            "which --anchor does"
        )


def all_states(source: Source, table: str, columns: int) -> list[TableState]:
    """Return every state of a table with so many columns, oldest first, each once."""
    states: list[TableState] = []
    superseded = _superseded(source, Report())
    for number, _, _, line in source.checkpoints():
        if number in superseded:
            continue
        try:
            found = read(line)[0]
        except ProofError:
            continue
        for state in found.tables:
            if (state.name, state.columns) == (table, columns) and (
                not states or state.rows > states[-1].rows
            ):
                states.append(state)
    return states


def _note(
    source: Source,
    signed: Signed,
    trusted: frozenset[str],
    keys: tuple[str, ...],
    report: Report,
) -> None:
    report.keys = keys
    report.figures["checkpoints"] = signed.number
    if not source.checkpoint_file.exists():
        report.notes.append(f"{source.checkpoint_file} is not there")
    if not signed.number:
        report.notes.append("there is no checkpoint: nothing is signed")
    elif not trusted:
        report.notes.append(
            "no --public-key was given: who has written the trail anew and signed it with a key of "
            f"their own goes unseen. It is signed by {', '.join(keys)}"
        )


def _superseded(source: Source, report: Report) -> frozenset[int]:
    """Return the numbers of checkpoints over rows that a lost disk had; say which restore it was.

    What they say of the chains of hosts goes on to count: that does not depend on the disk.
    """
    found: set[int] = set()
    for number, _, _, line in source.checkpoints():
        try:
            restored = read(line)[0].restored
        except ProofError:
            continue
        if restored is None:
            continue
        lost = range(restored.checkpoint + 1, number)
        found |= set(lost)
        which = f"{lost[0]} to {lost[-1]}" if lost else "none"
        report.notes.append(
            f"checkpoint {number} says that a backup of {_utc(restored.backup_ns)} was put back on "
            f"{_utc(restored.restored_ns)}: the order of rows that checkpoints of the lost disk "
            f"had signed ({which}) is not compared; batches of hosts are"
        )
    return frozenset(found)


def _utc(time_ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time_ns // 10**9))


def _take(signed: Signed, found: Checkpoint, *, rows: bool) -> None:
    """Remember what a checkpoint says; `rows`: also of the rows of tables."""
    signed.hosts |= {one.host: one for one in found.hosts}
    for state in found.tables if rows else ():
        runs = signed.tables.setdefault(state.name, [])
        if runs and runs[-1].columns == state.columns:
            runs[-1] = state
        else:
            runs.append(state)


def _digests(path: Path) -> dict[int, str]:
    """Return the digests of the lines of a file, by the number of the checkpoint."""
    return dict(_lines(path))


def _lines(path: Path) -> list[tuple[int, str]]:
    """Return the number and the digest of each line of a file; raise ProofError."""
    try:
        return [(number, digest_of(line)) for number, line in numbered(path)]
    except OSError as error:
        raise ProofError(f"{path}: cannot be read: {error.strerror or error}") from error

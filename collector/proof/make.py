"""Makes the next checkpoint from one snapshot of the trail, if anything has changed in it."""

import time

import duckdb

from collector.proof.checkpoint import (
    AfterRestore,
    Checkpoint,
    HostState,
    TableState,
    digest_of,
    read,
)
from collector.proof.running import PROVEN, state_of
from wire.chain import NOTHING_BEFORE

# A checkpoint must fit into one message. The table batches has what is left out here.
_MOST_HOSTS = 4000
# Rows about checkpoints themselves are no reason for another.
_NO_REASON = frozenset({"anchors"})
_HOSTS = """
SELECT host, max(sequence), arg_max(chain, sequence)
FROM (SELECT host, sequence, chain FROM batches ORDER BY rowid OFFSET ?)
GROUP BY host ORDER BY host LIMIT ?
"""


def last_line(cursor: duckdb.DuckDBPyConnection) -> str:
    """Return the line of the newest checkpoint, "" if there is none."""
    row = cursor.execute("SELECT line FROM checkpoints ORDER BY number DESC LIMIT 1").fetchone()
    return str(row[0]) if row else ""


def next_checkpoint(
    connection: duckdb.DuckDBPyConnection,
    trail: str,
    before: str,
    *,
    base: str | None = None,
    restored: AfterRestore | None = None,
) -> Checkpoint | None:
    """Return the checkpoint after that of the line `before`; None if there is nothing new.

    `restored`: it is the first after a restore, and the rows go on from those of the line `base`.
    Raises ProofError if that line is damaged, duckdb.Error if the trail is.
    """
    last = read(before)[0] if before else None
    base = before if base is None else base
    states = {one.name: one for one in read(base)[0].tables} if base else {}
    cursor = connection.cursor()
    try:
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        tables = tuple(state_of(cursor, name, states.get(name)) for name in PROVEN)
        if restored is None and not any(_is_new(one, states.get(one.name)) for one in tables):
            return None
        known = states["batches"].rows if "batches" in states else 0
        hosts = cursor.execute(_HOSTS, [known, _MOST_HOSTS]).fetchall()
    finally:
        cursor.close()
    return Checkpoint(
        trail=trail,
        number=last.number + 1 if last else 1,
        previous=digest_of(before) if before else NOTHING_BEFORE,
        time_ns=time.time_ns(),
        tables=tables,
        hosts=tuple(HostState(*row) for row in hosts),
        restored=restored,
    )


def _is_new(now: TableState, before: TableState | None) -> bool:
    if now.name in _NO_REASON:
        return False
    return (
        now.rows > 0
        if before is None
        else (now.rows, now.columns)
        != (
            before.rows,
            before.columns,
        )
    )

"""A signed trail from which retention has dropped what is old: here those of one kind."""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb

from collector.config import Trail
from collector.proof.file import CheckpointFile
from collector.proof.notary import Notary
from collector.proof.tombstone import signed
from collector.trail.retention.choice import HOUR_NS
from collector.trail.retention.rounds import Retention
from collector.trail.retention.settings import Policy, policy_of
from collector.trail.retention.settings import Retention as Settings
from collector.trail.schema import TOMBSTONES
from collector.trail.segments.keeper import Keeper
from collector.trail.segments.retired import Retired
from collector.trail.store import open_trail, trail_id
from collector.trail.writer import Writer
from tests.support.proven_trail import KEY, OneStream, change
from wire.signing import Signer

KEEP = {"open": "90d"}
DAY_NS = 24 * HOUR_NS


def keep(
    directory: Path,
    settings: Settings,
    *,
    later_ns: int = 100 * DAY_NS,
    sign: bool = True,
    stream: OneStream | None = None,
) -> Retention:
    """Do on a closed trail what retention does so much later; return what did it.

    `sign`: a checkpoint is made at the end, and published to `stream`.
    """
    trail = Trail(file=str(directory / "trail.duckdb"))
    connection = open_trail(trail)
    writer = Writer(connection, on_fatal=lambda _: None)
    policy = policy_of(settings, place="retention")
    assert policy is not None
    retention = drop_now(connection, writer, policy, later_ns=later_ns)
    name = trail_id(connection)
    if sign:
        file = CheckpointFile(trail.checkpoints)
        stream = stream or OneStream()
        notary = Notary(
            connection, writer, stream, KEY, trail=name, every_s=60, file=file, anchors=()
        )
        asyncio.run(notary.round())
    writer.close()
    connection.close()
    return retention


def drop_now(
    connection: duckdb.DuckDBPyConnection,
    writer: Writer,
    policy: Policy,
    *,
    later_ns: int = 100 * DAY_NS,
) -> Retention:
    """Do on an open trail what retention does so much later; return what did it."""
    clock = _Clock(later_ns)
    retention = Retention(
        connection, writer.shelf, policy, KEY, trail=trail_id(connection), clock=clock.now
    )
    # Its grace is over at once: what is not named any more is gone.
    retired = Retired(0)
    keeper = Keeper(connection, writer, retired, retention=retention, clock=clock.now)
    for _ in range(2):
        while keeper.step():
            pass
        clock.later_ns += HOUR_NS  # the tail is sealed, and there is another round
    retired.handed_out(retired.clock())
    retired.delete_due()
    return retention


class _Clock:
    def __init__(self, later_ns: int) -> None:
        self.later_ns = later_ns

    def now(self) -> int:
        """Return the time then."""
        return time.time_ns() + self.later_ns


def tombstones(directory: Path) -> list[dict[str, Any]]:
    """Return those of hosts that have sent something, in their order."""
    with duckdb.connect(str(directory / "trail.duckdb"), read_only=True) as connection:
        rows = connection.execute(
            "FROM tombstones WHERE host IN (SELECT host FROM batches) ORDER BY rowid"
        )
        names = [one[0] for one in rows.description or ()]
        return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]


def sign_again(
    directory: Path,
    which: Mapping[str, Any],
    changes: Mapping[str, Any],
    signer: Signer = KEY,
    *,
    trail: Callable[[str], str] = str,
) -> None:
    """Change a tombstone and sign it with a key, as who has that key could."""
    with duckdb.connect(str(directory / "trail.duckdb")) as connection:
        (own,) = connection.execute("SELECT any_value(trail) FROM schema_version").fetchone() or ()
    left = {name: value for name, value in which.items() if name != "signature"}
    made = signed(trail(own), left | dict(changes), signer)
    values = ", ".join(f"\"{name}\" = '{made[name]}'" for name in TOMBSTONES.schema.names)
    assert change(
        directory,
        f"UPDATE tombstones SET {values} WHERE tombstone = '{which['tombstone']}'",  # noqa: S608
    )

"""The record of holds on disk, and in the same file what the centre is still to be told of them,
and its orders.

A step is here, for good, before anything is published or signalled because of it.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.database import open_database, transaction
from agent.errors import JournalError
from agent.holds.model import Doom, Fate, Hold, Pass, Step, Voice, Why
from agent.orders.store import OrderStore, check_rows
from agent.release import ProcessId
from agent.sensor.interface import HeldKey
from wire import codec, subjects
from wire.errors import IdError
from wire.ids import HoldId, HostId, MessageId, VerdictId, check_id, new_id
from wire.messages import Ground, HoldOpened, HoldStateName, KillScope, OnTimeout

_VERSION = 1
_PASS, _DOOM, _REFUSE = "pass", "doom", "refuse"
_REFUSES = ", refuse"  # behind what a denial kills: it kills nobody
_DAY_NS = 86_400 * 1_000_000_000
# A verdict that comes again long after its hold is over must still be known for a repetition.
KEEP_NS = 30 * _DAY_NS

_SCHEMA = """
CREATE TABLE holds (
    id TEXT PRIMARY KEY, key TEXT NOT NULL, pid INTEGER NOT NULL, start_ns INTEGER NOT NULL,
    session TEXT NOT NULL, act_boot_ns INTEGER NOT NULL, boot_id TEXT NOT NULL,
    digest TEXT NOT NULL, rule TEXT NOT NULL, voice TEXT NOT NULL,
    deadline_boot_ns INTEGER NOT NULL, on_timeout TEXT NOT NULL, kill TEXT NOT NULL,
    state TEXT NOT NULL, sequence INTEGER NOT NULL, finished INTEGER NOT NULL,
    fate TEXT, scope TEXT, ground TEXT, verdict TEXT, answered_by TEXT, reason TEXT,
    opened BLOB, changed_ns INTEGER NOT NULL,
    CHECK (fate IS NULL OR ground IS NOT NULL)
) STRICT;
CREATE INDEX holds_entry ON holds (key, pid);
CREATE INDEX holds_finished ON holds (finished, changed_ns);
CREATE TABLE verdicts (
    id TEXT PRIMARY KEY, hold TEXT NOT NULL, used_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT, hold TEXT NOT NULL, subject TEXT NOT NULL,
    message_id TEXT NOT NULL, data BLOB NOT NULL
) STRICT;
CREATE INDEX outbox_hold ON outbox (hold, number);
"""

_COLUMNS = (
    "id, key, pid, start_ns, session, act_boot_ns, boot_id, digest, rule, voice, "
    "deadline_boot_ns, on_timeout, kill, state, sequence, finished, fate, scope, ground, "
    "verdict, answered_by, reason"
)


@dataclass(frozen=True, slots=True)
class Letter:
    """One message about a hold that the centre has not acknowledged."""

    number: int
    hold: HoldId
    subject: str
    message_id: MessageId
    data: bytes


class Journal:
    """The journal in one file. `moved` is where a damaged one was put, if there was one.

    `orders` are the grants and quarantines in it.
    """

    def __init__(self, path: Path, host: HostId) -> None:
        self._path = path
        self._host = host
        opened = open_database(path, _SCHEMA, version=_VERSION, check=self._check)
        self._db = opened.connection
        self.moved = opened.moved
        self.orders = OrderStore(self._db, path)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def record(self, step: Step, now_ns: int) -> None:
        """Write a step whole; raise JournalError, with nothing written, if that fails.

        A step of which the centre is told nothing must only outlive a crash: after a loss of
        power its processes are gone.
        """
        durable = bool(step.says or step.used or step.uses or step.spent)
        with transaction(self._db, self._path, durable=durable):
            for grant in step.uses:
                self.orders.use(grant)
            for grant in step.spent:
                self.orders.spend(grant)
            packed = [codec.encode(say) for say in step.says]
            opened = {
                say.hold: data
                for say, data in zip(step.says, packed, strict=True)
                if isinstance(say, HoldOpened)
            }
            for hold in step.holds:
                self._put(hold, opened.get(hold.id), now_ns)
            self._db.executemany(
                "INSERT INTO verdicts VALUES (?, ?, ?)",
                [(verdict, hold, now_ns) for verdict, hold in step.used],
            )
            self._db.executemany(
                "INSERT INTO outbox (hold, subject, message_id, data) VALUES (?, ?, ?, ?)",
                [
                    (say.hold, subjects.hold(self._host, say.hold), new_id(), data)
                    for say, data in zip(step.says, packed, strict=True)
                ],
            )

    def unfinished(self) -> list[Hold]:
        """Return every hold that is not over, oldest first, of whatever boot."""
        rows = self._all(f"SELECT {_COLUMNS} FROM holds WHERE finished = 0 ORDER BY rowid")  # noqa: S608
        return [self._read(row) for row in rows]

    def get(self, hold: HoldId) -> Hold | None:
        """Return a hold, over or not; None if it was never here or is long over."""
        rows = self._all(f"SELECT {_COLUMNS} FROM holds WHERE id = ?", hold)  # noqa: S608
        return self._read(rows[0]) if rows else None

    def is_over(self, hold: Hold) -> bool:
        """Return whether the act of this hold is one that is over here under another id."""
        rows = self._all(
            "SELECT 1 FROM holds WHERE finished = 1 AND boot_id = ? AND key = ? AND pid = ? "
            "AND start_ns = ? AND act_boot_ns = ?",
            hold.boot_id,
            str(hold.key),
            hold.process.pid,
            hold.process.start_ns,
            hold.act_boot_ns,
        )
        return bool(rows)

    def opened(self, hold: HoldId) -> HoldOpened | None:
        """Return what the centre was told when the hold was opened, None for a quiet one."""
        rows = self._all("SELECT opened FROM holds WHERE id = ?", hold)
        if not rows or rows[0][0] is None:
            return None
        return codec.decode_as(rows[0][0], HoldOpened)

    def used(self, verdict: VerdictId) -> HoldId | None:
        """Return the hold that a verdict was spent on, None if it was not."""
        rows = self._all("SELECT hold FROM verdicts WHERE id = ?", verdict)
        return HoldId(rows[0][0]) if rows else None

    def letters(self, limit: int) -> list[Letter]:
        """Return what is to be published next, at most one for each hold, oldest first."""
        rows = self._all(
            "SELECT number, hold, subject, message_id, data FROM outbox WHERE number IN "
            "(SELECT min(number) FROM outbox GROUP BY hold) ORDER BY number LIMIT ?",
            limit,
        )
        return [Letter(row[0], HoldId(row[1]), row[2], MessageId(row[3]), row[4]) for row in rows]

    def message_ids(self) -> set[MessageId]:
        """Return the id of every message that is not acknowledged."""
        return {MessageId(row[0]) for row in self._all("SELECT message_id FROM outbox")}

    def unpublished(self) -> int:
        """Return how many messages wait to be acknowledged."""
        return int(self._all("SELECT count(*) FROM outbox")[0][0])

    def published(self, letter: Letter) -> None:
        """Take an acknowledged message out. Not synced: publishing twice is harmless."""
        with transaction(self._db, self._path, durable=False):
            self._db.execute("DELETE FROM outbox WHERE number = ?", (letter.number,))

    def rename(self, letter: Letter) -> None:
        """Give a message another id, because the server knew the first one already."""
        with transaction(self._db, self._path):
            self._db.execute(
                "UPDATE outbox SET message_id = ? WHERE number = ?", (new_id(), letter.number)
            )

    def prune(self, now_ns: int) -> None:
        """Delete what has been over for long."""
        before = now_ns - KEEP_NS
        with transaction(self._db, self._path, durable=False):
            self._db.execute(
                "DELETE FROM holds WHERE finished = 1 AND (changed_ns < ? OR voice = ?)",
                (before, Voice.QUIET),
            )
            self._db.execute(
                "DELETE FROM verdicts WHERE used_ns < ? AND hold NOT IN (SELECT id FROM holds)",
                (before,),
            )
        self.orders.prune(before)

    def _check(self, database: sqlite3.Connection) -> None:
        """Raise ValueError unless every row can be read, and every letter goes where it may."""
        try:
            self._check_rows(database)
        except IdError as error:
            raise ValueError(str(error)) from error

    def _check_rows(self, database: sqlite3.Connection) -> None:
        check_rows(database)
        for row in database.execute(f"SELECT {_COLUMNS} FROM holds"):  # noqa: S608
            _hold(row)
        database.execute("SELECT opened, changed_ns FROM holds LIMIT 1").fetchall()
        for row in database.execute("SELECT id, hold, used_ns FROM verdicts"):
            check_id(row[1], place="verdicts")
        for row in database.execute("SELECT number, hold, subject, message_id, data FROM outbox"):
            check_id(row[3], place="outbox")
            hold = HoldId(check_id(row[1], place="outbox"))
            if row[2] != subjects.hold(self._host, hold):
                raise ValueError(f"outbox: {row[2]!r} is not a subject of hold {row[1]}")

    def _read(self, row: tuple[Any, ...]) -> Hold:
        try:
            return _hold(row)
        except (ValueError, TypeError) as error:
            raise JournalError(
                f"{self._path}: a hold cannot be read: {error}; restart the agent, which puts a "
                "damaged file aside"
            ) from error

    def _put(self, hold: Hold, opened: bytes | None, now_ns: int) -> None:
        if hold.finished and hold.voice is Voice.QUIET:
            self._db.execute("DELETE FROM holds WHERE id = ?", (hold.id,))
            return
        values = _values(hold)
        marks = ", ".join("?" * (len(values) + 2))
        updates = ", ".join(
            f"{name} = excluded.{name}" for name in [*_COLUMNS.split(", ")[1:], "changed_ns"]
        )
        self._db.execute(
            f"INSERT INTO holds ({_COLUMNS}, opened, changed_ns) VALUES ({marks}) "  # noqa: S608
            f"ON CONFLICT (id) DO UPDATE SET {updates}",
            (*values, opened, now_ns),
        )

    def _all(self, sql: str, *values: object) -> list[Any]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise JournalError(
                f"{self._path}: cannot be read: {error}; restart the agent, which puts a damaged "
                "file aside"
            ) from error


def _values(hold: Hold) -> tuple[object, ...]:
    why = hold.fate.why if hold.fate else None
    return (
        hold.id,
        str(hold.key),  # 64 bits without a sign, which SQLite's integers are not
        hold.process.pid,
        hold.process.start_ns,
        hold.session,
        hold.act_boot_ns,
        hold.boot_id,
        hold.digest,
        hold.rule,
        hold.voice,
        hold.deadline_boot_ns,
        hold.on_timeout,
        f"{hold.kill}{_REFUSES}" if hold.refuse else hold.kill,
        hold.state,
        hold.sequence,
        int(hold.finished),
        None if hold.fate is None else _name_of(hold.fate),
        hold.fate.scope if isinstance(hold.fate, Doom) else None,
        why.ground if why else None,
        why.verdict if why else None,
        why.by if why else None,
        why.reason if why else None,
    )


def _hold(row: tuple[Any, ...]) -> Hold:
    """Return a hold; raise ValueError or TypeError for a row that no hold has made."""
    if row[2] < 1 or min(row[3], row[5], row[10], row[14]) < 0 or row[15] not in (0, 1):
        raise ValueError(f"hold {row[0]!r} has a number that none has")
    return Hold(
        id=HoldId(row[0]),
        key=HeldKey(int(row[1])),
        process=ProcessId(row[2], row[3]),
        session=row[4],
        act_boot_ns=row[5],
        boot_id=row[6],
        digest=row[7],
        rule=row[8],
        voice=Voice(row[9]),
        deadline_boot_ns=row[10],
        on_timeout=OnTimeout(row[11]),
        kill=KillScope(row[12].removesuffix(_REFUSES)),
        refuse=row[12].endswith(_REFUSES),
        state=HoldStateName(row[13]),
        sequence=row[14],
        finished=bool(row[15]),
        fate=_fate(row),
    )


def _fate(row: tuple[Any, ...]) -> Fate:
    if row[16] is None:
        return None
    if row[16] not in (_PASS, _DOOM, _REFUSE) or row[20] is None or row[21] is None:
        raise ValueError(f"hold {row[0]!r} has a fate that none has")
    why = Why(ground=Ground(row[18]), verdict=row[19], by=row[20], reason=row[21])
    return Pass(why) if row[16] == _PASS else Doom(why, KillScope(row[17]), row[16] == _REFUSE)


def _name_of(fate: Pass | Doom) -> str:
    if isinstance(fate, Pass):
        return _PASS
    return _REFUSE if fate.refuse else _DOOM

"""The trail on a real DuckDB file: everything once, all or nothing, chains judged, views right."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from collector.approvals.record import Record
from collector.approvals.register import Register
from collector.config import Trail
from collector.errors import TrailError
from collector.trail import schema
from collector.trail.event_rows import EventRows, event_rows
from collector.trail.orders import effect_row, order_row
from collector.trail.reader import EventFilter, Reader, RequestFilter
from collector.trail.rows import (
    Row,
    card_row,
    comment_row,
    decision_row,
    host_row,
    opened_row,
    rejected_row,
    state_row,
    vote_row,
)
from collector.trail.store import open_trail, trail_id
from collector.trail.views import VIEWS
from collector.trail.writer import Job, Writer
from tests.support.orders import every_order
from tests.support.proven_trail import row
from tests.support.wire_host import BOOT, batch, exec_act, full_row, opened, state
from wire import chain
from wire.codec import chain_digest, decode_as, encode
from wire.errors import MessageError
from wire.events import NAMES
from wire.ids import HostId, OrderId, RequestId, VoteId
from wire.messages import (
    Answer,
    Comment,
    Decision,
    EventBatch,
    Ground,
    HoldOpened,
    HoldState,
    HoldStateName,
    HostRecord,
    Vote,
)

HOST, OTHER = HostId("a" * 32), HostId("b" * 32)
S = HoldStateName


@dataclass
class Opened:
    """An open trail."""

    connection: duckdb.DuckDBPyConnection
    writer: Writer
    reader: Reader
    fatal: list[str]

    def count(self, table: str) -> int:
        """Return the number of rows of a table."""
        row = self.connection.cursor().table(table).count("*").fetchone()
        assert row is not None
        return int(row[0])

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """Return the rows of a query."""
        return self.connection.cursor().execute(sql).fetchall()


def settings(directory: Path) -> Trail:
    """Return settings for a file in a directory."""
    return Trail(file=str(directory / "trail.duckdb"))


@pytest.fixture
async def trail(tmp_path: Path) -> AsyncIterator[Opened]:
    """Give an open trail and close it."""
    connection = open_trail(settings(tmp_path))
    fatal: list[str] = []
    writer, reader = Writer(connection, on_fatal=fatal.append), Reader(connection)
    yield Opened(connection, writer, reader, fatal)
    writer.close()
    reader.close()
    connection.close()


def _packed(message: EventBatch) -> tuple[EventRows, str]:
    data = encode(message)
    rows = event_rows(decode_as(data, EventBatch), data)
    return rows, rows.chain


def _chain(host: HostId, sizes: list[int]) -> list[EventRows]:
    result, previous, first = [], "0" * 64, 1
    for sequence, size in enumerate(sizes, 1):
        rows, previous = _packed(batch(host, sequence, first, [full_row()] * size, previous))
        result.append(rows)
        first += size
    return result


def _opened(hold: HoldOpened) -> Row:
    return opened_row(hold, encode(hold), 1)


async def test_a_batch_that_comes_again_is_stored_once(trail: Opened) -> None:
    """In the same transaction, in a later one, and after the file was opened anew."""
    batches = _chain(HOST, [3, 2])
    await trail.writer.write(batches=[*batches, *batches])
    await trail.writer.write(batches=batches)
    second = Writer(trail.connection, on_fatal=trail.fatal.append)
    await second.write(batches=batches)
    second.close()
    assert trail.count("events") == 5
    assert trail.rows("SELECT sequence, first, count FROM batches ORDER BY 1") == [
        (1, 1, 3),
        (2, 4, 2),
    ]
    assert trail.count("chain_breaks") == 0


async def test_two_hosts_have_two_chains(trail: Opened) -> None:
    """The same sequence of another host is another batch."""
    await trail.writer.write(batches=[*_chain(HOST, [1, 1]), *_chain(OTHER, [2])])
    assert trail.count("batches") == 3
    assert trail.count("chain_breaks") == 0


async def test_gaps_breaks_forks_and_late_batches_are_recorded_and_kept(trail: Opened) -> None:
    """Nothing that a host sends is dropped for not adding up; what is odd is written down."""
    one, two, three, four = _chain(HOST, [2, 2, 2, 2])
    await trail.writer.write(batches=[one])
    await trail.writer.write(batches=[three])
    assert trail.rows(
        "SELECT kind, missing_batches, missing_events FROM chain_breaks ORDER BY received_ns"
    ) == [("gap", 1, 2)]
    await trail.writer.write(batches=[two])
    await trail.writer.write(batches=[four])
    fork, _ = _packed(batch(HOST, 4, 7, [full_row(), full_row() | {"pid": 8}], three.chain))
    await trail.writer.write(batches=[fork])
    broken, _ = _packed(batch(HOST, 5, 9, [full_row()], "f" * 64))
    await trail.writer.write(batches=[broken])
    kinds = [row[0] for row in trail.rows("SELECT kind FROM chain_breaks ORDER BY received_ns")]
    assert kinds == ["gap", "late", "fork", "broken"]
    assert trail.count("events") == 11
    assert trail.rows("SELECT kind FROM gaps") == [(kind,) for kind in reversed(kinds)]


async def test_what_was_late_is_not_taken_for_the_newest_after_a_restart(trail: Opened) -> None:
    """The head of a chain is found again from the file."""
    one, two, three, four = _chain(HOST, [1, 1, 1, 1])
    for part in (one, three, two):
        await trail.writer.write(batches=[part])
    second = Writer(trail.connection, on_fatal=trail.fatal.append)
    await second.write(batches=[four])
    second.close()
    kinds = [row[0] for row in trail.rows("SELECT kind FROM chain_breaks ORDER BY received_ns")]
    assert kinds == ["gap", "late"]


@pytest.mark.parametrize(
    "text", ["nul \0 in it", "\x1b[2J\r\n\u202e\u200b", "é\U0001f600", "\ud7ff", "'; --"]
)
async def test_hostile_text_is_stored_as_it_is(trail: Opened, text: str) -> None:
    """No text that a watched process can make stops the trail or changes on its way in."""
    act = exec_act(text, path=text, cwd=text, user=text)
    hold = opened(HOST, act=act, owner=text)
    rows, _ = _packed(batch(HOST, 1, 1, [full_row() | {"path": text, "argv": [text]}]))
    await trail.writer.write(
        [_opened(hold), state_row(replace(state(hold, 1, S.HELD), detail=text), 1)], [rows]
    )
    assert trail.rows("SELECT path, argv FROM events") == [(text, [text])]
    assert trail.rows("SELECT path, argv, owner, act->>'cwd' FROM holds") == [
        (text, [text], text, text)
    ]
    assert (await trail.reader.unfinished())[0].opened == hold


async def test_every_column_of_an_event_comes_back_as_it_was(trail: Opened) -> None:
    """What the host sent is what an auditor reads, absent values included."""
    full = full_row()
    empty = {"time_ns": 5, "kind": "notice", "count": 1}
    rows, _ = _packed(batch(HOST, 1, 1, [full, empty]))
    await trail.writer.write(batches=[rows])
    newest, oldest = await trail.reader.events(EventFilter())
    assert oldest | newest  # both are there
    by_kind = {one["kind"]: one for one in (newest, oldest)}
    assert {name: by_kind["open"][name] for name in NAMES} == full
    assert by_kind["notice"] == dict.fromkeys(NAMES) | empty | {"host": HOST, "number": 2}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("time_ns", None),
        ("kind", None),
        ("count", None),
        ("pid", "text"),
        ("pid", 2**63),
        ("path", 7),
        ("path", b"\xff"),
        ("argv", "text"),
        ("argv", [1]),
    ],
)
def test_a_broken_column_is_named(column: str, value: object) -> None:
    """A batch that does not fit is a MessageError, so it ends among the rejected."""
    message = batch(HOST, 1, 1, [full_row() | {column: value}])
    with pytest.raises(MessageError, match=column):
        event_rows(message, b"")


@pytest.mark.parametrize(
    "changes", [{"sequence": 2**63}, {"first": 2**63 - 1}, {"sequence": 0}, {"count": 2}]
)
def test_a_batch_whose_numbers_are_off_is_refused(changes: dict[str, Any]) -> None:
    """Sequence, first and count must be there, fit, and agree with the columns."""
    with pytest.raises(MessageError, match="events"):
        event_rows(replace(batch(HOST, 1, 1, [full_row()]), **changes), b"")


def test_lost_events_are_counted_from_what_is_stored() -> None:
    """What is not a whole number of 64 bits is no count."""
    row = {"kind": "gap", "count": 3, "time_ns": 7}
    rows = event_rows(batch(HOST, 1, 1, [row, row]), b"")
    assert (rows.gap_events, rows.last_event_ns) == (6, 7)
    with pytest.raises(MessageError, match="64 bits"):
        event_rows(batch(HOST, 1, 1, [row | {"count": 2**62}] * 3), b"")


@pytest.mark.parametrize(
    ("column", "value"), [("count", 3.0), ("pid", True), ("path", b"/a"), ("argv", [b"a"])]
)
def test_what_would_be_kept_as_another_value_is_a_broken_message(
    column: str, value: object
) -> None:
    """A 3.0 kept as a 3 would not give the leaf that the host has made."""
    with pytest.raises(MessageError, match=column):
        event_rows(batch(HOST, 1, 1, [full_row() | {column: value}]), b"")


async def test_a_batch_that_is_not_what_its_host_has_sealed_is_a_break(trail: Opened) -> None:
    """It is kept, under the link that its contents have, and the break is recorded."""
    first = batch(HOST, 1, 1, [full_row(), full_row()])
    changed = replace(first, columns=first.columns | {"pid": [7, 8]})
    following = batch(HOST, 2, 3, [full_row()], first.chain)
    sent = [event_rows(one, b"") for one in (changed, following)]
    await trail.writer.write(batches=sent)
    assert trail.rows("SELECT sequence, kind FROM chain_breaks ORDER BY ALL") == [
        (1, "contents"),
        (2, "broken"),
    ]
    assert trail.rows("SELECT chain FROM batches ORDER BY sequence") == [
        (sent[0].chain,),
        (following.chain,),
    ]
    assert sent[0].chain != first.chain


async def test_values_that_cannot_be_kept_are_a_break(trail: Opened) -> None:
    """A newer agent may send a column more; who checks the leaf later must know that it went."""
    columns = batch(HOST, 1, 1, [full_row()]).columns
    columns |= {"colour": ["red"], "absent": [None]}
    link = chain.link(HOST, 1, 1, "0" * 64, columns).chain
    sent = replace(batch(HOST, 1, 1, [full_row()]), columns=columns, chain=link)
    await trail.writer.write(batches=[event_rows(sent, b"")])
    ((kind, detail),) = trail.rows("SELECT kind, detail FROM chain_breaks")
    assert kind == "unknown_columns" and "'colour'" in str(detail) and "absent" not in str(detail)


async def test_a_batch_of_an_earlier_agent_goes_on_to_be_linked(trail: Opened) -> None:
    """Its digest is over the message; the next may be of today's."""
    old = replace(batch(HOST, 1, 1, [full_row()]), chain_version=1, chain="")
    new = batch(HOST, 2, 2, [full_row()], chain_digest(encode(old)))
    await trail.writer.write(batches=[event_rows(old, encode(old)), event_rows(new, b"")])
    assert trail.count("chain_breaks") == 0
    rows = trail.rows("SELECT chain_version, groups = '[]' FROM batches ORDER BY sequence")
    assert rows == [(1, True), (2, False)]
    with pytest.raises(MessageError, match="upgrade the collector"):
        event_rows(replace(new, chain_version=3), b"")


def test_numbers_that_do_not_fit_are_a_broken_message() -> None:
    """Also in holds: the trail has 64 bits."""
    hold = opened(HOST)
    with pytest.raises(MessageError, match="holds"):
        opened_row(replace(hold, opened_ns=2**63), b"", 1)
    with pytest.raises(MessageError, match="hold_states"):
        state_row(replace(state(hold, 1, S.HELD), time_ns=2**64), 1)


async def test_everything_else_is_stored_once_too(trail: Opened) -> None:
    """Holds, states, votes, comments, decisions, orders, hosts, rejected: the key decides."""
    hold = opened(HOST)
    rows = [
        _opened(hold),
        state_row(state(hold, 1, S.HELD), 1),
        vote_row(_vote(hold), "key", 1),
        card_row(replace(_vote(hold), card="digest", shown="{}"), "key", 1),
        comment_row(_comment(hold), "key", 1),
        decision_row(_decision(hold), "key", 1),
        *(order_row(order, b"packed", "key", 1) for order in every_order()),
        effect_row(replace(state(hold, 1, S.APPROVED), order=OrderId("1" * 32)), 1),
        host_row(_host(), "digest", 1),
        rejected_row(_rejected()),
        row(schema.SIGN_INS, 1),
        row(schema.TOMBSTONES, 1),
    ]
    for _ in range(2):
        await trail.writer.write([*rows, *rows])
    names = {table.name for table in schema.TABLES}
    names -= {"events_tail", "segments", "batches", "chain_breaks", "checkpoints", "anchors"}
    assert {name: trail.count(name) for name in names} == dict.fromkeys(names, 1)


async def test_a_job_is_written_whole_or_not_at_all_and_alone(trail: Opened) -> None:
    """A job that DuckDB refuses fails itself; those beside it are written."""
    hold, other = opened(HOST), opened(OTHER)
    bad = Row(schema.REJECTED, _opened(hold).values)  # columns of another table
    results = await asyncio.gather(
        trail.writer.write([_opened(hold), bad]),
        trail.writer.write([_opened(other)]),
        return_exceptions=True,
    )
    assert isinstance(results[0], TrailError)
    assert results[1] is None
    assert trail.rows("SELECT hold FROM holds") == [(other.hold,)]
    assert trail.fatal == []
    await trail.writer.write([_opened(hold)])
    assert trail.writer.healthy
    assert trail.count("holds") == 2


async def test_a_writer_outlives_a_caller_who_went_away(trail: Opened) -> None:
    """Whoever is cancelled while they wait takes nobody else's rows with them."""
    hold = opened(HOST)
    gone = asyncio.create_task(trail.writer.write([_opened(hold)]))
    await asyncio.sleep(0)
    gone.cancel()
    await trail.writer.write([_opened(opened(HOST))])
    assert trail.writer.healthy
    assert trail.count("holds") == 2


async def test_records_come_back_from_the_file_as_they_went_in(trail: Opened) -> None:
    """A restart finds exactly what was there, and only what waits is loaded at once."""
    hold, done = opened(HOST), opened(HOST)
    states = (state(done, 1, S.DENIED, ground=Ground.DECISION), state(done, 2, S.KILLED))
    record = Record(hold, (), (_vote(hold),), (_comment(hold),), _decision(hold))
    await trail.writer.write(
        [
            _opened(hold),
            _opened(done),
            *(state_row(one, 1) for one in states),
            vote_row(_vote(hold), "key", 1),
            comment_row(_comment(hold), "key", 1),
            decision_row(_decision(hold), "key", 1),
        ]
    )
    assert await trail.reader.unfinished() == (record,)
    found = await trail.reader.records([RequestId(done.hold)])
    assert found == (Record(done, states),)


async def test_the_views_and_the_state_machine_agree(trail: Opened) -> None:
    """What SQL says of a request is what the register says, whatever the host and people said."""
    rng = random.Random(20260101)
    register = Register()
    names = list(HoldStateName)
    rows: list[Row] = []
    holds = [opened(HOST) for _ in range(150)]
    for hold in holds:
        rows.append(_opened(hold))
        register.opened(hold)
        if rng.random() < 0.6:
            decision = replace(_decision(hold), answer=rng.choice(list(Answer)))
            register.said(decision)
            rows.append(decision_row(decision, "key", 1))
        for sequence in range(1, rng.randint(1, 5)):
            ground = rng.choice([None, *Ground])
            said: HoldState = state(hold, sequence, rng.choice(names), ground=ground)
            register.state(said)
            rows.append(state_row(said, 1))
    await trail.writer.write(rows)
    for request, told, outcome, ground in trail.rows(
        "SELECT request, state, outcome, ground FROM requests"
    ):
        record = register.get(RequestId(str(request)))
        assert record is not None
        assert (told, outcome, ground) == (record.state, record.outcome, record.ground), record
    assert {one.id for one in await trail.reader.unfinished()} == {
        one.id for one in register.unfinished()
    }
    listed = await trail.reader.list_requests(RequestFilter(state="open", limit=1000))
    assert set(listed) == {one.id for one in map(_record(register), holds) if one.state == "open"}


async def test_a_release_that_nobody_decided_is_not_explained(trail: Opened) -> None:
    """The host names a decision that the centre never made: the view says so."""
    hold, fine = opened(HOST), opened(HOST)
    await trail.writer.write(
        [
            _opened(hold),
            _opened(fine),
            state_row(state(hold, 1, S.RELEASED, ground=Ground.DECISION), 1),
            state_row(state(fine, 1, S.RELEASED, ground=Ground.DECISION), 1),
            decision_row(_decision(fine), "key", 1),
        ]
    )
    found = trail.rows("SELECT request, explained FROM releases")
    assert sorted(found, key=str) == sorted([(hold.hold, False), (fine.hold, True)], key=str)


async def test_every_view_answers_on_an_empty_trail(trail: Opened) -> None:
    """No view needs data to be right."""
    for name in VIEWS:
        assert trail.connection.cursor().table(name).fetchall() == [], name


async def test_an_older_program_leaves_a_newer_file_alone(tmp_path: Path) -> None:
    """The schema's version is in the file."""
    connection = open_trail(settings(tmp_path))
    first = trail_id(connection)
    connection.execute("INSERT INTO schema_version VALUES (99, 0, 'x')")
    connection.close()
    with pytest.raises(TrailError, match="newer collector"):
        open_trail(settings(tmp_path))
    assert len(first) == 32


async def test_a_file_keeps_its_id(tmp_path: Path) -> None:
    """Consumers belong to the file: a new one reads the streams from their beginning."""
    connection = open_trail(settings(tmp_path))
    first = trail_id(connection)
    connection.close()
    connection = open_trail(settings(tmp_path))
    assert trail_id(connection) == first
    connection.close()
    (tmp_path / "trail.duckdb").unlink()
    connection = open_trail(settings(tmp_path))
    assert trail_id(connection) != first
    connection.close()


def _record(register: Register) -> Callable[[HoldOpened], Record]:
    def get(hold: HoldOpened) -> Record:
        record = register.get(RequestId(hold.hold))
        assert record is not None
        return record

    return get


def _vote(hold: HoldOpened) -> Vote:
    return Vote(
        vote=VoteId("c" * 32),
        request=RequestId(hold.hold),
        by="ann",
        via="cli",
        answer=Answer.APPROVE,
        reason="r",
        digest=hold.digest,
        time_ns=3,
    )


def _comment(hold: HoldOpened) -> Comment:
    return Comment(
        comment=VoteId("d" * 32),
        request=RequestId(hold.hold),
        by="bob",
        via="api",
        text="hm",
        time_ns=4,
    )


def _decision(hold: HoldOpened) -> Decision:
    return Decision(
        request=RequestId(hold.hold),
        answer=Answer.APPROVE,
        ground=Ground.DECISION,
        by="ann",
        via="cli",
        reason="r",
        digest=hold.digest,
        votes=(VoteId("c" * 32),),
        time_ns=9,
    )


def _host() -> HostRecord:
    return HostRecord(
        host=HOST,
        name="web-1",
        mode="stop",
        kernel="6.1",
        version="0.1",
        boot_id=BOOT,
        subjects=("a",),
        ruleset="r",
        started_ns=1,
    )


def _rejected() -> dict[str, object]:
    return {
        "stream": "HF_HOLDS",
        "stream_sequence": 1,
        "subject": "hf.hold.x.y",
        "host": "x",
        "reason": "broken",
        "digest": hashlib.sha256(b"").hexdigest(),
        "bytes": 0,
        "received_ns": 1,
    }


async def test_rows_do_not_wait_behind_large_batches_of_events(trail: Opened) -> None:
    """A request's row is committed first or second, however many batches are queued before it."""
    ends: list[str] = []

    async def write(name: str, *jobs: Row, batches: Sequence[EventRows] = ()) -> None:
        await trail.writer.write(jobs, batches)
        ends.append(name)

    large = _chain(HOST, [1500, 1500, 1500])
    queued = [asyncio.create_task(write("events", batches=[one])) for one in large]
    hold = opened(HOST)
    rows = asyncio.create_task(write("row", _opened(hold)))
    await asyncio.gather(*queued, rows)
    assert ends.index("row") < 3
    assert trail.count("events") == 4500
    assert trail.count("chain_breaks") == 0


class Counted(Writer):
    """A writer that counts its transactions."""

    transactions = 0

    def _transaction(self, jobs: list[Job], *, repeated: bool) -> None:
        self.transactions += 1
        super()._transaction(jobs, repeated=repeated)


async def test_what_comes_within_a_moment_is_one_transaction(trail: Opened) -> None:
    """Events of an act go along with its hold: each of them would cost as much as all."""
    writer = Counted(trail.connection, on_fatal=trail.fatal.append)
    hold = opened(HOST)
    await asyncio.gather(
        writer.write([_opened(hold)]),
        writer.write([state_row(state(hold, 1, S.CANCELLED), 1)]),
        writer.write(batches=_chain(HOST, [3])),
    )
    writer.close()
    assert (trail.count("holds"), trail.count("hold_states"), trail.count("events")) == (1, 1, 3)
    assert writer.transactions == 1

"""Journal, spool and what is in them, damaged in any way: put aside or refused, nothing let go."""

import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AgentError
from agent.holds.model import Doom, Pass, Step, Why
from agent.journal import Journal
from agent.rows import notice_row, to_columns
from agent.transport.spool import Spool
from tests.support.children import Child, open_act
from tests.support.damage import Blob
from tests.support.holds import HOST, hold_of
from tests.support.keeping import Bench
from wire import codec
from wire.ids import VerdictId, new_id
from wire.messages import EventBatch, Ground, HoldState, HoldStateName, KillScope

WHY = Why(ground=Ground.DECISION, verdict=VerdictId("e" * 32), by="ann", reason="fine")


def fill_journal(path: Path) -> None:
    """Make a journal with holds of every fate, and letters."""
    with closing(Journal(path, HOST)) as journal:
        for number, fate in enumerate((None, Pass(WHY), Doom(WHY, KillScope.TREE)) * 20, 1):
            hold = hold_of(number=number, fate=fate)
            said = HoldState(
                hold=hold.id, host=HOST, sequence=1, state=HoldStateName.HELD, time_ns=1
            )
            used = ((VerdictId(new_id()), hold.id),)
            journal.record(Step(holds=(hold,), says=(said,), used=used), 1)


def fill_spool(path: Path) -> None:
    """Make a spool with a sealed batch and loose ones."""
    with closing(Spool(path, HOST, limit_bytes=1 << 20)) as spool:
        for number in range(40):
            spool.add(to_columns([notice_row(number, "x", "y" * 400)]), 1)
        spool.next()
        spool.add(to_columns([notice_row(1, "x", "y")]), 1)


def use_journal(path: Path) -> Path | None:
    """Use a journal as an agent does; return where a damaged one was put."""
    with closing(Journal(path, HOST)) as journal:
        holds = journal.unfinished()
        for hold in holds:
            assert journal.get(hold.id) == hold
        journal.prune(1)
        journal.letters(64)
        journal.message_ids()
        journal.record(Step(holds=(hold_of(number=7_777),)), 1)
        assert len(journal.unfinished()) == len(holds) + 1
        return journal.moved


def use_spool(path: Path) -> Path | None:
    """Use a spool as an agent does; return where a damaged one was put."""
    with closing(Spool(path, HOST, limit_bytes=1 << 20)) as spool:
        spool.on_their_way()
        spool.add(to_columns([notice_row(1, "x", "new")]), 1)
        while (batch := spool.next()) is not None:
            spool.sent(batch)
        assert spool.waiting == 0
        return spool.moved


FILES = {"journal.db": (fill_journal, use_journal), "events.db": (fill_spool, use_spool)}


@pytest.fixture(scope="module", params=FILES)
def good(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound file."""
    path = tmp_path_factory.mktemp("good") / str(request.param)
    FILES[path.name][0](path)
    return path


@st.composite
def wrecked(draw: st.DrawFn, raw: bytes) -> bytes:
    """Return a database file cut, or with pages or bytes overwritten."""
    page = draw(st.integers(0, len(raw) // 4096 - 1)) * 4096
    match draw(st.integers(0, 3)):
        case 0:
            return Blob(raw[: draw(st.integers(0, len(raw)))])
        case 1:
            filling = draw(st.binary(min_size=1, max_size=64)) * 4096
            return Blob(raw[:page] + filling[:4096] + raw[page + 4096 :])
        case 2:
            other = draw(st.integers(0, len(raw) // 4096 - 1)) * 4096
            return Blob(raw[:page] + raw[other : other + 4096] + raw[page + 4096 :])
        case _:
            changed = bytearray(raw)
            for _ in range(draw(st.integers(1, 12))):
                at = page + draw(st.integers(0, 4095))
                changed[at] = draw(st.integers(0, 255))
            return Blob(changed)


def test_a_wrecked_file_is_used_put_aside_or_refused(
    good: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With one error that names it; and what was put aside is kept as it was."""
    raw = good.read_bytes()

    @given(wrecked(raw))
    def check(data: bytes) -> None:
        path = tmp_path_factory.mktemp("wrecked") / good.name
        path.write_bytes(data)
        try:
            moved = FILES[good.name][1](path)
        except AgentError as error:
            assert str(error).startswith(str(path))
            return
        if moved is not None:
            assert moved.read_bytes()[4096:] == data[4096:]  # SQLite may write its header
            assert FILES[good.name][1](path) is None

    check()


def test_a_log_that_was_cut_or_overwritten_is_no_damage(tmp_path: Path) -> None:
    """As after a loss of power: what was committed last may be missing, nothing is made up."""
    with closing(Journal(tmp_path / "journal.db", HOST)) as journal:
        holds = [hold_of(number=number) for number in range(1, 30)]
        for hold in holds:
            journal.record(Step(holds=(hold,)), 1)
        log = (tmp_path / "journal.db-wal").read_bytes()
        main = (tmp_path / "journal.db").read_bytes()
    for number, cut in enumerate((0, 1, 31, 32, 5_000, len(log) // 2, len(log) - 1)):
        for tail in (b"", b"\xff" * 9_000):
            copy = tmp_path / f"{number}-{len(tail)}"
            copy.mkdir()
            (copy / "journal.db").write_bytes(main)
            (copy / "journal.db-wal").write_bytes(log[:cut] + tail)
            with closing(Journal(copy / "journal.db", HOST)) as again:
                found = again.unfinished()
                assert found == holds[: len(found)]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("what", ["empty", "text", "schema", "directory", "link", "fifo"])
def test_another_thing_in_its_place(tmp_path: Path, name: str, what: str) -> None:
    """An empty file is a new one, another database is damage, and what is no file is refused."""
    path = tmp_path / name
    match what:
        case "empty":
            path.touch()
        case "text":
            path.write_text("{}" * 4_000, encoding="utf-8")
        case "schema":
            with closing(sqlite3.connect(path)) as other:
                other.executescript("CREATE TABLE holds (id); PRAGMA user_version = 1")
        case "directory":
            path.mkdir()
        case "link":
            path.symlink_to(path)
        case _:
            os.mkfifo(path)
    if what in ("directory", "link", "fifo"):
        with pytest.raises(AgentError, match=f"{name}: cannot be opened"):
            FILES[name][1](path)
        return
    moved = FILES[name][1](path)
    assert (moved is None) is (what == "empty")


HOSTILE_HOLDS = [
    ("voice", "'shouting'"), ("state", "'gone'"), ("kill", "'everyone'"), ("on_timeout", "''"),
    ("key", "'-'"), ("key", f"'{'9' * 5_000}'"), ("pid", "0"), ("pid", "-1"), ("start_ns", "-1"),
    ("act_boot_ns", "-5"), ("deadline_boot_ns", "-1"), ("sequence", "-1"), ("finished", "7"),
    ("ground", "'because'"), ("fate", "'maybe'"), ("scope", "'all'"), ("reason", "NULL"),
    ("answered_by", "NULL"), ("id", "CAST(x'ff' AS TEXT)"), ("state", "CAST(x'c328' AS TEXT)"),
]  # fmt: skip
HOSTILE = [
    *(f"UPDATE holds SET {name} = {value} WHERE fate = 'doom'" for name, value in HOSTILE_HOLDS),  # noqa: S608
    "UPDATE outbox SET subject = 'hf.hold.other.host'",
    "UPDATE outbox SET subject = subject || char(13, 10) || 'PUB x 0'",
    "UPDATE outbox SET message_id = 'x'",
    "UPDATE outbox SET hold = CAST(x'ff' AS TEXT)",
    "UPDATE verdicts SET hold = '../../etc'",
    "DROP TABLE outbox",
    "ALTER TABLE holds RENAME COLUMN fate TO luck",
    "ALTER TABLE holds RENAME COLUMN opened TO shut",
]


@pytest.mark.parametrize("statement", HOSTILE)
def test_a_row_that_cannot_be_meant_is_damage(tmp_path: Path, statement: str) -> None:
    """Every page of the file is sound; a traceback at each start would help nobody."""
    path = tmp_path / "journal.db"
    fill_journal(path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute("PRAGMA writable_schema = ON")
        if "id = CAST" in statement or "key" in statement or "holds SET id" in statement:
            statement += " AND rowid = (SELECT max(rowid) FROM holds WHERE fate = 'doom')"
        database.execute(statement)
    moved = use_journal(path)
    assert moved is not None and moved.exists()
    assert use_journal(path) is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE chain SET sequence = -1",
        "UPDATE chain SET previous = 'x'",
        "INSERT INTO chain VALUES (1, 1, 'x')",
        "UPDATE sealed SET sequence = 99",
        "UPDATE loose SET events = -7",
        "UPDATE chain SET previous = CAST(x'ff' AS TEXT)",
        "DROP TABLE sealed",
    ],
)
def test_a_chain_that_cannot_go_on_is_damage(tmp_path: Path, statement: str) -> None:
    """Numbers that were given twice would make another host of this one."""
    path = tmp_path / "events.db"
    fill_spool(path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)
    assert use_spool(path) is not None
    assert use_spool(path) is None


@given(st.one_of(st.binary(max_size=60), st.just(msgpack.packb({"kind": 7}))))
def test_a_batch_on_disk_that_cannot_be_read_is_a_gap(
    tmp_path_factory: pytest.TempPathFactory, garbage: bytes
) -> None:
    """Of exactly as many events; those behind it are sent."""
    path = tmp_path_factory.mktemp("spool") / "events.db"
    with closing(Spool(path, HOST, limit_bytes=1 << 20)) as spool:
        for number in range(3):
            spool.add(to_columns([notice_row(number, "n", str(number))]), 1)
        spool._db.execute("UPDATE loose SET columns = ?, events = 9 WHERE number = 2", (garbage,))
        batch = spool.next()
        assert batch is not None
        columns = codec.decode_as(batch.data, EventBatch).columns
        assert columns["kind"] == ["notice", "gap", "notice"]
        assert columns["count"] == [1, 9, 1]


# -- what is held -----------------------------------------------------------------------------


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A keeper that has started with nothing held."""
    made = Bench(tmp_path)
    made.keeper.start()
    yield made
    made.crash()


@pytest.fixture
def journal_of(bench: Bench) -> Iterator[Path]:
    """The journal's path, once the keeper is gone."""
    yield bench.directory / "journal.db"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE holds SET state = 'let go', fate = 'pass', ground = 'decision'",
        "UPDATE holds SET fate = 'pass', ground = 'because', answered_by = '', reason = ''",
        "UPDATE holds SET pid = -1",
    ],
)
async def test_a_hostile_row_lets_nothing_go(
    bench: Bench, one: Child, journal_of: Path, statement: str
) -> None:
    """What the kernel holds is asked about anew, and a notice says where the old journal is."""
    one.stop()
    hold = bench.hold(open_act(one))
    bench.crash()
    with closing(sqlite3.connect(journal_of)) as database, database:
        database.execute(statement)
    bench.begin()
    assert bench.keeper.start() == 1
    (again,) = bench.keeper.holds()
    assert again.id != hold and again.waiting
    assert one.stopped()
    assert [name for name, _ in bench.notes.notices] == ["journal_damaged"]

"""Events on disk: the chain holds, numbers are never given twice, and what is lost is counted."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgpack
import pytest

from agent.database import open_database
from agent.rows import gap_row, notice_row, to_columns
from agent.transport.spool import Sealed, Spool
from wire import codec
from wire.codec import decode_as
from wire.events import LATER, NAMES, check_columns, encode_packed, pack_values
from wire.ids import HostId
from wire.messages import EventBatch

HOST = HostId("a" * 32)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """A spool with room for a megabyte."""
    with closing(Spool(tmp_path / "events.db", HOST, limit_bytes=1_000_000)) as made:
        yield made


def add(spool: Spool, *words: str) -> None:
    """Add one batch of notices."""
    spool.add(to_columns([notice_row(1, "test", word) for word in words]), 1)


def batches(spool: Spool) -> list[EventBatch]:
    """Send everything; check numbers and chain as a collector does; return the batches."""
    found: list[EventBatch] = []
    last: Sealed | None = None
    while (sealed := spool.next()) is not None:
        batch = decode_as(sealed.data, EventBatch)
        check_columns(batch)
        if last is not None:
            before = found[-1]
            assert batch.sequence == before.sequence + 1
            assert batch.first == before.first + before.count
            assert batch.previous == decode_as(last.data, EventBatch).chain
        found.append(batch)
        last = sealed
        spool.sent(sealed)
    return found


def details(found: list[EventBatch]) -> list[object]:
    """Return the detail of every row."""
    return [detail for batch in found for detail in batch.columns["detail"]]


def test_small_batches_leave_as_one(spool: Spool) -> None:
    """What gathers while one batch is on its way goes in the next."""
    for word in "abc":
        add(spool, word)
    (batch,) = batches(spool)
    assert (batch.sequence, batch.first, batch.count, batch.previous) == (1, 1, 3, "0" * 64)
    assert details([batch]) == ["test: a", "test: b", "test: c"]


def test_the_chain_goes_on_over_a_restart(tmp_path: Path) -> None:
    """Numbers and the last link are on disk."""
    path = tmp_path / "events.db"
    with closing(Spool(path, HOST, limit_bytes=1_000_000)) as spool:
        add(spool, "a", "b")
        first = spool.next()
        assert first is not None
        spool.sent(first)
    with closing(Spool(path, HOST, limit_bytes=1_000_000)) as spool:
        add(spool, "c")
        (batch,) = batches(spool)
        assert (batch.sequence, batch.first) == (2, 3)
        assert batch.previous == decode_as(first.data, EventBatch).chain


def test_a_batch_that_was_not_acknowledged_is_sent_again_byte_for_byte(tmp_path: Path) -> None:
    """With the same message id, so that the stream keeps one of them."""
    path = tmp_path / "events.db"
    with closing(Spool(path, HOST, limit_bytes=1_000_000)) as spool:
        add(spool, "a")
        first = spool.next()
        add(spool, "b")
    with closing(Spool(path, HOST, limit_bytes=1_000_000)) as spool:
        assert first is not None
        assert spool.next() == first
        assert spool.on_their_way() == [first.message_id]
        assert details(batches(spool)) == ["test: a", "test: b"]


def test_a_full_spool_drops_the_oldest_and_counts_them_exactly(tmp_path: Path) -> None:
    """Kept and lost add up, in one gap, at the place of what was lost; the chain holds."""
    total = 400
    with closing(Spool(tmp_path / "events.db", HOST, limit_bytes=20_000)) as spool:
        add(spool, "sealed")
        sealed = spool.next()
        for number in range(total):
            add(spool, f"{number:05d} {'x' * 200}")
        found = batches(spool)
    rows = [
        (kind, count)
        for batch in found
        for kind, count in zip(batch.columns["kind"], batch.columns["count"], strict=True)
    ]
    assert sealed is not None
    assert decode_as(sealed.data, EventBatch) == found[0]
    assert [kind for kind, _ in rows[:2]] == ["notice", "gap"]
    assert {kind for kind, _ in rows[2:]} == {"notice"}
    assert len(rows) > 10
    lost = rows[1][1]
    assert isinstance(lost, int)
    assert lost + len(rows) - 2 == total
    assert str(details(found)[-1]).startswith(f"test: {total - 1:05d}")


def test_gaps_that_are_dropped_are_counted_by_what_they_stand_for(tmp_path: Path) -> None:
    """A gap of a thousand is not one event."""
    with closing(Spool(tmp_path / "events.db", HOST, limit_bytes=3_000)) as spool:
        row = {"time_ns": 1, "kind": "gap", "count": 1_000, "detail": "gap: kernel"}
        spool.add(to_columns([row]), 1)
        for _ in range(100):
            add(spool, "x" * 200)
        found = batches(spool)
    counts = [count for batch in found for count in batch.columns["count"]]
    assert sum(c for c in counts if isinstance(c, int)) == 1_100


def test_a_batch_that_is_too_large_is_split(spool: Spool, tmp_path: Path) -> None:
    """No message is larger than the server takes, and no row is lost."""
    with closing(Spool(tmp_path / "big.db", HOST, limit_bytes=100_000_000)) as big:
        add(big, *("x" * 1_000 for _ in range(3_000)))
        found = []
        while (sealed := big.next()) is not None:
            assert len(sealed.data) <= codec.LARGEST
            found.append(decode_as(sealed.data, EventBatch))
            big.sent(sealed)
    assert sum(batch.count for batch in found) == 3_000


def test_one_event_that_is_too_large_becomes_a_gap(spool: Spool) -> None:
    """It is lost, and that is said."""
    add(spool, "x" * 2_000_000)
    (batch,) = batches(spool)
    assert batch.columns["kind"] == ["gap"]
    assert batch.columns["count"] == [1]


def test_a_damaged_spool_is_put_aside(tmp_path: Path) -> None:
    """Evidence is not deleted."""
    path = tmp_path / "events.db"
    path.write_bytes(b"rubbish" * 1_000)
    with closing(Spool(path, HOST, limit_bytes=1_000_000)) as spool:
        assert spool.moved is not None
        assert spool.moved.read_bytes().startswith(b"rubbish")
        add(spool, "a")
        assert len(batches(spool)) == 1


def test_the_spool_is_private(tmp_path: Path) -> None:
    """Events name files and commands; only root reads them."""
    with closing(Spool(tmp_path / "events.db", HOST, limit_bytes=1_000_000)) as spool:
        add(spool, "a")
        for path in tmp_path.iterdir():
            assert path.stat().st_mode & 0o777 == 0o600, path


@pytest.mark.parametrize("counts", [(1,), (15,), (16,), (7, 8), (8, 9), (40_000, 30_000)])
def test_a_batch_of_packed_columns_has_the_bytes_of_an_unpacked_one(
    counts: tuple[int, ...],
) -> None:
    """Whatever the head of its lists, so that every collector reads it as it always did."""
    tables = [
        {name: [None if n % 3 else f"{name}-{n}" for n in range(count)] for name in NAMES}
        if count < 100
        else {name: [None] * count for name in NAMES[:10]}
        for count in counts
    ]
    whole: dict[str, list[object]] = {
        name: [value for table in tables for value in table[name]] for name in tables[0]
    }
    batch = EventBatch(
        host=HOST, sequence=3, first=9, count=sum(counts), previous="1" * 64, columns=whole
    )
    values = {name: b"".join(pack_values(table[name]) for table in tables) for name in whole}
    assert encode_packed(batch, values) == codec.encode(batch)
    assert decode_as(encode_packed(batch, values), EventBatch) == batch


def _nothing(database: sqlite3.Connection) -> None:
    """Look at nothing."""


def test_rows_that_an_earlier_version_left_are_sent(tmp_path: Path) -> None:
    """It kept the columns as lists; they leave together with what came since."""
    place = tmp_path / "events.db"
    Spool(place, HOST, limit_bytes=1_000_000).close()
    left = to_columns([notice_row(1, "test", "before"), gap_row(2, 7, "lost")])
    with closing(open_database(place, "", version=1, check=_nothing).connection) as earlier:
        earlier.execute("INSERT INTO loose VALUES (1, 2, 8, 0, ?)", (msgpack.packb(left),))
    with closing(Spool(place, HOST, limit_bytes=1_000_000)) as spool:
        add(spool, "after")
        (batch,) = batches(spool)
    assert details([batch]) == ["test: before", "gap: lost", "test: after"]
    assert batch.columns["count"] == [1, 7, 1]


def test_rows_of_before_a_column_was_known_are_sent_without_its_values(tmp_path: Path) -> None:
    """An upgrade of the agent loses nothing of what waited, packed as it is or as lists."""
    place = tmp_path / "events.db"
    Spool(place, HOST, limit_bytes=1_000_000).close()
    kept = to_columns([notice_row(1, "test", "before"), notice_row(2, "test", "again")])
    left = {name: values for name, values in kept.items() if name not in LATER}
    packed = {name: pack_values(values) for name, values in left.items()}
    with closing(open_database(place, "", version=1, check=_nothing).connection) as earlier:
        for number, columns in enumerate((left, packed), start=1):
            row = (number, msgpack.packb(columns))
            earlier.execute("INSERT INTO loose VALUES (?, 2, 2, 0, ?)", row)
    with closing(Spool(place, HOST, limit_bytes=1_000_000)) as spool:
        add(spool, "after")
        (batch,) = batches(spool)
    assert details([batch]) == ["test: before", "test: again"] * 2 + ["test: after"]
    assert batch.columns["operation"] == [None] * 5

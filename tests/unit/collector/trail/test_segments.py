"""Events in Parquet files: each event once, whatever is merged, moved, undone or killed."""

import asyncio
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from collector.config import Trail
from collector.errors import TrailError
from collector.trail import schema
from collector.trail.event_rows import EventRows, event_rows
from collector.trail.rows import Row, opened_row
from collector.trail.segments import files, merging, moving, spill
from collector.trail.segments.keeper import Keeper
from collector.trail.segments.retired import Retired
from collector.trail.segments.segment import Segment
from collector.trail.segments.shelf import Swap
from collector.trail.store import open_trail, trail_id
from collector.trail.writer import Writer
from tests.support.centre import REPOSITORY
from tests.support.old_trail import take_back
from tests.support.wire_host import batch, full_row, opened
from wire.codec import encode
from wire.ids import HostId

HOST, OTHER = HostId("a" * 32), HostId("b" * 32)


class House:
    """A trail in a directory, opened as the collector opens it, whose time is the test's."""

    def __init__(self, directory: Path) -> None:
        self.now_s = 1_000_000.0
        self.settings = Trail(file=str(directory / "trail.duckdb"))
        self.connection = open_trail(self.settings)
        self.writer = Writer(self.connection, on_fatal=lambda why: None)
        self.retired = Retired(60, clock=lambda: self.now_s)
        self.keeper = Keeper(
            self.connection, self.writer, self.retired, clock=lambda: int(self.now_s * 1e9)
        )
        self.directory = files.directory_of(self.connection)

    def write(self, *batches: EventRows, rows: tuple[Row, ...] = ()) -> None:
        """Write in one transaction."""
        asyncio.run(self.writer.write(rows, batches))

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """Ask."""
        return self.connection.cursor().execute(sql).fetchall()

    def numbers(self, host: HostId = HOST) -> list[object]:
        """Return the numbers of the events of a host, in their order."""
        sql = f"SELECT number FROM events WHERE host = '{host}' ORDER BY number"  # noqa: S608
        return [row[0] for row in self.rows(sql)]

    def on_disk(self) -> set[str]:
        """Return the names of the files that are there."""
        return {path.name for path in self.directory.iterdir()}

    def named(self) -> set[str]:
        """Return the names of the files that the trail says are there."""
        return {str(row[0]) for row in self.rows("SELECT file FROM segments")}

    def close(self) -> None:
        """Close it."""
        self.writer.close()
        self.connection.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Give an open trail."""
    made = House(tmp_path)
    yield made
    made.close()


def chain(host: HostId, *sizes: int) -> list[EventRows]:
    """Return batches of so many events, one after the other."""
    result, previous, first = [], "0" * 64, 1
    for sequence, size in enumerate(sizes, 1):
        row = full_row()
        message = batch(host, sequence, first, [row | {"pid": n} for n in range(size)], previous)
        previous = message.chain
        result.append(event_rows(message, encode(message)))
        first += size
    return result


def test_few_events_wait_in_the_tail_and_many_become_a_file(house: House) -> None:
    """Both are in `events`, each once, also when a batch comes again."""
    few, many = chain(HOST, 10, spill.WORTH_A_FILE)
    house.write(few)
    assert (house.named(), house.writer.tail_rows) == (set(), 10)
    house.write(many)
    house.write(few, many)
    (name,) = house.named()
    assert house.on_disk() == {name}
    assert house.writer.tail_rows == 0  # what was there went into the file
    assert house.numbers() == list(range(1, spill.WORTH_A_FILE + 11))
    assert house.rows("SELECT rows, level, columns FROM segments") == [
        (spill.WORTH_A_FILE + 10, 0, len(schema.STORED))
    ]


def test_the_tail_never_becomes_long(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question about events reads it."""
    monkeypatch.setattr(spill, "LONGEST_TAIL", 25)
    for one in chain(HOST, *[10] * 10):
        house.write(one)
    assert house.writer.tail_rows <= 25
    assert house.numbers() == list(range(1, 101))
    assert len(house.named()) == 3


def test_an_event_is_the_same_from_the_tail_and_from_a_file(house: House) -> None:
    """Every column, absent values and lists included."""
    empty = {"time_ns": 5, "kind": "notice", "count": 1}
    message = batch(HOST, 1, 1, [full_row(), empty])
    house.write(event_rows(message, b"c"))
    before = house.rows("FROM events ORDER BY number")
    house.writer.write_out().result()
    assert len(house.named()) == 1
    assert house.rows("FROM events ORDER BY number") == before
    types = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = '{}'"
    of_the_view = house.rows(types.format("events"))
    assert of_the_view == [*house.rows(types.format("events_tail")), ("when", "TIMESTAMP")]


def test_a_transaction_that_fails_leaves_no_file(house: House) -> None:
    """Neither its rows: whoever sent them sends them again."""
    (many,) = chain(HOST, spill.WORTH_A_FILE)
    hold = opened(HOST)
    bad = Row(schema.REJECTED, opened_row(hold, encode(hold), 1).values)

    class Failing(EventRows):
        """A batch whose row of `batches` cannot be written, after its events were."""

    values = {one.name: getattr(many, one.name) for one in fields(many)}
    broken = Failing(**(values | {"chain": None}))
    for wrong in ((broken,), ()):
        with pytest.raises(TrailError):
            house.write(*wrong, rows=() if wrong else (bad,))
    assert house.on_disk() == house.named() == set()
    assert house.numbers() == []
    house.write(many)
    assert len(house.numbers()) == spill.WORTH_A_FILE
    assert house.on_disk() == house.named()


def test_many_small_files_become_few_that_are_sorted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By host, then as the host has counted; what they replaced stays for the grace time."""
    monkeypatch.setattr(spill, "WORTH_A_FILE", 1)
    for mine, other in zip(chain(HOST, *[3] * 8), chain(OTHER, *[2] * 8), strict=True):
        house.write(mine, other)
    small = house.named()
    before = house.rows("FROM events ORDER BY host, number")
    assert len(small) == 8
    cursor = house.connection.cursor()
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    assert cursor.execute("SELECT count(*) FROM events").fetchall() == [(40,)]
    assert house.keeper.step()
    assert not house.keeper.step()
    (merged,) = house.named()
    assert house.on_disk() == {merged, *small}
    # Whoever began before goes on with what was there then.
    assert cursor.execute("SELECT count(*), sum(number) FROM events").fetchall() == [(40, 436)]
    cursor.execute("COMMIT")
    assert house.rows("FROM events") == before
    house.retired.handed_out(house.now_s)
    house.now_s += 59
    house.retired.delete_due()
    assert house.on_disk() == {merged, *small}
    house.now_s += 2
    assert house.retired.delete_due() is None
    assert house.on_disk() == {merged}
    assert house.rows("FROM events") == before


def test_what_is_still_in_the_list_that_is_out_is_not_deleted(house: House, tmp_path: Path) -> None:
    """The grace begins when a list without the file is handed out, not when it was replaced."""
    path = tmp_path / "x.parquet"
    path.write_bytes(b"")
    before = house.now_s
    house.now_s += 1
    house.retired.add([path])
    house.retired.handed_out(before)  # made from what was there before
    house.now_s += 10_000
    assert house.retired.delete_due() is None
    assert path.exists()
    house.retired.handed_out(house.now_s)
    house.now_s += 61
    house.retired.delete_due()
    assert not path.exists()


def test_after_an_hour_the_tail_is_sealed(house: House) -> None:
    """However little there is."""
    for one in chain(HOST, 1, 1):
        house.write(one)
    assert not house.keeper.step()
    house.now_s += 3599
    assert not house.keeper.step()
    house.now_s += 2
    assert house.keeper.step()
    assert (len(house.named()), house.writer.tail_rows) == (1, 0)
    assert house.numbers() == [1, 2]


def test_merging_ends_at_full_ones() -> None:
    """Each row is merged a handful of times, however many there are."""
    made: list[Segment] = []
    written = 0
    for number in range(4_000):
        made.append(Segment(f"{number}", 5_000, 1, 0, 0, 0, number, 32))
        while found := merging.due(made, number):
            rows = sum(one.rows for one in found)
            written += rows
            made = [one for one in made if one not in found]
            level = max(one.level for one in found) + 1
            made.append(Segment(f"m{number}", rows, 1, 0, 0, level, number, 32))
    assert sum(one.rows for one in made) == 4_000 * 5_000
    assert max(one.rows for one in made) <= merging.FULL
    assert len(made) < 4_000 * 5_000 / merging.FULL * 2 + 24
    assert written < 4 * 4_000 * 5_000


def test_what_a_crash_left_is_deleted_after_the_grace_time(tmp_path: Path) -> None:
    """It is in no transaction, so its events come again; a list of before may still name it."""
    first = House(tmp_path)
    first.write(*chain(HOST, spill.WORTH_A_FILE))
    (kept,) = first.named()
    (first.directory / "20260101T00-000000000000.parquet").write_bytes(b"half of a fi")
    first.close()
    second = House(tmp_path)
    assert second.numbers() == list(range(1, spill.WORTH_A_FILE + 1))
    assert len(second.on_disk()) == 2
    second.retired.handed_out(second.now_s)
    second.now_s += 61
    second.retired.delete_due()
    assert second.on_disk() == {kept}
    second.close()


def test_a_trail_made_anew_leaves_the_files_of_the_other_alone(tmp_path: Path) -> None:
    """Whoever moves a damaged trail away may bring it back."""
    first = House(tmp_path)
    first.write(*chain(HOST, spill.WORTH_A_FILE))
    first.close()
    (tmp_path / "trail.duckdb").rename(tmp_path / "away.duckdb")
    second = House(tmp_path)
    second.retired.handed_out(second.now_s)
    second.now_s += 100
    second.retired.delete_due()
    assert second.numbers() == []
    second.close()
    (tmp_path / "away.duckdb").rename(tmp_path / "trail.duckdb")
    third = House(tmp_path)
    assert len(third.numbers()) == spill.WORTH_A_FILE
    third.close()


@pytest.mark.parametrize("how", ["gone", "cut"])
def test_a_missing_file_is_said_and_the_rest_is_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """The collector goes on, and `gaps` counts what is lost, until the file is back."""
    first = House(tmp_path)
    one, two = chain(HOST, spill.WORTH_A_FILE, spill.WORTH_A_FILE)
    first.write(one)
    first.write(two)
    lost, _ = sorted(first.named(), key=lambda name: (first.directory / name).stat().st_mtime_ns)
    first.close()
    path = first.directory / lost
    shutil.copy(path, tmp_path / "backup")
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    second = House(tmp_path)
    assert f"{path} is missing or cut: {spill.WORTH_A_FILE} events" in caplog.text
    assert len(second.numbers()) == spill.WORTH_A_FILE
    gaps = "SELECT kind, missing_events FROM gaps"
    assert second.rows(gaps) == [("segment missing", spill.WORTH_A_FILE)]
    second.write(*chain(HOST, spill.WORTH_A_FILE, spill.WORTH_A_FILE))  # known already
    second.close()
    shutil.copy(tmp_path / "backup", path)
    third = House(tmp_path)
    assert third.numbers() == list(range(1, 2 * spill.WORTH_A_FILE + 1))
    assert third.rows(gaps) == []
    third.close()


def test_events_of_before_columns_were_added_are_read_and_merged(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of an earlier version lacks the later columns, in which nothing is then."""
    monkeypatch.setattr(spill, "WORTH_A_FILE", 1)
    batches = chain(HOST, *[2] * 8)
    short = len(schema.EVENTS.schema) - 4
    old = batches[0].data.select(range(short))
    name = files.new_name(0)
    size = files.write(house.directory / name, [old])
    first_ns, last_ns = files.times([old])
    segment = Segment(name, old.num_rows, size, first_ns, last_ns, 0, 1, short)
    house.writer.swap(Swap(added=(segment,))).result()
    for one in batches[1:]:
        house.write(one)
    seen = (
        'SELECT number, operation IS NULL, target_comm IS NULL, "when" = make_timestamp(time_ns '
        "// 1000) FROM events ORDER BY number"
    )
    before = house.rows(seen)
    assert before[:3] == [(1, True, True, True), (2, True, True, True), (3, False, False, True)]
    assert house.keeper.step()
    assert house.rows("SELECT rows, columns FROM segments") == [(16, len(schema.STORED))]
    assert house.rows(seen) == before


def test_in_a_large_segment_what_was_more_than_observed_comes_first(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So questions about that pass over the rest, and those by one value over most of it."""
    monkeypatch.setattr(spill, "_WORTH_SORTING", 1)
    (told,) = chain(HOST, spill.WORTH_A_FILE)
    actions = ["observe", "deny", None, "allow"] + ["observe"] * (spill.WORTH_A_FILE - 4)
    place = told.data.schema.get_field_index("action")
    rows = told.data.set_column(place, "action", pa.array(actions, pa.string()))
    segment = spill.write_segment(house.directory, [rows], level=1)
    house.writer.swap(Swap(added=(segment,))).result()
    path = house.directory / segment.file
    found = pq.read_table(path)
    assert found["action"].to_pylist()[:3] == ["deny", None, "allow"]
    assert found["number"].to_pylist()[:5] == [2, 3, 4, 1, 5]
    observed = pq.read_metadata(path).row_group(1).column(place).statistics
    assert (observed.min, observed.max, observed.null_count) == ("observe", "observe", 0)
    assert house.numbers() == list(range(1, spill.WORTH_A_FILE + 1))
    sought = duckdb.execute(
        "SELECT DISTINCT bloom_filter_excludes FROM parquet_bloom_probe(?, 'session', '?')",
        [str(path)],
    )
    assert sought.fetchall() == [(True,)]


@pytest.mark.parametrize("time_ns", [-(2**63) + 1, -1_500, 999, 2**63 - 1])
def test_any_time_that_a_host_may_say_is_the_same_in_a_file(time_ns: int) -> None:
    """`when` is made from it where the rows are written, and by DuckDB where they wait."""
    rows = pa.table({"time_ns": pa.array([time_ns], pa.int64())})
    written = files.widened(rows, schema.STORED)["when"].cast(pa.int64()).to_pylist()
    made = duckdb.execute("SELECT epoch_us(make_timestamp(?::BIGINT // 1000))", [time_ns])
    assert [(one,) for one in written] == made.fetchall()


def test_a_full_disk_is_no_end(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written now is written later; nothing is acknowledged meanwhile."""
    (many,) = chain(HOST, spill.WORTH_A_FILE)
    real = files.write

    def full(*args: object, **kwargs: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write", full)
    with pytest.raises(TrailError, match="No space left"):
        house.write(many)
    health = [house.writer.healthy]
    monkeypatch.setattr(files, "write", real)
    house.write(many)
    assert [*health, house.writer.healthy] == [False, True]
    assert len(house.numbers()) == spill.WORTH_A_FILE


# A collector's storage at work: says each batch that is committed, until it is killed.
_WORKER = """
import asyncio, sys
from pathlib import Path
from tests.unit.collector.trail.test_segments import House, HOST, chain
from collector.trail.segments import merging, moving, spill

spill.WORTH_A_FILE, spill.LONGEST_TAIL = 40, 60
merging.TOGETHER, moving.AT_ONCE = 3, 30
house = House(Path(sys.argv[1]))
house.keeper.start()
print("open", flush=True)
for one in chain(HOST, *[30, 5, 50, 1] * 100):
    house.write(one)
    print(one.sequence, flush=True)
print("done", flush=True)
"""


def killed(directory: Path, *, batches: int = 0, after_s: float = 0) -> int:
    """Run a worker and kill it once it has said so much and a time has gone by.

    Return the last batch that it said was committed.
    """
    child = subprocess.Popen(
        [sys.executable, "-c", _WORKER, str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    said = [child.stdout.readline() for _ in range(batches)]
    time.sleep(after_s)
    child.send_signal(signal.SIGKILL)
    said += child.stdout.read().split()
    child.wait()
    child.stdout.close()
    return max((int(word) for word in said if word.strip().isdigit()), default=0)


def test_a_kill_at_any_time_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    """Nor is anything there twice, or a file that no row names, after the grace."""
    dice, committed = random.Random(20261130), 0
    for _ in range(5):
        committed = max(
            committed, killed(tmp_path, batches=dice.randrange(40), after_s=dice.uniform(0, 0.05))
        )
        house = House(tmp_path)
        (batches,) = house.rows("SELECT coalesce(max(sequence), 0) FROM batches")[0]
        assert isinstance(batches, int)
        assert batches >= committed
        (count,) = house.rows('SELECT coalesce(sum("count"), 0) FROM batches')[0]
        assert house.numbers() == list(range(1, int(str(count)) + 1))
        assert house.rows("FROM gaps") == []
        house.retired.handed_out(house.now_s)
        house.now_s += 61
        house.retired.delete_due()
        assert house.on_disk() == house.named()
        house.close()
    assert committed > 10


def old_trail(directory: Path) -> list[tuple[object, ...]]:
    """Make a trail of an earlier version with events of two hosts; return these."""
    house = House(directory)
    for host in (HOST, OTHER):
        for one in chain(host, 30, 1, 90, 2, 2, 2, 40):
            house.write(one)
    rows = house.rows("FROM events ORDER BY host, number")
    take_back(house.connection, 5)
    house.close()
    return rows


def test_the_events_of_an_old_trail_are_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part by part, and at every moment all of them are there, each once."""
    monkeypatch.setattr(moving, "AT_ONCE", 50)
    before = old_trail(tmp_path)
    house = House(tmp_path)
    steps = 0
    assert house.rows("FROM events ORDER BY host, number") == before
    while house.writer.shelf.old:
        assert house.keeper.step()
        steps += 1
        assert house.rows("FROM events ORDER BY host, number") == before
    assert steps > 5
    assert house.rows("SELECT sum(rows) FROM segments") == [(len(before),)]
    tables = "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'events_old'"
    assert house.rows(tables) == [(0,)]
    known = chain(HOST, 30, 1, 90, 2, 2, 2, 40)
    house.write(*known)  # the chain is known as before
    assert house.rows("SELECT count(*) FROM events") == [(len(before),)]
    house.close()


def test_a_kill_while_an_old_trail_is_moved_loses_nothing(tmp_path: Path) -> None:
    """Wherever it comes."""
    before = old_trail(tmp_path)
    dice = random.Random(7)
    for _ in range(4):
        killed(tmp_path, after_s=dice.uniform(0, 0.3))
        house = House(tmp_path)
        numbers = house.numbers(OTHER)
        assert numbers == list(range(1, len(before) // 2 + 1))
        assert house.numbers()[: len(numbers)] == numbers
        assert len(set(house.numbers())) == len(house.numbers())
        house.close()


def test_the_trail_s_connection_reads_its_segments_and_no_other_file(
    house: House, tmp_path: Path
) -> None:
    """By whatever SQL; and its settings stay."""
    (tmp_path / "secret.csv").write_text("a\n1\n", encoding="utf-8")
    for sql in (
        f"FROM '{tmp_path}/secret.csv'",
        f"COPY (SELECT 1) TO '{tmp_path}/x.parquet'",
        f"ATTACH '{tmp_path}/y.duckdb'",
        "SET enable_external_access = true",
        f"SET allowed_directories = ['{tmp_path}']",
        "INSTALL httpfs",
    ):
        with pytest.raises(duckdb.Error):
            house.connection.cursor().execute(sql)
    assert trail_id(house.connection) in str(house.directory)

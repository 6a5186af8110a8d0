"""`views.duckdb` and the bundle: all of one moment, swapped whole, opened by any client."""

import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from collector.errors import TrailError
from collector.trail import schema
from collector.trail.analysts import bundle
from collector.trail.analysts.bundle import make_bundle
from collector.trail.analysts.publisher import PERIOD_S, ViewsPublisher, period_s
from collector.trail.macros import MACROS
from collector.trail.rows import Row, opened_row, state_row
from collector.trail.segments import files, spill
from collector.trail.views import VIEWS
from tests.support.wire_host import opened, state
from tests.unit.collector.trail.test_segments import HOST, House, chain
from wire.codec import encode
from wire.messages import HoldStateName

EVERYTHING = frozenset({*(table.name for table in schema.TABLES), "events"})
RELATIONS = EVERYTHING - {"events_tail"} | set(VIEWS)


class Site:
    """A trail and the file of its views."""

    def __init__(self, directory: Path) -> None:
        self.house = House(directory)
        self.path = directory / "views.duckdb"
        self.publisher = self.make_publisher()

    def make_publisher(self) -> ViewsPublisher:
        """Return what a collector has that starts now."""
        house = self.house
        return ViewsPublisher(
            house.connection, house.writer, house.retired, path=self.path, trail="t" * 32
        )

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        """Ask the file."""
        with duckdb.connect(str(self.path), read_only=True) as client:
            return client.execute(sql).fetchall()

    def exported(self) -> set[str]:
        """Return the files of the exports that are there."""
        directory = self.path.parent / "exports" / ("t" * 32)
        return {str(path) for path in directory.iterdir()}

    def listed(self) -> set[object]:
        """Return the files of the exports that the file reads."""
        return {
            row[0] for row in self.ask("SELECT file FROM files WHERE contains(file, 'exports')")
        }


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Give an open trail, and no thread that publishes by itself."""
    made = Site(tmp_path)
    yield made
    made.house.close()


def holds(number: int) -> tuple[Row, ...]:
    """Return rows of so many holds and their states."""
    made = [opened(HOST) for _ in range(number)]
    return tuple(
        row
        for hold in made
        for row in (
            opened_row(hold, encode(hold), 1),
            state_row(state(hold, 1, HoldStateName.HELD), 1),
        )
    )


def test_it_has_every_table_and_view_and_the_same_rows(site: Site) -> None:
    """Under the same names, with the same columns; also while there is nothing."""
    for _ in range(2):
        site.publisher.publish(EVERYTHING)
        for name in RELATIONS:
            live = site.house.connection.cursor()
            columns = live.execute(f"DESCRIBE {name}").fetchall()
            assert [row[:2] for row in site.ask(f"DESCRIBE {name}")] == [row[:2] for row in columns]
            ours = live.table(name).fetchall()
            assert sorted(site.ask(f"FROM {name}"), key=str) == sorted(ours, key=str), name
        for name in MACROS:
            site.ask(f"FROM {name}(TIMESTAMP '2026-01-01')")
        site.house.write(*chain(HOST, 5, spill.WORTH_A_FILE, 7), rows=holds(3))
    site.publisher.publish(EVERYTHING)
    assert site.ask("SELECT count(*) FROM events") == [(spill.WORTH_A_FILE + 12,)]
    rows = site.ask("SELECT trail, schema_version FROM about")
    assert rows == [("t" * 32, schema.VERSION)]


def test_rows_are_written_on_and_not_all_over_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row about as often as the table has doubled; what was replaced goes after its grace."""
    written: list[int] = []
    real = files.write

    def write(path: Path, parts: list[Any], **others: Any) -> int:
        if path.name.startswith("holds-"):
            written.append(sum(part.num_rows for part in parts))
        return real(path, parts, **others)

    monkeypatch.setattr(files, "write", write)
    for number in range(60):
        site.house.write(rows=holds(2))
        site.publisher.publish(frozenset({"holds", "hold_states"}))
        count = (number + 1) * 2
        assert site.ask("SELECT count(*), count(DISTINCT hold) FROM holds") == [(count, count)]
    assert sum(written) < 120 * 8
    assert len(site.ask("FROM files WHERE table_name = 'holds'")) < 8
    assert site.exported() > site.listed()
    site.house.now_s += 61
    site.house.retired.delete_due()
    assert site.exported() == site.listed()


def test_rows_that_went_away_go_away(site: Site) -> None:
    """Then nothing written is right, and all is written anew."""
    site.house.write(rows=holds(20))
    site.publisher.publish(EVERYTHING)
    connection = site.house.connection.cursor()
    kept = connection.execute("SELECT min(hold) FROM holds").fetchall()[0][0]
    connection.execute("DELETE FROM holds WHERE hold <> ?", [kept])
    site.house.write(rows=holds(1))
    site.publisher.publish(frozenset({"holds"}))
    assert site.ask("SELECT count(*) FROM holds") == [(2,)]
    assert (kept,) in site.ask("SELECT hold FROM holds")


def test_who_has_the_file_open_reads_on_and_one_that_fails_changes_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment that a client has opened stays for the grace time."""
    site.house.write(*chain(HOST, 3), rows=holds(1))
    site.publisher.publish(EVERYTHING)
    with duckdb.connect(str(site.path), read_only=True) as client:
        site.house.write(*chain(HOST, 3, 4), rows=holds(2))
        site.publisher.publish(EVERYTHING)
        site.house.now_s += 59
        site.house.retired.delete_due()
        seen = client.execute("SELECT count(*), (SELECT count(*) FROM holds) FROM events")
        assert seen.fetchall() == [(3, 1)]
    assert site.ask("SELECT count(*), (SELECT count(*) FROM holds) FROM events") == [(7, 3)]

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    site.house.write(*chain(HOST, 3, 4, 5))
    for _ in range(3):
        with pytest.raises(OSError, match="No space"):
            site.publisher.publish(frozenset({"events", "batches"}))
    monkeypatch.undo()
    assert site.ask("SELECT count(*) FROM events") == [(7,)]
    site.publisher.publish(frozenset({"events", "batches"}))
    assert site.ask("SELECT count(*) FROM events") == [(12,)]
    site.house.now_s += 61
    site.house.retired.delete_due()
    assert site.exported() == site.listed()


def test_a_restart_begins_anew_and_leaves_the_old_file_readable(site: Site) -> None:
    """Until the new one is in its place, and for the grace time after that."""
    site.house.write(*chain(HOST, 3), rows=holds(1))
    site.publisher.publish(EVERYTHING)
    before = site.exported()
    second = site.make_publisher()
    site.house.retired.delete_due()
    site.house.now_s += 1000
    site.house.retired.delete_due()
    assert site.exported() == before
    assert site.ask("SELECT count(*) FROM holds") == [(1,)]
    second.publish(EVERYTHING)
    assert site.exported() > before
    site.house.now_s += 61
    site.house.retired.delete_due()
    assert not site.exported() & before
    assert site.ask("SELECT count(*) FROM holds") == [(1,)]


def test_it_comes_by_itself_soon_after_a_commit(site: Site) -> None:
    """The thread that is in the collector."""
    seen = threading.Event()
    real = site.publisher.publish

    def publish(names: frozenset[str]) -> None:
        real(names)
        if site.ask("SELECT count(*) FROM holds") == [(2,)]:
            seen.set()

    site.publisher.publish = publish  # type: ignore[method-assign]
    site.publisher.start()
    site.house.write(rows=holds(2))
    assert seen.wait(60)
    site.publisher.close()


@pytest.mark.parametrize("name", ["copy", "copy.tar"])
def test_a_bundle_stands_alone(site: Site, tmp_path: Path, name: str) -> None:
    """Moved anywhere, without the trail; views have the same rows, and files their digests."""
    site.house.write(*chain(HOST, 5, spill.WORTH_A_FILE), rows=holds(3))
    site.house.write(*chain(HOST, 5, spill.WORTH_A_FILE, 6))
    site.publisher.publish(EVERYTHING)
    site.path.with_name("checkpoints.jsonl").write_text("{}\n", encoding="utf-8")
    made = make_bundle(site.path, tmp_path / name)
    if name.endswith(".tar"):
        with tarfile.open(tmp_path / name) as archive:
            archive.extractall(tmp_path / "away")  # noqa: S202 - made above
    else:
        (tmp_path / "away").mkdir()
        (tmp_path / name).rename(tmp_path / "away" / "copy")
    there = tmp_path / "away" / "copy"
    expected = {view: site.ask(f"SELECT count(*) FROM {view}")[0][0] for view in RELATIONS}  # noqa: S608
    (tmp_path / "segments").rename(tmp_path / "gone")
    code = (
        "import duckdb, json, sys\n"
        "with duckdb.connect('views.duckdb', read_only=True) as t:\n"
        "    names = json.loads(sys.argv[1])\n"
        "    assert t.execute('SELECT trail FROM about').fetchall() == [('t' * 32,)]\n"
        "    rows = {n: t.execute(f'SELECT count(*) FROM {n}').fetchall()[0][0] for n in names}\n"
        "    t.execute(\"FROM grants_in_force_at(TIMESTAMP '2026-01-01')\")\n"
        "with duckdb.connect() as t:\n"
        "    t.execute(open('views.sql').read())\n"
        "    assert rows == {n: t.execute(f'SELECT count(*) FROM {n}').fetchall()[0][0]"
        " for n in names}\n"
        "print(json.dumps(rows))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(sorted(RELATIONS))],
        cwd=there,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected
    manifest = json.loads((there / "manifest.json").read_text(encoding="utf-8"))
    files = {one["file"]: one for one in manifest["files"]}
    on_disk = {str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()} - {
        "manifest.json"
    }
    assert "checkpoints.jsonl" in on_disk
    assert files.keys() == on_disk == {one.file for one in made.files}
    for one in made.files:
        assert bundle._described(there, one.file, one.table, one.rows) == one
    events = sum(one["rows"] for one in manifest["files"] if one["table"] == "events")
    assert events == expected["events"] == spill.WORTH_A_FILE + 11


def test_a_bundle_takes_a_newer_list_where_files_went_away(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one moment all the same; and if they go away for ever, it says so."""
    site.house.write(*chain(HOST, 5), rows=holds(1))
    site.publisher.publish(EVERYTHING)
    real, tries = bundle._read, []

    def read(views: Path) -> object:
        source = real(views)
        tries.append(1)
        if len(tries) < 3:
            table, path, rows = source.files[0]
            return replace(source, files=((table, path.with_name("x.parquet"), rows),))
        return source

    monkeypatch.setattr(bundle, "_read", read)
    made = make_bundle(site.path, tmp_path / "copy")
    assert len(tries) == 3
    assert len(made.files) == len(site.ask("FROM files")) + 2
    tries[:] = [1] * -100
    monkeypatch.setattr(bundle, "_TRIES", 2)
    tries.clear()
    with pytest.raises(TrailError, match="went away 2 times"):
        make_bundle(site.path, tmp_path / "other")
    with pytest.raises(TrailError, match="is there already"):
        make_bundle(site.path, tmp_path / "copy")
    with pytest.raises(TrailError, match="a running collector makes it"):
        make_bundle(tmp_path / "nothing.duckdb", tmp_path / "third")


def test_only_its_owner_may_read_it(site: Site) -> None:
    """As the trail itself."""
    site.house.write(*chain(HOST, spill.WORTH_A_FILE), rows=holds(1))
    for _ in range(2):
        site.publisher.publish(EVERYTHING)
    for path in (site.path, *(site.path.parent / "exports").rglob("*.parquet")):
        assert path.stat().st_mode & 0o077 == 0, path
    assert os.stat(site.path.parent / "segments").st_mode & 0o077 == 0


def test_publishing_rests_for_longer_where_it_takes_longer_and_is_never_far_behind() -> None:
    """Who decides is in the way of neither; what comes just after one begins is in the next."""
    assert period_s(0.1) == PERIOD_S
    assert period_s(0.8) == pytest.approx(3.7)
    assert PERIOD_S < period_s(0.5) < period_s(0.6)
    assert all(period_s(took / 10) + took / 10 <= 5 for took in range(26))
    assert period_s(60.0) == PERIOD_S

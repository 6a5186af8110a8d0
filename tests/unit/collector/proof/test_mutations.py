"""Whatever is done to a trail behind its collector's back, both checks find it and say where."""

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.proof.checkpoint import read
from collector.proof.running import PROVEN
from collector.trail.schema import TABLES, Table
from tests.support.forged import forge_events
from tests.support.proven_trail import (
    HOSTS,
    KEY,
    OTHER_KEY,
    change,
    change_events,
    make_trail,
    segments_of,
)
from tests.unit.collector.proof.conftest import Copy
from wire.events import NAMES

ROWS = [one for one in TABLES if one.name in PROVEN and one.name not in ("anchors", "chain_breaks")]
FILLED = [one for one in ROWS if one.name != "batches"]
HOST = HOSTS[1]
OTHER_VALUES = {
    "BIGINT": ["NULL", "0", "-1", "9223372036854775807"],
    "VARCHAR": ["NULL", "''", "'other'", "'\u00e9'"],
    "BOOLEAN": ["NULL", "NOT"],
    "BLOB": ["''::BLOB", "'x'::BLOB"],
    "VARCHAR[]": ["NULL", "[]", "['a']", "['a', 'b', '']", "['b', 'a']"],
}
SLOW = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def _both(found: tuple[list[str], list[str]], what: str, where: str, which: str = "") -> None:
    """Assert that both say it; nothing else is said by either of another place."""
    for said in found:
        assert any(one.startswith(f"{what}: {where}") and which in one for one in said), (
            f"{what}: {where} ... {which} is not in {said}"
        )


def test_a_trail_that_nobody_touched_is_sound(trail: Copy) -> None:
    """With the key, with what the anchor has, and with neither."""
    assert trail.wrong() == ([], [])
    assert trail.wrong(anchored=True) == ([], [])
    assert trail.wrong(key="") == ([], [])


@pytest.mark.parametrize("table", ROWS, ids=lambda one: str(one.name))
@pytest.mark.parametrize("at", [0, 4, -1])
def test_a_dropped_row_is_named(trail: Copy, table: Table, at: int) -> None:
    """The first, one in the middle and the last, in every table."""
    with duckdb.connect(str(trail.directory / "trail.duckdb")) as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM {table.name}").fetchone() or (0,)
    place = at % count
    assert change(trail.directory, f"DELETE FROM {table.name} WHERE rowid = {place}") == 1
    what = "truncated" if at == -1 else "dropped"
    _both(trail.wrong(), what, table.name, f"{place + 1}")


@pytest.mark.parametrize("table", FILLED, ids=lambda one: str(one.name))
def test_a_changed_value_of_every_column_is_named(fresh: Callable[[], Copy], table: Table) -> None:
    """One value of each row, of each column in turn, to each kind of other value."""
    for start in range(0, len(table.schema), _ROWS):
        trail = fresh()
        fields = list(table.schema)[start : start + _ROWS]
        with duckdb.connect(str(trail.directory / "trail.duckdb")) as connection:
            kinds = dict(connection.execute(_KINDS.format(table.name)).fetchall())
            changes = []
            for place, field in enumerate(fields):
                values = [
                    v for v in OTHER_VALUES[kinds[field.name]] if v != "NULL" or field.nullable
                ]
                value = values[(start + place) % len(values)]
                value = f'NOT "{field.name}"' if value == "NOT" else value
                changes.append(f'UPDATE kept SET "{field.name}" = {value} WHERE place = {place}')
            _rewritten(connection, table.name, *changes)
        found = trail.wrong()
        for place in range(len(fields)):
            _both(found, "changed", table.name, f"row {place + 1}")


_ROWS = 11
_KINDS = "SELECT column_name, column_type FROM (DESCRIBE {})"


def _rewritten(
    connection: duckdb.DuckDBPyConnection, table: str, *changes: str, place: str = "rowid"
) -> None:
    """Write a table again with its rows changed in between, which are in `kept` by `place`."""
    connection.execute(f"CREATE TEMP TABLE kept AS SELECT *, {place} AS place FROM {table}")
    for change_ in changes:
        connection.execute(change_)
    connection.execute(f"DELETE FROM {table}")
    connection.execute("CHECKPOINT")
    connection.execute(f"INSERT INTO {table} SELECT * EXCLUDE (place) FROM kept ORDER BY place")


@pytest.mark.parametrize("table", FILLED, ids=lambda one: str(one.name))
def test_rows_in_another_order_are_named(trail: Copy, table: Table) -> None:
    """Also where each of them is as it was."""
    with duckdb.connect(str(trail.directory / "trail.duckdb")) as connection:
        turned = "CASE rowid WHEN 2 THEN 5 WHEN 5 THEN 2 ELSE rowid END"
        _rewritten(connection, table.name, place=turned)
    _both(trail.wrong(), "reordered", table.name, "row 3")


@pytest.mark.parametrize("table", FILLED, ids=lambda one: str(one.name))
def test_an_inserted_row_is_named(trail: Copy, table: Table) -> None:
    """Between those that were signed."""
    other = {"VARCHAR": "'new'", "BIGINT": "77"}
    with duckdb.connect(str(trail.directory / "trail.duckdb")) as connection:
        kinds = dict(connection.execute(_KINDS.format(table.name)).fetchall())
        keys = [one.strip('"') for one in table.key] or list(kinds)
        values = ", ".join(f'{other[kinds[one]]} AS "{one}"' for one in keys)
        _rewritten(
            connection,
            table.name,
            f"INSERT INTO kept SELECT * REPLACE ({values}, 7 AS place) FROM kept WHERE place = 6",
            place="rowid * 2",
        )
    _both(trail.wrong(), "inserted", table.name, "row 5")


@pytest.mark.parametrize("name", [one for one in NAMES if one != "kind"])
def test_a_changed_value_of_every_column_of_an_event_is_named(trail: Copy, name: str) -> None:
    """With its host, its batch, its kind and the numbers that it is one of."""
    with duckdb.connect(str(trail.directory / "trail.duckdb")) as connection:
        (kind,) = connection.execute(
            f"SELECT column_type FROM (DESCRIBE events) WHERE column_name = '{name}'"
        ).fetchone() or ("",)
    other = {"BIGINT": "-5", "VARCHAR": "'other'", "VARCHAR[]": "['other']"}[kind]
    where = AT_12
    assert change_events(trail.directory, f'UPDATE events SET "{name}" = {other} WHERE {where}')
    found = trail.wrong()
    _both(found, "changed", f"events of {HOST}", "12")
    _both(found, "changed", f"events of {HOST}", "batch 3")


MINE = f"host = '{HOST}'"
AT_12 = f"{MINE} AND number = 12"
COPY_OF_12 = f"FROM events WHERE {AT_12}"
EVENTS = {
    "dropped": ("dropped", "12", f"DELETE FROM events WHERE {AT_12}"),
    "the first of today's": ("dropped", "5", f"DELETE FROM events WHERE {MINE} AND number = 5"),
    "of an earlier agent": ("dropped", "2", f"DELETE FROM events WHERE {MINE} AND number = 2"),
    "the last": ("dropped", "25", f"DELETE FROM events WHERE {MINE} AND number = 25"),
    "a whole batch": ("dropped", "batch 2", f"DELETE FROM events WHERE {MINE} AND batch = 2"),
    "twice": ("inserted", "12", f"INSERT INTO events SELECT * {COPY_OF_12}"),
    "one more": (
        "inserted",
        "99",
        f"INSERT INTO events SELECT * REPLACE (99 AS number) {COPY_OF_12}",
    ),
    "of no batch": (
        "inserted",
        "batch 9",
        f"INSERT INTO events SELECT * REPLACE (99 AS number, 9 AS batch) {COPY_OF_12}",
    ),
    "another when": (
        "changed",
        "when of 1 events",
        f"UPDATE events SET \"when\" = TIMESTAMP '2001-01-01' WHERE {AT_12}",
    ),
    "no when": ("changed", "when of 1 events", f'UPDATE events SET "when" = NULL WHERE {AT_12}'),
    "another kind": ("changed", "kind exec", f"UPDATE events SET kind = 'exec' WHERE {AT_12}"),
    "in other places": (
        "changed",
        "kind open",
        f"UPDATE events SET number = 15 - number WHERE {MINE} AND number IN (6, 9)",
    ),
    "another batch": ("dropped", "12", f"UPDATE events SET batch = 2 WHERE {AT_12}"),
    "another host": ("dropped", "12", f"UPDATE events SET host = '{'c' * 32}' WHERE {AT_12}"),
}


@pytest.mark.parametrize("case", EVENTS, ids=lambda case: str(case).replace(" ", "_"))
def test_whatever_is_done_to_events_is_named(trail: Copy, case: str) -> None:
    """Dropped, inserted, doubled, moved."""
    what, which, sql = EVENTS[case]
    assert change_events(trail.directory, sql)
    _both(trail.wrong(), what, f"events of {HOST}", which)


def _segment_with(trail: Copy, number: int) -> Path:
    """Return the segment that has an event."""
    (file,) = (
        one
        for one in segments_of(trail.directory)
        if duckdb.sql(f"FROM '{one}' WHERE number = {number}").fetchall()
    )
    return file


def test_events_in_other_files_are_the_same_events(trail: Copy) -> None:
    """Proofs are over events: as segments are merged, everything stays proven."""
    change_events(trail.directory, "SELECT 1")
    assert len(segments_of(trail.directory)) == 1
    assert trail.wrong() == ([], [])


def test_a_segment_that_is_missing_is_named(trail: Copy) -> None:
    """With the events that were in it."""
    gone = _segment_with(trail, 6)
    gone.unlink()
    found = trail.wrong()
    _both(found, "dropped", "segments", gone.name)
    _both(found, "dropped", f"events of {HOST}", "batch 2")


def test_a_segment_that_is_cut_is_named(trail: Copy) -> None:
    """It cannot be read any more."""
    cut = segments_of(trail.directory)[1]
    cut.write_bytes(cut.read_bytes()[:-100])
    _both(trail.wrong(), "dropped", "segments", cut.name)


def test_a_segment_that_is_replaced_is_named(trail: Copy) -> None:
    """By one as long, with another word in it."""
    file = _segment_with(trail, 6)
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE events AS FROM '{file}'")
        connection.execute("UPDATE events SET path = '/innocent' WHERE number = 6")
        connection.execute(f"COPY events TO '{file}'")
    _both(trail.wrong(), "changed", f"events of {HOST}", "6")


def test_the_events_of_two_segments_that_change_places_are_named(trail: Copy) -> None:
    """A file under the name of another holds what it holds; `segments` says that it is another."""
    first, second = segments_of(trail.directory)
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    _both(trail.wrong(), "dropped", "events of")
    second.write_bytes(kept)
    for said in trail.wrong():
        assert {one.partition("the row of ")[2].partition(" ")[0].rstrip(":") for one in said} == {
            first.name,
            second.name,
        }


def test_a_batch_that_is_gone_with_its_events_is_named(trail: Copy) -> None:
    """Nothing is left that would not fit together but the chain, and the signed rows."""
    change_events(trail.directory, f"DELETE FROM events WHERE {MINE} AND batch = 3")
    change(trail.directory, f"DELETE FROM batches WHERE {MINE} AND sequence = 3")
    found = trail.wrong()
    _both(found, "dropped", f"events of {HOST}", "3")
    _both(found, "dropped", "batches", "row")


def test_a_chain_that_was_made_anew_is_named(trail: Copy) -> None:
    """Events changed, leaves and links computed again as their host would: the signature stays."""
    forge_events(trail.directory, HOST, number=12)
    found = trail.wrong()
    _both(found, "changed", "batches", "row")
    assert not any(one.startswith("changed: events of") and "kind" in one for one in found[0])


def test_a_hosts_chain_that_is_cut_is_named(trail: Copy) -> None:
    """The newest batch of a host and its events are gone."""
    change_events(trail.directory, f"DELETE FROM events WHERE {MINE} AND batch = 5")
    change(trail.directory, f"DELETE FROM batches WHERE {MINE} AND sequence = 5")
    found = trail.wrong()
    _both(found, "dropped", f"events of {HOST}", "batch 5")
    _both(found, "truncated", "batches")


def test_a_trail_that_was_signed_again_by_another_is_named(trail: Copy, made: Copy) -> None:
    """Every record and every checkpoint is anew, and consistent: the key and the anchor say so."""
    shutil.rmtree(trail.directory)
    make_trail(trail.directory, OTHER_KEY)
    _both(trail.wrong(), "forged", "checkpoints", OTHER_KEY.key_id)
    _both(trail.wrong(key=OTHER_KEY.key_id, anchored=True), "forged", "")
    assert trail.wrong(key=OTHER_KEY.key_id) == ([], [])  # who has nothing to compare with


SECOND = "WHERE number = 2"
CHECKPOINTS = {
    "another form": (
        "changed",
        f"UPDATE checkpoints SET line = replace(line, '\"v\":1', '\"v\": 1') {SECOND}",
    ),
    "another word": (
        "changed",
        f"UPDATE checkpoints SET line = replace(line, 'votes', 'voted') {SECOND}",
    ),
    "another digest": ("changed", f"UPDATE checkpoints SET digest = '{'0' * 64}' {SECOND}"),
    "dropped": ("dropped", f"DELETE FROM checkpoints {SECOND}"),
    "the first": ("dropped", "DELETE FROM checkpoints WHERE number = 1"),
    "the last": ("truncated", "DELETE FROM checkpoints WHERE number = 5"),
}


@pytest.mark.parametrize("case", CHECKPOINTS, ids=lambda case: str(case).replace(" ", "_"))
def test_whatever_is_done_to_checkpoints_is_named(trail: Copy, case: str) -> None:
    """In the table; the file beside it still has them."""
    what, sql = CHECKPOINTS[case]
    assert change(trail.directory, sql) == 1
    _both(trail.wrong(), what, "checkpoints", "5" if what == "truncated" else "")


@pytest.mark.parametrize("keep", [0, 3])
def test_a_file_of_checkpoints_that_is_cut_is_named(trail: Copy, keep: int) -> None:
    """By the first that is missing."""
    file = trail.directory / "checkpoints.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:keep]))
    _both(trail.wrong(), "truncated", "checkpoints.jsonl", f"checkpoint {keep + 1} ")


def test_a_trail_that_is_cut_as_a_whole_is_named_by_the_anchor(trail: Copy) -> None:
    """Rows, checkpoints and file put back to an earlier state: only what is outside knows."""
    with duckdb.connect(str(trail.directory / "trail.duckdb")) as connection:
        rows = connection.execute("SELECT line FROM checkpoints WHERE number = 3").fetchall()
        for state in read(rows[0][0])[0].tables:
            connection.execute(f"DELETE FROM {state.name} WHERE rowid >= {state.rows}")
        connection.execute("DELETE FROM checkpoints WHERE number > 3")
    change_events(trail.directory, "DELETE FROM events WHERE batch > 3")
    file = trail.directory / "checkpoints.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:3]))
    assert trail.wrong() == ([], [])
    _both(trail.wrong(anchored=True), "truncated", "checkpoints", "4")


@SLOW
@given(data=st.data())
def test_any_few_changes_are_found(fresh: Callable[[], Copy], data: st.DataObject) -> None:
    """Whatever rows of whatever tables: neither check calls the trail sound."""
    trail = fresh()
    tables = [*(one.name for one in FILLED), "batches", "events", "checkpoints"]
    for table in data.draw(st.lists(st.sampled_from(tables), min_size=1, max_size=3, unique=True)):
        if table == "events":
            number = data.draw(st.integers(1, 25))
            change_events(trail.directory, f"DELETE FROM events WHERE {MINE} AND number = {number}")
        else:
            place = data.draw(st.integers(0, 4))
            change(trail.directory, f"DELETE FROM {table} WHERE rowid = {place}")
    own, alone = trail.wrong(key=KEY.key_id)
    assert own
    assert alone

"""What retention has dropped is accounted for; whatever else is gone is found, by both checks."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from collector.proof.verify.check import verify
from collector.trail.retention.settings import Retention as Settings
from collector.trail.schema import TOMBSTONES
from tests.support.kept_trail import KEEP, keep, sign_again, tombstones
from tests.support.proven_trail import (
    HOSTS,
    KEY,
    OTHER_KEY,
    all_events,
    change,
    change_events,
)
from tests.unit.collector.proof.conftest import Copy

HOST = HOSTS[1]
MINE = f"host = '{HOST}'"


@pytest.fixture(scope="session")
def kept(made: Copy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trail of which every `open` is dropped that can be told apart by kind."""
    directory = tmp_path_factory.mktemp("kept") / "trail"
    shutil.copytree(made.directory, directory)
    keep(directory, Settings(keep=KEEP))
    return directory


@pytest.fixture
def trail(kept: Path, tmp_path: Path) -> Copy:
    """Give a copy of it."""
    shutil.copytree(kept, tmp_path / "copy")
    return Copy(tmp_path / "copy", tmp_path / "none")


def _both(found: tuple[list[str], list[str]], what: str, where: str, which: str = "") -> None:
    for said in found:
        assert any(one.startswith(f"{what}: {where}") and which in one for one in said), (
            f"{what}: {where} ... {which} is not in {said}"
        )


def _mine(trail: Copy) -> dict[str, Any]:
    """Return the first tombstone of the host that the tests change."""
    return next(one for one in tombstones(trail.directory) if one["host"] == HOST)


def test_what_retention_has_dropped_leaves_the_trail_sound(trail: Copy) -> None:
    """With and without the key; both say how many events that is, and under how many tombstones."""
    assert trail.wrong() == ([], [])
    assert trail.wrong(key="") == ([], [])
    left = {(one["kind"], one["batch"]) for one in all_events(trail.directory)}
    assert {batch for kind, batch in left if kind == "open"} == {1}  # of an earlier agent
    assert {batch for kind, batch in left if kind == "exec"} == {1, 2, 3, 4, 5}
    report = verify(trail.directory, trusted=frozenset({KEY.key_id}))
    dropped = sum(one["events"] for one in tombstones(trail.directory))
    assert report.figures["dropped_by_retention"] == dropped > 0
    assert report.figures["events"] == 50 - dropped
    assert any(f"{dropped} events were dropped by retention" in one for one in report.notes)


def test_tombstones_are_few(trail: Copy) -> None:
    """One for each kind, host and file: batches that follow on each other go together."""
    ranges = [(one["first_batch"], one["last_batch"]) for one in tombstones(trail.directory)]
    assert sorted(ranges) == [(2, 3), (2, 3), (4, 5), (4, 5)]


def test_what_fell_since_the_last_checkpoint_is_sound(fresh: Callable[[], Copy]) -> None:
    """Each tombstone is signed by itself: until the next checkpoint it counts as well."""
    trail = fresh()
    keep(trail.directory, Settings(keep=KEEP), sign=False)
    assert trail.wrong() == ([], [])


def test_everything_may_fall_but_gaps(fresh: Callable[[], Copy]) -> None:
    """What a host could not record stays; a batch of an earlier agent falls as a whole or not."""
    trail = fresh()
    for age in ("90d", "30d"):
        keep(trail.directory, Settings(keep={"default": age}))
        assert trail.wrong() == ([], [])
    left = {(one["kind"], one["batch"] > 1) for one in all_events(trail.directory)}
    assert left == {("gap", True), ("gap", False), ("open", False), ("exec", False)}


EVENTS = {
    "a group": ("dropped", "kind exec", f"DELETE FROM events WHERE {MINE} AND batch = 3"),
    "one event": (
        "dropped",
        "kind exec in batch 2",
        f"DELETE FROM events WHERE {MINE} AND number = (SELECT min(number) FROM events"
        f" WHERE {MINE} AND batch = 2 AND kind = 'exec')",
    ),
    "a value": (
        "changed",
        "kind exec in batch 2",
        f"UPDATE events SET path = 'x' WHERE {MINE} AND batch = 2 AND kind = 'exec'",
    ),
    "twice": (
        "inserted",
        "kind exec in batch 2",
        f"INSERT INTO events FROM events WHERE {MINE} AND batch = 2 AND kind = 'exec'",
    ),
    "what is gone": (
        "inserted",
        "kind open in batch 2",
        "INSERT INTO events SELECT * REPLACE ('open' AS kind) FROM events"
        f" WHERE {MINE} AND batch = 2 LIMIT 1",
    ),
    "of batch 1": ("dropped", "of batch 1", f"DELETE FROM events WHERE {MINE} AND batch = 1"),
}


@pytest.mark.parametrize("case", EVENTS, ids=lambda case: str(case).replace(" ", "_"))
def test_what_is_done_to_events_beside_is_named(trail: Copy, case: str) -> None:
    """Dropped without a tombstone, changed, doubled, and there though it is said to be gone."""
    what, which, sql = EVENTS[case]
    assert change_events(trail.directory, sql)
    _both(trail.wrong(), what, f"events of {HOST}", which)


def test_what_a_tombstone_says_is_gone_and_is_there_is_named(trail: Copy, made: Copy) -> None:
    """The very events, as they were."""
    before = str(made.directory / "segments" / "*" / "*.parquet")
    assert change_events(
        trail.directory,
        f"INSERT INTO events FROM '{before}' WHERE {MINE} AND batch = 2 AND kind = 'open'",
    )
    _both(trail.wrong(), "inserted", f"events of {HOST}", "kind open in batch 2")


def test_a_tombstone_that_is_gone_is_named(trail: Copy) -> None:
    """With the events that it stood for."""
    gone = _mine(trail)
    assert change(
        trail.directory, f"DELETE FROM tombstones WHERE tombstone = '{gone['tombstone']}'"
    )
    found = trail.wrong()
    _both(found, "dropped", f"events of {HOST}", f"{gone['first_batch']}")
    _both(found, "dropped", "tombstones")


@pytest.mark.parametrize("column", TOMBSTONES.schema.names)
def test_every_changed_value_of_a_tombstone_is_named(trail: Copy, column: str) -> None:
    """Its signature does not fit then, and its events are missing."""
    one = _mine(trail)
    value = one[column] + 1 if isinstance(one[column], int) else one[column][1:] + "0"
    assert change(
        trail.directory,
        f"UPDATE tombstones SET \"{column}\" = '{value}' WHERE tombstone = '{one['tombstone']}'",
    )
    found = trail.wrong()
    _both(found, "changed", "tombstones", "its signature does not fit")
    _both(found, "dropped", f"events of {HOST}", "batch")


@pytest.mark.parametrize("key", [KEY.key_id, ""], ids=["with_the_key", "without_a_key"])
def test_a_tombstone_that_another_has_signed_is_named(trail: Copy, key: str) -> None:
    """It counts for nothing. Who gives no key is told by those of the checkpoints."""
    sign_again(trail.directory, _mine(trail), {}, OTHER_KEY)
    found = trail.wrong(key=key)
    _both(found, "forged", "tombstones", OTHER_KEY.key_id)
    _both(found, "dropped", f"events of {HOST}", "batch")


def test_a_tombstone_of_another_trail_is_named(trail: Copy) -> None:
    """Also one that the same key has signed there."""
    sign_again(trail.directory, _mine(trail), {}, trail=lambda own: f"{own}0")
    _both(trail.wrong(), "changed", "tombstones", "its signature does not fit")


MISSIGNED: dict[str, tuple[dict[str, Any], str, str]] = {
    "more batches": ({"last_batch": 5}, "changed", "tombstones"),
    "more events": ({"events": 99}, "changed", "tombstones"),
    "every kind": ({"kind": ""}, "changed", "tombstones"),
    "too young": ({"kept_ns": 10**18}, "dropped", f"events of {HOST}"),
}


@pytest.mark.parametrize("case", MISSIGNED, ids=lambda case: str(case).replace(" ", "_"))
def test_a_tombstone_that_the_key_has_signed_and_that_is_not_so_is_named(
    trail: Copy, case: str
) -> None:
    """Who has the key can sign anything; the batches, which hosts have sealed, do not fit then."""
    changes, what, where = MISSIGNED[case]
    sign_again(trail.directory, _mine(trail), changes)
    assert change(trail.directory, "DELETE FROM checkpoints WHERE number = 6") == 1
    (trail.directory / "checkpoints.jsonl").unlink()
    _both(trail.wrong(), what, where, "")


def test_events_dropped_behind_the_collectors_back_need_its_key(trail: Copy, kept: Path) -> None:
    """A tombstone written for them by who has no key stands for nothing, signed or not yet."""
    assert change_events(
        trail.directory, f"DELETE FROM events WHERE {MINE} AND batch = 4 AND kind = 'exec'"
    )
    one = next(each for each in tombstones(kept) if each["last_batch"] == 5)
    with duckdb.connect(str(trail.directory / "trail.duckdb")) as connection:
        connection.execute(
            "INSERT INTO tombstones SELECT * REPLACE ('new' AS tombstone, 'exec' AS kind,"
            " 4 AS first_batch, 4 AS last_batch) FROM tombstones WHERE tombstone = ?",
            [one["tombstone"]],
        )
    found = trail.wrong()
    _both(found, "changed", "tombstones", "its signature does not fit")
    _both(found, "dropped", f"events of {HOST}", "kind exec in batch 4")


def test_a_trail_of_before_there_was_retention_is_read(
    fresh: Callable[[], Copy],
) -> None:
    """It has no such table, and nothing of it was dropped."""
    trail = fresh()
    with duckdb.connect(str(trail.directory / "trail.duckdb")) as connection:
        connection.execute("DROP TABLE tombstones")
    for said in trail.wrong():
        assert {one.partition(" (")[0] for one in said} <= {
            "dropped: tombstones: the whole table is missing",
            "dropped: tombstones: the whole table",
        }

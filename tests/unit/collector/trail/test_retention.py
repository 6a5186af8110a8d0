"""Retention on a real trail: what falls is gone with a tombstone, whatever comes in between."""

import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from collector.errors import TrailError
from collector.proof.verify.check import verify
from collector.trail.event_rows import EventRows, event_rows
from collector.trail.retention.rounds import Retention
from collector.trail.retention.settings import Policy, policy_of
from collector.trail.retention.settings import Retention as Settings
from collector.trail.rows import opened_row, state_row
from collector.trail.segments import files
from collector.trail.segments.keeper import Keeper
from collector.trail.store import trail_id
from tests.support.centre import REPOSITORY
from tests.support.proven_trail import KEY
from tests.support.wire_host import batch, opened, state
from tests.unit.collector.trail.test_segments import HOST, OTHER, House
from wire.codec import encode
from wire.ids import HostId
from wire.messages import HoldStateName

DAY_S = 86_400
KINDS = ("open", "exec", "gap", "connect")


class Kept(House):
    """A trail with retention, whose time is the test's."""

    def __init__(self, directory: Path, keep: dict[str, str], policy: Policy | None = None) -> None:
        super().__init__(directory)
        self.now_s = time.time()
        self.policy = policy or policy_for(keep)
        self.retention = Retention(
            self.connection,
            self.writer.shelf,
            self.policy,
            KEY,
            trail=trail_id(self.connection),
            clock=self.now_ns,
        )
        self.keeper = Keeper(
            self.connection, self.writer, self.retired, retention=self.retention, clock=self.now_ns
        )

    def now_ns(self) -> int:
        """Return the test's time."""
        return int(self.now_s * 1e9)

    def seal(self, *batches: EventRows) -> None:
        """Write batches into a file of their own."""
        self.write(*batches)
        self.writer.write_out().result()

    def after(self, days: float) -> int:
        """Let days go by, and all be done that is due then; return in how many steps."""
        self.now_s += days * DAY_S
        steps = 0
        while self.keeper.step():
            steps += 1
        return steps

    def kinds(self) -> dict[object, object]:
        """Return how many events there are of each kind."""
        return dict(self.rows("SELECT kind, count(*) FROM events GROUP BY ALL"))  # type: ignore[arg-type]

    def sound(self) -> None:
        """Close it, and see that the proof holds and no file is there that no row names."""
        self.retired.handed_out(self.now_s)
        self.now_s += 61
        self.retired.delete_due()
        assert self.on_disk() == self.named()
        place = Path(self.settings.file).parent
        self.close()
        assert verify(place, trusted=frozenset()).findings == []


def chain(host: HostId, *sizes: int, hold: str = "") -> list[EventRows]:
    """Return batches of events of each kind in turn; the first event has the hold."""
    made, previous, first = [], "0" * 64, 1
    for sequence, size in enumerate(sizes, 1):
        rows: list[dict[str, object]] = [
            {"kind": KINDS[number % 4], "pid": number, "hold": hold if number == 1 else None}
            for number in range(first, first + size)
        ]
        message = batch(host, sequence, first, rows, previous)
        previous, first = message.chain, first + size
        made.append(event_rows(message, encode(message)))
    return made


def policy_for(keep: dict[str, str]) -> Policy:
    made = policy_of(Settings(keep=keep), place="x")
    assert made is not None
    return made


@pytest.fixture
def house(tmp_path: Path) -> Kept:
    """Give a trail that keeps what is opened for 90 days and commands for 400; a test closes it."""
    return Kept(tmp_path, {"open": "90d", "exec": "400d"})


def test_each_kind_falls_at_its_age_and_everything_else_stays(house: Kept) -> None:
    """At the latest a day after it; batches, and kinds that nobody named, stay for good."""
    house.seal(*chain(HOST, *[40] * 3), *chain(OTHER, *[40] * 3))
    assert house.after(0) == 1  # a look at the file
    assert house.after(89.9) == 0
    assert house.kinds() == dict.fromkeys(KINDS, 60)
    house.after(1.2)
    assert house.kinds() == {"exec": 60, "gap": 60, "connect": 60}
    house.after(311)
    assert set(house.kinds()) == {"gap", "connect"}
    assert house.rows('SELECT count(*), sum("count") FROM batches') == [(6, 240)]
    assert house.rows(
        "SELECT host, kind, first_batch, last_batch, events, reason FROM tombstones ORDER BY ALL"
    ) == [(host, kind, 1, 3, 30, "age") for host in (HOST, OTHER) for kind in ("exec", "open")]
    assert house.rows(
        "SELECT kind, sum(events) FROM dropped_by_retention GROUP BY ALL ORDER BY 1"
    ) == [("exec", 60), ("open", 60)]
    house.sound()


def test_who_reads_goes_on_with_what_was_there(house: Kept) -> None:
    """The file without what fell takes the place of the other in one transaction."""
    house.seal(*chain(HOST, 40))
    (before,) = house.named()
    cursor = house.connection.cursor()
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    assert cursor.execute("SELECT count(*) FROM events").fetchall() == [(40,)]
    house.after(100)
    assert cursor.execute("SELECT count(*), count(DISTINCT kind) FROM events").fetchall() == [
        (40, 4)
    ]
    cursor.execute("COMMIT")
    (after,) = house.named()
    assert house.on_disk() == {before, after}
    assert house.rows("SELECT rows, made_ns < 2e18 FROM segments") == [(30, True)]
    house.sound()


def test_what_falls_as_a_whole_leaves_no_file(tmp_path: Path) -> None:
    """Nor is a room for another one needed."""
    house = Kept(tmp_path, {"default": "1d"})
    (one,) = chain(HOST, 1)
    house.seal(one)
    house.after(2)
    assert house.named() == set()
    assert house.rows("SELECT count(*) FROM events") == [(0,)]
    house.sound()


def test_events_of_an_open_hold_stay_until_it_is_over(house: Kept) -> None:
    """With those of their kind in the same batch."""
    hold = opened(HOST)
    house.write(rows=(opened_row(hold, encode(hold), 1),))
    house.seal(*chain(HOST, 4, 40, hold=hold.hold))  # its first event is of kind exec
    house.after(401)
    assert house.kinds() == {"exec": 1, "gap": 11, "connect": 11}
    assert house.retention.figures().held == 1
    house.write(rows=(state_row(state(hold, 1, HoldStateName.RELEASED), 1),))
    house.after(1)
    assert house.kinds() == {"gap": 11, "connect": 11}
    assert house.retention.figures().held == 0
    assert house.rows(
        "SELECT first_batch, last_batch FROM tombstones WHERE kind = 'exec' ORDER BY 1"
    ) == [(1, 1), (2, 2)]
    house.sound()


def test_a_hold_that_nobody_has_decided_stays_as_well(house: Kept) -> None:
    """Whatever the host has said of it before its end."""
    hold = opened(HOST)
    rows = (
        opened_row(hold, encode(hold), 1),
        state_row(state(hold, 1, HoldStateName.HELD), 1),
    )
    house.write(rows=rows)
    house.seal(*chain(HOST, 4, hold=hold.hold))
    house.after(401)
    assert house.kinds() == {"exec": 1, "gap": 1, "connect": 1}
    house.sound()


def test_a_range_ends_where_something_stays(house: Kept) -> None:
    """A tombstone covers no batch of which it does not drop what it says."""
    hold = opened(HOST)
    house.write(rows=(opened_row(hold, encode(hold), 1),))
    (first,) = chain(HOST, 4)
    mixed: list[dict[str, object]] = [{"kind": "open", "hold": hold.hold}, {"kind": "exec"}]
    held = batch(HOST, 2, 5, mixed, first.chain)
    again = batch(HOST, 3, 7, [{"kind": "open"}] * 4, held.chain)
    after = batch(HOST, 5, 17, [{"kind": "open"}] * 4, "1" * 64)  # the fourth is missing
    house.seal(first, *(event_rows(one, encode(one)) for one in (held, again, after)))
    house.after(100)
    assert house.rows(
        "SELECT first_batch, last_batch, events FROM tombstones WHERE kind = 'open' ORDER BY 1"
    ) == [(1, 1, 1), (3, 3, 4), (5, 5, 4)]
    house.sound()


def test_a_batch_that_came_twice_falls_as_a_whole(tmp_path: Path) -> None:
    """Nobody can say which of two batches of one number an event is of."""
    house = Kept(tmp_path, {"default": "1d"})
    message = batch(HOST, 1, 1, [{"kind": "open"}] * 4)
    other = batch(HOST, 1, 1, [{"kind": "exec"}] * 3)
    old = replace(batch(OTHER, 1, 1, [{"kind": "open"}] * 5), chain_version=1, chain="")
    house.seal(*(event_rows(one, encode(one)) for one in (message, other, old)))
    house.after(2)
    assert house.kinds() == {}
    assert house.rows("SELECT kind, events FROM tombstones ORDER BY events") == [("", 5), ("", 7)]
    house.sound()


def test_an_event_without_a_kind_stays(tmp_path: Path) -> None:
    """No honest host sends one; a tombstone without a kind would stand for all others as well."""
    house = Kept(tmp_path, {"default": "1d"})
    message = batch(HOST, 1, 1, [{"kind": ""}, {"kind": "open"}, {"kind": 'o"],["x'}])
    house.seal(event_rows(message, encode(message)))
    house.after(2)
    assert house.kinds() == {"": 1}
    house.sound()


def test_size_takes_the_oldest_but_nothing_below_the_floor(tmp_path: Path) -> None:
    """Whatever its kind; what a host lost is told for good."""
    first = Kept(tmp_path, {"open": "90d"})
    batches = chain(HOST, 4000, 4000, 4000)
    for one in batches:
        first.seal(one)
    first.after(1)  # they become one file
    ((size,),) = first.rows("SELECT sum(bytes)::BIGINT FROM segments")
    for sequence, days in ((1, 30), (2, 20)):
        first.rows(
            f"UPDATE batches SET received_ns = received_ns - {days * DAY_S * 10**9}"  # noqa: S608
            f" WHERE sequence = {sequence}"
        )
    first.close()
    for days, left in ((45, {1, 2, 3}), (35, {2, 3})):
        policy = Policy(size=int(str(size)) * 9 // 10, at_least=days * 24)
        house = Kept(tmp_path, {}, policy)
        house.after(9)
        assert house.rows("SELECT DISTINCT batch FROM events WHERE kind <> 'gap' ORDER BY 1") == [
            (one,) for one in sorted(left)
        ]
        assert house.rows("SELECT count(*) FROM events WHERE kind = 'gap'") == [(3000,)]
        house.close()
    assert verify(tmp_path, trusted=frozenset()).findings == []


def test_a_full_disk_is_no_end(house: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written without its old events now falls later."""
    house.seal(*chain(HOST, 40))
    named = house.named()

    def full(*args: object, **kwargs: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "write", full)
        with pytest.raises(OSError, match="No space left"):
            house.after(100)
    assert house.named() == named
    assert house.rows("SELECT count(*) FROM tombstones") == [(0,)]
    house.after(0)
    assert "open" not in house.kinds()
    house.sound()


def test_tombstones_and_files_come_together_or_not_at_all(
    house: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that fails leaves the events, and no file of its own."""
    house.seal(*chain(HOST, 40))
    named = house.named()

    def fails(change: object) -> None:
        raise duckdb.Error("no")

    with monkeypatch.context() as patch:
        patch.setattr(house.writer.shelf, "swap", fails)
        with pytest.raises(TrailError, match="no"):
            house.after(100)
    assert house.named() == named == house.on_disk()
    assert house.rows("SELECT count(*) FROM tombstones") == [(0,)]
    assert house.kinds()["open"] == 10
    house.after(0)
    house.sound()


def test_a_file_that_is_damaged_stays_until_it_is_back(tmp_path: Path) -> None:
    """And everything else falls meanwhile."""
    keep = {"open": "90d"}
    first = Kept(tmp_path, keep)
    first.seal(*chain(HOST, 40))
    (bad,) = first.named()
    first.seal(*chain(OTHER, 40))
    first.close()
    path = first.directory / bad
    kept = path.read_bytes()
    path.write_bytes(kept[:-100])
    for hosts in ([OTHER], [HOST, OTHER]):
        house = Kept(tmp_path, keep)
        house.after(100)
        assert house.rows("SELECT DISTINCT host FROM tombstones ORDER BY 1") == [
            (host,) for host in hosts
        ]
        path.write_bytes(kept)
        house.close()
    assert verify(tmp_path, trusted=frozenset()).findings == []


# A collector's storage at work with retention, until it is killed.
_WORKER = """
import sys
from pathlib import Path
from tests.unit.collector.trail.test_retention import Kept, HOST, chain
from collector.trail.segments import merging, spill

merging.TOGETHER = 3
house = Kept(Path(sys.argv[1]), {"open": "1d", "exec": "2d"})
known = house.rows("SELECT count(*) FROM batches")[0][0]
print("open", flush=True)
for one in chain(HOST, *[40] * 400)[known:]:
    house.seal(one)
    house.after(0.3)
    print(one.sequence, flush=True)
"""


def test_a_kill_at_any_time_leaves_a_trail_that_is_sound(tmp_path: Path) -> None:
    """Each event is there, or a tombstone says that it is not; no file is left over."""
    dice, fell = random.Random(20261130), 0
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        assert child.stdout is not None
        for _ in range(dice.randrange(3, 8)):
            child.stdout.readline()
        time.sleep(dice.uniform(0, 0.05))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        house = Kept(tmp_path, {"open": "1d", "exec": "2d"})
        ((events,),) = house.rows("SELECT coalesce(sum(events), 0) FROM tombstones")
        ((there,),) = house.rows("SELECT count(*) FROM events")
        ((came,),) = house.rows('SELECT coalesce(sum("count"), 0) FROM batches')
        assert int(str(events)) + int(str(there)) == int(str(came))
        fell = int(str(events))
        house.sound()
    assert fell > 0

"""What retention says of itself: before it drops anything, and to whoever looks afterwards."""

from pathlib import Path

import duckdb
import pytest

from collector.backup.snapshot import snapshot
from collector.proof.verify.check import verify
from collector.report.measures import BY_ID
from collector.report.period import Period
from collector.trail import schema
from collector.trail.analysts.bundle import make_bundle
from collector.trail.analysts.publisher import ViewsPublisher
from collector.trail.retention.forecast import forecast
from collector.trail.retention.measures import written
from collector.trail.store import trail_id
from tests.support.old_trail import take_back
from tests.unit.collector.trail.test_retention import DAY_S, KINDS, Kept, chain, policy_for
from tests.unit.collector.trail.test_segments import HOST, OTHER


@pytest.fixture
def house(tmp_path: Path) -> Kept:
    """Give a trail that keeps what is opened for 90 days and commands for 400; a test closes it."""
    return Kept(tmp_path, {"open": "90d", "exec": "400d"})


def test_a_forecast_is_what_falls_then(house: Kept, tmp_path: Path) -> None:
    """By host, kind and reason; it changes nothing."""
    house.seal(*chain(HOST, 40, 40), *chain(OTHER, 40))
    house.close()
    policy = house.policy
    file = Path(house.settings.file)
    now_ns = int((house.now_s + 100 * DAY_S) * 1e9)
    nothing = forecast(file, policy, int(house.now_s * 1e9))
    assert (nothing.events, nothing.doomed) == (120, ())
    found = forecast(file, policy, now_ns)
    again = Kept(tmp_path, {}, policy)
    again.after(100)
    fell = again.rows("SELECT host, kind, reason, events, last_ns FROM tombstones ORDER BY 1")
    assert [(one.host, one.kind, one.reason, one.events, one.last_ns) for one in found.doomed] == (
        fell
    )
    again.sound()


def test_measures_say_what_was_done(house: Kept) -> None:
    """By reason, since the start."""
    house.seal(*chain(HOST, 40))
    house.after(100)
    lines = written(house.retention.figures()).splitlines()
    assert 'holdfast_retention_dropped_events_total{reason="age"} 10' in lines
    assert 'holdfast_retention_dropped_events_total{reason="size"} 0' in lines
    assert "holdfast_retention_held_back_events 0" in lines
    house.sound()


def test_whoever_looks_from_outside_sees_what_is_gone(
    house: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """views.duckdb, a bundle and a copy for a backup: each is sound, and says it."""
    house.seal(*chain(HOST, 40))
    house.after(100)
    views = tmp_path / "views.duckdb"
    trail = trail_id(house.connection)
    publisher = ViewsPublisher(
        house.connection, house.writer, house.retired, path=views, trail=trail
    )
    publisher.publish(frozenset({"events", "segments", "tombstones", "batches"}))
    make_bundle(views, tmp_path / "bundle")
    asked = "SELECT kind, events, reason FROM dropped_by_retention"
    for place in (views, tmp_path / "bundle" / "views.duckdb"):
        monkeypatch.chdir(place.parent)
        with duckdb.connect(str(place), read_only=True) as client:
            assert client.execute(asked).fetchall() == [("open", 10, "age")]
        report = verify(place, trusted=frozenset())
        assert (report.findings, report.figures["dropped_by_retention"]) == ([], 10)
    policy = policy_for({"exec": "90d"})
    seen = forecast(Path(house.settings.file), policy, house.now_ns())
    assert [(one.kind, one.events) for one in seen.doomed] == [("exec", 10)]
    house.sound()
    with snapshot(Path(house.settings.file)) as copied:
        report = verify(copied.directory, trusted=frozenset())
        assert (report.findings, report.figures["dropped_by_retention"]) == ([], 10)


def test_evidence_lists_what_was_dropped_of_its_period(house: Kept) -> None:
    """Beside the gaps, and as none of them."""
    house.seal(*chain(HOST, 40))
    begun, ended = int((house.now_s - DAY_S) * 1e9), int((house.now_s + DAY_S) * 1e9)
    house.after(100)
    losses, back = BY_ID["losses"], BY_ID["retention"]
    for period, events in ((Period(begun, ended), 10), (Period(ended, ended + 10**9), 0)):
        answer = house.connection.cursor().execute(period.sql(losses.figures))
        names = [one[0] for one in answer.description or ()]
        (row,) = answer.fetchall()
        figures = dict(zip(names, row, strict=True))
        assert figures["dropped_by_retention"] == events
        assert figures["gaps"] == (10 if events else 0)  # told by the host, each of them
        listed = house.rows(period.sql(losses.exceptions))
        found = [one for one in listed if one[2] == "dropped by retention"]
        assert [one[5] for one in found] == ([10] if events else [])
    assert house.rows(back.sample)[0][2:4] == ("open", 10)
    house.sound()


def test_a_trail_of_before_is_brought_to_it(tmp_path: Path) -> None:
    """With all that is in it; then retention works on it as on any other."""
    old = Kept(tmp_path, {"open": "90d"})
    old.seal(*chain(HOST, 40))
    take_back(old.connection, 8)
    old.close()
    house = Kept(tmp_path, {"open": "90d"})
    assert house.rows("SELECT max(version) FROM schema_version") == [(schema.VERSION,)]
    assert house.kinds() == dict.fromkeys(KINDS, 10)
    house.after(100)
    assert "open" not in house.kinds()
    house.sound()

"""NATS stopped, killed, cut off, slow: the agent holds on, spools within a bound, and loses nothing
that it does not count.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.test_agent_killed import all_kinds, check_ends, check_trail
from tests.support.faulty_site import Site, site
from tests.support.networks import SlowLine, cut_off_network, slow_line

pytestmark = pytest.mark.faults

_SPOOL_MIB = 1
_SIZE = 1000
# What SQLite needs beside the events: its log before a checkpoint, and pages that are free again.
_BESIDE_MIB = 8


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Site]:
    """A centre and a host of its own, with a small spool."""
    with site(tmp_path, spool_limit_mib=_SPOOL_MIB) as built:
        yield built


def check_count(place: Site, generated: int) -> int:
    """See that what was generated is what came and what is counted as lost; return the latter.

    Numbers go on without a hole, and what came is in the order in which it was observed.
    """
    place.sql_until([[generated]], "SELECT coalesce(sum(count), 0)::BIGINT FROM events")
    numbers = "SELECT count(*) = max(number) AND min(number) = 1 FROM events"
    assert place.sql(numbers) == [[True]]
    assert place.sql("SELECT * FROM chain_breaks") == []
    disordered = (
        "SELECT count(*) FROM (SELECT tid, lag(tid) OVER (ORDER BY number) AS before FROM events"
        " WHERE path LIKE '/xx%') WHERE tid <= before"
    )
    assert place.sql(disordered) == [[0]]
    ((lost,),) = place.sql("SELECT coalesce(sum(count), 0)::BIGINT FROM events WHERE kind = 'gap'")
    return int(lost)


def check_away(place: Site, *, lossy: bool) -> None:
    """Hold and observe while nothing answers, more than the spool takes where `lossy`."""
    agent = place.newest
    count = (3 if lossy else 0) * _SPOOL_MIB * (1 << 20) // _SIZE
    waiting = all_kinds(place)
    for first in range(1, count, 100):
        agent.events(first, 100, _SIZE)
    size = sum(file.stat().st_size for file in place.state.glob("events.db*"))
    assert size <= (_SPOOL_MIB + _BESIDE_MIB) << 20
    for actor in waiting:
        if actor.kind in ("never", "short"):  # what the host decides by itself goes on
            assert actor.end(30) == 9
        elif actor.kind != "quiet":
            assert actor.ran == ()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nats_stopped_and_started_again(place: Site, number: signal.Signals) -> None:
    """What came meanwhile is delivered in order, and what was dropped is counted to the last."""
    assert place.start().ready()
    agent = place.newest
    check_ends(place, all_kinds(place))
    place.centre.stop_nats(number)
    check_away(place, lossy=True)
    place.centre.start_nats()
    check_ends(place, place.actors)
    assert check_count(place, agent.generated()) > 0
    check_trail(place)


def test_nats_killed_and_the_agent_too(place: Site) -> None:
    """Two agents die while it is away; the third delivers what all of them have seen."""
    generated = 0
    agent = place.start()
    assert agent.ready()
    place.centre.stop_nats(signal.SIGKILL)
    for first in (1, 101):
        check_away(place, lossy=False)
        agent.events(first, 100, _SIZE)
        generated += agent.generated()
        agent.kill()
        agent = place.start()
        assert agent.ready()
    place.centre.start_nats()
    check_ends(place, place.actors)
    assert check_count(place, generated + agent.generated()) == 0
    check_trail(place)


def test_a_network_that_swallows_everything(place: Site) -> None:
    """No refusal and no reset comes, as behind a dead switch; afterwards all of it is delivered."""
    with cut_off_network("holdfast-test-faults", place.centre.nats_port) as network:
        place.use_nats(network.url)
        agent = place.start(namespace=network.name)
        assert agent.ready()
        check_ends(place, all_kinds(place))
        place.reviewer.pause()
        asked = place.act("approve/asked-before")
        place.request_of(asked, "approve/asked-before")
        network.cut()
        place.reviewer.resume()
        check_away(place, lossy=True)
        # By then a message was given up, and sent once more into the same silence.
        place.log_says("hold messages wait: ")
        assert asked.ran == ()
        network.mend()
        check_ends(place, place.actors)
        assert check_count(place, agent.generated()) > 0
        check_trail(place)
        agent.stop()


@pytest.fixture
def line(place: Site) -> Iterator[SlowLine]:
    """A slow line to NATS."""
    with slow_line(place.centre.nats_port) as made:
        yield made


def test_a_slow_line(place: Site, line: SlowLine) -> None:
    """A batch takes longer than an acknowledgement is waited for; it arrives, and holds with it."""
    line.bytes_per_s = 60_000
    place.use_nats(line.url)
    agent = place.start()
    assert agent.ready()
    for first in range(1, 500, 100):
        agent.events(first, 100, _SIZE)
    check_ends(place, all_kinds(place))
    assert check_count(place, agent.generated()) == 0
    check_trail(place)

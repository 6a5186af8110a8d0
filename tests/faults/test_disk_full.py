"""A full disk under the agent's state, under JetStream, and under the trail: what is held stays
held, and is told of once there is room again.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from collector.proof.verify.check import verify
from tests.faults.test_agent_killed import all_kinds, check_ends, check_trail
from tests.faults.test_nats_away import check_count
from tests.support.centre import centre
from tests.support.faulty_site import WAIT_S, Site
from tests.support.small_disks import SmallDisk, small_disk

pytestmark = pytest.mark.faults


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is undone at the end of the test."""
    with ExitStack() as made:
        yield made


def at_home(stack: ExitStack, directory: Path) -> Site:
    """Have a centre and a host."""
    made = stack.enter_context(centre(directory))
    place = directory / "host"
    place.mkdir(exist_ok=True)
    built = Site(place, made)
    stack.callback(built.close)
    return built


def apart(stack: ExitStack, directory: Path, *, mib: int) -> tuple[Site, SmallDisk]:
    """Have a centre and a host; all of the collector's state is on the small disk, no stream is."""
    disk = stack.enter_context(small_disk(directory / "centre" / "state", mib=mib))
    made = stack.enter_context(centre(directory, start=False))
    stack.enter_context(small_disk(made.state / "nats" / "jetstream", mib=256))
    stack.callback(made.close)  # before the disk of the streams is gone
    made.start_nats()
    made.start_collector()
    place = directory / "host"
    place.mkdir()
    built = Site(place, made)
    stack.callback(built.close)
    return built, disk


def nothing_ran(place: Site) -> None:
    """See that nobody was let go, by whatever ground."""
    assert [actor.ran for actor in place.actors] == [()] * len(place.actors)


def test_the_agent_s_disk_is_full(tmp_path: Path, stack: ExitStack) -> None:
    """Nothing can be journalled, so nothing is let go or killed; then all of it is done."""
    disk = stack.enter_context(small_disk(tmp_path / "host" / "state", mib=8))
    place = at_home(stack, tmp_path)
    agent = place.start()
    assert agent.ready()
    place.reviewer.pause()
    asked = [place.act("approve/asked-before"), place.act("deny/asked-before")]
    for actor in asked:
        place.request_of(actor, actor.paths[0].removeprefix("/faults/"))
    disk.fill()
    all_kinds(place)
    place.reviewer.resume()
    agent.events(1, 100, 1000)
    place.log_says("one of the verdicts waits: ")
    place.log_says("held act ")
    nothing_ran(place)
    assert not any(actor.ended for actor in place.actors)
    disk.free()
    check_ends(place, place.actors)
    check_trail(place)
    assert check_count(place, agent.generated()) >= 100
    disk.fill()
    agent.kill()
    disk.free()
    assert place.start().ready()
    check_ends(place, all_kinds(place))
    check_trail(place)


def test_the_disk_of_the_streams_is_full(tmp_path: Path, stack: ExitStack) -> None:
    """NATS stores nothing, so nobody can be asked; the agent keeps all of it on its own disk."""
    disk: SmallDisk = stack.enter_context(small_disk(tmp_path / "centre", mib=64))
    place = at_home(stack, tmp_path)
    agent = place.start()
    assert agent.ready()
    check_ends(place, all_kinds(place))
    place.centre.stop_collector()
    disk.fill()
    waiting = all_kinds(place)
    agent.events(1, 1000, 1000)
    place.log_says("hold messages wait: ")
    for actor in waiting:
        assert actor.kind == "quiet" or actor.ran == ()
    disk.free()
    # JetStream gives up a store that it could not write until it is started again.
    place.centre.stop_nats()
    place.centre.start_nats()
    place.centre.start_collector()
    place.follow_again()
    check_ends(place, place.actors)
    assert check_count(place, agent.generated()) == 0
    check_trail(place)


def test_the_disk_of_the_trail_is_full(tmp_path: Path, stack: ExitStack) -> None:
    """People decide as ever; by itself the trail has all of it once there is room, and is sound."""
    place, disk = apart(stack, tmp_path, mib=64)
    agent = place.start()
    assert agent.ready()
    agent.events(1, 1000, 1000)
    place.sql_until([[1000]], "SELECT sum(count)::BIGINT FROM events WHERE path LIKE '/xx%'")
    disk.fill()
    actors = all_kinds(place)
    agent.events(1001, 4000, 1000)
    assert place.centre.collector is not None
    place.centre.collector.wait_for("ERROR")
    # What the host did is told once it is recorded; that it did it does not wait.
    for actor in actors:
        assert actor.end(WAIT_S) == (0 if actor.kind in ("approve", "quiet") else 9), actor.paths
    disk.free()
    check_ends(place, actors)
    check_trail(place)
    assert check_count(place, agent.generated()) == 0
    place.centre.stop_collector()
    report = verify(place.centre.state, trusted=frozenset())
    assert report.sound, report.findings

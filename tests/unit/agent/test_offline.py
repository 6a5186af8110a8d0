"""What root can do when no agent runs and little else is in order."""

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent import assembly, config, emergency, identity, offline
from agent.errors import AgentError, ConfigError
from agent.journal import Journal
from agent.subjects import resolve
from tests.support.children import Child, open_act
from tests.support.fake_sensor import FakeSensor, HeldMap
from tests.support.keeping import asking
from tests.unit.agent.test_config import BUNDLE, written

CONFIG = """
identity = "host.toml"
run = "run"
state = "state"
rules = ["rules"]
[[subjects]]
name = "ai-worker"
users = ["no-such-holdfast-test"]
groups = ["no-such-holdfast-test"]
"""
RULES = """
rules:
  - id: test.secret
    description: Reads a secret.
    severity: high
    match: { open: { path: "/etc/shadow" } }
    action: ask
"""


@pytest.fixture
def orphaned(tmp_path: Path) -> config.AgentConfig:
    """Return the configuration of a host whose watched user was removed."""
    written(tmp_path / "host.toml", BUNDLE)
    (tmp_path / "rules").mkdir()
    written(tmp_path / "rules" / "a.yaml", RULES)
    loaded = config.load(written(tmp_path / "agent.toml", CONFIG))
    with pytest.raises(ConfigError):
        resolve(loaded.subjects, place="agent.toml")
    return loaded


@pytest.fixture
def sensor(one: Child) -> Iterator[FakeSensor]:
    """A sensor that an agent has left behind, with one process held."""
    made = FakeSensor(HeldMap())
    one.stop()
    made.hold(open_act(one))
    yield made
    made.close()


async def test_a_forced_unload_needs_no_watched_user(
    orphaned: config.AgentConfig, sensor: FakeSensor, one: Child
) -> None:
    """What is held is killed and the kernel side is taken out."""
    done = await offline.unload(orphaned, sensor, force=True, by="root")
    assert done.killed == 1
    assert one.ended_by() == 9
    assert sensor.unloaded


async def test_a_release_of_everything_needs_no_watched_user(
    orphaned: config.AgentConfig, sensor: FakeSensor, one: Child
) -> None:
    """What is held runs on."""
    assert await offline.release_all(orphaned, sensor, reason="moved", by="root") == 1
    assert one.runs()
    assert not sensor.held.entries


async def test_an_unload_takes_the_sockets_and_says_what_the_centre_has_not(
    orphaned: config.AgentConfig, sensor: FakeSensor
) -> None:
    """What is on disk stays; of what lies under /run only what is not the agent's."""
    (orphaned.why / "denials").mkdir(parents=True)
    orphaned.run.mkdir()
    for path in (
        orphaned.socket,
        orphaned.why / "agent.sock",
        orphaned.why / "denials" / "7-9.json",
        orphaned.why / "somebody-elses",
    ):
        path.touch()
    done = await offline.unload(orphaned, sensor, force=True, by="root")
    assert done.unsent > 0
    assert not orphaned.run.exists()
    assert [path.name for path in orphaned.why.iterdir()] == ["somebody-elses"]
    assert (orphaned.state / "journal.db").exists()


async def test_who_is_watched_lets_nothing_go_without_an_agent_either(
    orphaned: config.AgentConfig, sensor: FakeSensor, one: Child
) -> None:
    """Root or not: as with an agent that runs. A held process of the caller's line is enough."""
    me = replace(open_act(one).process, pid=os.getppid())
    sensor.held.put(replace(open_act(one), process=me))
    with pytest.raises(AgentError, match="from a login of your own"):
        await offline.release_all(orphaned, sensor, reason="mine", by="root")
    with pytest.raises(AgentError, match="from a login of your own"):
        await offline.unload(orphaned, sensor, force=True, by="root")
    assert one.stopped()
    assert not sensor.unloaded


async def test_a_broken_configuration_stands_in_nobodys_way(
    orphaned: config.AgentConfig, sensor: FakeSensor, one: Child
) -> None:
    """Its places count as far as they can be read; what is not there at all is still an error."""
    place = orphaned.place
    broken = place.read_text(encoding="utf-8").replace("[[subjects]]", "nonsense = 1\n[[subjects]]")
    place.write_text(broken, encoding="utf-8")
    with pytest.raises(ConfigError, match="nonsense"):
        emergency.configuration(place)
    orphaned.state.mkdir()
    found = emergency.configuration(place)
    assert (found.state, found.run, found.subjects) == (orphaned.state, orphaned.run, ())
    assert await offline.release_all(found, sensor, reason="typing error", by="root") == 1
    assert one.runs()


async def test_a_lost_identity_is_taken_from_the_journal(
    orphaned: config.AgentConfig, one: Child, other: Child
) -> None:
    """And what is recorded goes out under the host's own id once it has joined again."""
    held = HeldMap()
    first = FakeSensor(held)
    one.stop()
    first.hold(open_act(one))
    with (
        assembly.only_one(orphaned),
        assembly.core(orphaned, first, lambda act: asking(), started=False) as parts,
    ):
        assert parts.keeper.start() == 1
    first.close()
    orphaned.identity.unlink()
    sensor = FakeSensor(held)
    assert await offline.release_all(orphaned, sensor, reason="all is gone", by="root") == 1
    assert one.runs()
    written(orphaned.identity, BUNDLE)
    host = identity.load(orphaned.identity).host
    with closing(Journal(orphaned.state / "journal.db", host)) as journal:
        assert journal.moved is None
        assert {letter.subject.split(".")[2] for letter in journal.letters(9)} == {host}
        assert journal.unpublished() == 3  # opened, approved, released


async def test_without_an_identity_or_a_journal_there_is_nobody_to_record_for(
    orphaned: config.AgentConfig, sensor: FakeSensor, one: Child
) -> None:
    """The error says what to do; nothing is let go unrecorded."""
    orphaned.identity.unlink()
    with pytest.raises(ConfigError, match="holdfast-agent join"):
        await offline.release_all(orphaned, sensor, reason="all is gone", by="root")
    assert one.stopped()

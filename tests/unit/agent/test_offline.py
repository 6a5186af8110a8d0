"""What root can do when no agent runs and little else is in order."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import config, offline
from agent.errors import ConfigError
from agent.subjects import resolve
from tests.support.children import Child, open_act
from tests.support.fake_sensor import FakeSensor, HeldMap
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
    assert await offline.unload(orphaned, sensor, force=True, by="root") == 1
    assert one.ended_by() == 9
    assert sensor.unloaded


async def test_a_release_of_everything_needs_no_watched_user(
    orphaned: config.AgentConfig, sensor: FakeSensor, one: Child
) -> None:
    """What is held runs on."""
    assert await offline.release_all(orphaned, sensor, reason="moved", by="root") == 1
    assert one.runs()
    assert not sensor.held.entries

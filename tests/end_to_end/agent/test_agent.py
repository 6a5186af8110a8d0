"""A running agent and a real centre, with real processes; only the kernel is played by the test."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent import config, control, identity, offline
from agent.daemon import Daemon
from agent.errors import AgentError, NotRunningError
from tests.support.centre import Centre, centre
from tests.support.children import Child, child, open_act
from tests.support.fake_sensor import FakeSensor, HeldMap

pytestmark = pytest.mark.nats

WAIT_S = 20  # how long before a test that waits in vain fails
RULES = """
rules:
  - id: test.secret
    description: Reads a secret.
    severity: high
    match: { open: { path: "/etc/shadow" } }
    action: ask
  - id: test.forbidden
    description: Reads what nobody may.
    severity: critical
    match: { open: { path: "/etc/forbidden" } }
    action: deny
"""
CONFIG = """
identity = "host.toml"
state = "state"
run = "run"
bpffs = "bpf"
rules = ["rules.yaml"]
[[subjects]]
name = "ai-worker"
users = [4242]
responsible = "owner@example.com"
"""


@dataclass
class Site:
    """A centre, and a host that has joined it."""

    centre: Centre
    token: str
    directory: Path

    @property
    def config(self) -> config.AgentConfig:
        """The agent's configuration."""
        return config.load(self.directory / "agent.toml")

    @asynccontextmanager
    async def agent(self, sensor: FakeSensor, *, unload: bool = False) -> AsyncIterator[str]:
        """Run an agent for the length of the block; yield its ready line."""
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        daemon = Daemon(self.config, sensor, mode="stop", unload_on_exit=unload)
        task = asyncio.ensure_future(daemon.run(ready.set_result))
        task.add_done_callback(lambda _: ready.done() or ready.cancel())
        try:
            with suppress(asyncio.CancelledError):
                await ready
            if ready.cancelled():
                await task
            yield ready.result()
        finally:
            daemon.stop()
            if not ready.cancelled():
                await task

    async def events(self, kind: str, wanted: str) -> dict[str, Any]:
        """Wait for an event whose detail or path has `wanted`."""
        async with asyncio.timeout(WAIT_S), self._client() as client:
            while True:
                answer = await client.get("/events", params={"kind": kind})
                for event in answer.json()["events"]:
                    if wanted in f"{event['detail']} {event['path']}":
                        found: dict[str, Any] = event
                        return found
                await asyncio.sleep(0.1)

    async def request(self, state: str) -> dict[str, Any]:
        """Wait for a request in a state, confirmed by the host if it is over."""
        async with asyncio.timeout(WAIT_S), self._client() as client:
            while True:
                answer = await client.get("/requests", params={"state": state})
                for request in answer.json()["requests"]:
                    if state in ("open", "cancelled") or request["outcome"]:
                        found: dict[str, Any] = request
                        return found
                await asyncio.sleep(0.1)

    async def decide(self, request: dict[str, Any], answer: str) -> None:
        """Decide a request as the reviewer."""
        async with self._client() as client:
            done = await client.post(
                f"/requests/{request['request']}/decision",
                json={"answer": answer, "reason": "a test", "digest": request["digest"]},
            )
            assert done.status_code == 200, done.text

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"{self.centre.api_url}/api/v1", headers=Centre.auth(self.token), timeout=20
        )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A centre and an agent's directory."""
    with centre(tmp_path) as running:
        directory = tmp_path / "agent"
        directory.mkdir()
        (directory / "agent.toml").write_text(CONFIG, encoding="utf-8")
        (directory / "rules.yaml").write_text(RULES, encoding="utf-8")
        identity.join(running.enroll("web-1"), directory / "host.toml")
        token = running.token("ann@example.com", "reviewer")
        yield Site(running, token, directory)


@pytest.fixture
def sensor() -> Iterator[FakeSensor]:
    """A kernel side played by the test."""
    made = FakeSensor(HeldMap())
    yield made
    made.close()


async def test_what_a_person_approves_runs_on_and_what_they_deny_dies(
    site: Site, sensor: FakeSensor
) -> None:
    """From the held act over the centre's answer to the confirmed end, all of it in the trail."""
    async with site.agent(sensor) as ready:
        assert ready.startswith("ready host=")
        assert ready.endswith("mode=stop holds=0")
        with child() as one:
            one.stop()
            sensor.hold(open_act(one))
            request = await site.request("open")
            assert request["act"]["process"]["pid"] == one.pid
            await site.decide(request, "approve")
            confirmed = await site.request("approved")
            assert (confirmed["outcome"], confirmed["ground"]) == ("released", "decision")
            assert one.runs()
        with child() as one:
            one.stop()
            sensor.hold(open_act(one))
            await site.decide(await site.request("open"), "deny")
            assert (await site.request("denied"))["outcome"] == "killed"
            assert one.ended_by() == 9
        with child() as one:
            one.stop()
            sensor.hold(open_act(one, "/srv/harmless"))
            event = await site.events("open", "/srv/harmless")
            assert event["detail"] == "let go: ground rule"
            assert one.runs()
        with child() as one:
            one.stop()
            sensor.hold(open_act(one, "/etc/forbidden"))
            event = await site.events("open", "/etc/forbidden")
            assert (event["action"], event["rule"]) == ("deny", "test.forbidden")
            assert one.ended_by() == 9


async def test_an_answer_given_while_no_agent_ran_counts_at_the_next_start(
    site: Site, sensor: FakeSensor, one: Child
) -> None:
    """The agent leaves what is held as it is, and takes it up again."""
    one.stop()
    async with site.agent(sensor):
        sensor.hold(open_act(one))
        request = await site.request("open")
    assert one.stopped()
    await site.decide(request, "approve")
    again = FakeSensor(sensor.held)
    async with site.agent(again) as ready:
        assert ready.endswith("holds=1")
        assert (await site.request("approved"))["outcome"] == "released"
        assert one.runs()


async def test_a_second_agent_does_not_start(site: Site, sensor: FakeSensor) -> None:
    """Two would both decide."""
    async with site.agent(sensor):
        with pytest.raises(AgentError, match="runs here already"):
            async with site.agent(FakeSensor(HeldMap())):
                pass


async def test_the_control_socket_answers_and_broken_rules_change_nothing(
    site: Site, sensor: FakeSensor, one: Child
) -> None:
    """Status, reload and release, each asked as root or the agent's own user does."""
    socket = site.config.socket

    async def ask(**request: str) -> dict[str, Any]:
        return dict(await asyncio.to_thread(control.ask, socket, request))

    async with site.agent(sensor):
        assert socket.stat().st_mode & 0o777 == 0o600
        before = (await ask(do="status"))["ruleset"]
        rules = site.directory / "rules.yaml"
        rules.write_text(RULES.replace("action: deny", "action: explode"), encoding="utf-8")
        with pytest.raises(AgentError, match=r"rules\.yaml:\d+:\d+: "):
            await ask(do="reload")
        assert (await ask(do="status"))["ruleset"] == before
        await site.events("notice", "rules_refused")
        rules.write_text(RULES.replace("action: deny", "action: observe"), encoding="utf-8")
        assert (await ask(do="reload"))["ruleset"] != before
        sensor.refuse_tables = True
        rules.write_text(RULES, encoding="utf-8")
        with pytest.raises(AgentError, match="do not fit"):
            await ask(do="reload")
        assert (await ask(do="status"))["ruleset"] != before

        one.stop()
        sensor.hold(open_act(one))
        request = await site.request("open")
        with pytest.raises(AgentError, match="needs a reason"):
            await ask(do="release_all", reason=" ")
        with pytest.raises(AgentError, match="not a request"):
            await ask(do="explode")
        assert one.stopped()
        (held,) = (await ask(do="status"))["holds"]
        assert (held["hold"], held["pid"]) == (request["request"], one.pid)
        assert (await ask(do="release_all", reason="fire"))["released"] == 1
        assert one.runs()
        assert (await site.request("approved"))["ground"] == "emergency"
    with pytest.raises(NotRunningError):
        await ask(do="status")


async def test_everything_can_be_let_go_without_an_agent(
    site: Site, sensor: FakeSensor, one: Child, other: Child
) -> None:
    """Journal and held map are enough, broken rules are no obstacle, and the centre is told."""
    one.stop()
    async with site.agent(sensor):
        sensor.hold(open_act(one))
        await site.request("open")
    other.stop()
    sensor.held.put(open_act(other))
    (site.directory / "rules.yaml").write_text("rules: [", encoding="utf-8")
    again = FakeSensor(sensor.held, strict=True)
    released = await offline.release_all(site.config, again, reason="fire", by="root")
    assert released == 2
    assert one.runs()
    assert other.runs()
    (site.directory / "rules.yaml").write_text(RULES, encoding="utf-8")
    async with site.agent(FakeSensor(sensor.held)):
        assert (await site.request("approved"))["ground"] == "emergency"
        await site.events("notice", "release_all")


async def test_an_unload_refuses_while_anything_is_held(
    site: Site, sensor: FakeSensor, one: Child
) -> None:
    """It would stay stopped for good; with --force it is killed."""
    one.stop()
    sensor.held.put(open_act(one))
    with pytest.raises(AgentError, match="1 processes are held"):
        await offline.unload(site.config, sensor, force=False, by="root")
    assert one.stopped()
    again = FakeSensor(sensor.held, strict=True)
    done = await offline.unload(site.config, again, force=True, by="root")
    assert done.killed == 1
    assert again.unloaded
    assert one.ended_by() == 9


async def test_a_try_out_leaves_nothing_behind(site: Site, sensor: FakeSensor, one: Child) -> None:
    """With --unload-on-exit what is held is killed, the kernel side goes, and the centre knows."""
    one.stop()
    async with site.agent(sensor, unload=True):
        sensor.hold(open_act(one))
        await site.request("open")
    assert one.ended_by() == 9
    assert sensor.unloaded
    assert (await site.request("denied"))["ground"] == "emergency"

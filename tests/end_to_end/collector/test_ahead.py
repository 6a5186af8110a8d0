"""A hold is shown and decided once the stream has it: before the trail, and in spite of it."""

import asyncio
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector.identity.people import Role, create_token
from tests.end_to_end.collector.conftest import WAIT_S, People, follow, populate
from tests.support.centre import Child, centre
from tests.support.wire_host import state
from wire import subjects
from wire.messages import Answer, HoldStateName

pytestmark = pytest.mark.nats

_COUNTS = """
SELECT (SELECT count(*) FROM holds), (SELECT count(*) FROM votes), (SELECT count(*) FROM decisions),
       (SELECT count(*) FROM rejected)
"""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[People]:
    """Give a centre for one test, which it may kill."""
    with centre(tmp_path) as running:
        yield populate(running)


@contextmanager
def _no_room(people: People) -> Iterator[None]:
    """Let the collector's files grow no more; the kernel says EFBIG, as it says ENOSPC."""
    assert people.centre.collector is not None
    process = people.centre.collector.process.pid
    resource.prlimit(process, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        if people.centre.collector is not None:
            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(process, resource.RLIMIT_FSIZE, unlimited)


async def _decide_without_room(people: People) -> tuple[str, str]:
    """Open two holds and decide the first, on a full disk; return both."""
    async with (
        people.host() as host,
        people.client(people.reviewer) as client,
        follow(client) as stream,
    ):
        await stream.ready()
        decided = await host.open()
        await stream.until(decided.hold, state="open")
        answer = await client.post(
            f"/requests/{decided.hold}/decision", json={"answer": "deny", "reason": "full"}
        )
        assert answer.status_code == 200, answer.text
        verdict = await host.verdict()
        assert (verdict.hold, verdict.answer) == (decided.hold, Answer.DENY)
        # What comes behind a write that fails is shown as well.
        waiting = await host.open()
        await stream.until(waiting.hold, state="open")
        listed = {
            name: [
                one["request"]
                for one in (await client.get("/requests", params={"state": name})).json()[
                    "requests"
                ]
            ]
            for name in ("open", "denied", "all")
        }
        assert listed == {
            "open": [waiting.hold],
            "denied": [decided.hold],
            "all": [waiting.hold, decided.hold],
        }
        # The question waits for the answer to be written, which has been tried by then.
        assert await people.ask(_COUNTS) == [[0, 0, 0, 0]]
        health = await client.get(people.centre.api_url + "/healthz")
        assert health.json() == {"status": "degraded", "nats": True, "trail": False}
    return decided.hold, waiting.hold


async def test_a_full_disk_at_the_centre_keeps_nobody_waiting(own: People) -> None:
    """Holds are shown, decided and listed; once there is room the trail has each thing once."""
    with _no_room(own):
        await _decide_without_room(own)
    wanted = [[2, 1, 1, 0]]
    assert await own.ask_until(wanted, _COUNTS) == wanted


async def test_a_kill_between_showing_and_commit_loses_nothing(own: People) -> None:
    """Everything comes again from the streams; what was decided stays so, and is sent once."""
    with _no_room(own):
        decided, waiting = await _decide_without_room(own)
        own.centre.stop_collector(signal.SIGKILL)
    own.centre.start_collector()
    async with (
        own.host() as host,
        own.client(own.reviewer) as client,
        follow(client) as stream,
    ):
        before = await stream.ready()
        if waiting not in before:
            await stream.until(waiting, state="open")
        wanted = [[2, 1, 1, 0]]
        assert await own.ask_until(wanted, _COUNTS) == wanted
        again = await client.post(
            f"/requests/{decided}/decision", json={"answer": "approve", "reason": "again"}
        )
        assert (again.status_code, again.json()["error"]["reason"]) == (409, "full")
        info = await host.client.jetstream().consumer_info(
            subjects.VERDICTS, subjects.verdict_consumer(host.id)
        )
        assert (info.delivered.consumer_seq, info.num_pending) == (1, 0)


async def test_what_a_host_did_is_told_once_it_is_recorded(own: People) -> None:
    """Who reads of an outcome finds it in the trail at once, though the hold came before it."""
    async with (
        own.host() as host,
        own.client(own.viewer) as client,
        follow(client) as stream,
    ):
        await stream.ready()
        for _ in range(10):
            hold = await host.open()
            await host.say(state(hold, 1, HoldStateName.CANCELLED))
            shown = await stream.until(hold.hold)
            assert shown["states"] == []
            await stream.until(hold.hold, state="cancelled")
            rows = await own.ask("SELECT state FROM hold_states WHERE hold = ?", hold.hold)
            assert rows == [["cancelled"]]


@contextmanager
def _another_collector(people: People) -> Iterator[str]:
    """Run a second collector with a trail of its own on the same streams; give its address."""
    text = people.centre.config.read_text(encoding="utf-8")
    assert text.count("trail.duckdb") == 1
    config = people.centre.config.with_name("second.toml")
    config.write_text(text.replace("trail.duckdb", "second.duckdb"), encoding="utf-8")
    child = Child(
        [sys.executable, "-m", "collector", "run", "--config", str(config)],
        people.centre.directory / "second.log",
    )
    try:
        yield child.wait_for("ready api=").split()[1].removeprefix("api=")
    finally:
        child.stop()


async def test_fifty_people_at_two_collectors_give_one_decision(own: People) -> None:
    """No lock in a process could do it: the stream's expected sequence picks the one answer."""
    database = own.centre.state / "identities.db"
    names = [f"reviewer-{number}@example.com" for number in range(50)]
    tokens = [create_token(database, name=name, role=Role.REVIEWER) for name in names]
    with _another_collector(own) as second:
        addresses = (own.centre.api_url, second)
        async with own.host() as host, AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(
                    httpx.AsyncClient(
                        base_url=f"{addresses[number % 2]}/api/v1",
                        headers=own.centre.auth(token),
                        timeout=WAIT_S,
                    )
                )
                for number, token in enumerate(tokens)
            ]
            streams = [await stack.enter_async_context(follow(one)) for one in clients[:2]]
            for stream in streams:
                await stream.ready()
            hold = await host.open()
            for stream in streams:
                await stream.until(hold.hold, state="open")

            async def answer(number: int) -> tuple[int, dict[str, Any]]:
                word = "approve" if number % 3 else "deny"
                got = await clients[number].post(
                    f"/requests/{hold.hold}/decision",
                    json={"answer": word, "reason": f"reason {number}"},
                )
                return got.status_code, got.json()

            answers = await asyncio.gather(*map(answer, range(50)))
            won = [body["decision"] for status, body in answers if status == 200]
            lost = [body["error"] for status, body in answers if status == 409]
            assert (len(won), len(lost)) == (1, 49)
            decision = won[0]
            for error in lost:
                assert (error["code"], error["decided_by"], error["decided_ns"]) == (
                    "already_decided",
                    decision["by"],
                    decision["time_ns"],
                )
            verdict = await host.verdict()
            assert (verdict.by, verdict.answer.value) == (decision["by"], decision["answer"])
            info = await host.client.jetstream().consumer_info(
                subjects.VERDICTS, subjects.verdict_consumer(host.id)
            )
            assert (info.delivered.consumer_seq, info.num_pending) == (1, 0)
            # Both collectors tell the same, whoever of them was asked.
            for stream in streams:
                assert (await stream.until(hold.hold, state=_STATE[verdict.answer]))["decision"][
                    "by"
                ] == decision["by"]
            wanted = [[decision["by"], True]]
            sql = (
                'SELECT "by", (SELECT count(*) FROM votes WHERE vote = d.votes[1]) = 1'
                " FROM decisions d WHERE request = ?"
            )
            assert await own.ask_until(wanted, sql, hold.hold) == wanted


_STATE = {Answer.APPROVE: "approved", Answer.DENY: "denied"}

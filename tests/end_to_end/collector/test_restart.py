"""Nothing is lost and nothing doubled when the collector or NATS is killed at any point."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.collector.conftest import People, follow, populate
from tests.support.centre import REPOSITORY, Child, centre
from tests.support.wire_host import WireHost, full_row
from wire.messages import Answer, HoldOpened

pytestmark = pytest.mark.nats


@pytest.fixture
def own(tmp_path: Path) -> Iterator[People]:
    """Give a centre for one test, which it may kill."""
    with centre(tmp_path) as running:
        yield populate(running)


@asynccontextmanager
async def _settled(people: People, host: WireHost) -> AsyncIterator[None]:
    """Leave the block only when a hold opened at its end is shown: all before it is known."""
    yield
    async with people.client(people.viewer) as client, follow(client) as stream:
        await stream.ready()
        hold = await host.open()
        await stream.until(hold.hold)


async def test_open_requests_and_decisions_outlive_kill_9(own: People) -> None:
    """What waited still waits, what was decided stays decided, and the host gets one verdict."""
    async with own.host() as host:
        async with _settled(own, host):
            waiting = await host.open()
            decided = await host.open()
        async with own.client(own.reviewer) as client:
            await client.post(f"/requests/{waiting.hold}/comments", json={"text": "looking"})
            await client.post(
                f"/requests/{decided.hold}/decision", json={"answer": "approve", "reason": "ok"}
            )
        own.centre.stop_collector(signal.SIGKILL)
        own.centre.start_collector()
        async with own.client(own.reviewer) as client:
            listed = (await client.get("/requests")).json()["requests"]
            ids = [one["request"] for one in listed]
            assert waiting.hold in ids
            assert decided.hold not in ids
            shown = (await client.get(f"/requests/{waiting.hold}")).json()
            assert [one["text"] for one in shown["comments"]] == ["looking"]
            again = await client.post(
                f"/requests/{decided.hold}/decision", json={"answer": "deny", "reason": "no"}
            )
            assert again.json()["error"]["decided_by"] == "ann@example.com"
            later = await client.post(
                f"/requests/{waiting.hold}/decision", json={"answer": "deny", "reason": "no"}
            )
            assert later.status_code == 200
        verdicts = [await host.verdict(), await host.verdict()]
        assert [(one.hold, one.answer) for one in verdicts] == [
            (decided.hold, Answer.APPROVE),
            (waiting.hold, Answer.DENY),
        ]


_DIE_BETWEEN = '''
"""The collector, made to die at the worst moment: committed, and not yet acknowledged."""
import os, signal, sys
from collector.ingest.feed import Feed

_, NAME, CONFIG = sys.argv
acknowledge = Feed._acknowledge

async def die(self, run):
    if self.name != NAME:
        await acknowledge(self, run)
    else:
        print("dying before the acknowledgement", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

Feed._acknowledge = die
sys.argv = ["holdfast-collector", "run", "--config", CONFIG]
from collector.__main__ import main
main()
'''


@pytest.mark.parametrize("stream", ["HF_EVENTS", "HF_HOLDS", "HF_DECISIONS", "HF_VOTES"])
async def test_a_kill_between_commit_and_acknowledgement_doubles_nothing(
    own: People, tmp_path: Path, stream: str
) -> None:
    """The server sends everything again, and the trail has it once."""
    async with own.host() as host:
        async with _settled(own, host):
            hold = await host.open()
        own.centre.stop_collector()
        script = tmp_path / "dying.py"
        script.write_text(_DIE_BETWEEN, encoding="utf-8")
        dying = Child(
            [sys.executable, str(script), f"ingest {stream}", str(own.centre.config)],
            tmp_path / "dying.log",
        )
        try:
            own.centre.api_url = dying.wait_for("ready api=").split()[1].removeprefix("api=")
            await host.events(full_row(), full_row())
            second = await host.open()
            async with own.client(own.reviewer) as client:
                # The collector may die while it answers.
                with suppress(httpx.TransportError):
                    await client.post(
                        f"/requests/{hold.hold}/decision",
                        json={"answer": "approve", "reason": "ok"},
                    )
            dying.wait_for("dying before the acknowledgement")
        finally:
            assert dying.stop(signal.SIGKILL) == -signal.SIGKILL
        own.centre.start_collector()
        async with _settled(own, host):
            await host.events(full_row())
        sql = "SELECT count(*) FROM events"
        assert await own.ask_until([[3]], sql) == [[3]]
        ids = sorted([[hold.hold], [second.hold]])
        both = "SELECT hold FROM holds WHERE hold IN (?, ?) ORDER BY 1"
        assert await own.ask_until(ids, both, hold.hold, second.hold) == ids
        assert await own.ask("SELECT first, count FROM batches ORDER BY sequence") == [
            [1, 2],
            [3, 1],
        ]
        for twice in (
            "SELECT hold FROM holds GROUP BY 1 HAVING count(*) > 1",
            "SELECT vote FROM votes GROUP BY 1 HAVING count(*) > 1",
            "SELECT request FROM decisions GROUP BY 1 HAVING count(*) > 1",
            "SELECT digest FROM rejected",
        ):
            assert await own.ask(twice) == [], twice
        assert await own.ask("SELECT * FROM chain_breaks") == []


async def test_a_decision_without_a_verdict_gets_one_after_the_restart(own: People) -> None:
    """A collector that died between the two finishes the work when it starts again."""
    async with own.host() as host:
        async with _settled(own, host):
            hold = await host.open()
        own.centre.stop_collector()
        decision = _decide_without_verdict(own, hold)
        own.centre.start_collector()
        verdict = await host.verdict()
        assert (verdict.hold, verdict.reason) == (hold.hold, decision)


def _decide_without_verdict(people: People, hold: HoldOpened) -> str:
    """Publish a signed decision as a collector would, and stop there."""
    script = """
import asyncio, json, sys
from pathlib import Path
from collector.config import load
from collector.keys import read_signer
from collector.nats.connection import connect
from collector.nats.publish import Publisher
from wire import subjects
from wire.codec import encode
from wire.messages import Answer, Decision, Ground

async def main():
    config = load(Path(sys.argv[1]))
    signer = read_signer(Path(config.signing.key_file))
    client = await connect(url=config.nats.url, seed_file=Path(config.nats.seed_file), once=True)
    request, digest = sys.argv[2:]
    data = encode(Decision(request=request, answer=Answer.APPROVE, ground=Ground.DECISION,
        by="ann@example.com", via="api", reason="half done", digest=digest, votes=(), time_ns=1))
    publisher = Publisher(client, timeout_s=5)
    stored = await publisher.first(
        subjects.DECISIONS, subjects.decision(request), data, signer.headers(data))
    assert stored is None
    await client.close()

asyncio.run(main())
"""
    subprocess.run(
        [sys.executable, "-c", script, str(people.centre.config), hold.hold, hold.digest],
        check=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        timeout=60,
    )
    return "half done"


async def test_nats_may_go_away_and_come_back(own: People) -> None:
    """Without NATS nothing is decided and the answer says so; afterwards all goes on."""
    async with own.host() as host, _settled(own, host):
        hold = await host.open()
    own.centre.stop_nats()
    assert own.centre.collector is not None
    own.centre.collector.wait_for("lost; trying until it is back")
    async with own.client(own.reviewer) as client:
        health = await client.get(own.centre.api_url + "/healthz")
        assert health.json() == {"status": "degraded", "nats": False, "trail": True}
        answer = await client.post(
            f"/requests/{hold.hold}/decision", json={"answer": "approve", "reason": "ok"}
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "nats_unavailable")
        assert "nothing was decided" in answer.json()["error"]["message"]
        assert (await client.get(f"/requests/{hold.hold}")).json()["state"] == "open"
        own.centre.start_nats()
        own.centre.collector.wait_for("again")
        async with own.host() as host:
            async with follow(client) as stream:
                await stream.ready()
                after = await host.open()
                await stream.until(after.hold, state="open")
            answer = await client.post(
                f"/requests/{hold.hold}/decision", json={"answer": "deny", "reason": "now"}
            )
            assert answer.status_code == 200, answer.text
            verdict = await host.verdict()
            assert (verdict.hold, verdict.answer) == (hold.hold, Answer.DENY)


async def test_a_new_trail_file_is_filled_from_the_streams(own: People) -> None:
    """The streams are the log: who loses the DuckDB file loses no hold, vote or decision."""
    async with own.host() as host:
        async with _settled(own, host):
            hold = await host.open()
        async with own.client(own.reviewer) as client:
            await client.post(
                f"/requests/{hold.hold}/decision", json={"answer": "deny", "reason": "no"}
            )
        await host.obey(hold, await host.verdict())
        own.centre.stop_collector()
        for file in own.centre.state.glob("trail.duckdb*"):
            file.unlink()
        own.centre.start_collector()
        async with _settled(own, host):
            pass
        wanted = [["ann@example.com", "no", "killed"]]
        sql = "SELECT who, reason, host_confirmed FROM who_denied WHERE request = ?"
        assert await own.ask_until(wanted, sql, hold.hold) == wanted


async def test_sigterm_ends_a_collector_with_clients_and_with_none(own: People) -> None:
    """It ends cleanly, with open streams and also while NATS is away."""
    async with own.client(own.viewer) as client, follow(client) as stream:
        await stream.ready()
        assert await asyncio.to_thread(own.centre.stop_collector) == 0
    own.centre.start_collector()
    own.centre.stop_nats()
    assert await asyncio.to_thread(own.centre.stop_collector) == 0


def test_a_second_collector_on_the_same_file_says_so(own: People) -> None:
    """One process has the trail open; the second one explains itself and leaves."""
    done = subprocess.run(
        [sys.executable, "-m", "collector", "run", "--config", str(own.centre.config)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Only one process may have it open" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""

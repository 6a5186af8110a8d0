"""Channels of a running collector: from the host's hold to the card, over restarts."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.collector.conftest import People, populate
from tests.support.centre import Centre, centre
from tests.support.receiver import Receiver, receiver
from wire.messages import Answer

pytestmark = pytest.mark.nats

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of no receiver but the test's
SETTINGS = """
[web]
public_url = "https://holdfast.example.com"
[channels]
default = ["webhook:siem"]
fallback = ["teams:approvals"]
[webhook]
directory = "webhooks"
[teams]
directory = "teams"
"""


def _configure(made: Centre, far: Receiver) -> None:
    with made.config.open("a") as file:
        file.write(SETTINGS)
    _put(made.state / "webhooks" / "siem.url", f"{far.base}/siem")
    _put(made.state / "webhooks" / "siem.secret", SECRET)
    _put(made.state / "teams" / "approvals.url", f"{far.base}/teams")


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.touch(0o600)
    path.write_text(text)


@asynccontextmanager
async def _site(directory: Path) -> AsyncIterator[tuple[People, Receiver]]:
    """Give a centre for one test, which shows its requests to a receiver."""
    async with receiver() as far:
        with centre(directory, start=False) as made:
            _configure(made, far)
            made.start_nats()
            await asyncio.to_thread(made.start_collector)
            yield await asyncio.to_thread(populate, made), far


async def _until(far: Receiver, kind: str) -> dict[str, Any]:
    """Return the next post of this type."""
    while (found := (await far.next_accepted()).json)["type"] != kind:
        pass
    body: dict[str, Any] = found
    return body


async def test_a_request_is_shown_and_followed_to_its_end_over_a_kill_9(tmp_path: Path) -> None:
    """What the host did while the collector was dead is on the card when it is back."""
    async with _site(tmp_path) as (people, far), people.host() as host:
        hold = await host.open()
        asked = await _until(far, "request.opened")
        assert asked["request"] == hold.hold
        assert asked["link"] == f"https://holdfast.example.com/requests/{hold.hold}"
        assert any("web-1" in fact["text"] for fact in asked["card"]["facts"])
        async with people.client(people.reviewer) as client:
            await client.post(
                f"/requests/{hold.hold}/decision", json={"answer": "approve", "reason": "known"}
            )
        decided = await _until(far, "request.changed")
        assert (decided["decision"]["by"], decided["outcome"]) == ("ann@example.com", None)
        await asyncio.to_thread(people.centre.stop_collector, signal.SIGKILL)
        verdict = await host.verdict()
        assert verdict.answer is Answer.APPROVE
        await host.obey(hold, verdict)
        await asyncio.to_thread(people.centre.start_collector)
        over = await _until(far, "request.closed")
        assert (over["state"], over["outcome"]) == ("approved", "released")
        await asyncio.to_thread(people.centre.stop_collector)
        await asyncio.to_thread(people.centre.start_collector)
        second = await host.open()
        # The end may be told again, if the collector died before it had read all that was said.
        assert (await _until(far, "request.opened"))["request"] == second.hold
        assert far.waiting == 0


async def test_who_wonders_where_a_card_is_asks_the_api(tmp_path: Path) -> None:
    """A refusal is there with its words, and the fallback has shown the request."""
    async with _site(tmp_path) as (people, far), people.host() as host:
        far.script(410)
        hold = await host.open()
        refused, shown = await far.next(), await far.next()
        assert (refused.path, refused.answer) == ("/siem", "410")
        assert (shown.path, shown.answer) == ("/teams", "ok")
        (attachment,) = shown.json["attachments"]
        assert attachment["content"]["actions"][0]["url"].endswith(f"/requests/{hold.hold}")
        async with people.client(people.viewer) as client:
            answer = await client.get("/channels")
        assert answer.status_code == 200
        found = answer.json()
        assert [one["route"] for one in found["routes"]] == ["teams:approvals", "webhook:siem"]
        assert found["refused"] == [
            {
                "request": hold.hold,
                "route": "webhook:siem",
                "why": r"answered 410: it is 410\x1b[2J",
            }
        ]
        async with people.client() as client:
            assert (await client.get("/channels")).status_code == 401
        assert people.centre.collector is not None
        assert far.base not in people.centre.collector.output

"""A request that several people must approve, for a time: the narrowest of what they said."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.collector.conftest import WAIT_S
from tests.end_to_end.collector.test_orders import asking, shown
from tests.support.centre import Centre, centre
from tests.support.wire_host import WireHost, wire_host
from wire.messages import Answer, Ground, HoldOpened
from wire.orders import Grant

pytestmark = pytest.mark.nats

POLICY = """\
policies:
  - id: two-people
    approve: [{votes: 2}]
"""
LONG = {"minutes": 30, "uses": 9, "scope": "subject"}
SHORT = {"minutes": 10, "uses": 12, "scope": "session"}


@dataclass
class Site:
    """A running centre under that policy, a host, and two reviewers."""

    centre: Centre
    bundle: Path
    tokens: dict[str, str]

    async def say(self, who: str, hold: HoldOpened, grant: dict[str, Any] | None) -> dict[str, Any]:
        """Approve as one of them, for a time or once; return what they are told."""
        async with self.client(who) as client:
            await shown(client, hold)
            body = {"answer": "approve", "reason": f"{who} knows", "grant": grant}
            answer = await client.post(f"/requests/{hold.hold}/decision", json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def client(self, who: str) -> httpx.AsyncClient:
        """Return a client of the API for one of the people."""
        return httpx.AsyncClient(
            base_url=f"{self.centre.api_url}/api/v1",
            headers=Centre.auth(self.tokens[who]),
            timeout=WAIT_S,
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give a centre that this module's tests share."""
    with centre(tmp_path_factory.mktemp("several"), start=False) as made:
        (made.state / "policy.yaml").write_text(POLICY, encoding="utf-8")
        with made.config.open("a", encoding="utf-8") as file:
            file.write('\n[approvals]\npolicy_file = "policy.yaml"\n')
        made.start_nats()
        made.start_collector()
        people = {name: made.token(f"{name}@example.com", "reviewer") for name in ("ann", "bob")}
        yield Site(made, made.enroll("web-1"), people)


@pytest.fixture
async def host(site: Site) -> AsyncIterator[WireHost]:
    """The host."""
    async with wire_host(site.bundle) as connected:
        yield connected


async def test_the_grant_is_the_narrowest_of_what_they_said(site: Site, host: WireHost) -> None:
    """Shortest life, least uses, narrowest scope; signed, listed, and both are named in it."""
    hold = await asking(host)
    first = await site.say("ann", hold, LONG)
    assert (first["state"], first["granted"]) == ("open", None)
    assert first["votes"][0]["grant"] == LONG
    assert first["grantable"]["allowed"]
    second = await site.say("bob", hold, SHORT)
    made = second["granted"]
    verdict = await host.verdict()
    assert (verdict.answer, verdict.ground) == (Answer.APPROVE, Ground.DECISION)
    grant = await host.order()  # its signature is checked there
    assert isinstance(grant, Grant)
    assert (grant.order, grant.uses, grant.session) == (made["grant"], 9, hold.act.session)
    assert grant.by == "ann@example.com, bob@example.com"
    assert grant.reason == "ann knows; bob knows"
    life_s = (grant.expires_boot_ns - hold.act.boot_ns) / 1e9
    assert 600 <= life_s <= 600 + WAIT_S
    async with site.client("bob") as bob:
        listed = (await bob.get("/grants")).json()["grants"]
        assert [one for one in listed if one["grant"] == made["grant"]] == [made]
        wanted = [["ann@example.com, bob@example.com", 9, hold.hold]]
        sql = f"""SELECT "by", uses, request FROM grants WHERE "grant" = '{grant.order}'"""  # noqa: S608
        for _ in range(200):
            rows = (await bob.post("/trail/query", json={"sql": sql})).json()["rows"]
            if rows == wanted:
                break
            await asyncio.sleep(0.05)  # the trail is a moment behind the stream
        assert rows == wanted


@pytest.mark.parametrize("terms", [(None, SHORT), (SHORT, None)])
async def test_if_any_of_them_approves_once_it_is_once(
    site: Site, host: WireHost, terms: tuple[dict[str, Any] | None, dict[str, Any] | None]
) -> None:
    """Whoever comes first; and after one who did, a time is not offered any more."""
    hold = await asking(host)
    first = await site.say("ann", hold, terms[0])
    assert first["grantable"] == (
        {"allowed": True, "why": ""}
        if terms[0]
        else {"allowed": False, "why": "ann@example.com has approved it for this once"}
    )
    second = await site.say("bob", hold, terms[1])
    assert (second["state"], second["granted"]) == ("approved", None)
    assert (await host.verdict()).hold == hold.hold
    async with site.client("bob") as bob:
        listed = (await bob.get("/grants?all=true")).json()["grants"]
    assert hold.hold not in [one["request"] for one in listed]


async def test_what_the_first_asked_for_outlives_the_collector(site: Site, host: WireHost) -> None:
    """The trail has no column for it; the signed vote in the stream says it again."""
    hold = await asking(host)
    await site.say("ann", hold, LONG | {"uses": 3})
    await asyncio.to_thread(site.centre.stop_collector, signal.SIGKILL)
    await asyncio.to_thread(site.centre.start_collector)
    second = await site.say("bob", hold, SHORT)
    assert second["granted"]["uses"] == 3
    assert [one["grant"] for one in second["votes"]] == [
        LONG | {"uses": 3},
        SHORT,
    ]
    await host.verdict()
    assert isinstance(await host.order(), Grant)

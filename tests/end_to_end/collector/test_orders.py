"""Grants and quarantines at the centre: who may give them, and what host and trail get."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.end_to_end.collector.conftest import People
from tests.support.orders import PROGRAM, a_grant
from tests.support.wire_host import WireHost, exec_act, opened, state, wire_host
from wire import subjects
from wire.acts import act_digest
from wire.codec import encode
from wire.messages import Ground, HoldOpened, HoldStateName
from wire.orders import Grant, GrantRevoked, Quarantine, QuarantineLifted
from wire.signing import Signer

pytestmark = pytest.mark.nats

TERMS = {"minutes": 15, "uses": 2}


@pytest.fixture
async def ann(people: People) -> AsyncIterator[httpx.AsyncClient]:
    """A reviewer."""
    async with people.client(people.reviewer) as client:
        yield client


async def asking(host: WireHost, **changes: Any) -> HoldOpened:
    """Publish a hold that can be granted."""
    act = exec_act("pg_dump", "all", environment={"PATH": "/usr/bin"}, filename="/usr/bin/pg_dump")
    act = replace(act, **changes.pop("act", {}))
    facts: dict[str, Any] = {"digest": act_digest(act), "program": PROGRAM, "not_grantable": ""}
    hold = replace(
        opened(host.id, act=act, owner=changes.pop("owner", "team-ai@example.com")),
        **(facts | changes),
    )
    await host.say(hold)
    return hold


async def shown(client: httpx.AsyncClient, hold: HoldOpened) -> dict[str, Any]:
    """Return a request once the centre has it."""
    for _ in range(200):
        answer = await client.get(f"/requests/{hold.hold}")
        if answer.status_code == 200:
            return dict(answer.json())
    raise AssertionError(answer.text)


async def approve(client: httpx.AsyncClient, hold: HoldOpened, **terms: Any) -> httpx.Response:
    """Approve for a time."""
    await shown(client, hold)
    body = {"answer": "approve", "reason": "known", "grant": TERMS | terms}
    return await client.post(f"/requests/{hold.hold}/decision", json=body)


async def test_an_approval_for_a_time_makes_one_signed_grant(
    people: People, ann: httpx.AsyncClient
) -> None:
    """The host gets the verdict and the grant of the very act; lists and trail have it."""
    async with people.host() as host:
        hold = await asking(host)
        answer = await approve(ann, hold)
        assert answer.status_code == 200, answer.text
        made = answer.json()["granted"]
        assert (await host.verdict()).hold == hold.hold
        grant = await host.order()
        assert isinstance(grant, Grant)
        assert (grant.order, grant.host, grant.session) == (
            made["grant"],
            host.id,
            hold.act.session,
        )
        assert (grant.covers.argv, grant.covers.program) == (hold.act.argv, PROGRAM)
        assert (grant.uses, grant.boot_id, grant.by) == (2, hold.boot_id, "ann@example.com")
        assert hold.act.boot_ns < grant.expires_boot_ns <= hold.act.boot_ns + 20 * 60 * 10**9
        listed = (await ann.get("/grants")).json()["grants"]
        assert [one for one in listed if one["grant"] == made["grant"]] == [made]
        wanted = [[grant.order, 0]]
        sql = 'SELECT "grant", used FROM grants_in_force WHERE "grant" = ?'
        assert await people.ask_until(wanted, sql, grant.order) == wanted


async def test_a_use_is_counted_and_asks_nobody(people: People, ann: httpx.AsyncClient) -> None:
    """The request is approved from its first message, and the release is explained."""
    async with people.host() as host:
        await approve(ann, await asking(host, act={"session": "200-1"}))
        grant = await host.order()
        covered = await asking(host, act={"session": "200-1"}, grant=grant.order)
        found = await shown(ann, covered)
        assert (found["state"], found["grant"]) == ("approved", grant.order)
        assert not found["grantable"]["allowed"]
        names = [HoldStateName.APPROVED, HoldStateName.RELEASED]
        for number, name in enumerate(names, 1):
            said = state(covered, number, name)
            order = grant.order if number == 1 else None
            await host.say(replace(said, ground=Ground.GRANT, order=order, by="ann@example.com"))
        wanted = [["approved", "released", "ann@example.com"]]
        sql = 'SELECT state, outcome, granted_by FROM grant_uses WHERE "grant" = ?'
        assert await people.ask_until(wanted, sql, grant.order) == wanted
        sql = "SELECT explained FROM releases WHERE request = ?"
        assert await people.ask(sql, covered.hold) == [[True]]
        listed = (await ann.get("/grants")).json()["grants"]
        assert [one["used"] for one in listed if one["grant"] == grant.order] == [1]


async def test_a_release_by_a_grant_that_was_never_made_is_not_explained(people: People) -> None:
    """A host cannot invent one, nor use that of another host."""
    async with people.host() as host:
        hold = await asking(host)
        for number, name in enumerate([HoldStateName.APPROVED, HoldStateName.RELEASED], 1):
            said = replace(state(hold, number, name), ground=Ground.GRANT)
            await host.say(replace(said, order=a_grant().order))
        sql = "SELECT explained FROM releases WHERE request = ?"
        assert await people.ask_until([[False]], sql, hold.hold) == [[False]]


@pytest.mark.parametrize(
    ("changes", "terms", "status", "code"),
    [
        ({}, {"minutes": 61}, 422, "grant_limits"),
        ({}, {"minutes": 0}, 422, "grant_limits"),
        ({}, {"uses": 21}, 422, "grant_limits"),
        ({}, {"scope": "world"}, 422, "validation"),
        ({"not_grantable": "it is a shell"}, {}, 422, "not_grantable"),
        ({"act": {"argv_cut": True}}, {}, 422, "not_grantable"),
        ({"act": {"executable": "/usr/bin/env"}}, {}, 422, "not_grantable"),
        ({"program": None}, {}, 422, "not_grantable"),
        ({"owner": "ann@example.com"}, {}, 403, "own_request"),
    ],
)
async def test_what_may_not_be_granted_is_not_even_approved(
    people: People,
    ann: httpx.AsyncClient,
    changes: dict[str, Any],
    terms: dict[str, Any],
    status: int,
    code: str,
) -> None:
    """Whoever asks for too much decides nothing by it."""
    async with people.host() as host:
        hold = await asking(host, **changes)
        answer = await approve(ann, hold, **terms)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert (await shown(ann, hold))["state"] == "open"


async def test_a_viewer_orders_nothing(people: People, ann: httpx.AsyncClient) -> None:
    """To read is all that the role may."""
    async with people.host() as host, people.client(people.viewer) as viewer:
        hold = await asking(host)
        assert (await approve(viewer, hold)).json()["error"]["code"] == "forbidden_role"
        made = (await approve(ann, hold)).json()["granted"]
        await host.order()
        body = {"subject": "ai-worker", "reason": "x"}
        for path in (f"/grants/{made['grant']}/revoke", "/quarantines"):
            answer = await viewer.post(path, json={"reason": "x"} if "grants" in path else body)
            assert answer.json()["error"]["code"] == "forbidden_role"


async def test_a_grant_is_revoked_once(people: People, ann: httpx.AsyncClient) -> None:
    """The host is told, and a prefix names it."""
    async with people.host() as host:
        made = (await approve(ann, await asking(host))).json()["granted"]
        await host.order()
        route = f"/grants/{made['grant'][:12]}/revoke"
        answer = await ann.post(route, json={"reason": "enough"})
        assert answer.json()["state"] == "revoked"
        end = await host.order()
        assert isinstance(end, GrantRevoked)
        assert end.grant == made["grant"]
        assert (await ann.post(route, json={})).json()["error"]["code"] == "already_revoked"
        assert (await ann.post("/grants/ffffff/revoke", json={})).status_code == 404


async def test_a_quarantine_of_everywhere_reaches_every_host_also_a_later_one(
    people: People, ann: httpx.AsyncClient
) -> None:
    """One order for each; who is enrolled later gets it with its first record; lifted on all."""
    async with people.host("web-1") as web, people.host("db-1") as db:
        for host in (web, db):
            await host.record(subjects=("ai-worker", "ai-mail"))
        body = {"subject": "ai-mail", "reason": "it mails"}
        answer = await ann.post("/quarantines", json=body)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        orders = [await web.order(), await db.order()]
        assert all(isinstance(one, Quarantine) and one.everywhere for one in orders)
        assert {one.host for one in orders} == {web.id, db.id}
        again = await ann.post("/quarantines", json=body)
        assert again.json()["error"]["code"] == "already_quarantined"
        bundle = people.centre.enroll("late-1")
        async with wire_host(bundle) as late:
            await late.record(subjects=("ai-mail",))
            order = await late.order()
            assert isinstance(order, Quarantine)
            assert order.quarantine == made["quarantine"]
            route = f"/quarantines/{made['quarantine']}/lift"
            assert (await ann.post(route, json={})).json()["error"]["code"] == "reason_required"
            lifted = await ann.post(route, json={"reason": "looked at"})
            assert lifted.status_code == 200, lifted.text
            for host in (late, web, db):
                end = await host.order()
                assert isinstance(end, QuarantineLifted)
                assert end.quarantine == made["quarantine"]
    assert (await ann.get("/quarantines")).json()["quarantines"] == []


async def test_nobody_lifts_the_quarantine_of_their_own(
    people: People, ann: httpx.AsyncClient
) -> None:
    """To order one is everybody's; what lets go on is another's."""
    async with people.host() as host:
        await host.record(subjects=("ai-worker", "ai-ann"))
        hold = await asking(host, owner="ann@example.com", act={"subject": "ai-ann"})
        await shown(ann, hold)
        await people.ask_until([[1]], "SELECT count(*) FROM holds WHERE subject = 'ai-ann'")
        body = {"subject": "ai-ann", "host": "web-1", "reason": "stop it"}
        made = (await ann.post("/quarantines", json=body)).json()
        assert isinstance(await host.order(), Quarantine)
        route = f"/quarantines/{made['quarantine']}/lift"
        refused = await ann.post(route, json={"reason": "mine"})
        assert refused.json()["error"]["code"] == "own_request"
        async with people.client(people.admin) as root:
            assert (await root.post(route, json={"reason": "fine"})).status_code == 200
        assert isinstance(await host.order(), QuarantineLifted)


async def test_nobody_lifts_the_quarantine_of_a_subject_that_never_asked_for_anything(
    people: People, ann: httpx.AsyncClient
) -> None:
    """Whose it is, each of its hosts has said at its start; one of them is enough."""
    async with people.host("web-1") as web, people.host("db-1") as db:
        await web.record(subjects=("ai-new",))
        await db.record(subjects=("ai-new",), responsible={"ai-new": "bob, Ann@Example.com"})
        for host in (web, db):
            await people.ask_until(
                [[1]],
                "SELECT 1 FROM hosts WHERE host = ? AND list_contains(subjects, 'ai-new')",
                host.id,
            )
        body = {"subject": "ai-new", "reason": "stop it"}
        made = (await ann.post("/quarantines", json=body)).json()
        for host in (web, db):
            assert isinstance(await host.order(), Quarantine)
        assert await people.ask("SELECT count(*) FROM holds WHERE subject = 'ai-new'") == [[0]]
        route = f"/quarantines/{made['quarantine']}/lift"
        refused = await ann.post(route, json={"reason": "mine"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "own_request")
        async with people.client(people.admin) as root:
            assert (await root.post(route, json={"reason": "fine"})).status_code == 200
        for host in (web, db):
            assert isinstance(await host.order(), QuarantineLifted)


async def test_a_subject_or_host_that_is_not_there_is_refused(
    people: People, ann: httpx.AsyncClient
) -> None:
    """In a hurry people mistype, and must know at once that nothing was stopped."""
    async with people.host("web-1") as web, people.host("db-1") as db:
        for host in (web, db):
            await host.record(subjects=("ai-worker",))
        await people.ask_until([[1]], "SELECT 1 FROM hosts WHERE host = ? LIMIT 1", db.id)
    body = {"subject": "ai-wroker", "host": "db-1", "reason": "x"}
    answer = await ann.post("/quarantines", json=body)
    assert answer.json()["error"]["code"] == "unknown_subject"
    answer = await ann.post("/quarantines", json=body | {"host": "db-9"})
    assert answer.json()["error"]["code"] == "unknown_host"


async def test_an_order_that_no_collector_signed_is_rejected(people: People) -> None:
    """Whoever has the collector's NATS key can store it; nobody believes it."""
    from tests.end_to_end.collector.test_nats_rights import _as_collector

    order = a_grant()
    data = encode(order)
    async with _as_collector(people) as client:
        subject = subjects.order(order.host, order.order)
        headers = Signer.generate().headers(data)
        await client.jetstream().publish(subject, data, headers=headers)
    sql = "SELECT count(*) FROM rejected WHERE stream = 'HF_ORDERS'"
    assert await people.ask_until([[1]], sql) == [[1]]
    assert await people.ask('SELECT "grant" FROM grants WHERE "grant" = ?', order.order) == []


async def test_orders_outlive_the_collector(people: People, ann: httpx.AsyncClient) -> None:
    """A new one knows them from the trail."""
    async with people.host() as host:
        made = (await approve(ann, await asking(host))).json()["granted"]
        await host.order()
    wanted = [[1]]
    sql = 'SELECT count(*) FROM grants WHERE "grant" = ?'
    assert await people.ask_until(wanted, sql, made["grant"]) == wanted
    people.centre.stop_collector()
    people.centre.start_collector()
    async with people.client(people.reviewer) as again:
        listed = (await again.get("/grants")).json()["grants"]
    assert made["grant"] in [one["grant"] for one in listed]

"""Pages of grants and quarantines, and what a request page says of votes: the routes themselves."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import httpx
import pytest

from collector.approvals.applied import Policies
from collector.identity.hosts import add_host
from collector.identity.people import Caller, Role
from tests.support.orders import PROGRAM
from tests.support.pages_alone import PagesAlone, csrf, pages_alone
from tests.support.wire_host import exec_act, opened
from wire.ids import HostId
from wire.messages import Answer, HoldOpened

HOST = HostId("b" * 32)
TWO = "policies: [{id: two, approve: [{votes: 2}]}]"


def _grantable(pages: PagesAlone, **changes: str) -> HoldOpened:
    act = exec_act("pg_dump", "all", environment={}, filename="/usr/bin/pg_dump", **changes)
    return pages.hold(replace(opened(HOST, act=act), program=PROGRAM, not_grantable=""))


async def _answer(client: httpx.AsyncClient, hold: HoldOpened, **changes: str) -> httpx.Response:
    form = {"csrf": await csrf(client), "answer": "approve", "digest": hold.digest, "reason": "ok"}
    return await client.post(f"/requests/{hold.hold}/decision", data=form | changes)


def _host(pages: PagesAlone) -> None:
    add_host(pages.database, host=HOST, name="web-1", nkey="U" + "A" * 55)


async def test_a_grant_is_made_shown_and_revoked(tmp_path: Path) -> None:
    """With the minutes and uses of the form, for the session unless told."""
    async with pages_alone(tmp_path) as pages:
        ann = await pages.signed_in("ann@example.com", "reviewer")
        hold = _grantable(pages)
        page = (await ann.get(f"/requests/{hold.hold}")).text
        assert 'name="for_a_time"' in page
        done = await _answer(ann, hold, for_a_time="yes", minutes="7", uses="3")
        assert done.status_code == 303
        [known] = pages.app.state.services.issuer.ledger.grants()
        grant = known.grant
        assert (grant.uses, grant.session, grant.via) == (3, hold.act.session, "web")
        listed = (await ann.get("/grants")).text
        assert "pg_dump all" in listed and "0 of 3 uses taken" in listed
        vera = await pages.signed_in("vera@example.com", "viewer")
        assert "/revoke" not in (await vera.get("/grants")).text
        form = {"csrf": await csrf(ann), "reason": "over"}
        ended = await ann.post(f"/grants/{grant.order}/revoke", data=form)
        assert (ended.status_code, ended.headers["location"]) == (303, "/grants")
        assert "No grant is in force" in (await ann.get("/grants")).text
        assert "Revoked by" in (await ann.get("/grants?show=all")).text
        again = await ann.post(f"/grants/{grant.order}/revoke", data=form)
        assert (again.status_code, "was revoked before" in again.text) == (409, True)


async def test_a_secret_of_what_is_granted_is_not_shown(tmp_path: Path) -> None:
    """As on the card of the request."""
    async with pages_alone(tmp_path) as pages:
        ann = await pages.signed_in("ann@example.com", "reviewer")
        act = exec_act("pg_dump", "--password=hunter2hunter2", filename="/usr/bin/pg_dump")
        act = replace(act, environment={})
        hold = pages.hold(replace(opened(HOST, act=act), program=PROGRAM, not_grantable=""))
        assert (await _answer(ann, hold, for_a_time="yes")).status_code == 303
        listed = (await ann.get("/grants")).text
        assert "pg_dump" in listed and "hunter2" not in listed


@pytest.mark.parametrize(
    "terms", [{"minutes": "0"}, {"minutes": "x"}, {"uses": "-1"}, {"uses": "9" * 30}], ids=str
)
async def test_terms_that_may_not_be_given_decide_nothing(
    tmp_path: Path, terms: dict[str, str]
) -> None:
    """What was typed is still there."""
    async with pages_alone(tmp_path) as pages:
        ann = await pages.signed_in("ann@example.com", "reviewer")
        hold = _grantable(pages)
        refused = await _answer(ann, hold, for_a_time="yes", **terms)
        assert (refused.status_code, "grant_limits" in refused.text) == (422, False)
        assert re.search(r'name="for_a_time" value="yes" checked', refused.text)
        assert not pages.streams.votes


async def test_where_no_grant_is_possible_none_is_offered(tmp_path: Path) -> None:
    """And one that is asked for all the same decides nothing."""
    async with pages_alone(tmp_path) as pages:
        ann = await pages.signed_in("ann@example.com", "reviewer")
        hold = pages.hold(opened(HOST, act=exec_act("sh", "-c", "x")))
        assert 'name="for_a_time"' not in (await ann.get(f"/requests/{hold.hold}")).text
        refused = await _answer(ann, hold, for_a_time="yes")
        assert (refused.status_code, "No grant covers this" in refused.text) == (422, True)
        assert not pages.streams.votes


async def test_a_quarantine_is_confirmed_ordered_and_lifted(tmp_path: Path) -> None:
    """The page between says what happens and does nothing; both ends ask for a reason."""
    async with pages_alone(tmp_path) as pages:
        _host(pages)
        ann = await pages.signed_in("ann@example.com", "reviewer")
        _grantable(pages)
        ledger = pages.app.state.services.issuer.ledger
        asked = {"subject": "ai-worker", "host": "web-1", "reason": "it <b>mails</b>"}
        page = await ann.get("/quarantines/new", params=asked)
        assert page.status_code == 200
        assert "1 request of it waits now" in page.text and "&lt;b&gt;mails" in page.text
        assert ledger.quarantines() == []
        form = asked | {"csrf": await csrf(ann)}
        assert (await ann.post("/quarantines", data=form)).headers["location"] == "/quarantines"
        [known] = ledger.quarantines()
        assert (known.first.host, known.first.via, known.first.everywhere) == (HOST, "web", False)
        assert "ai-worker, on web-1" in (await ann.get("/quarantines")).text
        route = f"/quarantines/{known.id}/lift"
        assert (await ann.post(route, data={"csrf": form["csrf"]})).status_code == 422
        assert (await ann.post(route, data=form)).status_code == 303
        assert "Nobody is under quarantine" in (await ann.get("/quarantines")).text
        assert "Lifted by" in (await ann.get("/quarantines?show=all")).text


async def test_who_may_not_orders_nothing(tmp_path: Path) -> None:
    """A viewer, a form of another site, a host that is not there, an address that was copied."""
    async with pages_alone(tmp_path) as pages:
        _host(pages)
        vera = await pages.signed_in("vera@example.com", "viewer")
        ann = await pages.signed_in("ann@example.com", "reviewer")
        asked = {"subject": "ai-worker", "host": "", "reason": "x"}
        assert "Put a subject" not in (await vera.get("/quarantines")).text
        assert (await vera.get("/quarantines/new", params=asked)).status_code == 403
        mine = asked | {"csrf": await csrf(vera)}
        assert (await vera.post("/quarantines", data=mine)).status_code == 403
        assert (await ann.post("/quarantines", data=asked | {"csrf": "0"})).status_code == 403
        wrong = asked | {"host": "nowhere", "csrf": await csrf(ann)}
        refused = await ann.post("/quarantines", data=wrong)
        assert (refused.status_code, 'value="nowhere"' in refused.text) == (404, True)
        assert pages.app.state.services.issuer.ledger.quarantines() == []
        for path in ("/grants/abc/revoke", "/quarantines/abc/lift"):
            assert (await ann.get(path)).headers["location"] == "/" + path.split("/")[1]


def _policies(directory: Path, text: str, *people: Caller) -> Policies:
    file = directory / "policy.yaml"
    file.write_text(text, encoding="utf-8")
    return Policies(file, host=lambda _, claimed: (claimed, {}), people=lambda: people)


def _person(name: str) -> Caller:
    return Caller(name=name, role=Role.REVIEWER, logins=(), token="t")  # noqa: S106 - an id


async def test_who_has_approved_reads_who_is_still_asked(tmp_path: Path) -> None:
    """In place of the form; the others see the vote, and a denial after all ends it."""
    people = (_person("ann@example.com"), _person("bob@example.com"))
    async with pages_alone(tmp_path, policies=_policies(tmp_path, TWO, *people)) as pages:
        ann = await pages.signed_in("ann@example.com", "reviewer")
        bob = await pages.signed_in("bob@example.com", "reviewer")
        hold = _grantable(pages)
        before = (await bob.get("/")).text
        assert "0 of 2 approvals; still asked: 2 reviewers" in before
        assert 'name="for_a_time"' in (await bob.get(f"/requests/{hold.hold}")).text
        assert (await _answer(ann, hold)).status_code == 303
        mine = unescape((await ann.get(f"/requests/{hold.hold}")).text)
        assert "You have approved" in mine and 'class="decide"' not in mine
        assert "1 of 2 approvals; still asked: 1 reviewer" in mine
        assert "you have approved" in (await ann.get("/")).text
        theirs = (await bob.get(f"/requests/{hold.hold}")).text
        assert "Approved by <b>ann@example.com</b>" in theirs and 'class="decide"' in theirs
        assert (await _answer(ann, hold, answer="deny")).status_code == 303
        assert [vote.answer for vote in pages.streams.votes] == [Answer.APPROVE, Answer.DENY]


async def test_a_request_that_nobody_can_approve_says_so(tmp_path: Path) -> None:
    """Prominently, in the inbox and on its page."""
    text = "policies: [{id: ghosts, approve: [{group: ghosts}]}]"
    async with pages_alone(tmp_path, policies=_policies(tmp_path, text)) as pages:
        ann = await pages.signed_in("ann@example.com", "reviewer")
        hold = _grantable(pages)
        for path in ("/", f"/requests/{hold.hold}"):
            assert re.search(r'class="stuck"[^>]*>[^<]*(<|\w)', (await ann.get(path)).text), path
        assert "/break-glass" not in (await ann.get(f"/requests/{hold.hold}")).text
        form = {"csrf": await csrf(ann), "digest": hold.digest, "reason": "fire"}
        refused = await ann.post(f"/requests/{hold.hold}/break-glass", data=form)
        assert refused.status_code == 403
        assert not pages.streams.votes

"""The routes of the pages: what each tells the browser, whose forms it takes, how it refuses."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import httpx
import pytest

from collector.identity.machines import Scope, create_machine_token
from collector.identity.people import list_tokens, revoke_token
from collector.web.archive import Wanted
from collector.web.headers import CONTENT_POLICY
from collector.web.signing_in import local
from tests.support.pages_alone import PagesAlone, csrf, pages_alone
from tests.support.wire_host import exec_act, opened, rule
from wire.ids import HostId, RequestId
from wire.messages import Answer, HoldOpened

HOST = HostId("b" * 32)


@pytest.fixture
async def pages(tmp_path: Path) -> AsyncIterator[PagesAlone]:
    """Give the pages, on loopback."""
    async with pages_alone(tmp_path) as made:
        yield made


def _hold(pages: PagesAlone, *argv: str, **changes: str) -> HoldOpened:
    return pages.hold(opened(HOST, act=exec_act(*argv, **changes)))


async def _answer(client: httpx.AsyncClient, hold: HoldOpened, **changes: str) -> httpx.Response:
    form = {"csrf": await csrf(client), "answer": "approve", "digest": hold.digest, "reason": "ok"}
    return await client.post(f"/requests/{hold.hold}/decision", data=form | changes)


@pytest.mark.parametrize(
    "path",
    ["/", "/sign-in", "/nowhere", "/requests/zz", "/static/style.css", "/static/no", "/live"],
)
async def test_every_answer_to_a_browser_is_locked_down(pages: PagesAlone, path: str) -> None:
    """Pages, refusals and files alike: our own scripts only, no frames, nothing kept."""
    answer = await pages.client().get(path)
    headers = answer.headers
    assert headers["content-security-policy"] == CONTENT_POLICY
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-cache" if "/static/" in path else "no-store")


async def test_a_failure_that_nobody_foresaw_is_a_page_and_locked_down_too(
    pages: PagesAlone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells nothing of what went wrong inside."""
    ann = await pages.signed_in("ann@example.com", "reviewer")
    monkeypatch.delattr(type(pages.app.state.desk.rows), "row")
    _hold(pages)
    answer = await ann.get("/")
    assert answer.status_code == 500
    assert "<h1" in answer.text and "AttributeError" not in answer.text
    assert answer.headers["content-security-policy"] == CONTENT_POLICY
    assert answer.headers["cache-control"] == "no-store"


async def test_programs_get_what_they_always_got(pages: PagesAlone) -> None:
    """The API answers in JSON, whatever a client accepts; so does a page for who wants no page."""
    for path, accept in (
        ("/api/v1/requests", "text/html"),
        ("/api/v1/nowhere", "text/html"),
        ("/holds", "*/*"),
    ):
        answer = await pages.client(Accept=accept).get(path)
        assert set(answer.json()) == {"error"}, path


def test_the_policy_allows_nothing_but_our_own() -> None:
    """No inline script or style, no other host, no frame, no form that leads elsewhere."""
    rules = dict(one.split(" ", 1) for one in CONTENT_POLICY.split("; "))
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    for name in ("script-src", "style-src", "img-src", "connect-src", "form-action"):
        assert rules[name] == "'self'"
    assert "unsafe" not in CONTENT_POLICY


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {},
    ],
    ids=str,
)
async def test_a_form_from_elsewhere_does_nothing(
    pages: PagesAlone, headers: dict[str, str]
) -> None:
    """With cookie, token and digest right: where it comes from counts by itself."""
    ann = await pages.signed_in("ann@example.com", "reviewer")
    hold = _hold(pages)
    form = {"csrf": await csrf(ann), "answer": "approve", "digest": hold.digest, "reason": "ok"}
    del ann.headers["Sec-Fetch-Site"]
    answer = await ann.post(f"/requests/{hold.hold}/decision", data=form, headers=headers)
    assert answer.status_code == 403
    assert "foreign_form" in answer.text
    assert not pages.streams.votes


async def test_a_browser_that_only_names_the_origin_is_heard(pages: PagesAlone) -> None:
    """Older ones send no Sec-Fetch-Site."""
    ann = await pages.signed_in("ann@example.com", "reviewer")
    hold = _hold(pages)
    form = {"csrf": await csrf(ann), "answer": "deny", "digest": hold.digest, "reason": "no"}
    del ann.headers["Sec-Fetch-Site"]
    answer = await ann.post(
        f"/requests/{hold.hold}/decision", data=form, headers={"Origin": str(ann.base_url)}
    )
    assert answer.status_code == 303
    assert [vote.answer for vote in pages.streams.votes] == [Answer.DENY]


@pytest.mark.parametrize("given", ["", "0" * 64, "\u00e9", "of another"])
async def test_a_form_without_this_sessions_mark_does_nothing(
    pages: PagesAlone, given: str
) -> None:
    """Another person's mark is no better than none."""
    ann = await pages.signed_in("ann@example.com", "reviewer")
    bob = await pages.signed_in("bob@example.com", "reviewer")
    hold = _hold(pages)
    mark = await csrf(bob) if given == "of another" else given
    for path, form in (
        (f"/requests/{hold.hold}/decision", {"answer": "approve", "digest": hold.digest}),
        (f"/requests/{hold.hold}/comments", {"text": "hello"}),
        ("/decisions", {"answer": "approve", "acts": f"{hold.hold}:{hold.digest}"}),
        ("/sign-out", {}),
    ):
        answer = await ann.post(path, data=form | {"csrf": mark, "reason": "x"})
        assert (answer.status_code, "foreign_form" in answer.text) == (403, True), path
    assert not pages.streams.votes and not pages.streams.comments
    assert (await ann.get("/hosts")).status_code == 200, "still signed in"


async def test_an_answer_is_about_the_act_that_was_shown(pages: PagesAlone) -> None:
    """The digest comes back with the form, and another one is refused; none is no form of ours."""
    ann = await pages.signed_in("ann@example.com", "reviewer")
    hold = _hold(pages)
    refused = await _answer(ann, hold, digest="0" * 64)
    assert refused.status_code == 409
    assert "about another act" in unescape(refused.text)
    empty = await _answer(ann, hold, digest="")
    assert empty.status_code == 422
    assert not pages.streams.votes
    assert (await _answer(ann, hold)).headers["location"] == f"/requests/{hold.hold}"
    assert [vote.digest for vote in pages.streams.votes] == [hold.digest]


async def test_a_viewer_and_an_owner_are_refused_in_words(pages: PagesAlone) -> None:
    """Whatever the page offers: the door decides."""
    vera = await pages.signed_in("vera@example.com", "viewer")
    ann = await pages.signed_in("ann@example.com", "reviewer", "ann-unix")
    hold = _hold(pages, login_user="ann-unix")
    for client, words in ((vera, "may read but not decide"), (ann, "who is you")):
        answer = await _answer(client, hold)
        assert answer.status_code == 403
        assert words in unescape(answer.text)
    assert not pages.streams.votes


async def test_the_second_answer_reads_who_was_first(pages: PagesAlone) -> None:
    """A doubled click reads its own name; nothing is decided twice."""
    ann = await pages.signed_in("ann@example.com", "reviewer")
    bob = await pages.signed_in("bob@example.com", "reviewer")
    hold = _hold(pages)
    assert (await _answer(ann, hold, reason="<b>fine</b>")).status_code == 303
    for client in (ann, bob):
        again = await _answer(client, hold, answer="deny")
        assert again.status_code == 409
        assert "Already approved by ann@example.com at 20" in again.text
        assert "&lt;b&gt;fine&lt;/b&gt;" in again.text
        assert "<b>fine" not in again.text
    assert len(pages.streams.votes) == 1


async def test_a_deadline_that_the_host_has_reached_is_said(pages: PagesAlone) -> None:
    """A rule that needs no reason takes an answer without one; a reason is bounded."""
    ann = await pages.signed_in("ann@example.com", "reviewer")
    free = pages.hold(opened(HOST, rule_facts=rule(reason_required=False)))
    assert (await _answer(ann, free, reason="")).status_code == 303
    strict = _hold(pages)
    missing = await _answer(ann, strict, reason=" ")
    assert missing.status_code == 422
    assert "asks for a reason" in missing.text
    long = await _answer(ann, strict, reason="x" * 4001)
    assert long.status_code == 422
    assert "more than 4000" in long.text


async def test_a_batch_with_a_stranger_in_it_answers_nothing(pages: PagesAlone) -> None:
    """All requests are known before the first is answered; too many are refused in words."""
    ann = await pages.signed_in("ann@example.com", "reviewer")
    holds = [_hold(pages, "make", str(number)) for number in range(3)]
    mark = await csrf(ann)
    acts = [f"{hold.hold}:{hold.digest}" for hold in holds]
    form = {"csrf": mark, "answer": "deny", "reason": "no"}
    wrong = await ann.post("/decisions", data=form | {"acts": [*acts, "0" * 32 + ":x"]})
    assert wrong.status_code == 404
    many = await ann.post("/decisions", data=form | {"acts": [f"{n:032x}:" for n in range(51)]})
    assert (many.status_code, "more than 50" in many.text) == (422, True)
    assert not pages.streams.votes
    changed = await ann.post("/decisions", data=form | {"acts": [*acts[:2], holds[2].hold + ":x"]})
    assert "2 answers taken, 1 not" in changed.text
    assert {vote.request for vote in pages.streams.votes} == {
        RequestId(one.hold) for one in holds[:2]
    }


async def test_signing_in_is_bounded_and_takes_only_people(pages: PagesAlone) -> None:
    """Ten failures a minute from one address; a machine's token is refused."""
    machine = create_machine_token(
        pages.database, name="ci", scopes=tuple(Scope), days=1, responsible=("olga",)
    )
    client = pages.client()
    refused = await client.post("/sign-in", data={"token": machine})
    assert (refused.status_code, "machine_token" in refused.text) == (403, False)
    assert "for people" in refused.text
    for _ in range(10):
        assert (await client.post("/sign-in", data={"token": "hft_x"})).status_code == 401
    limited = await client.post("/sign-in", data={"token": "hft_x"})
    assert limited.status_code == 429
    assert "wait a minute" in limited.text.lower()
    foreign = await pages.client(**{"Sec-Fetch-Site": "cross-site"}).post("/sign-in", data={})
    assert foreign.status_code == 403


async def test_a_session_ends_with_its_token(pages: PagesAlone) -> None:
    """At the next request, not at the next sign-in."""
    ann = await pages.signed_in("ann@example.com", "reviewer")
    assert (await ann.get("/")).status_code == 200
    revoke_token(pages.database, list_tokens(pages.database)[0].id)
    answer = await ann.get("/holds?state=open")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Fholds%3Fstate%3Dopen"


async def test_the_cookie_of_an_https_address_is_bound_to_it(tmp_path: Path) -> None:
    """Secure, for this host alone, and out of reach of scripts."""
    async with pages_alone(tmp_path, "https://holdfast.example.com") as pages:
        ann = await pages.signed_in("ann@example.com", "reviewer")
        assert (await ann.get("/")).status_code == 200
        [cookie] = list(ann.cookies.jar)
        assert (cookie.name, cookie.secure, cookie.path) == ("__Host-holdfast", True, "/")
        assert not cookie.domain_specified
        assert cookie.has_nonstandard_attr("HttpOnly")


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:1", "", "/a\r\nb:c",
     "/\u00e9", "/" + "x" * 3000],
)  # fmt: skip
def test_nobody_is_led_elsewhere_after_signing_in(target: str) -> None:
    """A link that somebody sends ends on these pages or at the inbox."""
    assert local(target) == "/"


def test_a_page_of_ours_is_come_back_to() -> None:
    """With its query."""
    assert local("/requests/ab?answer=deny") == "/requests/ab?answer=deny"


async def test_the_addresses_of_forms_lead_to_their_pages(pages: PagesAlone) -> None:
    """Who copies the address of a refusal, or loads it anew, lands on the request."""
    client = pages.client()
    for path, target in (("/requests/ab/decision", "/requests/ab"), ("/decisions", "/")):
        assert (await client.get(path)).headers["location"] == target


async def test_lists_are_filtered_and_in_pages(pages: PagesAlone) -> None:
    """By state, severity, subject, rule, text and age; unknown values are refused in words."""
    ann = await pages.signed_in("ann@example.com", "reviewer")
    holds = [_hold(pages, "make", f"number-{number:03}") for number in range(60)]
    first = await ann.get("/holds")
    assert first.text.count('class="row"') == 50
    oldest = min(holds, key=lambda hold: (hold.opened_ns, hold.hold))
    assert oldest.hold not in first.text
    [older] = [part for part in first.text.split('"') if part.startswith("/holds?after=")]
    second = await ann.get(unescape(older))
    assert second.text.count('class="row"') == 10
    assert oldest.hold in second.text
    for query, found in (
        ("q=NUMBER-007", 1), ("q=nothing", 0), ("state=open&q=number-01", 10), ("severity=low", 0),
        ("subject=ai-worker&q=number-02", 10), ("rule=other", 0), ("since=hour&q=number-03", 10),
        (f"host={HOST}&q=number-04", 10),
    ):  # fmt: skip
        assert (await ann.get(f"/holds?{query}")).text.count('class="row"') == found, query
    wrong = await ann.get("/holds?since=yesterday")
    assert (wrong.status_code, "<h1" in wrong.text) == (422, True)


async def test_the_inbox_is_in_the_order_of_deadlines(pages: PagesAlone) -> None:
    """Least time left first, and what has no deadline last."""
    ann = await pages.signed_in("ann@example.com", "reviewer")
    late, none, soon = (
        pages.hold(opened(HOST, act=exec_act("make", str(left)), deadline_s=left))
        for left in (300, 0, 30)
    )
    text = (await ann.get("/")).text
    assert text.index(soon.hold) < text.index(late.hold) < text.index(none.hold)
    assert "no deadline" in text
    assert time.time_ns() < late.deadline_ns


def test_a_link_of_filters_leaves_out_what_is_empty() -> None:
    """And quotes what is not."""
    wanted = Wanted(q="a&b", state="open")
    assert wanted.link("/holds") == "/holds?q=a%26b&state=open"
    assert wanted.link("/holds", q="") == "/holds?state=open"
    assert Wanted().link("/search") == "/search"


async def test_a_search_is_of_the_last_week_unless_told(pages: PagesAlone) -> None:
    """An age alone looks for nothing; text, session and host each do, and find requests."""
    ann = await pages.signed_in("ann@example.com", "reviewer")
    new = _hold(pages, "make", "new")
    old = pages.hold(
        replace(
            opened(HOST, act=exec_act("make", "old")),
            opened_ns=time.time_ns() - 8 * 24 * 3600 * 10**9,
        )
    )
    assert 'class="row"' not in (await ann.get("/search?since=always")).text
    week = (await ann.get("/search?q=make")).text
    assert new.hold in week and old.hold not in week
    always = (await ann.get("/search?q=make&since=always")).text
    assert new.hold in always and old.hold in always
    assert "No event has that." in always
    assert (await ann.get("/search?q=x&after=nonsense")).status_code == 422

"""Signing in with a browser at a real provider: who is let in, and what a sign-in must prove."""

import html
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from collector.identity.roles import Role
from collector.identity.signed_in import list_people
from tests.support.identity_site import Site, keep, known, run_site

LONG_AGO, FAR_AHEAD = 1_000_000_000, 1 << 33


def refused(answer: httpx.Response, status: int, code: str) -> str:
    """Return the page of a refusal as a person reads it; it has brought no session."""
    assert answer.status_code == status, answer.text
    assert f"<code>{code}</code>" in answer.text
    assert "hfs_" not in answer.headers.get("set-cookie", "")
    return html.unescape(answer.text)


async def test_a_person_signs_in(site: Site) -> None:
    """Name, names, groups and role are what the provider says; the cookie is for us alone."""
    login = known(
        site,
        "ann",
        email="Ann@Example.com",
        groups=["staff", "sre", "other"],
        name="Ann Example",
        preferred_username="aexample",
    )
    with site.browser() as browser:
        answer = site.signs_in(browser, login)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        (cookie,) = (one for one in answer.headers.get_list("set-cookie") if "hfs_" in one)
        assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
        session = await site.session(browser)
    assert session is not None
    who = session.caller
    assert (who.name, who.role) == ("ann@example.com", Role.REVIEWER)
    assert who.groups == ("staff", "sre", "other")
    assert {"Ann Example", "aexample"} <= set(who.names)
    assert who.authenticated_ns is None, "the provider did not say when it saw a proof"
    assert session.expires_ns - time.time_ns() <= 8 * 3_600 * 10**9


def test_the_question_is_bound_to_the_browser(site: Site) -> None:
    """PKCE with S256, a state and a nonce of its own each time; max_age only for a step-up."""
    with site.browser() as browser:
        asked = [
            parse_qs(urlsplit(browser.get(path).headers["location"]).query)
            for path in ("/auth/login", "/auth/login", "/auth/login?step_up=1")
        ]
    for one in asked:
        assert one["code_challenge_method"] == ["S256"]
        assert one["response_type"] == ["code"]
        assert len({one[name][0] for name in ("state", "nonce", "code_challenge")}) == 3
    for name in ("state", "nonce", "code_challenge"):
        assert len({one[name][0] for one in asked}) == 3
    assert ["max_age" in one for one in asked] == [False, False, True]
    assert asked[2]["max_age"] == ["300"]


async def test_a_step_up_brings_the_time_of_the_proof(site: Site) -> None:
    """The time is the provider's, and of this sign-in."""
    before = time.time_ns()
    with site.browser() as browser:
        answer = site.signs_in(browser, known(site, "stella"), "/auth/login?step_up=1")
        assert answer.status_code == 303, answer.text
        session = await site.session(browser)
    assert session is not None
    assert session.caller.authenticated_ns is not None
    assert before - 10**9 <= session.caller.authenticated_ns <= time.time_ns()


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        ({"nonce": "of-another-browser"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"aud": "another-client"}, "aud"),
        ({"aud": ["holdfast", "another-client"]}, "azp"),
        ({"azp": "another-client"}, "azp"),
        ({"iss": "https://id.example.com"}, "iss"),
        ({"exp": LONG_AGO}, "expired"),
        ({"exp": None}, "exp"),
        ({"iat": FAR_AHEAD}, "future"),
        ({"nbf": FAR_AHEAD}, ""),
        ({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "at_hash"),
        ({"sub": ""}, "subject"),
        ({"sub": None}, "sub"),
        ({"auth_time": FAR_AHEAD}, "auth_time"),
        ({"foreign": True}, "not signed"),
        ({"unsigned": True}, "not signed"),
    ],
    ids=str,
)
def test_a_token_that_is_not_for_this_sign_in_proves_nobody(
    site: Site, spoilt: dict[str, object], words: str
) -> None:
    """Signed by the provider's own key and wrong in one thing, or not signed by it."""
    login = known(site, "mallory")
    with site.browser() as browser:
        callback = site.leads_to(browser, login)
        site.idp.spoil(**spoilt)
        try:
            answer = browser.get(callback)
        finally:
            site.idp.spoil()
    assert words in refused(answer, 403, "sign_in_failed")


@pytest.mark.parametrize(
    ("said", "words"),
    [({"auth_time": LONG_AGO}, "older"), ({"auth_time": None}, "auth_time")],
)
def test_an_old_proof_is_no_step_up(site: Site, said: dict[str, object], words: str) -> None:
    """A provider that passes over max_age makes no old proof look new."""
    login = known(site, "olivia")
    with site.browser() as browser:
        callback = site.leads_to(browser, login, "/auth/login?step_up=1")
        site.idp.spoil(**said)
        try:
            answer = browser.get(callback)
        finally:
            site.idp.spoil()
    assert words in refused(answer, 403, "sign_in_failed")


def test_the_provider_changes_its_keys(site: Site) -> None:
    """A new key is found at once, without a restart."""
    login = known(site, "karl")
    for _ in range(2):
        with site.browser() as browser:
            assert site.signs_in(browser, login).status_code == 303
        site.idp.rotate_keys()
    with site.browser() as browser:
        assert site.signs_in(browser, login).status_code == 303


def test_an_answer_serves_once_and_in_one_browser(site: Site) -> None:
    """A code that was seen on its way is of no use, and neither is one that another site sent."""
    login = known(site, "rita")
    with site.browser() as browser, site.browser() as other:
        callback = site.leads_to(browser, login)
        assert "another browser" in refused(other.get(callback), 403, "sign_in_failed")
        other.get("/auth/login")
        assert "another sign-in" in refused(other.get(callback), 403, "sign_in_failed")
        pending = browser.cookies["holdfast-sign-in"]
        assert browser.get(callback).status_code == 303
        refused(browser.get(callback), 403, "sign_in_failed")
        keep(browser, "holdfast-sign-in", pending)
        assert "invalid_grant" in refused(browser.get(callback), 403, "sign_in_failed")


@pytest.mark.parametrize(
    ("name", "value"),
    [("iss", "https://evil.example.com"), ("iss", None), ("state", ""), ("code", None)],
)
def test_a_changed_answer_is_refused(site: Site, name: str, value: str | None) -> None:
    """State ties it to the question, `iss` to the provider that was asked."""
    with site.browser() as browser:
        callback = httpx.URL(site.leads_to(browser, known(site, "carl")))
        params = callback.params.remove(name)
        if value is not None:
            params = params.set(name, value)
        refused(browser.get(callback.copy_with(params=params)), 403, "sign_in_failed")


def test_a_changed_cookie_fits_no_answer(site: Site) -> None:
    """Where the browser goes afterwards, and how fresh the proof must be, cannot be rewritten."""
    with site.browser() as browser:
        callback = site.leads_to(browser, known(site, "cora"), "/auth/login?step_up=1")
        pending = browser.cookies["holdfast-sign-in"]
        keep(browser, "holdfast-sign-in", pending.replace(".300.", ".."))
        refused(browser.get(callback), 403, "sign_in_failed")


def test_who_cancels_is_told_so(site: Site) -> None:
    """The provider's error is shown as its word, not as ours."""
    with site.browser() as browser:
        answer = browser.get("/auth/login")
        state = parse_qs(urlsplit(answer.headers["location"]).query)["state"][0]
        params = {"error": "access_denied", "state": state, "iss": site.idp.issuer}
        message = refused(browser.get("/auth/callback", params=params), 403, "sign_in_failed")
    assert "access_denied" in message


@pytest.mark.parametrize(
    ("login", "claims", "code"),
    [
        ("uma", {"email_verified": False}, "email_unverified"),
        ("ulf", {"email_verified": "false"}, "email_unverified"),
        ("nora", {"groups": []}, "no_role"),
        ("nick", {"groups": ["strangers"]}, "no_role"),
        ("neil", {"groups": None}, "no_role"),
        ("noel", {"email": None}, "sign_in_failed"),
        ("nils", {"email": "a\u202eb@example.com"}, "sign_in_failed"),
        ("gus", {"groups": {"sre": True}}, "sign_in_failed"),
        ("gina", {"groups": None, "_claim_names": {"groups": "src1"}}, "no_role"),
    ],
)
def test_who_has_no_name_or_role_here_is_refused(
    site: Site, login: str, claims: dict[str, object], code: str
) -> None:
    """Signed in at the provider is not let in here; nothing is kept of them."""
    known(site, login, **claims)
    with site.browser() as browser:
        refused(site.signs_in(browser, login), 403, code)
    assert f"{login}@example.com" not in [person.name for person in list_people(site.database)]


def test_an_address_is_not_taken_over(site: Site) -> None:
    """Another account of the provider with a reviewer's address does not become the reviewer."""
    with site.browser() as browser:
        assert site.signs_in(browser, known(site, "tina")).status_code == 303
    with site.browser() as browser:
        answer = site.signs_in(browser, known(site, "thief", email="TINA@example.com"))
        assert "Another account" in refused(answer, 403, "name_taken")
    site.centre.run("person", "remove", "tina@example.com", "--config", str(site.centre.config))
    with site.browser() as browser:
        assert site.signs_in(browser, "thief").status_code == 303
    listed = site.centre.run("person", "list", "--config", str(site.centre.config))
    assert "tina@example.com\treviewer\t" in listed


async def test_each_sign_in_is_a_new_session(site: Site) -> None:
    """The one before ends, so a cookie that was known to others is worth nothing afterwards."""
    login = known(site, "rosa")
    with site.browser() as browser:
        site.signs_in(browser, login)
        first = browser.cookies["holdfast"]
        site.signs_in(browser, login)
        assert browser.cookies["holdfast"] != first
        assert await site.session(browser) is not None
        keep(browser, "holdfast", first)
        assert await site.session(browser) is None


def test_a_sign_in_leads_back_to_where_it_was_asked_for(site: Site) -> None:
    """And never to another site."""
    login = known(site, "bob")
    with site.browser() as browser:
        answer = site.signs_in(browser, login, "/auth/login?next=/requests/1a2b%3Fx=1")
        assert answer.headers["location"] == "/requests/1a2b?x=1"
        for target in (
            "https://evil.example.com",
            "//evil.example.com",
            "/\\evil.example.com",
            "\\\\evil.example.com",
            "javascript:alert(1)",
            "/a\r\nb",
            "evil",
            "",
        ):
            answer = browser.get("/auth/login", params={"next": target})
            refused(answer, 422, "foreign_target")


async def test_signing_out_ends_the_session_for_whoever_has_its_cookie(site: Site) -> None:
    """Here with a form of ours; of the provider at its own page."""
    with site.browser() as browser:
        site.signs_in(browser, known(site, "lena"))
        cookie = browser.cookies["holdfast"]
        session = await site.session(browser)
        assert session is not None
        ours = {"Origin": site.base}
        refused(
            browser.post("/sign-out", data={"csrf": "x" * 64}, headers=ours), 403, "foreign_form"
        )
        answer = browser.post("/sign-out", data={"csrf": session.csrf}, headers=ours)
        page = browser.get(answer.headers["location"])
        assert f'href="{site.idp.issuer}/session/end?client_id=holdfast"' in page.text
        assert "holdfast" not in browser.cookies
        keep(browser, "holdfast", cookie)
        assert await site.session(browser) is None


def test_claims_that_only_userinfo_has(tmp_path: Path) -> None:
    """Some providers keep ID tokens thin; the access token brings the rest, of the same subject."""
    with run_site(tmp_path, thin_id_tokens=True, settings='default_role = "viewer"\n') as site:
        with site.browser() as browser:
            assert site.signs_in(browser, known(site, "ann")).status_code == 303
        with site.browser() as browser:
            assert site.signs_in(browser, known(site, "vera", groups=[])).status_code == 303
        found = {person.name: person.role for person in list_people(site.database)}
        assert found == {"ann@example.com": Role.REVIEWER, "vera@example.com": Role.VIEWER}
        with site.browser() as browser:
            callback = site.leads_to(browser, "ann")
            # The token is of another account than the userinfo that comes with it.
            site.idp.spoil(sub="someone-else")
            assert "someone else" in refused(browser.get(callback), 403, "sign_in_failed")


def test_a_provider_that_is_away_lets_nobody_in(tmp_path: Path) -> None:
    """The collector starts and goes on without it; the refusal names what to do."""
    with run_site(tmp_path) as site, site.browser() as browser:
        callback = site.leads_to(browser, known(site, "ann"))
        site.idp.stop()
        refused(browser.get(callback), 502, "provider_unavailable")
        assert browser.get("/healthz").json()["status"] == "ok"


def test_a_provider_under_another_name_is_not_trusted(tmp_path: Path) -> None:
    """Its discovery must say exactly the issuer that the administrator wrote."""
    with run_site(tmp_path, issuer_says="https://id.example.com") as site:
        with site.browser() as browser:
            message = refused(browser.get("/auth/login"), 502, "provider_unavailable")
        assert "https://id.example.com" in message and site.idp.issuer in message

"""`holdfast login` at a real provider, and the accounts of channels that people say are theirs."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from collector.identity.links import Links
from collector.identity.people import create_token
from collector.identity.roles import Role
from tests.support.centre import REPOSITORY, Centre, Child
from tests.support.identity_site import WAIT_S, Site, known
from tests.support.provider import submit

API = "/api/v1"


def begin(site: Site, browser: httpx.Client) -> dict[str, Any]:
    """Begin a device sign-in, as the command line does."""
    answer = browser.post(f"{API}/auth/device", json={})
    assert answer.status_code == 201, answer.text
    begun: dict[str, Any] = answer.json()
    assert begun["verification_uri"].startswith(site.idp.issuer)
    return begun


def ask(browser: httpx.Client, begun: dict[str, Any]) -> httpx.Response:
    """Ask how a sign-in stands."""
    return browser.post(f"{API}/auth/device/token", json={"handle": begun["handle"]})


def approves(site: Site, address: str, login: str) -> None:
    """Open the provider's page for a code in a browser of one's own, and sign in there."""
    with site.browser() as browser:
        browser.follow_redirects = True
        page = browser.get(address)
        for _ in range(6):
            if "<form" not in page.text:
                break
            page = submit(browser, page, login=login, password="x")  # noqa: S106 - any will do
        assert "Sign-in Success" in page.text, page.text


def test_the_command_line_signs_in_without_a_secret(site: Site) -> None:
    """A token for the person, once; it knows when they proved it; logout ends it."""
    login = known(site, "dora")
    with site.browser() as browser:
        begun = begin(site, browser)
        waits = ask(browser, begun)
        assert (waits.status_code, waits.json()["signed_in"]) == (200, False)
        assert waits.json()["wait_s"] >= 1
        approves(site, begun["verification_uri_complete"], login)
        token = token_of(browser, begun)
        proof = Centre.auth(token)
        me = browser.get(f"{API}/whoami", headers=proof).json()
        assert (me["name"], me["role"], me["groups"]) == ("dora@example.com", "reviewer", ["sre"])
        assert me["authenticated_ns"] > 0
        assert ask(browser, begun).status_code == 410
        assert browser.post(f"{API}/auth/logout", headers=proof).json() == {"ended": True}
        assert browser.get(f"{API}/whoami", headers=proof).status_code == 401


def test_who_has_no_role_gets_no_token(site: Site) -> None:
    """The command line is no way around what the browser refuses."""
    login = known(site, "dan", groups=["strangers"])
    with site.browser() as browser:
        begun = begin(site, browser)
        approves(site, begun["verification_uri_complete"], login)
        answer = settled(browser, begun)
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "no_role"
        assert ask(browser, begun).status_code == 410


def test_a_spoilt_token_of_a_device_proves_nobody(site: Site) -> None:
    """It has no nonce; everything else is checked as for a browser."""
    login = known(site, "dick")
    with site.browser() as browser:
        begun = begin(site, browser)
        approves(site, begun["verification_uri_complete"], login)
        site.idp.spoil(aud="another-client")
        try:
            answer = settled(browser, begun)
        finally:
            site.idp.spoil()
        assert answer.json()["error"]["code"] == "sign_in_failed"


def test_an_unknown_handle_gets_nothing(site: Site) -> None:
    """Nor does one that is no text."""
    with site.browser() as browser:
        assert ask(browser, {"handle": "x" * 43}).status_code == 410
        assert ask(browser, {"handle": "x" * 101}).status_code == 422
        assert browser.get(f"{API}/auth").json() == {"identity_provider": True}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Give a home of its own to the command line."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    return {**kept, "XDG_CONFIG_HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}


def test_holdfast_login_and_logout(site: Site, environment: dict[str, str], tmp_path: Path) -> None:
    """The person opens the address that is shown, and is signed in where they typed the command."""
    login = known(site, "cleo")
    with _holdfast(site, tmp_path, "login", "--device") as running:
        line = running.wait_for("To sign in, open")
        approves(site, line.split("open")[1].strip(), login)
        assert "cleo@example.com, reviewer" in running.wait_for("signed in to")
    config = tmp_path / "holdfast" / "config.toml"
    assert config.exists()
    out = _run(environment, "logout")
    assert "the token is ended" in out
    assert not config.exists()


def test_logout_forgets_a_token_that_is_an_administrators(
    site: Site, environment: dict[str, str], tmp_path: Path
) -> None:
    """It says that it did not end it: whoever made it does."""
    token = create_token(site.database, name="pat@example.com", role=Role.VIEWER)
    file = tmp_path / "token"
    file.write_text(token, encoding="utf-8")
    _run(environment, "login", "--url", site.base, "--token-file", str(file))
    assert "administrator's" in _run(environment, "logout")
    with site.browser() as browser:
        assert browser.get(f"{API}/whoami", headers=Centre.auth(token)).status_code == 200


async def test_an_account_of_a_channel_is_claimed_after_signing_in(site: Site) -> None:
    """The page names the account, only its form links it, and only for who is signed in."""
    links = Links(site.database)
    ours = {"Origin": site.base}
    try:
        code = await links.start_link("slack", "T1/U1", "<b>Ann</b> (@ann)")
        with site.browser() as browser:
            away = browser.get("/auth/link", params={"code": code})
            assert away.status_code == 303
            target = parse_qs(urlsplit(away.headers["location"]).query)["next"][0]
            back = site.signs_in(
                browser, known(site, "lisa"), f"/auth/login?next={quote(target, safe='')}"
            )
            page = browser.get(back.headers["location"])
            assert page.status_code == 200, page.text
            assert "lisa@example.com" in page.text
            assert "&lt;b&gt;Ann&lt;/b&gt; (@ann)" in page.text
            assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
            assert await links.linked("slack", "T1/U1") is None, "looking links nothing"
            forged = {"code": code, "csrf": "0" * 64}
            assert browser.post("/auth/link", data=forged, headers=ours).status_code == 403
            assert await links.linked("slack", "T1/U1") is None
            session = await site.session(browser)
            assert session is not None
            form = {"code": code, "csrf": session.csrf}
            assert browser.post("/auth/link", data=form).status_code == 403, "of another site"
            linked = browser.post("/auth/link", data=form, headers=ours)
            assert "yours now" in linked.text
            assert "link_expired" in browser.get("/auth/link", params={"code": code}).text
        with site.browser() as stranger:
            assert stranger.post("/auth/link", data=form, headers=ours).status_code == 401
        found = await links.linked("slack", "T1/U1")
        assert found is not None and found.name == "lisa@example.com"
    finally:
        links.close()


async def test_a_session_of_a_token_claims_no_account(site: Site) -> None:
    """An administrator who makes a token in someone's name does not get their accounts with it."""
    links = Links(site.database)
    ours = {"Origin": site.base}
    known(site, "moira")
    try:
        with site.browser() as browser:
            site.signs_in(browser, "moira")
        code = await links.start_link("slack", "T1/U2")
        token = create_token(site.database, name="moira@example.com", role=Role.REVIEWER)
        with site.browser() as browser:
            browser.post("/sign-in", data={"token": token}, headers=ours)
            page = browser.get("/auth/link", params={"code": code})
            csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)
            assert csrf, page.text
            form = {"code": code, "csrf": csrf[1]}
            answer = browser.post("/auth/link", data=form, headers=ours)
            assert answer.status_code == 403
            assert "not_signed_in" in answer.text
        assert await links.linked("slack", "T1/U2") is None
    finally:
        links.close()


def settled(browser: httpx.Client, begun: dict[str, Any]) -> httpx.Response:
    """Ask as the command line does, as often as the provider allows, until it is over."""
    for _ in range(WAIT_S):
        answer = ask(browser, begun)
        if answer.status_code != 200 or answer.json()["signed_in"]:
            return answer
        time.sleep(1)  # the protocol is polling: there is no event to wait for
    raise AssertionError("the sign-in never ended")


def token_of(browser: httpx.Client, begun: dict[str, Any]) -> str:
    answer = settled(browser, begun)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


@contextmanager
def _holdfast(site: Site, home: Path, *words: str) -> Iterator[Child]:
    """Run `holdfast` against the site, with a home of its own, until it ends."""
    command = ["env", "-u", "HOLDFAST_TOKEN", f"XDG_CONFIG_HOME={home}", sys.executable]
    child = Child(
        [*command, "-m", "collector.cli", *words, "--url", site.base], home / "holdfast.log"
    )
    try:
        yield child
        assert child.process.wait(WAIT_S) == 0, child.output
    finally:
        child.stop()


def _run(environment: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "collector.cli", *words],
        env={**environment, "HOLDFAST_URL": ""},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

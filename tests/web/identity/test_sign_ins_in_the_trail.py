"""Who signed in, by every way, stands in the trail of a running centre; also while NATS is away."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector.identity import journal
from tests.support.centre import Centre
from tests.support.identity_site import WAIT_S, Site, known, run_site
from tests.web.identity.test_device_sign_in import API, approves, ask, begin, settled, token_of

ASKED = 'SELECT person, role, what, outcome, via, address, times FROM who_signed_in ORDER BY "when"'
HERE = "127.0.0.1"


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[Site]:
    """Give a site of this test alone."""
    with run_site(tmp_path) as made:
        yield made


def told(site: Site, token: str, count: int) -> list[list[Any]]:
    """Return what the trail says, oldest first, once it has so many rows."""
    for _ in range(20 * WAIT_S):
        answer = httpx.post(
            f"{site.base}{API}/trail/query",
            headers=Centre.auth(token),
            json={"sql": ASKED},
            timeout=WAIT_S,
        )
        rows: list[list[Any]] = answer.json()["rows"]
        if len(rows) >= count:
            return rows
        threading.Event().wait(0.05)
    raise AssertionError(rows)


def test_every_way_in_and_out_is_in_the_trail(lonely: Site) -> None:
    """A browser, the command line, a token, the command that makes one; refusals with their why."""
    site = lonely
    auditor = site.centre.token("audrey@example.com", role="viewer")
    site.centre.stop_nats()
    with site.browser() as browser:
        assert site.signs_in(browser, known(site, "ann")).status_code == 303
        session = asyncio.run(site.session(browser))
        assert session is not None
        ours = {"Origin": site.base}
        browser.post("/sign-out", data={"csrf": session.csrf}, headers=ours)
    with site.browser() as browser:
        stranger = known(site, "dan", groups=["strangers"])
        assert site.signs_in(browser, stranger).status_code == 403
    with site.browser() as browser:
        begun = begin(site, browser)
        approves(site, begun["verification_uri_complete"], known(site, "dora"))
        token = token_of(browser, begun)
        browser.post(f"{API}/auth/logout", headers=Centre.auth(token))
        assert settled(browser, begun).status_code == 410
        assert ask(browser, begun).status_code == 410
        assert browser.get(f"{API}/whoami", headers=Centre.auth(token)).status_code == 401
        answer = browser.post("/sign-in", data={"token": "hft_x"}, headers={"Origin": site.base})
        assert answer.status_code == 401
    with site.browser() as browser:
        answer = browser.post("/sign-in", data={"token": auditor}, headers={"Origin": site.base})
        assert answer.status_code == 303
    config = ("--config", str(site.centre.config))
    site.centre.run("token", "revoke", token.split("_")[1], *config)  # it is over: nothing is done
    site.centre.run("person", "remove", "dora@example.com", *config)
    reviewer, none = ("reviewer",), ("", "")
    assert [tuple(row) for row in told(site, auditor, 11)] == [
        ("audrey@example.com", "viewer", "token_made", "ok", "administration", "", 1),
        ("ann@example.com", *reviewer, "sign_in", "ok", "browser", HERE, 1),
        ("ann@example.com", *reviewer, "sign_out", "ok", "browser", HERE, 1),
        (*none, "sign_in", "refused", "browser", HERE, 1),
        ("dora@example.com", *reviewer, "sign_in", "ok", "device", HERE, 1),
        ("dora@example.com", *reviewer, "sign_out", "ok", "device", HERE, 1),
        (*none, "sign_in", "refused", "device", HERE, 1),
        (*none, "sign_in", "refused", "api", HERE, 1),
        (*none, "sign_in", "refused", "token", HERE, 1),
        ("audrey@example.com", "viewer", "sign_in", "ok", "token", HERE, 1),
        ("dora@example.com", *reviewer, "person_removed", "ok", "administration", "", 1),
    ]
    site.centre.start_nats()
    site.centre.stop_collector()  # a minute that is not over is told of all the same
    site.centre.start_collector()
    refused = [*none, "sign_in", "refused", "device", HERE, 1]
    assert told(site, auditor, 12).count(refused) == 2
    rows = httpx.post(
        f"{site.base}{API}/trail/query",
        headers=Centre.auth(auditor),
        json={"sql": "SELECT DISTINCT done_by, reason FROM who_signed_in WHERE done_by <> ''"},
        timeout=WAIT_S,
    ).json()["rows"]
    assert rows == [[journal.who_runs_this(), ""]]

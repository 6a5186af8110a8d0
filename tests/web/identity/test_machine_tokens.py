"""Machines at the real API: what their scopes open, and that they never answer."""

import httpx
import pytest

from tests.support.centre import Centre
from tests.support.identity_site import Site

API = "/api/v1"


def token(site: Site, *scopes: str) -> dict[str, str]:
    """Make a token as an administrator does, and return the header that carries it."""
    words = [word for scope in scopes for word in ("--scope", scope)]
    if "asks:write" in scopes:
        words += ["--responsible", "ann@example.com"]
    config = str(site.centre.config)
    made = site.centre.run(
        *("token", "create", "--machine", "ci", *words, "--days", "30", "--config", config)
    )
    return Centre.auth(made.strip())


def code(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of a refusal."""
    return answer.status_code, str(answer.json()["error"]["code"])


@pytest.mark.parametrize(
    ("scope", "opened"),
    [
        ("requests:read", {"/requests"}),
        ("trail:read", {"/hosts", "/events"}),
        ("asks:write", set()),
    ],
)
def test_a_scope_opens_its_own_routes_alone(site: Site, scope: str, opened: set[str]) -> None:
    """Everybody may ask who they are; nothing opens what decides."""
    proof = token(site, scope)
    with site.browser() as client:
        me = client.get(f"{API}/whoami", headers=proof).json()
        assert (me["name"], me["machine"], me["scopes"]) == ("ci", True, [scope])
        for route in ("/requests", "/hosts", "/events"):
            answer = client.get(API + route, headers=proof)
            if route in opened:
                assert answer.status_code == 200, answer.text
            else:
                assert code(answer) == (403, "scope_missing")
        sql = client.post(f"{API}/trail/query", headers=proof, json={"sql": "SELECT 1"})
        assert (sql.status_code == 200) is (scope == "trail:read")


def test_no_machine_answers_or_comments(site: Site) -> None:
    """With every scope there is, and before anything is looked up."""
    proof = token(site, "requests:read", "trail:read", "asks:write")
    place = f"{API}/requests/{'0' * 32}"
    with site.browser() as client:
        for route, body in (
            ("decision", {"answer": "approve", "reason": "x"}),
            ("comments", {"text": "x"}),
        ):
            answer = client.post(f"{place}/{route}", headers=proof, json=body)
            assert code(answer) == (403, "machine_caller")
        assert code(client.post(f"{API}/auth/logout", headers=proof)) == (403, "machine_caller")
        page = client.post(
            "/sign-in",
            data={"token": proof["Authorization"].partition(" ")[2]},
            headers={"Origin": site.base},
        )
        assert page.status_code in (401, 403), page.text
        assert "holdfast" not in client.cookies


@pytest.mark.parametrize(
    "words",
    [
        ("--machine", "ci", "--scope", "trail:read"),
        ("--machine", "ci", "--days", "30"),
        ("--machine", "ci", "--scope", "asks:write", "--days", "30"),
        ("--machine", "ci", "--role", "admin", "--scope", "trail:read", "--days", "30"),
        ("--name", "ann@example.com", "--role", "admin", "--scope", "trail:read"),
        ("--machine", "ci", "--scope", "decide", "--days", "30"),
    ],
    ids=lambda words: " ".join(words),
)
def test_a_token_that_cannot_be_meant_is_not_made(site: Site, words: tuple[str, ...]) -> None:
    """One line of error, and nothing on standard output."""
    with pytest.raises(AssertionError, match="failed:\n"):
        site.centre.run("token", "create", *words, "--config", str(site.centre.config))

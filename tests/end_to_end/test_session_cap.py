"""A watched process that causes holds in a loop does not bury its reviewers."""

from collections.abc import Iterator

import pytest

from tests.support.accounts import end_processes
from tests.support.house import House, house, place_for_all

pytestmark = pytest.mark.end_to_end

LIMIT, CHILDREN = 20, 45
RULES = """
rules:
  - id: loop.secret
    description: Reads the secret of this test.
    severity: critical
    match: { open: { path: "{place}/secret" } }
    action: ask
"""
# Says the signal that each child that ended was ended by, and how many are left at the end.
LOOP = """
import os, signal
children = set()
for _ in range(COUNT):
    child = os.fork()
    if not child:
        open("secret").read()
        os._exit(0)
    children.add(child)
for _ in range(COUNT - LIMIT):
    child, status = os.waitpid(-1, 0)
    children.discard(child)
    os.write(1, f"{os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}\\n".encode())
os.write(1, f"left {len(children)}\\n".encode())
signal.pause()
"""


@pytest.fixture
def home() -> Iterator[House]:
    """A Holdfast that asks about one file."""
    with place_for_all() as place:
        (place / "secret").write_text("swordfish")
        with house(place, RULES.replace("{place}", str(place))) as built:
            yield built
            end_processes(built.user.pw_uid)


def test_so_many_requests_of_a_session_wait_and_the_rest_is_denied_with_one_summary(
    home: House,
) -> None:
    """Twenty wait as one request; the others die at once, and that request and a notice say so."""
    source = LOOP.replace("COUNT", str(CHILDREN)).replace("LIMIT", str(LIMIT))
    looping = home.start(source)
    assert looping.stdout is not None
    said = [looping.stdout.readline().decode().strip() for _ in range(CHILDREN - LIMIT + 1)]
    assert said == ["9"] * (CHILDREN - LIMIT) + [f"left {LIMIT}"]
    beyond = CHILDREN - LIMIT
    noted = home.watcher.wait(
        lambda one: any(said["denied_beyond"] == beyond for said in one["states"])
    )
    page = home.call("GET", "/requests?state=open").json()
    requests = page["requests"]
    assert [(one["request"], one["count"]) for one in requests] == [(noted["request"], LIMIT)]
    assert noted["state"] == "open"
    (capped,) = page["capped"]
    assert (capped["waiting"], capped["denied"]) == (LIMIT, beyond)
    assert capped["requests"] == [noted["request"]]
    denied = home.call("POST", f"/sessions/{capped['name']}/deny", body={"reason": "it loops"})
    assert [one["error"] for one in denied.json()["results"]] == [None]
    assert home.call("GET", "/requests?state=open").json()["capped"] == []
    home.sql_until(
        "SELECT count(*) FILTER (action = 'deny'), count(*) FILTER (action = 'ask'), "
        "count(*) FILTER (detail LIKE 'session_capped:%') FROM events",
        lambda rows: rows == [[CHILDREN - LIMIT, LIMIT, 2]],
    )

"""A watched user with many sessions does not fill the host's room for holds."""

from collections.abc import Iterator

import pytest

from tests.support.accounts import end_processes
from tests.support.house import House, house, place_for_all

pytestmark = pytest.mark.end_to_end

LIMIT, SESSIONS = 4, 7
RULES = """
rules:
  - id: crowd.secret
    description: Reads the secret of this test.
    severity: critical
    match: { open: { path: "{place}/secret" } }
    action: ask
"""


@pytest.fixture
def home() -> Iterator[House]:
    """A Holdfast that asks about one file, of few sessions of a subject at a time."""
    with place_for_all() as place:
        (place / "secret").write_text("swordfish")
        with house(place, RULES.replace("{place}", str(place))) as built:
            built.stop_agent()
            text = built.config.read_text(encoding="utf-8")
            built.config.write_text(f"holds_per_subject = {LIMIT}\n{text}", encoding="utf-8")
            built.start_agent()
            yield built
            end_processes(built.user.pw_uid)


def test_the_sessions_of_a_subject_share_its_limit_and_one_answer_makes_room(home: House) -> None:
    """Each child is a session of its own; those beyond the limit die, and a request says so."""
    waiting = [home.start("open('secret').read()") for _ in range(LIMIT)]
    asked = [home.request_of(child) for child in waiting]
    assert len({one["act"]["session"] for one in asked}) == LIMIT
    beyond = [home.start("open('secret').read()") for _ in range(SESSIONS - LIMIT)]
    assert [child.wait(20) for child in beyond] == [-9] * (SESSIONS - LIMIT)
    noted = home.watcher.wait(
        lambda one: any("requests of this subject wait" in s["detail"] for s in one["states"])
    )
    assert noted["request"] in {one["request"] for one in asked}
    home.sql_until(
        "SELECT count(*) FILTER (action = 'deny'), count(*) FILTER (action = 'ask'), "
        "count(*) FILTER (detail LIKE 'subject_capped:%') FROM events",
        lambda rows: rows == [[SESSIONS - LIMIT, LIMIT, 1]],
    )
    home.answer(asked[0], "approve", "a test")
    assert waiting[0].wait(20) == 0
    home.request_of(home.start("open('secret').read()"))

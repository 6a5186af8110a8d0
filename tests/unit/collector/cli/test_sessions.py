"""An AI session at its limit on the command line: said under what waits, and denied as a whole."""

import json

from tests.unit.collector.cli.conftest import Holdfast
from tests.unit.collector.cli.fake_centre import FakeCentre, problem

NAME = "5c0e1f22" * 4
CAPPED = {
    "name": NAME,
    "card": {
        "title": "ai-worker: an AI session on web-1 has reached its limit",
        "state_line": "20 acts wait; 25 further acts denied without asking",
    },
}


def _capped(centre: FakeCentre) -> None:
    request = centre.add()
    centre.answers["/requests"] = {"requests": [request], "next": None, "capped": [CAPPED]}


def test_pending_says_which_session_is_at_its_limit(
    centre: FakeCentre, signed_in: Holdfast
) -> None:
    """One line each, with the command that denies all of it."""
    _capped(centre)
    done = signed_in("pending")
    assert done.code == 0
    together = " ".join(done.out.split())
    assert "an AI session on web-1 has reached its limit: 20 acts wait; 25 further" in together
    assert "holdfast deny-session 5c0e1f22" in together
    page = json.loads(signed_in("--json", "pending").out)
    assert page["capped"] == [CAPPED]


def test_all_of_a_session_is_denied_with_a_reason_and_each_result_is_said(
    centre: FakeCentre, signed_in: Holdfast
) -> None:
    """What is refused is said, and gives the exit code."""
    request = centre.add(state="denied")
    _, refused = problem(403, "own_request", "it is yours", "ask another")
    centre.answers["/sessions/5c0e1f22/deny"] = {
        "results": [
            {"request": request["request"], "status": 200, "result": request, "error": None},
            {"request": "ab" * 16, "status": 403, "result": None, "error": refused["error"]},
        ]
    }
    done = signed_in("deny-session", "5c0e1f22", "--reason", "it loops")
    assert centre.log[-1] == (
        "POST",
        "/sessions/5c0e1f22/deny",
        {"reason": "it loops", "via": "cli"},
    )
    assert "abababab refused: it is yours" in done.out
    assert "1 of 2 answers were refused" in done.err
    assert done.code != 0


def test_without_a_reason_nothing_is_sent(centre: FakeCentre, signed_in: Holdfast) -> None:
    """It is asked for before anything is denied."""
    done = signed_in("deny-session", "5c0e1f22")
    assert done.code == 2
    assert "add --reason" in done.err
    assert not [one for one in centre.log if one[0] == "POST"]

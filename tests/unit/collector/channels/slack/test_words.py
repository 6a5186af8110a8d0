"""Refusals as sentences: who was first, what to do, and where to sign in again."""

import pytest

from collector.channels.slack.words import clock, refusal_words, vote_line
from collector.errors import Refusal
from tests.unit.collector.samples import NOON_NS
from wire.ids import RequestId, VoteId
from wire.messages import Answer, Ground, Vote

BASE = "https://holdfast.example.com"


def _already(**changes: object) -> Refusal:
    facts = {"decided_by": "Ann", "answer": "deny", "decided_ns": NOON_NS, "reason": "not yet"}
    return Refusal(409, "already_decided", "somebody has", "nothing is left", facts | changes)


@pytest.mark.parametrize(
    ("refusal", "me", "words"),
    [
        (_already(), "Bea", "Already denied by Ann at 12:00:00 UTC: not yet"),
        (_already(reason=""), "Ann", "Already denied by you at 12:00:00 UTC."),
        (_already(answer="approve", reason=None), "", "Already approved by Ann at 12:00:00 UTC."),
        (
            _already(answer="approve", ground="break_glass"),
            "",
            "Already let go by break-glass by Ann at 12:00:00 UTC: not yet",
        ),
        (_already(decided_ns="x", decided_by=""), "", "Already denied by somebody at an unknown"),
        (_already(decided_by="A\n<!here>\u202e"), "", r"denied by A\n<!here>\u202e at"),
        (Refusal(403, "x", "no", "ask Bea"), "", "No. Ask Bea."),
        (Refusal(403, "x", "no!", ""), "", "No!"),
        (
            Refusal(403, "step_up_required", "too old", "sign in", {"sign_in": "/auth/login"}),
            "",
            f"Too old. Sign in. {BASE}/auth/login",
        ),
    ],
)
def test_a_refusal_says_what_happened_and_what_to_do(refusal: Refusal, me: str, words: str) -> None:
    """In words, with names made harmless."""
    assert words in refusal_words(refusal, BASE, me)


@pytest.mark.parametrize("time_ns", [10**40, -(10**40), None, "now"])
def test_an_impossible_time_is_said_to_be_unknown(time_ns: object) -> None:
    """A host may send any number."""
    assert clock(time_ns) == "an unknown time"


@pytest.mark.parametrize(
    ("ground", "words"),
    [
        (Ground.DECISION, "approved by ann at 12:00:00 UTC: down"),
        (Ground.BREAK_GLASS, "let go by break-glass by ann at 12:00:00 UTC: down"),
    ],
)
def test_breaking_the_glass_is_no_approval(ground: Ground, words: str) -> None:
    """Whoever reads the votes sees that nobody of those who are asked has said yes."""
    vote = Vote(
        vote=VoteId("v" * 32),
        request=RequestId("1a2b3c4d" * 4),
        answer=Answer.APPROVE,
        by="ann",
        via="cli",
        reason="down",
        digest="d",
        time_ns=NOON_NS,
        ground=ground,
    )
    assert vote_line(vote) == words

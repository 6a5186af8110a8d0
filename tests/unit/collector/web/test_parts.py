"""The parts of the pages: addresses, attempts, history, sentences."""

from pathlib import Path

import pytest

from collector.approvals.record import Record
from collector.errors import ConfigError, Refusal
from collector.reasons import joined
from collector.web.attempts import Attempts
from collector.web.pages import STATIC, notice_of
from collector.web.settings import Web, base_url, check, request_url
from collector.web.timeline import timeline
from tests.unit.collector.samples import NOON_NS, make_decision, make_opened, make_state
from wire.messages import HoldStateName


@pytest.mark.parametrize(
    "url",
    ["https://holdfast.example.com", "https://h.example.com:8443/", "http://127.0.0.1:8420",
     "http://localhost", "http://[::1]:8420"],
)  # fmt: skip
def test_an_address_that_people_can_open_safely_is_taken(url: str) -> None:
    """HTTPS anywhere, HTTP on this machine; links have one slash."""
    check(Web(public_url=url), place="web")
    base = base_url(Web(public_url=url), listen="127.0.0.1:1", tls=False)
    assert request_url(base, "ab") == f"{url.rstrip('/')}/requests/ab"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://holdfast.example.com", "in the clear"),
        ("http://10.0.0.1:8420", "in the clear"),
        ("https://h.example.com/holdfast", "without a path"),
        ("https://h.example.com?x=1", "without a path"),
        ("https://ann:secret@h.example.com", "without a path"),
        ("holdfast.example.com", "without a path"),
        ("ftp://h.example.com", "without a path"),
        ("https://", "without a path"),
        ("https://h.example.com:99999", "without a path"),
        ("https://h.exam\nple.com", "without a path"),
        ("https://h\u00f6ldfast.example", "without a path"),
    ],
)
def test_any_other_address_is_refused_with_its_key(url: str, why: str) -> None:
    """The error names the key and shows how one looks."""
    with pytest.raises(ConfigError, match=why) as caught:
        check(Web(public_url=url), place="collector.toml: web")
    assert "collector.toml: web.public_url" in str(caught.value)


def test_without_an_address_it_is_where_the_api_listens() -> None:
    """Where that is everywhere, it is this machine's name."""
    assert base_url(Web(), listen="127.0.0.1:8420", tls=False) == "http://127.0.0.1:8420"
    assert base_url(Web(), listen="[::1]:8420", tls=True) == "https://[::1]:8420"
    for everywhere in ("0.0.0.0:8420", "[::]:8420"):
        base = base_url(Web(), listen=everywhere, tls=True)
        assert base.endswith(":8420") and everywhere not in base


def test_attempts_are_forgotten_after_a_minute_and_bounded() -> None:
    """Ten failures bar an address, and no other; a minute later it may try again."""
    now = 0.0
    attempts = Attempts(clock=lambda: now)
    for _ in range(10):
        attempts.check("a")
        attempts.failed("a")
    with pytest.raises(Refusal, match="within a minute"):
        attempts.check("a")
    attempts.check("b")
    now = 61.0
    attempts.check("a")


def test_the_history_keeps_the_hosts_own_order() -> None:
    """A host whose clock was set back says things in the order in which it said them."""
    states = (
        make_state(HoldStateName.APPROVED, 1, time_ns=NOON_NS + 20),
        make_state(HoldStateName.RELEASED, 2, time_ns=NOON_NS + 10),
    )
    record = Record(make_opened(), states=states, decision=make_decision())
    said = [entry.kind for entry in timeline(record) if entry.who == "host"]
    assert said == ["open", "approved", "released"]


def test_a_refusal_is_whole_sentences_without_code_marks() -> None:
    """And what foreign words it quotes are safe to show."""
    notice = notice_of(Refusal(403, "x", "the \u202e one", "run `holdfast login`, then try again"))
    assert notice.title == r"The \u202e one."
    assert notice.text == "Run holdfast login, then try again."
    again = notice_of(
        Refusal(403, "step_up_required", "a", "b", {"sign_in": "/auth/login?step_up=1"}),
        back="/requests/ab?answer=deny",
    )
    assert again.link is not None
    assert again.link.href == "/auth/login?step_up=1&next=%2Frequests%2Fab%3Fanswer%3Ddeny"


def test_a_reason_is_what_was_picked_and_what_was_typed() -> None:
    """Either may be missing."""
    assert joined("Looks like a mistake", " wrong host ") == "Looks like a mistake: wrong host"
    assert joined("", "x") == joined("x", "") == "x"
    assert joined("", " ") == ""


def test_no_file_asks_anything_of_another_host() -> None:
    """No font, script or picture from elsewhere, and no inline style or script in a template."""
    places = [*STATIC.rglob("*"), *(STATIC.parent / "templates").iterdir()]
    for path in filter(Path.is_file, places):
        text = path.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "://" not in text, path
        assert "style=" not in text and "<style" not in text, path
        assert "onclick" not in text and "javascript:" not in text, path
        assert "| safe" not in text and "|safe" not in text, path

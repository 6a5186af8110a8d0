"""A card as a Slack message: within all limits, nothing uncounted, nothing read as markup."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.approvals.record import Outcome, RequestState
from collector.card import Card, Fact, render
from collector.channels.slack.blocks import (
    MESSAGE_ROOM,
    MODAL_ROOM,
    SMALL_ROOM,
    Showing,
    message,
)
from collector.channels.slack.elements import size
from collector.channels.slack.modal import Subject, ask_reason, details, told
from collector.reasons import FOR_APPROVAL, FOR_DENIAL
from collector.sanitize import harmless
from tests.support.slack_limits import buttons, check_message, check_view, texts
from tests.unit.collector.samples import make_act, make_opened
from wire.ids import RequestId
from wire.messages import Answer

REQUEST = RequestId("1a2b3c4d" * 4)
LINK = f"https://holdfast.example.com/requests/{REQUEST}"
HOSTILE = (
    "<!channel> <@U0ANN000> <https://evil.example|ok> *bold* _it_ ~no~ `code` :rotating_light: "
    "&lt;!here&gt; https://evil.example \u202egnp.exe\u200b @here #general"
)


def _showing(card: Card | None = None, **given_: Any) -> Showing:
    fields: dict[str, Any] = {
        "request": REQUEST,
        "card": card or render(make_opened()),
        "digest": "d" * 64,
        "state": RequestState.OPEN,
        "nonce": "n" * 24,
        "link": LINK,
    }
    return Showing(**(fields | given_))


def _checked(shown: Showing, room: int = MESSAGE_ROOM) -> str:
    """Return all texts of the message, after Slack's own checks of it."""
    made = message(shown, room)
    check_message({"text": made.text, "blocks": made.blocks})
    assert size(made.blocks) <= room
    return texts(made.blocks)


def test_a_card_shows_every_fact_in_full() -> None:
    """Host, who, what, where, the tree, the rule, severity, and what has happened."""
    card = render(make_opened())
    said = _checked(_showing(card))
    for fact in card.facts:
        assert f"{fact.label}: {fact.text}" in said
    for line in (*card.tree, card.title, card.state_line, card.happened, card.guarantee):
        assert line in said
    assert f"Severity: {card.severity}" in said
    assert message(_showing(card)).hidden_bytes == 0


def test_what_a_held_process_writes_is_never_markup() -> None:
    """The checks refuse any block that Slack would read; here is what must survive as text."""
    act = make_act(argv=("sh", "-c", HOSTILE), argv_bytes=len(HOSTILE.encode()) + 6, cwd=HOSTILE)
    said = _checked(_showing(render(make_opened(act, claim=HOSTILE)), votes=(HOSTILE,)))
    assert "<!channel> <@U0ANN000>" in said
    assert "\u202e" not in said
    assert "\u200b" not in said


text = st.text(max_size=300)
long = st.text(max_size=5000)
cards = st.builds(
    Card,
    title=text,
    severity=st.sampled_from(["low", "critical", "<!here>"]),
    state_line=text,
    facts=st.lists(st.builds(Fact, label=text, text=long), max_size=25).map(tuple),
    tree=st.lists(text, max_size=40).map(tuple),
    happened=text,
    guarantee=text,
    digest=text,
    hidden_bytes=st.integers(0, 10**9),
)


@given(
    card=cards,
    state=st.sampled_from(RequestState),
    outcome=st.none() | st.sampled_from(Outcome),
    room=st.sampled_from([MESSAGE_ROOM, MODAL_ROOM]),
    votes=st.lists(text, max_size=60).map(tuple),
    for_a_time=st.booleans(),
)
def test_any_card_is_within_every_limit(
    card: Card,
    state: RequestState,
    outcome: Outcome | None,
    room: int,
    votes: tuple[str, ...],
    for_a_time: bool,
) -> None:
    """Whatever is in it; and where anything is hidden there is a link in place of Approve."""
    shown = _showing(card, state=state, outcome=outcome, votes=votes, for_a_time=for_a_time)
    made = message(shown, room)
    said = _checked(shown, room)
    found = set(buttons(made.blocks))
    assert made.hidden_bytes >= card.hidden_bytes
    approves = found & {"Approve once", "Approve for a time"}
    if made.hidden_bytes or state is not RequestState.OPEN:
        assert not approves
    else:
        assert "Approve once" in approves
    if made.hidden_bytes:
        assert f"{made.hidden_bytes} bytes hidden" in said
    assert ("Deny" in found) == (state is RequestState.OPEN)
    assert "Open the page" in found


@given(commands=st.lists(st.text(max_size=4000), min_size=1, max_size=4))
def test_nothing_of_a_command_is_hidden_without_being_counted(commands: list[str]) -> None:
    """A card without a count shows each line whole."""
    facts = tuple(Fact("Command", one.replace("\n", " ")) for one in commands)
    card = replace(render(make_opened()), facts=facts)
    made = message(_showing(card))
    whole = "".join(piece["text"] for piece in _pieces(made.blocks))
    shown_whole = all(harmless(fact.text) in whole for fact in facts)
    assert shown_whole or made.hidden_bytes > 0


def _pieces(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        piece
        for block in blocks
        if block["type"] == "rich_text"
        for element in block["elements"]
        for piece in element["elements"]
    ]


def test_a_long_command_keeps_both_ends_and_counts_the_middle() -> None:
    """A dangerous tail must not hide behind a harmless start."""
    command = "true; " * 4000 + "rm -rf /srv"
    card = replace(render(make_opened()), facts=(Fact("Command", command),))
    said = _checked(_showing(card))
    hidden = message(_showing(card)).hidden_bytes
    assert "rm -rf /srv" in said
    assert f"{{{hidden} bytes hidden" in said
    assert f"{hidden} bytes hidden: not all of it fits here." in said


@pytest.mark.parametrize(
    ("state", "outcome", "light"),
    [
        (RequestState.OPEN, None, "🟡"),
        (RequestState.APPROVED, None, "🟡"),
        (RequestState.DENIED, None, "🟡"),
        (RequestState.EXPIRED, None, "⚪"),
        (RequestState.CANCELLED, None, "⚪"),
        (RequestState.SUPERSEDED, None, "⚪"),
        (RequestState.APPROVED, Outcome.RELEASED, "🟢"),
        (RequestState.DENIED, Outcome.KILLED, "🔴"),
        (RequestState.EXPIRED, Outcome.KILLED, "🔴"),
        (RequestState.APPROVED, Outcome.KILLED, "🔴"),
    ],
)
def test_the_light_turns_on_the_hosts_word_alone(
    state: RequestState, outcome: Outcome | None, light: str
) -> None:
    """Decided is not done."""
    said = _checked(_showing(state=state, outcome=outcome))
    assert light in said
    assert not {"🟡", "⚪", "🟢", "🔴"} - {light} & set(said)


def test_what_the_model_says_stands_below_the_facts_as_a_claim() -> None:
    """It is no fact that the kernel saw."""
    card = render(make_opened(claim="I only list files"))
    said = _checked(_showing(card))
    at = said.index("Says why (claim of the AI, not checked): I only list files")
    assert all(said.index(f"{fact.label}: {fact.text}") <= at for fact in card.facts)


def test_without_a_page_the_card_names_the_command() -> None:
    """There is a way to read the rest in any installation."""
    shown = _showing(replace(render(make_opened()), hidden_bytes=7), link="")
    assert f"use holdfast show {REQUEST[:12]}" in _checked(shown)


def test_letters_that_are_long_in_json_fit_as_well() -> None:
    """Slack sends a click with the whole card in it; the collector takes 64 KiB."""
    many = "\u6f22" * 300
    facts = tuple(Fact("Path", many * 9) for _ in range(20))
    card = replace(render(make_opened()), title=many, facts=facts, tree=(many,) * 40)
    shown = _showing(card, votes=(many,) * 20)
    said = _checked(shown)
    assert "bytes hidden" in said


def test_a_card_for_little_room_still_stands() -> None:
    """For a message that Slack has called too long after all."""
    said = _checked(_showing(), SMALL_ROOM)
    assert "Open the page" in said


@given(title=text, words=st.text(max_size=6000), lives=st.lists(text, min_size=1, max_size=9))
def test_any_window_is_within_every_limit(title: str, words: str, lives: list[str]) -> None:
    """To ask for a reason, to say what came of it, and to show details."""
    for answer, reasons in ((Answer.APPROVE, FOR_APPROVAL), (Answer.DENY, FOR_DENIAL)):
        check_view(ask_reason(Subject(answer, f"{REQUEST} nonce", False), title, reasons))
        check_view(ask_reason(Subject(answer, f"{REQUEST} nonce", True), title, (), lives))
    check_view(told(words, LINK))
    check_view(details(_showing(nonce="", votes=(words,) * 60), [words] * 60))


def test_a_window_says_what_it_is_about_and_nothing_that_decides() -> None:
    """What comes back is the answer, the request and the card."""
    subject = Subject(Answer.DENY, f"{REQUEST} nonce", False)
    view = ask_reason(subject, "title", FOR_DENIAL)
    assert Subject.parse(view["private_metadata"]) == subject
    for text_ in ("", "deny", "perhaps 0 x", "deny x y"):
        with pytest.raises(ValueError):
            Subject.parse(text_)
